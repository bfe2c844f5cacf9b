"""What helps a column that had its share of a resource: not the same under every policy."""

from __future__ import annotations

from collections import Counter
from typing import Final

from actors.inspection.explained import RunExplained
from actors.inspection.settings import resource_setting
from messages.tasks import REQUEST_RESOURCE_PREFIX

_WEIGHED: Final = ("bounded_borrow", "provider_aware")
"""A column's share is its weight's part of the resource; it has more while nobody else is queued for it."""

_COUNTED: Final = ("strict_fair", "service_time_fair")
"""A column's share is so many tasks at once, whatever there is of the resource."""


def share_remedy(run: RunExplained) -> str:
    """Return which setting gives a column more, under the run's policy."""
    policy = run.run.policy
    if policy in _WEIGHED:
        return f"raise {_narrowest(run)}: columns that are queued together have their part of it each"
    if policy in _COUNTED or not policy:
        borrow = "" if policy == "service_time_fair" else _BORROW
        return f"raise limits.group_limit_factor{borrow}"
    return f"see to your limits.policy (now {policy!r}), or raise {_narrowest(run)}"


_BORROW: Final = ', or let columns borrow: limits.policy = "bounded_borrow"'


def _narrowest(run: RunExplained) -> str:
    """Return the setting of the least resource that several columns take."""
    takers = Counter(resource for column in run.columns.values() for resource in column.resources)
    shared = {
        name: run.resources[name].limit
        for name, columns in takers.items()
        if columns > 1 and name in run.resources and not name.startswith(REQUEST_RESOURCE_PREFIX)
    }
    if not shared:
        return "the resource"
    name = min(shared, key=lambda name: (shared[name], name))
    return resource_setting(name, shared[name])
