"""Label values: from closed or bounded sets only, so that no id can ever become one.

Whatever names a user gives come through `BoundedNames`, which knows so many and calls the rest `other`. A
model goes by its aliases in the job file, never by its raw id.
"""

from __future__ import annotations

import re
from typing import Final, NewType

from messages.tasks import REQUEST_RESOURCE_PREFIX

Label = NewType("Label", str)
"""A value that may stand in a label. Only this module makes any."""

OTHER: Final = Label("other")
MOST_NAMES: Final = 32
_LONGEST: Final = 40
_UNWANTED: Final = re.compile(r"[^A-Za-z0-9_.+-]+")
_OWN_KINDS: Final = ("submission", "llm_wait", "local", "threads")


class BoundedNames:
    """The first so many names that it is asked to know, made harmless; any other is `other`."""

    def __init__(self, most: int = MOST_NAMES) -> None:
        self._most = most
        self._known: dict[str, Label] = {}

    def know(self, name: str, shown: str | None = None) -> None:
        """Take a name in, as long as there is room. `shown` stands for it, where it must not show itself."""
        if name not in self._known and len(self._known) < self._most:
            self._known[name] = _harmless(name if shown is None else shown)

    def of(self, name: str) -> Label:
        """Return what stands for a name."""
        return self._known.get(name, OTHER)


def closed(value: str, values: tuple[str, ...]) -> Label:
    """Return a value of a closed set; `other` where it is none of it."""
    return Label(value) if value in values else OTHER


def resource_kind(resource: str) -> Label:
    """Return a scheduler resource's kind: its own name, `request` for models', `custom` for a job's."""
    if resource.startswith(REQUEST_RESOURCE_PREFIX):
        return Label("request")
    return Label(resource) if resource in _OWN_KINDS else Label("custom")


def _harmless(name: str) -> Label:
    return Label(_UNWANTED.sub("_", name)[:_LONGEST] or "_")
