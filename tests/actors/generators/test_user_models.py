"""The parameter `models` of a user's function: which models it gives, and what calls ask for."""

from __future__ import annotations

import asyncio
import copy
import threading

import pytest

from actors.generators import GeneratorError, compile_generator
from actors.generators.output_schema import SchemaError
from messages import Job, ModelConfig, PythonColumn, SequenceColumn
from messages.tasks import Task
from messages.worker import TaskStart
from tests.actors.generators.scripted_models import ScriptedModels

ALIASES = ("writer", "judge", "o-1 mini")


def compiled(function, *, known=("story", "mood", "made"), columns=(), seed=0, name="made", **settings):
    column = PythonColumn(function=function, **settings)
    job = Job(
        name="j",
        seed=seed,
        columns={name: column} | {each: SequenceColumn() for each in columns},
        models={alias: ModelConfig(provider="p", model="m") for alias in ALIASES},
    )
    return compile_generator(name, column, job, None if known is None else {*known, name})


def run(generator, models, *, row=0, rows=1, **inputs):
    task = Task("made", 0, row if generator.task_type == "cell" else None, generator.task_type)
    start = TaskStart(None, task, inputs, row, rows)
    if generator.mode == "async":
        return asyncio.run(generator.run_async(start, models))
    return generator.run_with_models(start, models)


def asked_by(function, *replies, row=0, inputs=None, **settings):
    """Run a function that takes models; return what it asked of them."""
    models = ScriptedModels(*replies)
    run(compiled(function, **settings), models, row=row, **(inputs or {}))
    return models.asked


def error_of(function, kind, *replies):
    with pytest.raises(kind) as failed:
        run(compiled(function), ScriptedModels(*replies))
    return str(failed.value)


# -- how it is given ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "settings", "needs"),
    [
        (lambda story, models: models, {}, ("story",)),
        (lambda models, story: models, {}, ("story",)),
        (lambda models, /, story: models, {}, ("story",)),
        (lambda story, *, models: models, {}, ("story",)),
        (lambda story, models=None: models, {}, ("story",)),
        (lambda models: models, {}, ()),
        (lambda rows, models: models, {"scope": "from_scratch"}, ()),
        (lambda rows, models: models, {"scope": "from_scratch", "known": ("models",)}, ()),
        (lambda story, models: models, {"scope": "batch"}, ("story",)),
        (lambda story, models: models, {"known": None, "columns": ("story",)}, ("story",)),
        (lambda models, **row: models, {"needs": ("story", "mood")}, ("story", "mood")),
        (lambda mood, models, story: models, {"needs": ("story", "mood")}, ("story", "mood")),
        (lambda a, b, models: models, {"needs": ("story", "mood")}, ("story", "mood")),
        (lambda models, a, b: models, {"needs": ("story", "mood")}, ("story", "mood")),
        (lambda a, models, b, /: models, {"needs": ("story", "mood")}, ("story", "mood")),
        (lambda a, b=2, models=None: models, {"needs": ("story",)}, ("story",)),
        (lambda *all_of, models: models, {"needs": ("story",)}, ("story",)),
        (lambda a, models: models, {"needs": ("story",), "known": ("story", "models")}, ("story",)),
    ],
)
def test_a_parameter_of_that_name_is_given_the_jobs_models(function, settings, needs):
    generator = compiled(function, **settings)
    assert (generator.needs, generator.takes_models) == (needs, True)
    given = []

    def checked(value, rows):
        given.append(value)

    generator._checked = checked
    run(generator, ScriptedModels(), **{name: ["text"] for name in needs})
    assert [list(models) for models in given] == [list(ALIASES)]


@pytest.mark.parametrize(
    ("function", "settings", "needs"),
    [
        (lambda story: story, {}, ("story",)),
        (lambda story, **models: story, {}, ("story",)),
        (lambda models: models, {"known": ("models",)}, ("models",)),
        (lambda models: models, {"known": None, "columns": ("models",)}, ("models",)),
        (lambda models: models, {"needs": ("models",), "known": ("models",)}, ("models",)),
        (lambda a, models: a, {"needs": ("story", "mood")}, ("story", "mood")),
        (lambda story, models=3: story, {"name": "models"}, ("story",)),
    ],
)
def test_a_column_that_is_called_models_goes_first(function, settings, needs):
    generator = compiled(function, **settings)
    assert (generator.needs, generator.takes_models) == (needs, False)


def test_a_skip_condition_leaves_the_models_to_the_function():
    async def shortened(story, models):
        return await models.writer.chat(story)

    def shortened_on_a_thread(story, models):
        return models.writer.chat(story)

    for function in (shortened, shortened_on_a_thread):
        generator = compiled(function, skip="{{ mood == 'calm' }}", skip_default="-")
        assert generator.takes_models
        models = ScriptedModels("short")
        assert run(generator, models, story="s", mood="wild") == "short"
        assert run(generator, models, story="s", mood="calm").value == "-"
        assert len(models.asked) == 1


def test_a_batch_of_no_rows_calls_nothing():
    generator = compiled(lambda story, models: [models.writer.chat("x")], scope="batch")
    assert run(generator, None, rows=0, story=[]) == []


def test_aliases_are_attributes_and_keys():
    def names(models):
        models.judge.chat("x")
        models["o-1 mini"].chat("x")
        return [
            *models,
            len(models),
            "writer" in models,
            "nobody" in models,
            repr(models),
            repr(models.judge),
        ]

    scripted = ScriptedModels()
    found = run(compiled(names), scripted)
    assert found == [*ALIASES, 3, True, False, "<models writer, judge, o-1 mini>", "<model judge>"]
    assert [asked.model for asked in scripted.asked] == ["judge", "o-1 mini"]


def test_an_alias_that_is_not_there_is_told_with_those_that_are():
    said = error_of(lambda models: models.writr.chat("x"), AttributeError)
    assert said == "the job has no model 'writr'; did you mean 'writer'? possible: writer, judge, o-1 mini"
    assert "no model 'Judge'" in error_of(lambda models: models["Judge"], KeyError)
    assert "no model 0" in error_of(lambda models: models[0], KeyError)


def test_models_can_be_looked_into_and_copied():
    def looks(models):
        assert not hasattr(models, "__wrapped__")
        assert {"writer", "judge"} <= set(dir(models))
        return list(copy.copy(models))

    assert run(compiled(looks), ScriptedModels()) == list(ALIASES)


# -- what is asked -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prompt", "system", "messages"),
    [
        ("Hi", "", (("user", "Hi"),)),
        ("Hi", "Be kind", (("system", "Be kind"), ("user", "Hi"))),
        ([("user", "Hi")], "Be kind", (("system", "Be kind"), ("user", "Hi"))),
        (
            [
                ["system", "s"],
                ("user", "a"),
                {"role": "assistant", "content": "b"},
                {"content": "c", "role": "user"},
            ],
            "",
            (("system", "s"), ("user", "a"), ("assistant", "b"), ("user", "c")),
        ),
    ],
)
def test_a_chat_takes_text_or_a_conversation(prompt, system, messages):
    (asked,) = asked_by(lambda models: models.writer.chat(prompt, system=system))
    assert (asked.model, asked.messages) == ("writer", messages)


def test_further_keywords_are_parameters():
    def calls(models):
        models.writer.chat("x", temperature=0.1, stop=("a", "b"))
        models.writer.embed("x", dimensions=3)
        return models.writer.image("x", size="small")

    parameters = [asked.parameters for asked in asked_by(calls)]
    assert parameters == [{"temperature": 0.1, "stop": ["a", "b"]}, {"dimensions": 3}, {"size": "small"}]


def test_every_kind_of_call_gives_what_the_model_gives():
    async def calls(models):
        return [
            await models["o-1 mini"].chat("x", seed=1),
            await models.judge.embed("abc", seed=2),
            await models.writer.image("a cat", seed=3),
        ]

    assert run(compiled(calls), ScriptedModels()) == ["o-1 mini|x|1", [5, 3, 2], "picture of a cat"]


def test_a_chat_with_a_schema_is_corrected_and_decoded():
    schema = {"type": "integer"}

    async def graded(models):
        return await models.judge.chat("Grade", output_schema=schema, temperature=0)

    def graded_on_a_thread(models):
        return models.judge.chat("Grade", output_schema=schema, temperature=0)

    for function in (graded, graded_on_a_thread):
        models = ScriptedModels("three", "```\n3\n```")
        assert run(compiled(function), models) == 3
        assert [asked.parameters for asked in models.asked] == [{"temperature": 0}] * 2
        assert [asked.output_schema for asked in models.asked] == [schema] * 2
        assert len(models.asked[1].messages) == 3


def test_r5_a_chat_that_never_fits_its_schema_raises_what_ends_the_task():
    said = error_of(
        lambda models: models.judge.chat("x", output_schema={"type": "integer"}, max_corrections=1),
        GeneratorError,
        "a",
        "b",
    )
    assert "2 tries" in said


@pytest.mark.parametrize(
    ("call", "kind", "said"),
    [
        (lambda model: model.chat(5), TypeError, "prompt is a int; expected text, or a list"),
        (lambda model: model.chat([]), TypeError, "prompt is empty"),
        (lambda model: model.chat(["Hi"]), TypeError, "prompt[0] is a str"),
        (lambda model: model.chat([("user", "a", "b")]), TypeError, "prompt[0] is a tuple"),
        (lambda model: model.chat([{"role": "user"}]), TypeError, "prompt[0] is a dict"),
        (lambda model: model.chat([("usr", "a")]), ValueError, "did you mean 'user'"),
        (
            lambda model: model.chat([("user", "a"), ("user", None)]),
            TypeError,
            "content of prompt[1] is a None",
        ),
        (lambda model: model.chat("a\ud800"), TypeError, "prompt cannot be sent"),
        (lambda model: model.chat("x", system=None), TypeError, "system is a NoneType"),
        (lambda model: model.chat("x", seed="1"), TypeError, "seed is a str"),
        (lambda model: model.chat("x", stop={"a"}), TypeError, "parameters['stop'] cannot be sent"),
        (lambda model: model.chat("x", max_corrections=-1), ValueError, "max_corrections is -1"),
        (lambda model: model.chat("x", output_schema=[]), TypeError, "output_schema is a list"),
        (lambda model: model.chat("x", output_schema={"a": {1}}), TypeError, "output_schema['a'] cannot"),
        (lambda model: model.chat("x", output_schema={"type": "x"}), SchemaError, "output_schema.type"),
        (lambda model: model.embed(None), TypeError, "text is a NoneType"),
        (lambda model: model.image(b"x"), TypeError, "prompt is a bytes"),
    ],
)
def test_arguments_that_cannot_be_used_are_refused_at_the_call(call, kind, said):
    models = ScriptedModels()
    with pytest.raises(kind) as refused:
        run(compiled(lambda models: call(models.writer)), models)
    assert said in str(refused.value)
    assert models.asked == []


# -- seeds -------------------------------------------------------------------------------------------


def test_r12_a_calls_seed_comes_from_job_column_row_and_what_is_asked():
    def calls(models):
        models.writer.chat("a")
        models.writer.chat("a")
        models.writer.chat("b")
        models.judge.chat("a")
        models.writer.chat("a", temperature=1)
        models.writer.embed("a")
        models.writer.image("a")

    def seeds(**where):
        return [asked.seed for asked in asked_by(calls, **where)]

    assert seeds() == seeds()
    everywhere = [*seeds(), *seeds(seed=1), *seeds(name="other"), *seeds(row=1)]
    assert len(set(everywhere)) == len(everywhere) == 28
    assert all(0 <= seed < 2**53 for seed in everywhere)


def test_r12_calls_of_one_task_at_once_carry_the_same_seeds_whichever_is_answered_first():
    """Two conversations of two turns each: how their turns interleave makes no difference."""

    async def one(model, prompt, first, then):
        await first
        reply = await model.chat(prompt)
        then.set()
        return await model.chat(f"Shorten {reply}")

    def both(order):
        async def function(models):
            gates = {name: asyncio.Event() for name in order}
            first, second = order

            async def conversation(name):
                waits_for = gates[first].wait() if name == second else asyncio.sleep(0)
                return await one(models.writer, name, waits_for, gates[name])

            return await asyncio.gather(conversation("a"), conversation("b"))

        return {(asked.prompt, asked.seed) for asked in asked_by(function)}

    assert both("ab") == both("ba")


def test_r12_equal_calls_are_told_apart_by_the_order_in_which_they_are_made():
    async def backwards(models):
        first, second = models.writer.chat("x"), models.writer.chat("x")
        return [await second, await first][::-1]

    async def forwards(models):
        return await asyncio.gather(models.writer.chat("x"), models.writer.chat("x"))

    made = [run(compiled(function), ScriptedModels()) for function in (backwards, forwards)]
    assert made[0] == made[1]
    assert made[0][0] != made[0][1]


def test_r12_a_seed_that_is_given_is_the_calls():
    assert asked_by(lambda models: models.writer.chat("x", seed=7))[0].seed == 7


def test_r12_equal_calls_from_threads_never_carry_the_same_seed():
    def many(models):
        threads = [threading.Thread(target=models.writer.chat, args=("x",)) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert len({asked.seed for asked in asked_by(many)}) == 20
