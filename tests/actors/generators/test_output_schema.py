"""Chat columns with an `output_schema`: replies are judged, corrected, and decoded."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.generators import GeneratorError, compile_generator
from actors.generators.json_values import json_value
from actors.generators.output_schema import OutputSchema, SchemaError, UnfitReplyError
from messages import ChatColumn, Job, ModelConfig
from messages.tasks import Task
from messages.worker import TaskStart
from tests.actors.generators.scripted_models import ScriptedModels

GRADE = {
    "type": "object",
    "properties": {"grade": {"type": "integer", "minimum": 1}, "why": {"type": "string"}},
    "required": ["grade"],
}


def compiled(schema=GRADE, **settings):
    column = ChatColumn(model="w", prompt="Grade it.", system="Be fair.", output_schema=schema, **settings)
    job = Job(name="j", columns={"made": column}, models={"w": ModelConfig(provider="p", model="m")})
    return compile_generator("made", column, job, {"made"})


def run(models, **settings):
    start = TaskStart(lease=None, task=Task("made", 0, 0, "cell"), inputs={}, first_row=0)
    return asyncio.run(compiled(**settings).run_async(start, models))


def failure(*replies, **settings):
    models = ScriptedModels(*replies)
    with pytest.raises(GeneratorError) as failed:
        run(models, **settings)
    return failed.value, models.asked


# -- replies -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reply",
    [
        '{"grade": 3}',
        '  {"grade": 3}\n',
        '```json\n{"grade": 3}\n```',
        '```\n{"grade":\n3}```',
        '\n``` json5\n{"grade": 3}\n  ```\n',
    ],
)
def test_a_reply_that_fits_is_the_value_decoded(reply):
    models = ScriptedModels(reply)
    assert run(models) == {"grade": 3}
    (asked,) = models.asked
    assert asked.output_schema == GRADE
    assert asked.messages == (("system", "Be fair."), ("user", "Grade it."))


def test_without_a_schema_the_reply_is_text_whatever_it_looks_like():
    assert run(ScriptedModels('{"grade": 3}'), schema=None) == '{"grade": 3}'


def test_a_reply_that_does_not_fit_is_answered_with_what_is_wrong():
    models = ScriptedModels("I think three.", '{"grade": 0}', '{"grade": 1}')
    assert run(models) == {"grade": 1}
    first, second, third = models.asked
    assert second.messages[:2] == first.messages
    assert second.messages[2] == ("assistant", "I think three.")
    assert second.messages[3][0] == "user"
    assert "it is not JSON" in second.prompt
    assert "JSON only" in second.prompt
    assert third.messages[:4] == second.messages
    assert third.messages[4] == ("assistant", '{"grade": 0}')
    assert "at $.grade: 0 is less than the minimum of 1" in third.prompt
    assert all(asked.output_schema == GRADE for asked in models.asked)


def test_r12_every_correction_carries_a_seed_of_its_own_and_the_same_in_every_run():
    seeds = []
    for _ in range(2):
        models = ScriptedModels("a", "b", '{"grade": 1}')
        run(models)
        seeds.append([asked.seed for asked in models.asked])
    assert seeds[0] == seeds[1]
    assert len(set(seeds[0])) == 3
    assert all(0 <= seed < 2**53 for seed in seeds[0])
    plain = ScriptedModels()
    run(plain, schema=None)
    assert plain.asked[0].seed == seeds[0][0]


@pytest.mark.parametrize(("corrections", "tries"), [(0, "1 try"), (1, "2 tries"), (2, "3 tries")])
def test_r5_a_model_that_never_fits_is_given_up_after_so_many_corrections(corrections, tries):
    error, asked = failure("no", "no", "no", max_corrections=corrections)
    assert len(asked) == corrections + 1
    assert error.kind == "invalid_output"
    assert f"in {tries}" in error.message
    assert "it is not JSON" in error.message


def test_r5_the_last_thing_wrong_is_told_with_its_place_and_bounded():
    error, _ = failure('{"grade": "%s"}' % ("x" * 100_000), max_corrections=0)
    assert "at $.grade: 'xxx" in error.message
    assert error.message.endswith("is not of type 'integer'")
    assert len(error.message) < 600


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ("", "not JSON"),
        ("```json\n```", "not JSON"),
        ('Here: {"grade": 3}', "not JSON"),
        ('{"grade": 3} {"grade": 3}', "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"grade": NaN}', "not JSON"),
        ('{"grade": 1e999}', "not JSON"),
        ('{"grade": 3, "why": "\\ud800"}', "not JSON"),
        (f'{{"grade": {10**30}}}', "at $['grade']: an integer beyond 64 bits"),
        (f'{{"grade": 3, "why": {"[" * 70}0{"]" * 70}}}', "nested deeper"),
        ("[3]", "at $: [3] is not of type 'object'"),
        ("{}", "at $: 'grade' is a required property"),
    ],
)
def test_a_reply_that_no_row_can_hold_or_the_schema_does_not_want_says_why(reply, said):
    with pytest.raises(UnfitReplyError) as unfit:
        OutputSchema(GRADE).read(reply)
    assert said in str(unfit.value)
    assert len(str(unfit.value)) <= 410


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=3)
    ),
)


@given(values, st.sampled_from(["%s", "```json\n%s\n```", "\n %s \n"]))
def test_under_a_schema_that_wants_nothing_any_json_is_its_value(value, around):
    assert OutputSchema({}).read(around % msgspec.json.encode(value).decode()) == json_value(value)


@given(st.text())
def test_any_text_is_either_a_value_or_unfit(text):
    try:
        found = OutputSchema(GRADE).read(text)
    except UnfitReplyError:
        return
    assert found["grade"] >= 1


# -- schemas -----------------------------------------------------------------------------------------


def nested(depth):
    schema = {"type": "integer"}
    for _ in range(depth):
        schema = {"items": schema}
    return schema


@pytest.mark.parametrize(
    ("schema", "place", "said"),
    [
        ({"type": "intger"}, ".type", "'intger'"),
        ({"properties": {"a": {"minimum": "1"}}}, ".properties.a.minimum", "'1' is not of type 'number'"),
        ({"pattern": "["}, ".pattern", "regex"),
        ({"$schema": "urn:mine"}, "['$schema']", "'urn:mine', which is not known"),
        ({"$schema": 7}, "['$schema']", "7"),
        ({"$ref": "https://example.org/schema"}, "", "'https://example.org/schema', which is not within it"),
        ({"properties": {"a": {"$ref": "#/$defs/b"}}}, "", "'#/$defs/b', which is not within it"),
        ({"$schema": "http://json-schema.org/draft-04/schema#", "$ref": 5}, "", "'5'"),
        ({"$ref": "#"}, "", "itself without end"),
        ({"const": {1, 2}}, "['const']", "set"),
        (nested(80), None, "nested deeper"),
    ],
)
def test_a_schema_that_cannot_judge_is_a_problem_before_any_work(schema, place, said):
    (problem,) = compiled(schema)
    assert problem.path.startswith("columns.made.output_schema")
    if place is not None:
        assert problem.path == f"columns.made.output_schema{place}"
    assert said in str(problem)
    with pytest.raises(SchemaError):
        OutputSchema(schema)


def test_every_part_of_a_chat_column_is_checked_at_once():
    column = ChatColumn(model="w", prompt="{{ a }}", output_schema={"type": 1}, max_corrections=-1)
    job = Job(name="j", columns={"made": column}, models={"w": ModelConfig(provider="p", model="m")})
    problems = compile_generator("made", column, job, {"made"})
    assert {problem.path.removeprefix("columns.made.") for problem in problems} == {
        "prompt",
        "output_schema.type",
        "max_corrections",
    }


def test_references_within_the_schema_and_older_dialects_are_followed():
    tree = {"type": "object", "properties": {"next": {"$ref": "#"}}, "additionalProperties": False}
    assert OutputSchema(tree).read('{"next": {"next": {}}}') == {"next": {"next": {}}}
    with pytest.raises(UnfitReplyError, match=r"at \$\.next\.next"):
        OutputSchema(tree).read('{"next": {"next": {"last": 1}}}')
    older = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "definitions": {"n": {"type": "integer"}},
        "items": [{"$ref": "#/definitions/n"}],
    }
    with pytest.raises(UnfitReplyError, match=r"at \$\[0\]"):
        OutputSchema(older).read('["x"]')
