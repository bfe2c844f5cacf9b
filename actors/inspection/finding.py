"""One thing that held a run back, and the words that tell of it."""

from __future__ import annotations

from typing import Final, Literal, get_args

from messages._base import Value

Layer = Literal[
    "event_loop",
    "failures",
    "circuit",
    "cooldown",
    "budget",
    "request_limit",
    "processor",
    "task_capacity",
    "task_share",
    "slow_column",
    "row_groups",
    "retries",
    "storage",
    "provider",
]

LAYERS: Final = get_args(Layer)


class Finding(Value, frozen=True, kw_only=True):
    """One thing that held the run back.

    subject: what it is about, by its name in the job file. says: what was found. remedy: what to change.
    about: the request resource, task resource or column in the log's words. follows_from: the subject of
    the finding that brings this one about; empty for a cause.
    """

    layer: Layer
    subject: str
    share: float
    says: str
    remedy: str
    about: str = ""
    follows_from: str = ""
