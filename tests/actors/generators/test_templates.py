"""Expression, chat and embedding columns: sandboxed templates over the row."""

from __future__ import annotations

import asyncio

import pytest

from actors.generators import GeneratorError, compile_generator
from messages import ChatColumn, EmbeddingColumn, ExpressionColumn, Job, ModelConfig
from messages.tasks import Task
from messages.worker import TaskStart
from tests.actors.generators.scripted_models import ScriptedModels

KNOWN = {"story", "mood", "range", "data"}


def compiled(column, known=KNOWN, *, seed=0, name="made"):
    job = Job(name="j", seed=seed, columns={name: column}, models={"w": ModelConfig(provider="p", model="m")})
    return compile_generator(name, column, job, known | {name} if known is not None else None)


def a_start(row=0, **inputs):
    return TaskStart(lease=None, task=Task("made", 0, row, "cell"), inputs=inputs, first_row=row)


def value_of(template, dtype="str", **inputs):
    return compiled(ExpressionColumn(template=template, dtype=dtype)).run(a_start(**inputs))


def error_of(template, dtype="str", **inputs):
    with pytest.raises(GeneratorError) as failed:
        value_of(template, dtype, **inputs)
    return failed.value


def problem_of(column, known=KNOWN):
    (problem,) = compiled(column, known)
    return problem


def test_an_expression_needs_the_names_it_uses_and_makes_their_text():
    generator = compiled(ExpressionColumn(template="{{ story.split() | length }} {{ mood }}"))
    assert generator.needs == ("mood", "story")
    assert (generator.mode, generator.task_type, generator.outputs) == ("inline", "cell", ("made",))
    assert generator.run(a_start(story="a b c", mood="glad")) == "3 glad"


@pytest.mark.parametrize(
    ("text", "dtype", "value"),
    [
        (" 42 ", "int", 42),
        ("4.5", "float", 4.5),
        ("Yes", "bool", True),
        ("false", "bool", False),
        ('{"a": [1, null]}', "json", {"a": [1, None]}),
        ("7", "str", "7"),
    ],
)
def test_the_text_becomes_the_columns_type(text, dtype, value):
    assert value_of("{{ story }}", dtype, story=text) == value


@pytest.mark.parametrize(
    ("text", "dtype"),
    [("4.5", "int"), ("x", "float"), ("nan", "float"), ("maybe", "bool"), ("{", "json"), ("9" * 30, "int")],
)
def test_r5_a_text_that_is_no_value_of_the_type_is_an_error_naming_the_column(text, dtype):
    error = error_of("{{ story }}", dtype, story=text)
    assert error.kind == "conversion_error"
    assert "'made'" in error.message
    assert dtype in error.message


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ story.nothing.more }}", "nothing"),
        ("{{ 1 / data }}", "ZeroDivisionError"),
        ("{{ story.__class__.__mro__ }}", "__class__"),
        ("{% for x in range(story | length * 100000) %}{% endfor %}", "range"),
    ],
)
def test_r5_a_template_that_fails_is_an_error_naming_the_column(template, said):
    inputs = {"story": "abc", "data": 0}
    column = ExpressionColumn(template=template)
    generator = compiled(column, {"story", "data"})
    with pytest.raises(GeneratorError) as failed:
        generator.run(a_start(**{name: inputs[name] for name in generator.needs}))
    assert failed.value.kind == "template_error"
    assert "'made'" in failed.value.message
    assert said in failed.value.message


def test_a_template_cannot_change_the_row():
    shared = [1]
    assert error_of("{{ data.append(2) }}", data=shared).kind == "template_error"
    assert shared == [1]


def test_a_column_may_have_the_name_of_something_templates_know():
    generator = compiled(ExpressionColumn(template="{{ range }}"))
    assert generator.needs == ("range",)
    assert value_of("{% for i in range(3) %}{{ i }}{% endfor %}", range=lambda n: "ab") == "ab"
    assert compiled(ExpressionColumn(template="{{ range(3) | list }}"), {"x"}).needs == ()


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ stry }}", "did you mean 'story'"),
        ("line\n{{ story", "line 2"),
        ("{{ story | nofilter }}", "nofilter"),
        ("{{ story | random }}", "random"),
        ("{{ lipsum() }}", "lipsum"),
        ("{% include 'x' %}", "another template"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
    ],
)
def test_a_template_that_could_never_work_is_a_problem_before_work_starts(template, said):
    problem = problem_of(ExpressionColumn(template=template))
    assert problem.path == "columns.made.template"
    assert said in str(problem)


def test_names_are_taken_on_trust_where_the_source_could_not_be_read():
    assert compiled(ExpressionColumn(template="{{ whatever }}"), None).needs == ("whatever",)


def test_both_templates_of_a_chat_column_are_checked_at_once():
    problems = compiled(ChatColumn(model="w", prompt="{{ a }}", system="{{ b"))
    assert {problem.path for problem in problems} == {"columns.made.prompt", "columns.made.system"}


def test_a_chat_column_asks_its_model_with_the_rows_prompt_and_seed():
    generator = compiled(ChatColumn(model="w", prompt="Tell {{ story }}", system="Be {{ mood }}"))
    assert set(generator.needs) == {"story", "mood"}
    assert generator.mode == "async"

    def asked(row):
        models = ScriptedModels()
        reply = asyncio.run(generator.run_async(a_start(row, story="x", mood="kind"), models))
        assert reply == f"w|Tell x|{models.asked[0].seed}"
        return models.asked

    (first,) = asked(0)
    assert (first.model, first.output_schema, first.parameters) == ("w", None, {})
    assert first.messages == (("system", "Be kind"), ("user", "Tell x"))
    assert asked(0) == [first]
    assert asked(1)[0].seed != first.seed


def test_a_chat_column_without_a_system_text_says_none():
    models = ScriptedModels()
    asyncio.run(compiled(ChatColumn(model="w", prompt="Tell")).run_async(a_start(), models))
    assert models.asked[0].messages == (("user", "Tell"),)


def test_r12_the_seed_of_a_call_comes_from_job_column_and_row():
    def seed_of(**where):
        generator = compiled(EmbeddingColumn(model="w", input="abc"), **where)
        return asyncio.run(generator.run_async(a_start(3), ScriptedModels()))[2]

    assert seed_of() == seed_of()
    assert len({seed_of(), seed_of(seed=1), seed_of(name="other")}) == 3
    assert 0 <= seed_of() < 2**53


def test_a_generator_refuses_to_be_run_in_a_way_that_is_not_its_own():
    with pytest.raises(TypeError, match="coroutine"):
        compiled(ChatColumn(model="w", prompt="x")).run(a_start())
    with pytest.raises(TypeError, match="inline"):
        asyncio.run(compiled(ExpressionColumn(template="x")).run_async(a_start(), ScriptedModels()))
