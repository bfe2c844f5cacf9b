"""A job of which parts cannot be read: the rest is judged all the same, and nothing is reported that
would be gone once those parts are mended."""

from __future__ import annotations

import copy
import functools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.planning import Unpreparable, prepare
from messages import ExpressionColumn, Job, JobError, Limits, PythonColumn, SequenceColumn
from messages.callables import reference_to
from messages.job_file import job_from_builtins


def shout(story):
    return story.upper()


def join(*texts):
    return "".join(texts)


def both(mood):
    return mood, mood


def everything(stories):
    return stories


def from_nothing(rows):
    return [None] * rows


# Whatever stands here is right only together: a default in its place would be reported.
GOOD = {
    "name": "j",
    "rows": 10,
    "seed": 7,
    "providers": {
        "sim": {
            "kind": "simulated",
            "latency_ms": {"mean": 40, "jitter": 30},
            "script": [{"error_rate": 0.9}, {"at": 5, "error_rate": 0.1, "hang_rate": 0.9}, {"at": 9}],
            "repeat_seconds": 10,
        },
        "net": {"kind": "openai", "base_url": "http://host/v1"},
    },
    "models": {
        "writer": {"provider": "sim", "model": "m", "max_parallel_requests": 3, "limit": {"initial": 2}},
        "again": {"providers": ["net", "sim"], "model": "m", "limit": {"initial": 2}},
        "other": {"providers": ["net"], "model": "o", "parameters": {"a": 1}, "limit": {"initial": 4}},
    },
    "failure": {"backoff_seconds": 0.01, "max_backoff_seconds": 0.02},
    "limits": {"resources": {"gpu": 4}, "threads": 3},
    "columns": {
        "mood": {"kind": "category", "values": ["a", "b"], "weights": [1, 2]},
        "late": {"kind": "sequence", "start": 2**63 - 20, "step": 2},
        "story": {"kind": "chat", "model": "writer", "prompt": "{{ mood }}", "system": "{{ left }}"},
        "loud": {"kind": "python", "function": reference_to(shout), "resources": {"gpu": 2}},
        "glued": {"kind": "python", "function": reference_to(join), "needs": ["mood", "story"]},
        "pair": {"kind": "python", "function": reference_to(both), "outputs": ["left", "right"]},
        "empty": {"kind": "python", "function": reference_to(from_nothing), "scope": "from_scratch"},
        "words": {"kind": "expression", "template": "{{ right }}", "dtype": "int"},
        "last": {"kind": "expression", "template": "{{ words }}{{ glued }}"},
    },
}


def put(*place, to):
    def change(data):
        *above, last = place
        for key in above:
            data = inside(data, key)
        if inside(data, last) is not None:
            data[last] = to

    return change


def inside(data, key):
    """Return what is at a key or a position; None where nothing is: another mistake may have taken it."""
    known = range(len(data)) if isinstance(data, list) else data if isinstance(data, dict) else ()
    return data[key] if key in known else None


def rename(*place, to):
    def change(data):
        for key in place[:-1]:
            data = data.get(key, {})
        if place[-1] in data:
            data[to] = data.pop(place[-1])

    return change


# Each has a place of its own. Renamed tables come last: what is wrong inside them cannot be seen then.
BREAKAGES = {
    "rows": put("rows", to="ten"),
    "seed": put("seed", to=2**70),
    "mean": put("providers", "sim", "latency_ms", "mean", to="slow"),
    "model id": put("models", "writer", "model", to=5),
    "provider": put("models", "writer", "provider", to="smi"),
    "cap": put("models", "writer", "max_parallel_requests", to=0),
    "at": put("providers", "sim", "script", 1, "at", to="soon"),
    "rate": put("providers", "sim", "script", 1, "error_rate", to="some"),
    "step table": put("providers", "sim", "script", 2, to="none"),
    "repeat": put("providers", "sim", "repeat_seconds", to=3),
    "script": put("providers", "sim", "script", to="none"),
    "base_url": put("providers", "net", "base_url", to="host/v1"),
    "provider kind": put("providers", "net", "kind", to="opnai"),
    "replica": put("models", "again", "providers", 0, to="nte"),
    "replicas, mistyped": rename("models", "other", "providers", to="provders"),
    "replicas": put("models", "other", "providers", to=[5]),
    "initial": put("models", "other", "limit", "initial", to=5),
    "parameters": put("models", "other", "parameters", to={"a": float("nan")}),
    "limit": put("models", "again", "limit", to="fast"),
    "backoff": put("failure", "backoff_seconds", to="soon"),
    "gpu": put("limits", "resources", "gpu", to="many"),
    "threads": put("limits", "threads", to=0),
    "values": put("columns", "mood", "values", to="ab"),
    "weights": put("columns", "mood", "weights", to=[1, "two"]),
    "step": put("columns", "late", "step", to="two"),
    "start": put("columns", "late", "start", to=-(2**64)),
    "alias": put("columns", "story", "model", to="nobody"),
    "prompt": put("columns", "story", "prompt", to="{{ mood"),
    "function": put("columns", "loud", "function", to="no_such_module_here:f"),
    "amount": put("columns", "loud", "resources", to={"gpu": 2, "tpu": 1}),
    "needs": put("columns", "glued", "needs", to="mood"),
    "needs, mistyped": rename("columns", "glued", "needs", to="neds"),
    "outputs": put("columns", "pair", "outputs", to=5),
    "outputs, mistyped": rename("columns", "pair", "outputs", to="ouputs"),
    "kind": put("columns", "pair", "kind", to="pyton"),
    "scope": put("columns", "empty", "scope", to="from_scrach"),
    "template": put("columns", "words", "template", to=3),
    "dtype": put("columns", "words", "dtype", to="integer"),
    "unknown name": put("columns", "last", "template", to="{{ wrods }}"),
    "limits, mistyped": rename("limits", "resources", to="resorces"),
    "model table": put("models", "writer", to="m"),
    "models, mistyped": rename("models", to="model"),
    "providers": put("providers", to="sim"),
}


def broken(names):
    data = copy.deepcopy(GOOD)
    for name, change in BREAKAGES.items():
        if name in names:
            change(data)
    return data


def reported(data):
    """Return the paths of all that is wrong, structure and meaning."""
    try:
        return {problem.path for problem in planned(job_from_builtins(data, base_dir=""))}
    except JobError as error:
        return {problem.path for problem in error.joined(planned(error.readable))}


@functools.cache
def reported_alone(name):
    """Return the paths of all that one mistake makes wrong: it is asked for in most examples."""
    return frozenset(reported(broken({name})))


def planned(job, *, fields=(), rows=0):
    found = prepare(job, run_id="r", source_fields=fields, source_rows=rows)
    return found.problems if isinstance(found, Unpreparable) else ()


def test_the_job_is_good():
    assert reported(GOOD) == set()


@pytest.mark.parametrize("name", sorted(BREAKAGES))
def test_one_mistake_is_one_report(name):
    assert len(reported_alone(name)) == 1


@given(st.sets(st.sampled_from(sorted(BREAKAGES)), min_size=1), st.data())
def test_mending_one_mistake_never_makes_an_unrelated_report_disappear(names, data):
    mended = data.draw(st.sampled_from(sorted(names)))

    before, after = reported(broken(names)), reported(broken(names - {mended}))

    assert before - after <= reported_alone(mended)


@given(st.sets(st.sampled_from(sorted(BREAKAGES))))
def test_several_mistakes_report_nothing_that_none_of_them_reports(names):
    alone = set().union(*map(reported_alone, names))

    assert reported(broken(names)) <= alone


# What is wrong in these places says nothing about any other, and nothing that is wrong elsewhere hides it.
INDEPENDENT = (
    "rows",
    "seed",
    "mean",
    "cap",
    "backoff",
    "gpu",
    "threads",
    "values",
    "alias",
    "prompt",
    "function",
    "base_url",
    "replica",
    "parameters",
)
ALSO_INDEPENDENT = ("needs", "scope", "dtype", "unknown name")


@given(st.sets(st.sampled_from(INDEPENDENT + ALSO_INDEPENDENT)))
def test_independent_mistakes_are_all_reported_at_once(names):
    alone = set().union(*map(reported_alone, names))

    assert reported(broken(names)) == alone


def test_a_name_is_taken_on_trust_while_the_outputs_of_any_column_are_not_known():
    data = broken({"outputs", "unknown name"})

    assert reported(data) == {"columns.pair.outputs"}


def test_a_column_of_unknown_kind_fills_what_its_outputs_name():
    data = broken({"kind"})
    data["columns"]["last"]["template"] = "{{ left }}{{ pair }}"

    assert reported(data) == {"columns.pair.kind", "columns.last.template"}


@pytest.mark.parametrize("source", [5, {"path": 5}, {"pth": "x.csv"}, {"path": "x.csv", "format": "xlsx"}])
def test_names_and_rows_are_not_judged_while_the_source_is_not_known(source):
    data = broken({"unknown name"})
    del data["rows"]
    data["source"] = source

    assert {path.partition(".")[0] for path in reported(data)} == {"source"}


def test_a_source_under_a_mistyped_name_is_not_missing():
    data = broken({"unknown name"})
    del data["rows"]
    data["sources"] = {"path": "x.csv"}

    assert reported(data) == {"sources"}


def test_with_rows_that_cannot_be_read_a_source_is_asked_for_none_of_its_records():
    data = broken({"rows"})
    data["source"] = {"path": "x.csv"}
    with pytest.raises(JobError) as refused:
        job_from_builtins(data, base_dir="")

    assert refused.value.readable.rows == 0


def test_a_job_made_by_hand_is_judged_as_a_file_would_be():
    job = Job(
        name=5,
        rows=3,
        columns={
            "n": SequenceColumn(start="1"),
            "x": ExpressionColumn(template="{{ nothing }}"),
            "p": PythonColumn(function="no_such_module_here:f"),
        },
        limits=Limits(threads="8", local=0),
    )

    assert {problem.path for problem in planned(job)} == {
        "name",
        "columns.n.start",
        "columns.x.template",
        "columns.p.function",
        "limits.threads",
        "limits.local",
    }


def test_what_is_possible_is_listed_in_the_order_of_the_job():
    names = ("zebra", "ant", "mule", "cow", "bee", "yak")
    columns = {name: SequenceColumn() for name in names} | {
        "x": ExpressionColumn(template="{{ nothing }}"),
        "p": PythonColumn(function=reference_to(everything)),
    }

    for problem in planned(Job(name="j", rows=1, columns=columns)):
        assert problem.remedy.endswith("possible: zebra, ant, mule, cow, bee, yak, x, p")
