"""Rows in full, through the whole system (R1-R9), with the proof of every run's log."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter

import msgspec
import pytest

from actors import ActorSystem
from actors.evidence.reader import read_log
from actors.evidence.report import render
from actors.evidence.verify import verify_log
from actors.telemetry.log_codec import EventRecord
from actors.worker.providers.base import ChatReply, ProviderError
from messages import (
    CategoryColumn,
    ChatColumn,
    ExpressionColumn,
    FailurePolicy,
    Job,
    JobError,
    Latency,
    Limits,
    ModelConfig,
    Processor,
    PythonColumn,
    SequenceColumn,
    SimulatedProvider,
    Source,
    load_job,
)
from messages.telemetry import LogEntry


@pytest.fixture
def log(tmp_path):
    return tmp_path / "actors.jsonl"


@contextlib.contextmanager
def started(log):
    """Start a system with a log; stop it, and prove what the log says."""
    with ActorSystem.start(log=log) as system:
        yield system
    report = verify_log(log)
    assert report.ok, "\n".join(render(report))
    assert report.counts.hidden_scheduler_resource_waiters == 0


@pytest.fixture
def system(log):
    with started(log) as system:
        yield system


def logged(job, log):
    """Run a job in a system of its own; return the result once the log is whole."""
    with started(log) as system:
        return system.run(job)


def a_job(rows=6, row_group_size=3, **settings):
    return Job(name="rows", rows=rows, row_group_size=row_group_size, **settings)


def numbers(**columns):
    return {"number": SequenceColumn(), **columns}


# -- processors ------------------------------------------------------------------------------------


def test_r8_a_pre_batch_processor_sees_what_comes_from_scratch_and_runs_before_all_else(system):
    seen, doubled = [], []

    def only_even(rows):
        seen.append(rows)
        return [row["number"] % 2 == 0 for row in rows]

    def double(number):
        doubled.append(number)
        return 2 * number

    columns = numbers(mood=CategoryColumn(values=("calm",)), double=PythonColumn(function=double))
    job = a_job(columns=columns, processors={"even": Processor(stage="pre_batch", function=only_even)})
    result = system.run(job)
    assert sorted(seen, key=str) == [
        [{"number": n, "mood": "calm"} for n in range(3)],
        [{"number": n, "mood": "calm"} for n in range(3, 6)],
    ]
    assert [row["double"] for row in result.rows()] == [0, 4, 8]
    assert sorted(doubled) == [0, 2, 4], "what was dropped costs nothing more"
    assert result.status == "partial"
    assert result.drop_reasons == {"processor": 3}
    assert [(row.row, row.column, row.reason) for row in result.dropped] == [
        (1, "even", "processor"),
        (3, "even", "processor"),
        (5, "even", "processor"),
    ]
    assert result.first_error is None, "a decision of the job is no error"


def test_r8_processors_of_a_stage_run_in_the_order_in_which_they_stand(system):
    def first(rows):
        return [{"number": row["number"] + 1} for row in rows]

    async def second(rows):
        return [{"number": row["number"] * 10} for row in rows]

    processors = {
        "first": Processor(stage="pre_batch", function=first),
        "last": Processor(stage="post_batch", function=lambda rows: [{**row, "text": "!"} for row in rows]),
        "second": Processor(stage="pre_batch", function=second),
    }
    columns = numbers(text=ExpressionColumn(template="n{{ number }}"), copy=SequenceColumn())
    result = system.run(a_job(columns=columns, processors=processors))
    assert [row["number"] for row in result.rows()] == [10, 20, 30, 40, 50, 60]
    assert {row["text"] for row in result.rows()} == {"!"}


def test_r8_processors_see_the_source_and_may_change_it(system, tmp_path):
    (tmp_path / "birds.csv").write_text("bird\nauk\nowl\n")
    processors = {
        "shout": Processor(
            stage="pre_batch", function=lambda rows: [{"bird": row["bird"].upper()} for row in rows]
        )
    }
    job = Job(
        name="birds",
        source=Source(path=str(tmp_path / "birds.csv")),
        columns={"call": ExpressionColumn(template="{{ bird }}!")},
        processors=processors,
    )
    assert list(system.run(job).rows()) == [{"bird": "AUK", "call": "AUK!"}, {"bird": "OWL", "call": "OWL!"}]


def test_r8_a_post_batch_processor_sees_whole_rows_and_only_those_that_are_left(system):
    seen = []

    def fussy(number):
        if number == 1:
            raise ValueError("not one")
        return number

    def judge(rows):
        seen.extend(rows)
        return [None if row["fussy"] == 2 else row for row in rows]

    columns = numbers(fussy=PythonColumn(function=fussy))
    processors = {"judge": Processor(stage="post_batch", function=judge)}
    result = system.run(a_job(rows=3, columns=columns, processors=processors))
    assert seen == [{"number": 0, "fussy": 0}, {"number": 2, "fussy": 2}]
    assert list(result.rows()) == [{"number": 0, "fussy": 0}]
    assert result.drop_reasons == {"user_exception": 1, "processor": 1}


def test_r8_a_processor_may_drop_every_row(system):
    processors = {"nothing": Processor(stage="pre_batch", function=lambda rows: [None] * len(rows))}
    columns = numbers(text=ExpressionColumn(template="{{ number }}"))
    result = system.run(a_job(columns=columns, processors=processors))
    assert (result.rows_written, result.rows_dropped) == (0, 6)


def test_r8_processors_are_not_shown_the_rows_themselves(system):
    def spoil(rows):
        for row in rows:
            row["tags"].append("spoilt")
        return [True] * len(rows)

    columns = {"tags": CategoryColumn(values=(["a"],))}
    processors = {"spoil": Processor(stage="pre_batch", function=spoil)}
    result = system.run(a_job(rows=2, columns=columns, processors=processors))
    assert [row["tags"] for row in result.rows()] == [["a"], ["a"]]


def _raises(_rows):
    raise ValueError("bad") from KeyError("deep")


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (_raises, ("ValueError: bad", "KeyError: 'deep'")),
        (lambda rows: rows[1:], ("returned 2 entries for 3 rows",)),
        (lambda _rows: None, ("returned a NoneType",)),
        (lambda rows: [{"new": 1} for _ in rows], ("'new' at [0]", "adds no columns")),
        (lambda rows: ["x" for _ in rows], ("returned a str at [0]",)),
        (lambda rows: [{"number": {1}} for _ in rows], ("returned at [0]['number']",)),
    ],
)
@pytest.mark.parametrize("stage", ["pre_batch", "post_batch"])
def test_r8_a_processor_that_fails_fails_the_job_with_its_cause(system, stage, function, said):
    processors = {"p": Processor(stage=stage, function=function)}
    result = system.run(a_job(rows=3, columns=numbers(), processors=processors))
    assert result.status == "failed"
    assert all(part in result.first_error for part in ("processor p", *said))
    assert (result.rows_written, result.rows_dropped, result.rows_pending) == (0, 0, 3)


def test_r8_a_processor_that_takes_too_long_fails_the_job(system):
    async def dawdle(_rows):
        await asyncio.Event().wait()

    processors = {"p": Processor(stage="pre_batch", function=dawdle, timeout_seconds=0.05)}
    result = system.run(a_job(columns=numbers(), processors=processors))
    assert result.status == "failed"
    assert "0.05 s" in result.first_error


# -- conditions ------------------------------------------------------------------------------------


def test_r9_a_skipped_cell_gets_its_default_and_is_not_made(system):
    made = []

    def double(number):
        made.append(number)
        return 2 * number

    columns = numbers(
        double=PythonColumn(function=double, skip="{{ number % 2 == 1 }}", skip_default=-1),
        text=ExpressionColumn(template="d{{ double }}", skip_when_upstream_skipped=False),
    )
    result = system.run(a_job(columns=columns))
    assert [row["double"] for row in result.rows()] == [0, -1, 4, -1, 8, -1]
    assert [row["text"] for row in result.rows()] == ["d0", "d-1", "d4", "d-1", "d8", "d-1"]
    assert sorted(made) == [0, 2, 4]
    assert result.skipped == {"double": 3}
    assert result.status == "succeeded"


@pytest.mark.parametrize(
    ("text", "skipped"),
    [
        ("", False),
        (" False ", False),
        ("no", False),
        ("None", False),
        ("0", False),
        ("True", True),
        ("x", True),
    ],
)
def test_r9_a_condition_holds_unless_its_text_says_no(system, text, skipped):
    columns = numbers(
        text=ExpressionColumn(template="made", skip=text + "{{ '' if number is number }}", skip_default="no")
    )
    (row,) = system.run(a_job(rows=1, columns=columns)).rows()
    assert row["text"] == ("no" if skipped else "made")


def test_r9_what_needs_a_skipped_cell_is_skipped_with_it_without_being_run(system):
    ran = []

    async def last(second):
        ran.append(second)
        return second

    columns = numbers(
        first=ExpressionColumn(template="{{ number }}", dtype="int", skip="{{ number < 4 }}"),
        second=ExpressionColumn(template="{{ first + 1 }}", dtype="int", skip_default=0),
        third=PythonColumn(function=last, needs=("second",)),
        other=ExpressionColumn(template="{{ number }}"),
    )
    result = system.run(a_job(columns=columns))
    assert [(row["first"], row["second"], row["third"]) for row in result.rows()] == [
        *[(None, 0, None)] * 4,
        (4, 5, 5),
        (5, 6, 6),
    ]
    assert sorted(ran) == [5, 6]
    assert result.skipped == {"first": 4, "second": 4, "third": 4}


def test_r9_a_column_may_keep_its_skips_to_itself(system):
    columns = numbers(
        first=ExpressionColumn(template="f", skip="{{ number == 0 }}", skip_propagates=False),
        second=ExpressionColumn(template="{{ first }}"),
    )
    result = system.run(a_job(rows=2, columns=columns))
    assert [row["second"] for row in result.rows()] == ["None", "f"]
    assert result.skipped == {"first": 1}


def test_r9_a_batch_is_given_the_rows_that_are_not_skipped(system):
    given = []

    def total(first):
        given.append(first)
        return [sum(first)] * len(first)

    columns = numbers(
        first=ExpressionColumn(template="{{ number }}", dtype="int", skip="{{ number in (1, 3, 4, 5) }}"),
        total=PythonColumn(function=total, scope="batch", skip_default=-1),
        after=ExpressionColumn(template="{{ total }}", dtype="int"),
    )
    result = system.run(a_job(columns=columns))
    assert given == [[0, 2]], "the second row group has nothing for the batch: it is not called"
    assert [row["total"] for row in result.rows()] == [2, -1, 2, -1, -1, -1]
    assert [row["after"] for row in result.rows()] == [2, None, 2, None, None, None]
    assert result.skipped == {"first": 4, "total": 4, "after": 4}


def test_r9_a_batch_with_a_condition_of_its_own_skips_rows_of_it(system):
    def pair(number):
        return {"low": number, "high": [10 * each for each in number]}

    columns = numbers(
        pair=PythonColumn(
            function=pair, scope="batch", outputs=("low", "high"), skip="{{ number == 1 }}", skip_default="-"
        )
    )
    result = system.run(a_job(rows=3, columns=columns))
    assert [(row["low"], row["high"]) for row in result.rows()] == [(0, 0), ("-", "-"), (2, 20)]
    result = system.run(a_job(rows=2, row_group_size=1, columns=columns))
    assert [(row["low"], row["high"]) for row in result.rows()] == [(0, 0), ("-", "-")]


def test_r9_what_is_made_from_scratch_may_be_skipped_on_the_source(system, tmp_path):
    (tmp_path / "birds.csv").write_text("bird\nauk\nowl\nauk\n")
    job = Job(
        name="birds",
        source=Source(path=str(tmp_path / "birds.csv")),
        columns={"n": SequenceColumn(skip="{{ bird == 'owl' }}", skip_default=[])},
    )
    result = system.run(job)
    assert [row["n"] for row in result.rows()] == [0, [], 2]
    assert result.skipped == {"n": 1}


def test_r9_a_condition_that_fails_drops_its_row(system):
    columns = numbers(text=ExpressionColumn(template="t", skip="{{ 1 // number }}"))
    result = system.run(a_job(rows=2, columns=columns))
    assert result.drop_reasons == {"template_error": 1}


def test_r9_a_row_that_is_dropped_beside_a_skipped_cell_is_dropped(system):
    def fails(number):
        raise ValueError(number)

    columns = numbers(
        first=ExpressionColumn(template="f", skip="{{ number >= 0 }}"),
        fails=PythonColumn(function=fails),
        batch=PythonColumn(function=lambda first, fails: first, scope="batch"),
    )
    result = system.run(a_job(columns=columns))
    assert (result.rows_written, result.rows_dropped) == (0, 6)


def test_r9_skipped_cells_are_told_in_the_log(log):
    columns = numbers(text=ExpressionColumn(template="t", skip="{{ number == 1 }}"))
    logged(a_job(rows=3, columns=columns), log)
    told = [line for line in log.read_text().splitlines() if '"skipped":true' in line]
    assert len(told) == 1


def test_r3_r9_a_failed_batch_drops_the_rows_that_it_was_given_and_no_skipped_ones(system):
    def fails(first):
        raise ValueError(first)

    columns = numbers(
        first=ExpressionColumn(template="f", skip="{{ number == 1 }}"),
        batch=PythonColumn(function=fails, scope="batch", skip_default="-"),
        after=ExpressionColumn(template="{{ batch }}", skip_when_upstream_skipped=False),
    )
    result = system.run(a_job(rows=3, columns=columns))
    assert list(result.rows()) == [{"number": 1, "first": None, "batch": "-", "after": "-"}]
    assert result.drop_reasons == {"user_exception": 2}


JOB_FILE = """
name = "everything"
rows = 8
row_group_size = 4

[limits]
row_group_admission = "adaptive"
adaptive_row_guard = 8
resources = { gpu = 2 }

[failure]
early_shutdown_rate = 0.9
early_shutdown_window = 20

[providers.sim]
kind = "simulated"

[models.writer]
provider = "sim"
model = "m"

[columns.n]
kind = "sequence"

[columns.story]
kind = "chat"
model = "writer"
prompt = "Tell {{ n }}"
skip = "{{ n % 5 == 0 }}"
skip_default = "nothing"
resources = { gpu = 1 }

[columns.title]
kind = "expression"
template = "{{ story | length }}"
dtype = "int"

[columns.verdict]
kind = "python"
function = "row_functions:verdict"
side_effects = ["notes"]
order_dependent = true

[processors.not_seven]
stage = "pre_batch"
function = "row_functions:not_seven"

[processors.sign]
stage = "post_batch"
function = "row_functions:sign"
timeout_seconds = 5.0
"""

FUNCTIONS = """
def verdict(n):
    return {"verdict": n > 3, "notes": f"saw {n}"}


def not_seven(rows):
    return [row["n"] != 7 for row in rows]


def sign(rows):
    return [{"notes": row["notes"] + "!"} for row in rows]
"""


def test_a_job_file_may_say_all_of_this(system, tmp_path):
    (tmp_path / "row_functions.py").write_text(FUNCTIONS)
    (tmp_path / "job.toml").write_text(JOB_FILE)
    result = system.run(load_job(tmp_path / "job.toml"))
    rows = list(result.rows())
    assert [row["n"] for row in rows] == list(range(7))
    assert [row["notes"] for row in rows] == [f"saw {n}!" for n in range(7)]
    assert [row["n"] for row in rows if row["story"] == "nothing"] == [0, 5]
    assert [row["n"] for row in rows if row["title"] is None] == [0, 5]
    assert result.skipped == {"story": 2, "title": 2}
    assert result.drop_reasons == {"processor": 1}


def test_r10_r12_all_of_this_is_the_same_when_a_run_is_resumed(system, tmp_path):
    (tmp_path / "row_functions.py").write_text(FUNCTIONS)
    (tmp_path / "job.toml").write_text(JOB_FILE)
    whole = system.run(load_job(tmp_path / "job.toml", rows=15), out=tmp_path / "whole")
    system.run(load_job(tmp_path / "job.toml"), out=tmp_path / "parts")
    resumed = system.run(load_job(tmp_path / "job.toml", rows=15), out=tmp_path / "parts", resume=True)
    assert list(resumed.rows()) == list(whole.rows())
    assert (resumed.rows_written, resumed.rows_dropped) == (14, 1)
    assert resumed.skipped == {"story": 1, "title": 1}, "what this run has skipped"


# -- several outputs, side effects, order ----------------------------------------------------------


def test_r7_side_effects_are_written_and_run_nothing_more(system):
    def judge(number):
        return {"verdict": number > 0, "notes": f"saw {number}"}

    def quiet(number):
        return {"loud": number}

    columns = numbers(
        verdict=PythonColumn(function=judge, side_effects=("notes",)),
        hushed=PythonColumn(function=quiet, outputs=("loud",), side_effects=("whisper",)),
        after=ExpressionColumn(template="{{ verdict }}"),
    )
    result = system.run(a_job(rows=2, columns=columns))
    assert list(result.rows()) == [
        {"number": 0, "verdict": False, "notes": "saw 0", "loud": 0, "whisper": None, "after": "False"},
        {"number": 1, "verdict": True, "notes": "saw 1", "loud": 1, "whisper": None, "after": "True"},
    ]


@pytest.mark.parametrize("scope", ["batch", "from_scratch"])
def test_r7_side_effects_of_a_row_group_have_a_value_per_row(system, scope):
    def made(**given):
        count = given["rows"] if scope == "from_scratch" else len(given["number"])
        return [list(range(count)), ["note"] * count]

    def from_scratch(rows):
        return made(rows=rows)

    def batch(number):
        return made(number=number)

    column = PythonColumn(
        function={"batch": batch}.get(scope, from_scratch), scope=scope, side_effects=("s",)
    )
    result = system.run(a_job(rows=3, columns=numbers(made=column)))
    assert [(row["made"], row["s"]) for row in result.rows()] == [(0, "note"), (1, "note"), (2, "note")]


class Watch:
    """Notes the order in which row groups are worked on, and whether two ever are at once."""

    def __init__(self, row_group_size):
        self.size = row_group_size
        self.order = []
        self.together = 0
        self._at_work = Counter()

    async def see(self, row):
        index = row // self.size
        self.order.append(index)
        self._at_work[index] += 1
        self.together = max(self.together, sum(1 for count in self._at_work.values() if count))
        # The later the row group, the quicker: without a gate the last would be the first.
        for _ in range(40 - 8 * index):
            await asyncio.sleep(0)
        self._at_work[index] -= 1


@pytest.mark.parametrize("scope", ["cell", "batch"])
def test_r7_an_order_dependent_column_sees_row_groups_in_order_and_one_at_a_time(system, scope):
    watch = Watch(row_group_size=2)

    async def cell(number):
        await watch.see(number)
        return number

    async def batch(number):
        await watch.see(number[0])
        return number

    async def hold_up(number):
        for _ in range(60 - 12 * (number // 2)):
            await asyncio.sleep(0)
        return number

    columns = numbers(
        number_again=PythonColumn(function=hold_up),
        ordered=PythonColumn(
            function={"cell": cell, "batch": batch}[scope],
            scope=scope,
            order_dependent=True,
        ),
    )
    job = a_job(rows=10, row_group_size=2, columns=columns, limits=Limits(row_group_concurrency=5))
    assert system.run(job).rows_written == 10
    assert watch.order == sorted(watch.order)
    assert set(watch.order) == set(range(5))
    assert watch.together == 1


def test_r7_an_order_dependent_column_passes_over_rows_that_are_dropped_or_skipped(system):
    seen = []

    async def ordered(fussy):
        seen.append(fussy)
        return fussy

    def fussy(number):
        if number in (0, 1):
            raise ValueError(number)
        return number

    columns = numbers(
        fussy=PythonColumn(function=fussy, skip="{{ number in (2, 3) }}"),
        ordered=PythonColumn(function=ordered, order_dependent=True),
    )
    job = a_job(rows=6, row_group_size=2, columns=columns, limits=Limits(row_group_concurrency=3))
    result = system.run(job)
    assert sorted(seen) == [4, 5]
    assert (result.rows_written, result.rows_dropped) == (4, 2)


# -- adaptive admission ----------------------------------------------------------------------------


def events_of(log, *kinds):
    """Return (kind, reason, diagnostics) of the log's events of some kinds, in order."""
    return [
        (record.event_kind, record.reason_or_outcome, record.diagnostics)
        for _, record in read_log(log)
        if isinstance(record, EventRecord) and record.event_kind in kinds
    ]


def a_model_job(rows=40, row_group_size=5, latency_ms=4.0, *, columns=None, **settings):
    chat = ChatColumn(model="writer", prompt="Say {{ number }}.")
    return a_job(
        rows,
        row_group_size,
        providers={"sim": SimulatedProvider(latency_ms=Latency(mean=latency_ms, jitter=0))},
        models={"writer": ModelConfig(provider="sim", model="m", max_parallel_requests=8)},
        columns=columns or numbers(text=chat),
        **settings,
    )


def test_r2_adaptive_admission_takes_in_row_groups_as_models_idle(log):
    limits = Limits(row_group_admission="adaptive", row_group_concurrency=4)
    assert logged(a_model_job(limits=limits), log).rows_written == 40
    told = events_of(
        log,
        "row_group_admitted",
        "row_group_checkpointed",
        "row_group_admission_target_changed",
        "row_group_admission_blocked",
    )
    assert [kind for kind, _, _ in told[:2]] == ["row_group_admitted", "row_group_admission_blocked"]
    target = in_flight = 1
    for kind, reason, facts in told[1:]:
        if kind == "row_group_admission_target_changed":
            assert facts["target"] == target + 1, "it is never lowered, and raised by one at a time"
            target += 1
        elif kind == "row_group_admission_blocked":
            assert reason == "target"
        else:
            in_flight += 1 if kind == "row_group_admitted" else -1
        assert in_flight <= target <= 4
    assert target > 1


def test_r2_the_row_guard_holds_row_groups_back(log):
    limits = Limits(row_group_admission="adaptive", row_group_concurrency=4, adaptive_row_guard=10)
    assert logged(a_model_job(limits=limits), log).rows_written == 40
    blocked = events_of(log, "row_group_admission_blocked")
    assert "row_guard" in {reason for _, reason, _ in blocked}
    assert all(facts["rows_in_flight"] <= 10 for _, _, facts in blocked)


def test_r2_fixed_admission_fills_its_row_groups_at_once_and_tells_of_no_target(log):
    assert logged(a_model_job(rows=15), log).rows_written == 15
    told = events_of(log, "row_group_admitted", "row_group_checkpointed")
    assert [kind for kind, _, _ in told[:3]] == ["row_group_admitted"] * 3
    assert not events_of(log, "row_group_admission_target_changed", "row_group_admission_blocked")


def test_r2_adaptive_admission_without_models_does_not_hold_back(system):
    limits = Limits(row_group_admission="adaptive")
    assert system.run(a_job(rows=30, columns=numbers(), limits=limits)).rows_written == 30


# -- retries ---------------------------------------------------------------------------------------


class ScriptedProvider:
    """Answers each prompt as often as `script` says with an error, and then with the prompt itself."""

    def __init__(self, script, *, seconds=0.0):
        self.script = script
        self.seconds = seconds
        self.attempts = Counter()
        self.order = []

    async def chat(self, request):
        self.attempts[request.prompt] += 1
        self.order.append(request.prompt)
        await asyncio.sleep(self.seconds)
        error = self.script(request.prompt, self.attempts[request.prompt])
        if error is not None:
            raise error
        return ChatReply(request.prompt)

    async def close(self):
        pass


@pytest.fixture
def provide(monkeypatch):
    """Put a scripted provider in the place of every client that a job makes; calls are repeated quickly."""
    monkeypatch.setattr("actors.worker.executor._FIRST_PAUSE_SECONDS", 0.01)

    def install(script, **how):
        provider = ScriptedProvider(script, **how)
        monkeypatch.setattr("actors.worker.model_calls.client_of", lambda _job, _name, **_how: provider)
        return provider

    return install


def a_prompted_job(rows=4, *, failure=None, queue_timeout_seconds=None, parallel=8, **settings):
    return Job(
        name="prompted",
        rows=rows,
        providers={"sim": SimulatedProvider()},
        models={
            "writer": ModelConfig(
                provider="sim",
                model="m",
                max_parallel_requests=parallel,
                queue_timeout_seconds=queue_timeout_seconds,
            )
        },
        columns=numbers(text=ChatColumn(model="writer", prompt="{{ number }}")),
        failure=failure or FailurePolicy(max_retries=2, backoff_seconds=0.001),
        **settings,
    )


def status(code, **how):
    return ProviderError(f"status {code}", status=code, **how)


def test_r4_rate_limits_never_drop_a_row(system, provide):
    provider = provide(lambda _, attempt: status(429, retry_after_seconds=0.005) if attempt <= 5 else None)
    result = system.run(a_prompted_job())
    assert [row["text"] for row in result.rows()] == ["0", "1", "2", "3"]
    assert set(provider.attempts.values()) == {6}, "twice as often as max_retries allows"
    assert result.models["writer"].outcomes == {"success": 4, "rate_limited": 20}


def test_r4_queue_timeouts_never_drop_a_row(system, provide):
    provider = provide(lambda *_: None, seconds=0.01)
    policy = FailurePolicy(max_retries=0, backoff_seconds=0.001, max_backoff_seconds=0.01)
    job = a_prompted_job(rows=10, parallel=1, queue_timeout_seconds=0.004, failure=policy)
    result = system.run(job)
    assert result.rows_written == 10
    assert provider.attempts.total() == 10, "a timeout in our own queue sends nothing"


def test_r4_a_row_whose_tries_are_used_up_is_dropped_with_their_number(system, provide):
    provider = provide(lambda prompt, _: status(500) if prompt == "2" else None)
    result = system.run(a_prompted_job())
    assert [row["number"] for row in result.rows()] == [0, 1, 3]
    (dropped,) = result.dropped
    assert (dropped.row, dropped.column, dropped.attempts) == (2, "text", 3)
    assert dropped.reason == "provider_failure"
    assert "status 500" in dropped.error
    assert provider.attempts["2"] == 9, "three tries of the task, each with two retries of the request"


def test_r4_a_failure_that_passes_costs_no_row(system, provide):
    provide(lambda _, attempt: status(503) if attempt <= 2 else None)
    result = system.run(a_prompted_job())
    assert (result.status, result.rows_written) == ("succeeded", 4)


def test_r4_backoff_blocks_no_other_work(system, provide):
    provider = provide(lambda prompt, attempt: status(500) if prompt == "0" and attempt <= 3 else None)
    policy = FailurePolicy(max_retries=1, backoff_seconds=0.1)
    result = system.run(a_prompted_job(rows=30, parallel=1, failure=policy))
    assert result.rows_written == 30
    assert provider.order[0] == provider.order[-1] == "0"


def test_r5_what_will_not_pass_drops_its_row_at_once(system, provide):
    provider = provide(lambda prompt, _: status(401) if prompt == "1" else None)
    result = system.run(a_prompted_job())
    (dropped,) = result.dropped
    assert (dropped.row, dropped.attempts, provider.attempts["1"]) == (1, 1, 1)
    assert "status 401" in result.first_error


def test_r6_failures_that_may_pass_do_not_end_the_job_early(system, provide):
    provide(lambda *_: status(500))
    policy = FailurePolicy(
        max_retries=0, backoff_seconds=0.001, early_shutdown_rate=0.0, early_shutdown_window=1
    )
    result = system.run(a_prompted_job(rows=10, failure=policy))
    assert (result.status, result.rows_dropped) == ("partial", 10)


def test_a_degraded_provider_is_warned_of_once_with_the_mix_of_outcomes(log, provide):
    provide(lambda _, attempt: status(500) if attempt <= 3 else None)
    logged(a_prompted_job(rows=20), log)
    entries = [record for _, record in read_log(log) if isinstance(record, LogEntry)]
    (warning,) = [entry for entry in entries if entry.event == "provider_degraded"]
    assert warning.level == "warning"
    assert warning.fields["outcomes"]["sim/m/chat"]["provider_failure"] >= 5


# -- early shutdown --------------------------------------------------------------------------------


def test_r6_a_job_that_mostly_fails_ends_early_and_keeps_what_has_finished(system, tmp_path):
    ended = Counter()

    async def slow(number):
        ended["begun"] += 1
        try:
            await asyncio.sleep(0.02)
            ended["well"] += 1
        except asyncio.CancelledError:
            ended["cancelled"] += 1
            raise
        return number

    def fails(number):
        if number >= 10:
            raise ValueError(f"no more after {number}")
        return number

    policy = FailurePolicy(early_shutdown_rate=0.5, early_shutdown_window=8)
    columns = numbers(fails=PythonColumn(function=fails), slow=PythonColumn(function=slow))
    job = a_job(500, 10, columns=columns, failure=policy, limits=Limits(row_group_concurrency=1))
    result = system.run(job, out=tmp_path / "out")
    assert result.status == "early_shutdown"
    assert "of the last 8 tasks failed for good" in result.first_error
    assert "ValueError: no more after 1" in result.first_error
    assert result.rows_written >= 10
    assert [row["number"] for row in result.rows()][:10] == list(range(10))
    assert result.rows_pending > 400
    assert ended["cancelled"] == 0
    assert ended["begun"] == ended["well"]


# -- named resources -------------------------------------------------------------------------------


def test_t7_named_resources_bound_every_kind_of_column(system, provide):
    at_once = Counter()

    class Gauge(ScriptedProvider):
        async def chat(self, request):
            at_once["now"] += 1
            at_once["most"] = max(at_once["most"], at_once["now"])
            await asyncio.sleep(0.001)
            at_once["now"] -= 1
            return ChatReply(request.prompt)

    provider = provide(lambda *_: None)
    provider.chat = Gauge.chat.__get__(provider)
    job = a_prompted_job(rows=12, limits=Limits(resources={"gpu": 3}))
    columns = {
        **job.columns,
        "text": ChatColumn(model="writer", prompt="{{ number }}", resources={"gpu": 1}),
        "n": SequenceColumn(resources={"gpu": 3}),
    }
    result = system.run(msgspec.structs.replace(job, columns=columns))
    assert result.rows_written == 12
    assert at_once["most"] == 3


def test_t7_a_job_that_asks_for_more_than_there_is_is_not_begun(system):
    columns = {"n": SequenceColumn(resources={"gpu": 4})}
    with pytest.raises(JobError, match=r"each task asks for 4, the limit is 3"):
        system.run(a_job(columns=columns, limits=Limits(resources={"gpu": 3})))
