"""Scripts of typed messages: one that passes, one that fails, and those that cannot be played."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from actors.harness import ScriptError, play_script
from actors.harness.matching import matches

TINY = {"name": "tiny", "rows": 2, "columns": {"n": {"kind": "sequence"}}}
SUBMIT = {"to": "scheduler", "message": {"type": "SubmitJob", "job": TINY}}


@pytest.fixture
def write(tmp_path):
    """Write lines, objects or text, as a script."""

    def write(*lines):
        path = tmp_path / "script.jsonl"
        path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
        return path

    return write


@pytest.mark.parametrize("serialize", [False, True])
def test_a_script_whose_expectations_are_met_passes_and_prints_the_transcript(write, serialize):
    printed = []
    script = write(
        {"serialize_messages": serialize},
        SUBMIT,
        "",
        {"expect": {"type": "JobAccepted", "from": "scheduler", "to": "script", "where": {"rows": 2}}},
        {"expect": {"type": "JobFinished", "where": {"result": {"status": "succeeded", "rows_written": 2}}}},
        {
            "to": "scheduler",
            "message": {"type": "CancelJob"},
            "expect": {"type": "JobCancelling", "timeout": 2},
        },
    )
    result = play_script(script, print=printed.append)
    assert (result.ok, result.failures) == (True, ())
    assert "line 4: met: script gets JobAccepted" in printed
    assert any("script -> scheduler SubmitJob {job: {name: tiny, rows: 2" in line for line in printed)
    assert len([line for line in printed if " -> " in line]) == len(result.transcript)


def test_a_script_whose_expectation_is_not_met_fails_naming_the_line_and_goes_on(write):
    printed = []
    script = write(
        SUBMIT,
        {"expect": {"type": "JobRejected", "where": {"problems": [{"path": "rows"}]}, "timeout": 0.01}},
        {"expect": {"type": "JobFinished"}},
    )
    result = play_script(script, print=printed.append)
    assert not result.ok
    assert result.failures == (
        'line 2: FAILED: script gets JobRejected where {"problems":[{"path":"rows"}]}: not within 0.01 s',
    )
    assert result.failures[0] in printed
    assert "line 3: met: script gets JobFinished" in printed


def test_a_script_may_play_the_part_of_actors_that_it_does_not_start(write):
    result = play_script(
        write(
            {"actors": ["task_admission"]},
            {
                "from": "scheduler",
                "to": "task_admission",
                "message": {
                    "type": "ConfigureTaskAdmission",
                    "run_id": "run",
                    "config": {"resource_limits": {"submission": 3}},
                },
                "expect": {
                    "type": "TaskAdmissionConfigured",
                    "to": "scheduler",
                    "where": {"view": {"resources_available": {"submission": 3}}},
                },
            },
            {"to": "task_admission", "message": {"type": "GetSnapshot"}},
            {"expect": {"type": "ActorSnapshot", "where": {"state": {"active_leases": 0}}}},
            {"expect": {"type": "TaskLeasesDecided", "to": "scheduler", "absent": True}},
        ),
        print=lambda _line: None,
    )
    assert result.failures == ()


def test_a_message_that_must_be_absent_is_a_failure_when_it_is_there(write):
    script = write(
        {"to": "scheduler", "message": {"type": "CancelJob"}},
        {"expect": {"type": "JobCancelling", "absent": True}},
    )
    (failure,) = play_script(script, print=lambda _line: None).failures
    assert failure.startswith("line 2: FAILED: script gets JobCancelling: at ")


def test_a_job_may_stand_in_a_file_beside_the_script(write, tmp_path):
    jobs = Path(__file__).parents[3] / "bench" / "jobs"
    for name in ("penguins.toml", "penguins.csv", "penguin_functions.py"):
        (tmp_path / name).write_bytes((jobs / name).read_bytes())
    script = write(
        {"to": "scheduler", "message": {"type": "SubmitJob", "job_file": "penguins.toml", "rows": 4}},
        {"expect": {"type": "JobFinished", "where": {"result": {"rows_written": 4}}}},
    )
    assert play_script(script, print=lambda _line: None).failures == ()


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "not valid JSON"),
        ([1], "found a list; expected an object"),
        ({}, "expected a message, an expect or both"),
        ({"too": "scheduler"}, "too is not known; did you mean 'to'?"),
        ({"to": "scheduler", "expect": {"type": "JobAccepted"}}, "and a `to` a message"),
        ({"from": "worker", "expect": {"type": "JobAccepted"}}, "from: there is no message to send"),
        ({"to": "shed", "message": {"type": "CancelJob"}}, "there is no actor 'shed'; "),
        ({"to": "scheduler", "message": 3}, "message: found a number; expected an object"),
        ({"to": "scheduler", "message": {}}, "message.type is missing; possible: "),
        ({"to": "scheduler", "message": {"type": "Canceljob"}}, "did you mean 'CancelJob'?"),
        (
            {"to": "scheduler", "message": {"type": "CancelJob", "reson": ""}},
            "message.reson is not known; did",
        ),
        (
            {"to": "scheduler", "message": {"type": "CancelJob", "reason": 1}},
            "got `int` - at `message.reason`",
        ),
        ({"to": "scheduler", "message": {"type": "SubmitJob"}}, "message has no job; expected"),
        ({"to": "scheduler", "message": {"type": "SubmitJob", "job": 1}}, "message.job: found"),
        (
            {"to": "scheduler", "message": {"type": "SubmitJob", "job": {**TINY, "rows": "x"}}},
            "message.job.rows: ",
        ),
        (
            {"to": "scheduler", "message": {"type": "SubmitJob", "job_file": "missing.toml"}},
            "missing.toml cannot be read",
        ),
        ({"expect": "JobAccepted"}, "expect: found text; expected an object"),
        ({"expect": {"type": "JobAccepted", "form": "x"}}, "expect.form is not known; did you mean 'from'?"),
        ({"expect": {"type": "JobAccepted", "from": "x"}}, "expect.from: there is no actor 'x'"),
        ({"expect": {"type": "JobAccepted", "where": []}}, "expect.where: found a list; expected an object"),
        (
            {"expect": {"type": "JobAccepted", "where": {"rowz": 1}}},
            "did you mean 'rows'? possible: run_id, rows",
        ),
        ({"expect": {"type": "JobAccepted", "timeout": -1}}, "expect.timeout: found -1; expected seconds"),
        (
            {"expect": {"type": "JobAccepted", "absent": "no"}},
            "expect.absent: found text; expected true or false",
        ),
        ({"actors": []}, "may stand in the first line only"),
    ],
)
def test_a_line_that_cannot_be_played_is_refused_with_its_number_and_what_is_possible(write, line, problem):
    with pytest.raises(ScriptError) as caught:
        play_script(write(SUBMIT, line))
    (found,) = caught.value.problems
    assert found.startswith("line 2: ")
    assert problem in found


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        ({"actors": ["task_admision"]}, "actors: there is no actor 'task_admision'; did you mean"),
        ({"actors": "worker"}, "actors: found text; expected a list of names"),
        ({"serialize_messages": 1}, "serialize_messages: found a number; expected true or false"),
    ],
)
def test_a_first_line_that_chooses_what_does_not_exist_is_refused(write, header, problem):
    with pytest.raises(ScriptError) as caught:
        play_script(write(header, SUBMIT))
    assert problem in caught.value.problems[0]


def test_all_problems_of_a_script_are_reported_at_once(write):
    with pytest.raises(ScriptError) as caught:
        play_script(write("nonsense", {"expect": {}}, SUBMIT, {"to": "x", "message": {"type": "CancelJob"}}))
    assert [problem.split(":")[0] for problem in caught.value.problems] == ["line 1", "line 2", "line 4"]


def test_a_script_that_is_missing_or_empty_is_refused(write, tmp_path):
    with pytest.raises(ScriptError, match=r"none\.jsonl cannot be read: No such file"):
        play_script(tmp_path / "none.jsonl")
    with pytest.raises(ScriptError, match="holds no message and no expectation"):
        play_script(write(""))


@pytest.mark.parametrize(
    ("wanted", "found", "expected"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, True),
        ({"a": 1}, {"b": 2}, False),
        ({"a": {"b": None}}, {"a": {"b": None, "c": 1}}, True),
        ([2, 4], [1, 2, 3, 4], True),
        ([4, 2], [1, 2, 3, 4], False),
        ([{"a": 1}], [{"a": 2}, {"a": 1, "b": 1}], True),
        ([1, 1], [1], False),
        ([], [1], False),
        ([], [], True),
        (1, True, False),
        (1, 1.0, True),
    ],
)
def test_a_partial_match_asks_for_no_more_than_it_says(wanted, found, expected):
    assert matches(wanted, found) is expected
