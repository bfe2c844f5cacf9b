"""Made-up JSON that fits a schema."""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.worker.providers.schema_example import fitting

_OF = {"integer": int, "number": (int, float), "string": str, "boolean": bool, "null": type(None)}


def fits(value, schema):
    """A second opinion, for the keywords that `schemas` makes."""
    if "const" in schema:
        return value == schema["const"]
    if "enum" in schema:
        return value in schema["enum"]
    if "anyOf" in schema:
        return any(fits(value, each) for each in schema["anyOf"])
    kind = schema["type"]
    if kind == "object":
        return (
            isinstance(value, dict)
            and set(schema["required"]) <= set(value) <= set(schema["properties"])
            and all(fits(each, schema["properties"][name]) for name, each in value.items())
        )
    if kind == "array":
        bounds = schema["minItems"] <= len(value) <= schema.get("maxItems", 10**6)
        return isinstance(value, list) and bounds and all(fits(each, schema["items"]) for each in value)
    if kind in ("integer", "number"):
        right = isinstance(value, _OF[kind]) and not isinstance(value, bool)
        low, high = schema.get("minimum", -(10**12)), schema.get("maximum", 10**12)
        inside = schema.get("exclusiveMinimum", -(10**12)) < value < schema.get("exclusiveMaximum", 10**12)
        return right and low <= value <= high and inside
    if kind == "string":
        right = isinstance(value, str)
        return right and schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 10**6)
    return isinstance(value, _OF[kind])


NUMBERS = st.integers(-1000, 1000)
BOUNDS = st.tuples(NUMBERS, st.integers(2, 50)).map(lambda pair: (pair[0], sum(pair)))
SCALARS = st.one_of(
    st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"const": 7}, {"enum": ["a", None, 3]}]),
    st.sampled_from(["integer", "number"]).map(lambda kind: {"type": kind}),
    st.builds(
        lambda kind, bounds: {"type": kind, "minimum": bounds[0], "maximum": bounds[1]},
        st.sampled_from(["integer", "number"]),
        BOUNDS,
    ),
    st.builds(
        lambda kind, bounds: {"type": kind, "exclusiveMinimum": bounds[0], "exclusiveMaximum": bounds[1]},
        st.sampled_from(["integer", "number"]),
        BOUNDS,
    ),
    NUMBERS.map(lambda least: {"type": "integer", "minimum": least}),
    NUMBERS.map(lambda most: {"type": "number", "maximum": most}),
    st.builds(
        lambda least, more: {"type": "string", "minLength": least, "maxLength": least + more},
        st.integers(0, 60),
        st.integers(0, 20),
    ),
)


def _nested(inner):
    named = st.dictionaries(st.sampled_from("abcdef"), inner, max_size=4)
    return st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda options: {"anyOf": options}),
        st.builds(
            lambda items, least, more: {
                "type": "array",
                "items": items,
                "minItems": least,
                "maxItems": least + more,
            },
            inner,
            st.integers(0, 3),
            st.integers(0, 3),
        ),
        named.flatmap(
            lambda properties: st.sets(st.sampled_from(sorted(properties) or ["-"])).map(
                lambda required: {
                    "type": "object",
                    "properties": properties,
                    "required": sorted(required & set(properties)),
                }
            )
        ),
    )


@given(st.recursive(SCALARS, _nested, max_leaves=12), st.integers())
def test_a_value_fits_its_schema(schema, seed):
    value = fitting(schema, random.Random(seed))
    assert fits(value, schema), value
    assert msgspec.json.decode(msgspec.json.encode(value)) == value


@given(st.recursive(SCALARS, _nested, max_leaves=12), st.integers())
def test_r12_equal_chances_give_equal_values(schema, seed):
    assert fitting(schema, random.Random(seed)) == fitting(schema, random.Random(seed))


TREE = {
    "$ref": "#/$defs/node",
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
                "twin": {"$ref": "#/$defs/node"},
            },
            "required": ["name"],
        }
    },
}


@given(st.integers())
def test_a_schema_that_holds_itself_comes_to_an_end(seed):
    assert fitting(TREE, random.Random(seed))["name"]


@pytest.mark.parametrize(
    ("schema", "test"),
    [
        ({"allOf": [{"type": "object", "required": ["a"]}, {"properties": {"a": {"const": 1}}}]}, {"a": 1}),
        ({"definitions": {"a/b": {"const": 4}}, "$ref": "#/definitions/a~1b"}, 4),
        ({"type": ["null", "string"]}, None),
        ({"oneOf": [{"const": "first"}, {"const": "second"}]}, "first"),
        ({"type": "array", "prefixItems": [{"const": 1}, {"const": 2}], "items": False}, [1, 2]),
    ],
)
def test_what_is_written_elsewhere_counts(schema, test):
    assert fitting(schema, random.Random(1)) == test


@given(st.integers())
def test_a_number_is_a_multiple_of_what_it_has_to_be(seed):
    assert fitting({"type": "integer", "multipleOf": 5, "minimum": 11}, random.Random(seed)) % 5 == 0
    assert fitting({"type": "number", "multipleOf": 0.5}, random.Random(seed)) * 2 % 1 == 0


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"$ref": "#/$defs/gone"}, "which it does not have"),
        ({"$ref": "https://elsewhere/schema"}, "outside it"),
        ({"$ref": "#"}, "refers to itself"),
        (
            {
                "$ref": "#/$defs/a",
                "$defs": {
                    "a": {"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}, "required": ["a"]}
                },
            },
            "never ends",
        ),
    ],
)
def test_a_schema_without_a_finite_value_is_refused(schema, said):
    with pytest.raises(ValueError, match=said):
        fitting(schema, random.Random(1))
