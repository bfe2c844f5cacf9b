"""Columns filled by user functions: how they are called, and what may come back."""

from __future__ import annotations

import asyncio
import functools

import pytest

from actors.generators import GeneratorError, compile_generator
from messages import Job, PythonColumn, SequenceColumn
from messages.tasks import Task
from messages.worker import TaskStart

KNOWN = {"story", "mood", "made"}


def compiled(function, *, known=KNOWN, columns=(), **settings):
    column = PythonColumn(function=function, **settings)
    job = Job(name="j", columns={"made": column} | {name: SequenceColumn() for name in columns})
    return compile_generator("made", column, job, known)


def run(generator, rows=1, first_row=0, **inputs):
    row = first_row if generator.task_type == "cell" else None
    start = TaskStart(None, Task("made", 0, row, generator.task_type), inputs, first_row, rows)
    if generator.mode == "async":
        return asyncio.run(generator.run_async(start, None))
    return generator.run(start)


def problem_of(function, **settings):
    (problem,) = compiled(function, **settings)
    return problem


def error_of(function, *, rows=1, inputs=None, **settings):
    with pytest.raises(GeneratorError) as failed:
        run(compiled(function, **settings), rows, **(inputs or {}))
    return failed.value


# -- how a function is called ----------------------------------------------------------------------


def test_parameters_name_the_columns():
    generator = compiled(lambda story, mood: f"{story} {mood}")
    assert generator.needs == ("story", "mood")
    assert (generator.mode, generator.task_type) == ("thread", "cell")
    assert run(generator, mood="b", story="a") == "a b"


def test_an_async_function_runs_as_a_coroutine():
    async def shout(story):
        await asyncio.sleep(0)
        return story.upper()

    generator = compiled(shout)
    assert generator.mode == "async"
    assert run(generator, story="a") == "A"


def test_what_calls_an_async_function_is_async_too():
    class Shouter:
        async def __call__(self, story):
            return story.upper()

    async def joined(prefix, story):
        return prefix + story

    assert compiled(Shouter()).mode == "async"
    partial = compiled(functools.partial(joined, "> "))
    assert partial.mode == "async"
    assert run(partial, story="a") == "> a"


def test_keyword_only_and_positional_only_parameters_get_their_columns():
    def both(mood, /, *, story):
        return [mood, story]

    assert run(compiled(both), story="s", mood="m") == ["m", "s"]


def test_a_default_is_used_unless_there_is_such_a_column():
    def told(story, mood="calm", times=2):
        return [story, mood, times]

    generator = compiled(told)
    assert generator.needs == ("story", "mood")
    assert run(generator, story="s", mood="m") == ["s", "m", 2]
    assert compiled(told, known=None, columns=["times"]).needs == ("story", "times")


def test_a_default_that_has_the_columns_own_name_is_a_default():
    assert compiled(lambda story, made=3: made).needs == ("story",)


def test_needs_are_passed_by_keyword_where_the_names_fit():
    def anything(**row):
        return sorted(row)

    def swapped(mood, story):
        return [mood, story]

    assert run(compiled(anything, needs=("story", "mood")), story=1, mood=2) == ["mood", "story"]
    assert run(compiled(swapped, needs=("story", "mood")), story="s", mood="m") == ["m", "s"]


def test_needs_are_passed_in_their_order_where_the_names_do_not_fit():
    assert run(compiled(lambda a, b: [a, b], needs=("mood", "story")), story="s", mood="m") == ["m", "s"]
    assert run(compiled(max, needs=("story", "mood")), story=1, mood=2) == 2
    assert run(compiled(lambda *all_of: len(all_of), needs=("story", "mood")), story=1, mood=2) == 2


def test_from_scratch_is_told_which_rows_to_make():
    def numbers(rows, row_index):
        return [row_index + index for index in range(rows)]

    generator = compiled(numbers, scope="from_scratch", known=KNOWN | {"rows"})
    assert (generator.task_type, generator.needs) == ("from_scratch", ())
    assert run(generator, rows=3, first_row=10) == [10, 11, 12]


def test_rows_is_a_column_like_any_other_where_it_is_not_from_scratch():
    assert compiled(lambda rows: rows, known={"rows"}).needs == ("rows",)
    assert "'rows'" in problem_of(lambda rows: rows).message


def test_a_batch_gets_a_list_per_column_and_returns_one_value_per_row():
    generator = compiled(lambda story: story[::-1], scope="batch")
    assert generator.task_type == "batch"
    assert run(generator, rows=3, story=[1, 2, 3]) == [3, 2, 1]


@pytest.mark.parametrize("scope", ["cell", "batch"])
def test_a_function_cannot_change_the_row(scope):
    def spoil(story):
        story[0].append("spoilt")
        story.append(None)
        return [1, 2]

    async def spoil_slowly(story):
        return spoil(story)

    for function in (spoil, spoil_slowly):
        given = [["a"], {"b": 1}]
        run(compiled(function, scope=scope), rows=2, story=given)
        assert given == [["a"], {"b": 1}]


def test_what_the_function_raises_passes_through():
    def fail(story):
        raise LookupError(story)

    with pytest.raises(LookupError, match="x"):
        run(compiled(fail), story="x")


# -- several outputs -------------------------------------------------------------------------------


@pytest.mark.parametrize("made", [{"b": 2, "a": 1}, [1, 2], (1, 2)])
def test_r7_several_outputs_come_as_a_mapping_or_in_order(made):
    generator = compiled(lambda: made, outputs=("a", "b"))
    assert generator.outputs == ("a", "b")
    assert run(generator) == [1, 2]


def test_r7_several_outputs_of_a_batch_are_lists():
    def split(story):
        return {"a": story, "b": [len(text) for text in story]}

    generator = compiled(split, scope="batch", outputs=("a", "b"))
    assert run(generator, rows=2, story=["x", "yy"]) == [["x", "yy"], [1, 2]]


def test_one_declared_output_is_the_value_itself():
    assert run(compiled(lambda: {"a": [5]}, outputs=("a",))) == [5]


# -- what may come back ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (float("nan"), "return None"),
        ({"a": [1, {1, 2}]}, "value['a'][1]"),
        (object(), "object"),
        (2**70, "text"),
    ],
)
def test_r5_a_value_that_json_cannot_hold_is_of_the_wrong_type(value, said):
    in_row, in_rows = error_of(lambda: value), error_of(lambda: [value], scope="from_scratch")
    assert in_row.kind == in_rows.kind == "wrong_type"
    assert "'made'" in in_row.message
    assert said in in_row.message
    assert "value[0]" in in_rows.message


def test_r5_a_plain_function_that_returns_an_awaitable_is_told_to_be_async():
    async def later():
        return 1

    def now():
        return later()

    error = error_of(now)
    assert error.kind == "wrong_type"
    assert "async def" in error.message


@pytest.mark.parametrize(
    ("made", "kind", "said"),
    [
        ([1], "wrong_shape", "1 values for 2 rows"),
        ("ab", "wrong_type", "returned a str"),
        (None, "wrong_type", "return a list"),
        (iter([1, 2]), "wrong_type", "return a list"),
    ],
)
def test_r5_rows_must_be_a_list_with_one_value_each(made, kind, said):
    error = error_of(lambda rows: made, rows=2, scope="from_scratch")
    assert error.kind == kind
    assert said in error.message


@pytest.mark.parametrize(
    ("made", "kind", "said"),
    [
        ({"a": 1}, "wrong_shape", "no 'b'"),
        ({"a": 1, "b": 2, "c": 3}, "wrong_shape", "undeclared 'c'"),
        ([1, 2, 3], "wrong_shape", "3 values for 2 outputs"),
        ("ab", "wrong_type", "mapping"),
        (None, "wrong_type", "mapping"),
        ({"a": 1, "b": {1}}, "wrong_type", "output 'b'"),
    ],
)
def test_r5_outputs_must_be_exactly_those_declared(made, kind, said):
    error = error_of(lambda: made, outputs=("a", "b"))
    assert error.kind == kind
    assert said in error.message


@pytest.mark.parametrize("value", [None, True, 3, 2.5, "text", "Übung", [1, {"a": None}]])
def test_json_values_come_back_as_they_are(value):
    async def made():
        return value

    assert run(compiled(made)) == value
    assert run(compiled(lambda: value)) == value


# -- what is refused before work starts ------------------------------------------------------------


def generator_function(story):
    yield story


async def async_generator_function(story):
    yield story


@pytest.mark.parametrize(
    ("function", "settings", "path", "said"),
    [
        (lambda stry: stry, {}, "function", "did you mean 'story'"),
        (lambda *all_of: all_of, {}, "function", "needs"),
        (lambda **row: row, {}, "function", "needs"),
        (lambda models: models, {}, "function", "but the job has none"),
        (lambda a, models: a, {"needs": ("story",)}, "function", "but the job has none"),
        (lambda rows, models: rows, {"scope": "from_scratch"}, "function", "but the job has none"),
        (generator_function, {}, "function", "yield"),
        (async_generator_function, {}, "function", "yield"),
        (lambda story: story, {"needs": ("stry",)}, "needs", "did you mean 'story'"),
        (lambda a: a, {"needs": ("story", "mood")}, "needs", "do not fit"),
        (lambda a, b: a, {"needs": ("story", "story")}, "needs", "twice"),
        (lambda story: story, {"scope": "from_scratch"}, "function", "out of nothing"),
        (lambda count: count, {"scope": "from_scratch"}, "function", "rows, row_index"),
        (lambda: [1], {"scope": "batch"}, "function", "from_scratch"),
        (max, {}, "function", "needs"),
    ],
)
def test_a_function_that_cannot_be_called_is_a_problem(function, settings, path, said):
    problem = problem_of(function, **settings)
    assert problem.path == f"columns.made.{path}"
    assert said in str(problem)


def test_a_column_called_models_may_be_a_parameter():
    assert compiled(lambda models: models, known={"models"}).needs == ("models",)


def test_a_default_is_used_for_models_where_the_job_has_none():
    assert run(compiled(lambda story, models=7: [story, models]), story="s") == ["s", 7]


def test_parameters_are_taken_on_trust_where_the_source_could_not_be_read():
    assert compiled(lambda whatever: whatever, known=None).needs == ("whatever",)
