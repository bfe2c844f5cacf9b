"""The one Struct configuration that everything crossing an actor boundary shares."""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

ActorName: TypeAlias = str
"""Where a message goes: an actor's name, a probe's, or a client's reply address."""


class Value(msgspec.Struct, frozen=True):
    """A part of a message: data without an identity of its own."""


class Message(msgspec.Struct, frozen=True, tag=True, tag_field="type"):
    """One typed message. Its tag (`type`) is its class name, so a script can name it."""


class Query(Message, frozen=True, kw_only=True):
    """A message that is answered. Whoever handles it sends the answer to `reply_to`.

    An empty `reply_to` means that nobody wants the answer: it is not sent.
    """

    reply_to: ActorName = ""


class MessageRejected(Message, frozen=True, kw_only=True):
    """An actor's answer to a message that it does not handle or could not handle.

    `reason` is `unknown_message`, `busy`, `invalid` or `handler_error`. Nothing has changed by the
    refused message.
    """

    actor: ActorName
    message_type: str
    reason: str
    detail: str = ""


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """What a core asks its shell to do: tell `to` this `message`."""

    to: ActorName
    message: Message


SCHEDULER: ActorName = "scheduler"
TASK_ADMISSION: ActorName = "task_admission"
REQUEST_ADMISSION: ActorName = "request_admission"
WORKER: ActorName = "worker"
STORAGE: ActorName = "storage"
TELEMETRY: ActorName = "telemetry"
ACTOR_NAMES: tuple[ActorName, ...] = (
    TELEMETRY,
    STORAGE,
    TASK_ADMISSION,
    REQUEST_ADMISSION,
    WORKER,
    SCHEDULER,
)


def as_json(value: Any) -> Any:
    """Return `value` as reading it from JSON would give it: objects and arrays, and no struct or tuple."""
    return msgspec.json.decode(msgspec.json.encode(value))
