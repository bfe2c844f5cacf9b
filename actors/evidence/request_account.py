"""Follows request attempts and request leases through a log, and holds them against the rules.

Owns the attempts that have not ended and the leases that are active; forgets what is over. Which resource an
attempt counts against is its lease's to say: of several that would do, it may be another than was asked for.

An attempt of the domain `healthcheck` belongs to no task and no run. It is over before the log of its run is
begun; where it was cancelled, it may leave its end in the log of a later one, which is passed over there.
"""

from __future__ import annotations

from actors.evidence.lifecycle import (
    ATTEMPT_LIFECYCLE,
    ATTEMPT_STATE_AFTER,
    UNSENT_OUTCOMES,
    AttemptState,
    thinned_attempts,
)
from actors.evidence.limit_account import LimitAccount
from actors.evidence.report import Findings, Rule
from actors.evidence.task_account import Execution, TaskAccount
from actors.telemetry.log_codec import EventRecord
from messages.telemetry import RunDescriptor

_HEALTH_CHECK = "/healthcheck"
"""How the name of a resource ends under which providers are asked after their health."""


class _Attempt:
    __slots__ = (
        "counted",
        "execution",
        "lease",
        "line",
        "number",
        "outcome",
        "replaced",
        "resource",
        "state",
        "task",
        "time",
    )

    def __init__(self, number: int, execution: int) -> None:
        self.number = number
        self.execution = execution
        self.task: Execution | None = None
        self.resource = ""
        self.counted: tuple[str, ...] = ()
        self.lease = 0
        self.replaced = 0
        self.line = 0
        self.outcome = ""
        self.state: AttemptState = "absent"
        self.time = float("-inf")


class RequestAccount:
    """The rules about requests: one lease per attempt, returned once, within the caps (A1, A3, A7)."""

    def __init__(self, findings: Findings, tasks: TaskAccount, limits: LimitAccount) -> None:
        self._findings = findings
        self._tasks = tasks
        self._limits = limits
        self._lifecycle = ATTEMPT_LIFECYCLE
        self.begins_within = False
        """Whether there were requests before the log began."""
        self._first_attempt = 0
        self._attempts: dict[int, _Attempt] = {}
        self._leases: dict[int, _Attempt] = {}
        self._last_lease = 0
        self._caps: dict[str, int] = {}
        self._endpoints: dict[str, str] = {}
        self._in_flight: dict[str, int] = {}
        self._unanswered: list[_Attempt] = []
        self._taken_back: list[tuple[str, int, int]] = []
        """What would be wrong with leases that came back as cancelled after their requests had ended."""
        self._worker_lost = False

    def worker_lost(self) -> None:
        """Note that a worker was lost: with its health checks' ends, as tasks', or what it was returning."""
        self._worker_lost = True

    def thin(self) -> None:
        """Note that events of low value are missing from here on (O6)."""
        self._lifecycle = thinned_attempts()

    def begin(self, run: RunDescriptor) -> None:
        """Take the endpoints and the caps of the run that starts."""
        self._judge_unanswered()
        self._endpoints = {name: resource.endpoint for name, resource in run.request_resources.items()}
        self._caps = {name: resource.static_cap for name, resource in run.request_resources.items()}
        for resource in run.request_resources.values():
            known = self._caps.get(resource.endpoint, resource.static_cap)
            self._caps[resource.endpoint] = min(known, resource.static_cap)

    def finish(self) -> None:
        """Everything is over: report what did not come back, and who still waits."""
        self._judge_unanswered()
        for lease_id, attempt in self._leases.items():
            self._findings.add(
                "request_lease_not_returned",
                f"request lease {lease_id} of attempt {attempt.number} is never returned",
                attempt.line,
            )
        for attempt in self._attempts.values():
            if attempt.state in ("waiting", "granted"):
                self._findings.add(
                    "waiter_left",
                    f"attempt {attempt.number} of execution {attempt.execution} still waits for a "
                    "request lease",
                    attempt.line,
                )
        self._leases.clear()
        self._attempts.clear()

    def follow(self, line: int, record: EventRecord) -> None:
        """Take the next event about a request attempt."""
        kind = record.event_kind
        if self._began_before(record):
            return
        attempt = self._attempt(line, record)
        if record.diagnostics is not None and "replaces" in record.diagnostics:
            self._recovered(line, record, attempt, record.diagnostics["replaces"])
            return
        state = attempt.state
        following = self._lifecycle[state].get(kind)
        if following is None:
            self._illegal(line, record, attempt)
            following = ATTEMPT_STATE_AFTER[kind]
        if record.captured_at < attempt.time:
            self._findings.add(
                "timeline",
                f"{kind} of attempt {attempt.number} is at {record.captured_at}, before what it follows "
                f"at {attempt.time}",
                attempt.line,
                line,
            )
        attempt.state = following
        if kind == "request_lease_acquired":
            self._acquired(line, record, attempt)
        elif kind == "request_lease_released":
            self._released(line, record, attempt, state)
        elif kind == "model_request_started":
            self._same_lease(line, record, attempt)
            self._sent(line, record, attempt)
        elif kind == "model_request_completed":
            self._same_lease(line, record, attempt)
            attempt.outcome = record.reason_or_outcome
            self._ended(record, attempt)
        attempt.line = line
        attempt.time = record.captured_at
        if attempt.state == "ended":
            self._attempts.pop(attempt.number, None)

    def _began_before(self, record: EventRecord) -> bool:
        """Return whether this is the end of a health check that another log has the beginning of."""
        number = record.request_attempt_id
        return (
            self.begins_within
            and _is_health_check(record)
            and number not in self._attempts
            and record.event_kind not in ATTEMPT_LIFECYCLE["absent"]
            and (not self._first_attempt or number < self._first_attempt)
        )

    # -- inside ----------------------------------------------------------------------------------------

    def _attempt(self, line: int, record: EventRecord) -> _Attempt:
        """Return the attempt that the event is about. A return may name its lease alone."""
        number = record.request_attempt_id
        attempt = self._attempts.get(number)
        if attempt is None and record.request_lease_id:
            attempt = self._leases.get(record.request_lease_id)
        if attempt is not None:
            return attempt
        task = self._tasks.running(record.execution)
        attempt = _Attempt(number, record.execution)
        attempt.line = line
        self._first_attempt = self._first_attempt or number
        if number:
            self._attempts[number] = attempt
        if not record.execution and record.resource and not _is_health_check(record):
            self._findings.add(
                "lifecycle", f"attempt {number} of {record.resource} belongs to no task execution", line
            )
        if task is not None and record.captured_at < task.time:
            self._findings.add(
                "timeline",
                f"{record.event_kind} of attempt {number} is at {record.captured_at}, before its worker "
                f"started at {task.time}",
                task.line,
                line,
            )
        return attempt

    def _illegal(self, line: int, record: EventRecord, attempt: _Attempt) -> None:
        kind = record.event_kind
        if kind == "request_lease_released" and attempt.state == "absent":
            return  # reported with its lease, below
        found = f"{kind} of attempt {attempt.number}, which is {attempt.state}"
        if attempt.state == "absent":
            found = f"{kind} of attempt {attempt.number}, which has not asked for a lease, or has ended"
        earlier = attempt.line if attempt.line != line else 0
        about_leases = kind in ("model_request_started", "model_request_completed")
        rule: Rule = "one_attempt_per_request_lease" if about_leases else "lifecycle"
        self._findings.add(rule, found, earlier, line)

    def _sent(self, line: int, record: EventRecord, attempt: _Attempt) -> None:
        """Note that the attempt's request has left; only a worker at work may send one."""
        self._findings.counts.model_requests += 1
        attempt.task = self._tasks.running(record.execution)
        if attempt.task is not None:
            attempt.task.attempts_open += 1
        elif record.execution:
            self._findings.add(
                "lifecycle",
                f"request of attempt {attempt.number} for execution {record.execution}, whose worker is "
                "not at work",
                line,
            )

    def _ended(self, record: EventRecord, attempt: _Attempt) -> None:
        """Note that the attempt's request is over, as far as its task is concerned."""
        task, attempt.task = attempt.task, None
        if task is not None:
            task.attempts_open -= 1
            task.attempts_until = max(task.attempts_until, record.captured_at)

    def _same_lease(self, line: int, record: EventRecord, attempt: _Attempt) -> None:
        if record.request_lease_id not in (attempt.lease, attempt.replaced):
            self._findings.add(
                "wrong_lease",
                f"{record.event_kind} of attempt {attempt.number} names request lease "
                f"{record.request_lease_id}; it holds {attempt.lease or 'none'}",
                line,
            )

    def _recovered(self, line: int, record: EventRecord, attempt: _Attempt, replaced: int) -> None:
        """Take a lease that a new controller issued for one of a lost controller's that was active."""
        held = self._leases.pop(attempt.lease, None)
        if held is not attempt or replaced not in (attempt.lease, attempt.replaced):
            self._findings.add(
                "wrong_lease",
                f"request lease {record.request_lease_id} of attempt {attempt.number} takes the place of "
                f"lease {replaced}, which it does not hold",
                line,
            )
            return
        self._uncount(attempt)
        attempt.replaced = replaced
        self._acquired(line, record, attempt, granted=False)
        self._findings.counts.request_leases -= 1  # the attempt's one lease, under another number

    def _uncount(self, attempt: _Attempt) -> None:
        for name in attempt.counted:
            self._count(name, -1)
        attempt.counted = ()
        self._limits.returned(attempt.resource, attempt.lease)

    def _acquired(self, line: int, record: EventRecord, attempt: _Attempt, *, granted: bool = True) -> None:
        """Take a lease that was granted, or that stands for one that was: that is no grant."""
        lease_id, resource = record.request_lease_id, record.resource
        self._findings.counts.request_leases += 1
        if lease_id <= self._last_lease:
            self._findings.add(
                "lease_reused", f"request lease {lease_id} is issued again, or out of turn", line
            )
        self._last_lease = max(self._last_lease, lease_id)
        attempt.lease, attempt.resource = lease_id, resource
        self._leases[lease_id] = attempt
        caps = self._caps_over(record)
        if not caps:
            self._findings.add(
                "run", f"request lease for {resource!r}, which the run does not describe", line
            )
        attempt.counted = tuple(caps)
        most = self._findings.counts.most_requests
        for name, cap in caps.items():
            in_flight = self._count(name, 1)
            most[name] = max(most.get(name, 0), in_flight)
            if in_flight > cap:
                self._findings.add(
                    "capacity", f"{in_flight} requests of {name} are in flight; the cap is {cap}", line
                )
        if granted and caps:
            self._limits.granted(line, record, self._in_flight[resource])

    def _caps_over(self, record: EventRecord) -> dict[str, int]:
        """Return what a lease for the record's resource counts against, with the caps; empty if not known.

        A health check is of no run, and counts against what its resource was registered with.
        """
        resource = record.resource
        endpoint = self._endpoints.get(resource)
        if endpoint is not None:
            return {resource: self._caps[resource], endpoint: self._caps[endpoint]}
        registered = self._limits.registered_as(resource) if _is_health_check(record) else None
        return {} if registered is None else {resource: registered[1]}

    def _released(self, line: int, record: EventRecord, attempt: _Attempt, state: AttemptState) -> None:
        lease_id, outcome = record.request_lease_id, record.reason_or_outcome
        if lease_id == attempt.replaced:
            lease_id = attempt.lease  # the holder's token, back while no controller counted
        held_by = self._leases.pop(lease_id, None)
        if held_by is None:
            what = "again" if 0 < lease_id <= self._last_lease else "but was never issued"
            self._findings.add(
                "request_lease_returned_once", f"request lease {lease_id} is returned {what}", line
            )
            return
        if held_by is not attempt:
            self._findings.add(
                "wrong_lease",
                f"attempt {attempt.number} returns request lease {lease_id} of attempt {held_by.number}",
                held_by.line,
                line,
            )
        self._uncount(held_by)
        self._ended(record, attempt)
        self._judge_release(line, attempt, state, outcome)

    def _judge_release(self, line: int, attempt: _Attempt, state: AttemptState, outcome: str) -> None:
        if state == "sent":
            self._unanswered.append(attempt)
        elif state == "held" and outcome not in UNSENT_OUTCOMES:
            self._findings.add(
                "one_attempt_per_request_lease",
                f"request lease {attempt.lease} is returned as {outcome or 'nothing'}, but no request was "
                "started under it",
                line,
            )
        elif state == "answered" and outcome != attempt.outcome:
            told = (
                f"request lease {attempt.lease} is returned as {outcome or 'nothing'}; its request ended as "
                f"{attempt.outcome or 'nothing'}"
            )
            if outcome == "local_cancelled":
                self._taken_back.append((told, attempt.line, line))  # from a worker that was lost, perhaps
            else:
                self._findings.add("outcome", told, attempt.line, line)

    def _count(self, name: str, change: int) -> int:
        count = self._in_flight[name] = self._in_flight.get(name, 0) + change
        return count

    def _judge_unanswered(self) -> None:
        """Report requests without an end, or with two, now that it is known whose worker was lost."""
        for attempt in self._unanswered:
            lost = attempt.execution in self._tasks.lost if attempt.execution else self._worker_lost
            if not lost:
                self._findings.add(
                    "one_attempt_per_request_lease",
                    f"request lease {attempt.lease} is returned while its request is still under way",
                    attempt.line,
                )
        self._unanswered.clear()
        if not self._worker_lost:
            for told, *lines in self._taken_back:
                self._findings.add("outcome", told, *lines)
        self._taken_back.clear()


def _is_health_check(record: EventRecord) -> bool:
    return not record.execution and record.resource.endswith(_HEALTH_CHECK)
