"""Follows limits, gates and circuits through a log, and holds what was granted against them (A3, A4, A9).

Owns what the log has said of each request resource since it was registered. Who holds a lease, and how many
there are, is the request account's to know.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from actors.evidence.report import Findings
from actors.telemetry.log_codec import EventRecord

_BY_ITSELF: Final = frozenset({"latency", "baseline_probe"})
"""The reasons of a decrease that no rate limit has caused: those of `gradient` (A14)."""


class _Resource:
    """One resource; a line of 0 stands for "it is not so".

    `probes` are the leases granted while the circuit is open, to look whether it can be closed.
    """

    __slots__ = (
        "blocked_line",
        "blocked_until",
        "effective_max",
        "limit",
        "limit_line",
        "open_line",
        "probes",
        "refused_line",
    )

    def __init__(self) -> None:
        self.limit: int | None = None
        self.effective_max: int | None = None
        self.limit_line = 0
        self.blocked_until = float("-inf")
        self.blocked_line = 0
        self.refused_line = 0
        self.open_line = 0
        self.probes: set[int] = set()


class LimitAccount:
    """The rules about when a lease may be granted. What a log does not tell is not judged."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._resources: dict[str, _Resource] = {}
        self._caps: dict[str, tuple[str, int]] = {}
        self.follow: Final[dict[str, Callable[[int, EventRecord], None]]] = {
            "request_resource_registered": self._registered,
            "request_effective_cap_changed": self._cap_changed,
            "request_rate_limited": self._rate_limited,
            "request_limit_decreased": self._decreased,
            "request_limit_increased": self._increased,
            "request_soft_ceiling_recovered": self._recovered,
            "request_fully_recovered": self._recovered,
            "request_circuit_opened": self._opened,
            "request_circuit_closed": self._closed,
        }
        """Each kind of event about a resource as a whole -> who takes it."""

    def registered_as(self, resource: str) -> tuple[str, int] | None:
        """Return the endpoint and the static cap that a resource was registered with last."""
        return self._caps.get(resource)

    def granted(self, line: int, record: EventRecord, in_flight: int) -> None:
        """Judge a lease that was just granted; `in_flight` counts it already."""
        name = record.resource
        found = self._resources.get(name)
        if found is None:
            return
        if found.limit is not None and in_flight > found.limit:
            self._findings.add(
                "limit",
                f"{in_flight} requests of {name} are in flight after a grant; the limit is {found.limit}",
                found.limit_line,
                line,
            )
        if record.captured_at < found.blocked_until:
            self._findings.add(
                "cooldown",
                f"request lease {record.request_lease_id} of {name} is granted at {record.captured_at}; its "
                f"provider asked to wait until {found.blocked_until}",
                found.blocked_line,
                line,
            )
        if found.open_line:
            if found.probes:
                self._findings.add(
                    "circuit",
                    f"request lease {record.request_lease_id} of {name} is granted while its circuit is open "
                    "and another probe is under way",
                    found.open_line,
                    line,
                )
            found.probes.add(record.request_lease_id)

    def returned(self, resource: str, lease_id: int) -> None:
        """Note that a lease is back."""
        found = self._resources.get(resource)
        if found is not None:
            found.probes.discard(lease_id)

    # -- events ----------------------------------------------------------------------------------------

    def _registered(self, line: int, record: EventRecord) -> None:
        """Begin anew: whatever was learned of the resource is forgotten with its registration."""
        cap = _number(record, "static_cap")
        found = self._resources[record.resource] = _Resource()
        found.limit_line = line
        # Where nothing else is said, all of the cap may be used, and from the start (A2).
        found.effective_max = _number(record, "effective_max", cap)
        found.limit = _number(record, "initial_limit", found.effective_max)
        if cap is not None:
            endpoint = (record.diagnostics or {}).get("endpoint", "")
            self._caps[record.resource] = (str(endpoint), cap)
            self._within(line, record, "effective_max", found.effective_max, cap)
        self._within(line, record, "initial_limit", found.limit, found.effective_max)

    def _cap_changed(self, line: int, record: EventRecord) -> None:
        """Hold what a registration has changed of an earlier one's cap against the registration itself."""
        found, effective_max = self._of(record), _number(record, "effective_max")
        if found.effective_max is not None and effective_max != found.effective_max:
            told = f"{_what(record)} to {effective_max}; it was registered with {found.effective_max}"
            self._findings.add("limit", told, found.limit_line, line)

    def _rate_limited(self, line: int, record: EventRecord) -> None:
        found = self._of(record)
        found.refused_line = line
        until = (record.diagnostics or {}).get("blocked_until")
        if not isinstance(until, int | float):
            self._findings.add("cooldown", f"{_what(record)} does not say until when it blocks", line)
            return
        if until < found.blocked_until:
            self._findings.add(
                "cooldown",
                f"{_what(record)} shortens a wait: until {until}, where it was {found.blocked_until}",
                found.blocked_line,
                line,
            )
            return
        found.blocked_until, found.blocked_line = until, line

    def _decreased(self, line: int, record: EventRecord) -> None:
        found = self._of(record)
        if record.reason_or_outcome not in _BY_ITSELF:
            if not found.refused_line:
                self._findings.add("limit", f"{_what(record)}, and no rate limit has caused it", line)
            found.refused_line = 0
        self._moved(line, record, found, direction=-1)

    def _increased(self, line: int, record: EventRecord) -> None:
        self._moved(line, record, self._of(record), direction=1)

    def _recovered(self, line: int, record: EventRecord) -> None:
        """Take what an increase means, which was told before it: the limit is that already."""
        found, after = self._of(record), _number(record, "after")
        if found.limit is not None and after != found.limit:
            self._findings.add(
                "limit", f"{_what(record)} at {after}; the limit is {found.limit}", found.limit_line, line
            )
        if record.event_kind == "request_fully_recovered" and after != found.effective_max:
            self._findings.add("limit", f"{_what(record)} at {after} of {found.effective_max}", line)

    def _opened(self, line: int, record: EventRecord) -> None:
        found = self._of(record)
        if found.open_line:
            self._findings.add("circuit", f"{_what(record)}, and is open", found.open_line, line)
        found.open_line = line

    def _closed(self, line: int, record: EventRecord) -> None:
        found = self._of(record)
        if not found.open_line:
            self._findings.add("circuit", f"{_what(record)}, and is not open", line)
        found.open_line = 0
        found.probes.clear()

    # -- inside ----------------------------------------------------------------------------------------

    def _of(self, record: EventRecord) -> _Resource:
        return self._resources.setdefault(record.resource, _Resource())

    def _moved(self, line: int, record: EventRecord, found: _Resource, direction: int) -> None:
        """Take a new limit: from where it was, within its bounds, and in the direction that is meant."""
        before, after = _number(record, "before"), _number(record, "after")
        effective_max = _number(record, "effective_max")
        if before is None or after is None or effective_max is None:
            self._findings.add(
                "limit", f"{_what(record)} does not tell before, after and effective_max", line
            )
            return
        known = before if found.limit is None else found.limit
        if before != known or (found.effective_max or effective_max) != effective_max:
            self._findings.add(
                "limit",
                f"{_what(record)} from {before} of {effective_max}; it was {known} of {found.effective_max}",
                found.limit_line,
                line,
            )
        if direction * (after - before) <= 0:
            self._findings.add("limit", f"{_what(record)} from {before} to {after}", line)
        self._within(line, record, "after", after, effective_max)
        found.limit, found.limit_line = after, line

    def _within(self, line: int, record: EventRecord, name: str, value: int | None, most: int | None) -> None:
        if value is not None and most is not None and not 1 <= value <= most:
            told = f"{_what(record)} with {name} {value}, which is not between 1 and {most}"
            self._findings.add("limit", told, line)


def _what(record: EventRecord) -> str:
    return f"{record.event_kind} of {record.resource}"


def _number(record: EventRecord, name: str, otherwise: int | None = None) -> int | None:
    diagnostics: dict[str, Any] = record.diagnostics or {}
    found = diagnostics.get(name)
    return found if isinstance(found, int) else otherwise
