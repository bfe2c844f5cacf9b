"""Every message survives the way through bytes, and every schema can be made."""

from __future__ import annotations

import json

import msgspec
import pytest

from messages import CancelJob, GetSnapshot, Job, PythonColumn, SequenceColumn, SubmitJob
from messages.codec import from_builtins, json_schema, message_types, pack, to_builtins, unpack


def a_job() -> Job:
    return Job(
        name="a", rows=2, columns={"n": SequenceColumn(), "p": PythonColumn(function=len, needs=("n",))}
    )


@pytest.mark.parametrize("message", [SubmitJob(a_job(), out="o"), CancelJob(), GetSnapshot(reply_to="me")])
def test_a_message_survives_packing_and_plain_data(message):
    assert unpack(pack(message)) == message
    assert from_builtins(json.loads(json.dumps(to_builtins(message)))) == message


def test_a_message_is_named_by_its_type():
    assert to_builtins(CancelJob(reason="enough"))["type"] == "CancelJob"
    assert message_types()["CancelJob"] is CancelJob


@pytest.mark.parametrize("data", [{"type": "NoSuchMessage"}, {}, [], {"type": "SubmitJob"}])
def test_what_is_no_message_is_refused(data):
    with pytest.raises(msgspec.ValidationError):
        from_builtins(data)


def test_the_schema_has_every_message():
    schema = json_schema()
    assert set(message_types()) <= set(schema)
    assert json.dumps(schema)
