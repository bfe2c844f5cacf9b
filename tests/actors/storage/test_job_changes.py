"""What may differ between a job and the one that resumes its folder (R10)."""

from __future__ import annotations

import pytest

from actors.storage.changes import changes
from actors.storage.manifest import canonical
from messages.job import (
    CategoryColumn,
    ChatColumn,
    FailurePolicy,
    Job,
    Limits,
    ModelConfig,
    Output,
    SequenceColumn,
    SimulatedProvider,
)

MODEL = ModelConfig(provider="p", model="m")


def a_job(**changed):
    settings = {
        "name": "a job",
        "rows": 5,
        "providers": {"p": SimulatedProvider()},
        "models": {"m": MODEL},
        "columns": {
            "n": SequenceColumn(),
            "mood": CategoryColumn(values=("calm", 1)),
            "story": ChatColumn(model="m", prompt="a"),
        },
    }
    return Job(**{**settings, **changed})


def told(before, now):
    return [str(problem) for problem in changes(canonical(before), canonical(now))]


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"rows": 50},
        {"base_dir": "/elsewhere"},
        {"limits": Limits(threads=2, resources={"gpu": 1})},
        {"failure": FailurePolicy(max_retries=0)},
        {"output": Output(journal_fsync="never")},
        {"models": {"m": ModelConfig(provider="p", model="m", timeout_seconds=1.0)}},
    ],
)
def test_r10_what_makes_no_other_rows_may_change(changed):
    assert told(a_job(), a_job(**changed)) == []


@pytest.mark.parametrize(
    ("columns", "place"),
    [
        ({"story": ChatColumn(model="m", prompt="b")}, 'columns.story.prompt: "a" -> "b"'),
        ({"mood": CategoryColumn(values=("calm", True))}, "columns.mood.values[1]: 1 -> true"),
        ({"mood": CategoryColumn(values=("calm",))}, 'columns.mood.values: ["calm",1] -> ["calm"]'),
        ({"more": SequenceColumn()}, "columns.more: nothing -> "),
    ],
)
def test_r10_what_makes_other_rows_is_told_with_its_place_and_both_values(columns, place):
    now = a_job(columns={**a_job().columns, **columns})
    (problem,) = told(a_job(), now)
    assert problem.startswith(place)
    assert problem.endswith("(run the job as it was, or choose another folder with --out)")


def test_r10_the_order_of_columns_is_that_of_a_rows_fields():
    now = a_job(columns=dict(reversed(a_job().columns.items())))
    assert told(a_job(), now)[0].startswith("columns: n, mood, story -> story, mood, n")


def test_r10_every_change_is_told_and_long_values_are_cut():
    columns = {**a_job().columns, "story": ChatColumn(model="m", prompt="x" * 500)}
    first, second = sorted(told(a_job(), a_job(seed=1, columns=columns)))
    assert first.startswith('columns.story.prompt: "a" -> "xxx')
    assert len(first) < 200
    assert second.startswith("seed: 0 -> 1")
