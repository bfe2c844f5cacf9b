"""R12: what a row draws depends on the job's seed, the column and the row's number alone."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.generators import compile_generator
from messages import CategoryColumn, Job, SequenceColumn
from messages.tasks import Task
from messages.worker import TaskStart

MOODS = ("curious", "grumpy", "sleepy")


def a_generator(column, *, seed=7, name="mood"):
    made = compile_generator(name, column, Job(name="j", seed=seed, columns={name: column}), {name})
    assert not isinstance(made, tuple), made
    return made


def rows_of(generator, first, count):
    task = Task(generator.name, 0, None, "from_scratch")
    return generator.run(TaskStart(lease=None, task=task, inputs={}, first_row=first, rows=count))


def problems_of(column):
    made = compile_generator("mood", column, Job(name="j", columns={"mood": column}), {"mood"})
    assert isinstance(made, tuple)
    return {problem.path for problem in made}


@given(
    seed=st.integers(-(2**63), 2**63 - 1),
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=8),
    weights=st.none() | st.tuples(*[st.floats(0.1, 10)] * 3),
)
def test_r12_a_rows_value_does_not_depend_on_how_rows_are_grouped(seed, sizes, weights):
    generator = a_generator(CategoryColumn(values=MOODS, weights=weights), seed=seed)
    whole = rows_of(generator, 0, sum(sizes))
    parts, first = [], 0
    for size in sizes:
        parts += rows_of(generator, first, size)
        first += size
    assert parts == whole
    assert set(whole) <= set(MOODS)


def test_r12_the_seed_and_the_columns_name_make_the_difference():
    column = CategoryColumn(values=MOODS)
    values = rows_of(a_generator(column), 0, 100)
    assert values == rows_of(a_generator(column), 0, 100)
    assert values != rows_of(a_generator(column, seed=8), 0, 100)
    assert values != rows_of(a_generator(column, name="temper"), 0, 100)


def test_values_come_evenly_and_weights_shift_them():
    even = Counter(rows_of(a_generator(CategoryColumn(values=MOODS)), 0, 9000))
    assert all(2800 < even[mood] < 3200 for mood in MOODS)
    shifted = Counter(rows_of(a_generator(CategoryColumn(values=MOODS, weights=(0, 3, 1))), 0, 8000))
    assert shifted["curious"] == 0
    assert 5800 < shifted["grumpy"] < 6200


def test_a_single_value_is_every_rows_value():
    assert rows_of(a_generator(CategoryColumn(values=([1],))), 5, 3) == [[1], [1], [1]]


@pytest.mark.parametrize(
    ("column", "paths"),
    [
        (CategoryColumn(values=()), {"columns.mood.values"}),
        (
            CategoryColumn(values=("a", float("nan"), {1})),
            {"columns.mood.values[1]", "columns.mood.values[2]"},
        ),
        (CategoryColumn(values=("a", {"b": [float("inf")]})), {"columns.mood.values[1]['b'][0]"}),
        (CategoryColumn(values=MOODS, weights=(1.0,)), {"columns.mood.weights"}),
        (CategoryColumn(values=("a", "b"), weights=(0.0, 0.0)), {"columns.mood.weights"}),
        (CategoryColumn(values=("a", "b"), weights=(1e308, 1e308)), {"columns.mood.weights"}),
        (
            CategoryColumn(values=("a", "b"), weights=(-1.0, float("nan"))),
            {"columns.mood.weights[0]", "columns.mood.weights[1]"},
        ),
    ],
)
def test_unusable_values_and_weights_are_problems(column, paths):
    assert problems_of(column) == paths


@given(st.integers(-1000, 1000), st.integers(-50, 50), st.integers(0, 100), st.integers(1, 20))
def test_a_sequence_counts_on_across_row_groups(start, step, first, count):
    generator = a_generator(SequenceColumn(start=start, step=step))
    expected = [start + step * row for row in range(first, first + count)]
    assert rows_of(generator, first, count) == expected
