"""What may be a row's value, and that nobody shares it."""

from __future__ import annotations

import datetime as dt
import enum
import json
import math
from collections import OrderedDict
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.generators.json_values import NotJsonError, isolated, json_value


class Colour(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Ratio(float):
    pass


class Point(NamedTuple):
    x: int
    y: int


json_data = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(json_data)
def test_json_data_passes_as_it_is_and_can_be_written(value):
    made = json_value(value)
    assert made == value == isolated(value)
    assert msgspec.json.decode(msgspec.json.encode(made)) == value


def test_containers_are_new_at_every_level():
    inner: list = []
    value = {"a": [inner]}
    for copied in (json_value(value), isolated(value)):
        copied["a"][0].append(1)
        copied["b"] = 2
    assert value == {"a": [[]]}


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ((1, (2,)), [1, [2]]),
        (OrderedDict(a=1), {"a": 1}),
        (Colour.RED, "red"),
        (Level.HIGH, 3),
        (Ratio(0.5), 0.5),
        (Point(1, 2), [1, 2]),
    ],
)
def test_relatives_of_json_types_become_plain(value, plain):
    made = json_value(value)
    assert made == plain
    assert type(made) is type(plain)
    assert json.dumps(made) == json.dumps(plain)


@pytest.mark.parametrize(
    ("value", "place", "said"),
    [
        (math.nan, "", "nan is not a JSON number"),
        ({"a": [1, math.inf]}, "['a'][1]", "inf is not a JSON number"),
        ([{1: 2}], "[0]", "keys must be text"),
        ({1, 2}, "", "sorted"),
        (b"x", "", "decode"),
        (dt.date(2020, 1, 1), "", "isoformat"),
        (2**64, "", "64 bits"),
        ("\ud800", "", "surrogate"),
        ({"\ud800": 1}, "['\\ud800']", "surrogate"),
        (object(), "", "object"),
    ],
)
def test_r5_what_json_cannot_hold_is_refused_with_place_and_remedy(value, place, said):
    with pytest.raises(NotJsonError) as refused:
        json_value(value)
    assert refused.value.place == place
    assert said in str(refused.value)


def test_a_value_that_contains_itself_is_refused():
    value: list = []
    value.append(value)
    with pytest.raises(NotJsonError, match="contains itself"):
        json_value(value)
