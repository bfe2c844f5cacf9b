"""User functions as references, so that a job stays plain data."""

from __future__ import annotations

import json
import os.path

import pytest

from messages import PythonColumn
from messages.callables import reference_to, resolve_reference


def test_an_importable_function_is_referred_to_by_its_name():
    assert reference_to(json.loads) == "json:loads"
    assert resolve_reference("json:loads") is json.loads


def test_a_function_that_nobody_can_import_is_kept_in_this_process():
    def inner():
        return 1

    reference = reference_to(inner)
    assert reference.startswith("local:")
    assert reference.endswith(":inner")
    assert resolve_reference(reference) is inner
    assert reference_to(inner) == reference


def test_two_functions_of_one_name_have_two_references():
    first, second = (lambda: 1), (lambda: 2)
    assert reference_to(first) != reference_to(second)


def test_a_name_may_be_dotted():
    assert resolve_reference("json:JSONDecoder.decode") is json.JSONDecoder.decode


def test_a_column_turns_its_callable_into_a_reference():
    assert PythonColumn(function=json.loads).function == "json:loads"
    assert resolve_reference(PythonColumn(function=os.path.join).function) is os.path.join


@pytest.mark.parametrize(
    ("reference", "error"),
    [
        ("local:999999:f", ValueError),
        ("json", ValueError),
        (":f", ValueError),
        ("json:", ValueError),
        ("json:nothing", AttributeError),
        ("no_such_module_at_all:f", ImportError),
    ],
)
def test_a_reference_to_nothing_raises(reference, error):
    with pytest.raises(error):
        resolve_reference(reference)
