"""Every message as bytes and back: for logs of messages, scripts and the serialising test mode."""

from __future__ import annotations

import functools
import types
from typing import Any, Union

import msgspec

from messages import (
    request_admission,
    scheduler,
    storage,
    supervision,
    task_admission,
    telemetry,
    worker,
)
from messages._base import Message, MessageRejected, Query

_PROTOCOLS: tuple[types.ModuleType, ...] = (
    scheduler,
    task_admission,
    request_admission,
    worker,
    storage,
    telemetry,
    supervision,
)


@functools.cache
def message_types() -> dict[str, type[Message]]:
    """Return every message type by its tag, in protocol order."""
    found: dict[str, type[Message]] = {"MessageRejected": MessageRejected}
    for protocol in _PROTOCOLS:
        found.update((name, value) for name, value in vars(protocol).items() if _is_own(value, protocol))
    return found


def _is_own(value: Any, protocol: types.ModuleType) -> bool:
    return (
        isinstance(value, type)
        and issubclass(value, Message)
        and value not in (Message, Query)
        and value.__module__ == protocol.__name__
    )


@functools.cache
def _any_message() -> Any:
    return Union[tuple(message_types().values())]  # noqa: UP007 - made at run time


@functools.cache
def _packer() -> tuple[msgspec.msgpack.Encoder, msgspec.msgpack.Decoder[Message]]:
    return msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(_any_message())


def pack(message: Message) -> bytes:
    """Return the message as msgpack."""
    return _packer()[0].encode(message)


def unpack(data: bytes) -> Message:
    """Return the message that `pack` made `data` from.

    Raises:
        msgspec.ValidationError: `data` is no message, naming the place.
    """
    return _packer()[1].decode(data)


def from_builtins(data: Any) -> Message:
    """Return the message that a decoded JSON object `{"type": ..., ...}` stands for.

    Raises:
        msgspec.ValidationError: `data` is no message, naming the place.
    """
    message: Message = msgspec.convert(data, _any_message())
    return message


def to_builtins(message: Message) -> dict[str, Any]:
    """Return the message as plain JSON-compatible data, with its `type`."""
    built: dict[str, Any] = msgspec.to_builtins(message)
    return built


def json_schema() -> dict[str, Any]:
    """Return one JSON Schema with every message under `$defs`, by its tag."""
    types_ = tuple(message_types().values())
    _, definitions = msgspec.json.schema_components(types_, ref_template="#/$defs/{name}")
    return definitions
