"""Decides which selected tasks get a lease, and accounts for every token that comes back.

Owns the ledger and the policy. Knows nothing of columns' meaning, row data, workers or providers, but for
what request admission says is under pressure (A12). The lease events are made here, because here is where
a lease begins and ends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

from actors.task_admission.ledger import Ledger
from actors.task_admission.provider_pressure import ProviderPressure
from messages._base import SCHEDULER, TELEMETRY, Message, Outgoing
from messages.request_admission import RequestPressureChanged
from messages.task_admission import (
    AcquireTaskLeases,
    AwaitTaskLeases,
    ConfigureTaskAdmission,
    ForgetRequestPressure,
    RecoverTaskLeases,
    ReturnTaskLeases,
    TaskAdmissionConfig,
    TaskAdmissionConfigured,
    TaskAdmissionDenied,
    TaskAdmissionPolicy,
    TaskAdmissionSnapshot,
    TaskAdmissionViewChanged,
    TaskLease,
    TaskLeaseRelease,
    TaskLeaseReturn,
    TaskLeasesDecided,
    TaskLeasesRecovered,
    TaskLeasesReturned,
    TaskLeasesSettled,
)
from messages.tasks import GroupName, QueueSelection, SchedulableTask, SchedulerResourceRequest
from messages.telemetry import Event, RecordEvents, RecordTaskEvents


class TaskAdmissionCore:
    """One generation of task admission. `unread` is what a lost one had put aside until it had recovered."""

    def __init__(
        self,
        policy_named: Callable[[str], TaskAdmissionPolicy],
        *,
        generation: int = 1,
        unread: Iterable[Message] = (),
    ) -> None:
        self._policy_named = policy_named
        self._generation = generation
        self._policy: TaskAdmissionPolicy | None = None
        self._ledger = Ledger({}, generation=generation)
        self._pressure = ProviderPressure()
        self._run_id: str | None = None
        self._handlers: dict[type[Message], Callable[[Any, float], list[Outgoing]]] = {
            ConfigureTaskAdmission: self._configure,
            AcquireTaskLeases: self._acquire,
            ReturnTaskLeases: self._return,
            RecoverTaskLeases: self._recover,
            AwaitTaskLeases: self._await,
            RequestPressureChanged: self._pressure_changed,
            ForgetRequestPressure: self._forget_pressure,
        }
        self._reissued: dict[int, TaskLease] = {}
        self._awaiting: AwaitTaskLeases | None = None
        self._until_recovered: deque[Message] = deque(unread)

    @property
    def accepts(self) -> frozenset[type[Message]]:
        """The commands of `messages.task_admission`, and what request admission tells."""
        return frozenset(self._handlers)

    @property
    def unread(self) -> tuple[Message, ...]:
        """What was put aside until the recovery: it is its successor's, should this incarnation be lost."""
        return tuple(self._until_recovered)

    @property
    def generation(self) -> int:
        """The generation that this core's leases carry."""
        return self._generation

    def handle(self, message: Message, *, now: float) -> list[Outgoing]:
        """Take one command."""
        return self._handlers[type(message)](message, now)

    def idle(self, *, now: float) -> list[Outgoing]:  # noqa: ARG002 - the shells' common interface
        """Return nothing: every command is answered at once."""
        return []

    def next_deadline(self) -> float | None:
        """Return None: nothing here depends on time."""
        return None

    def close(self, *, now: float) -> list[Outgoing]:  # noqa: ARG002 - the shells' common interface
        """Return nothing: there is nothing to let go of."""
        return []

    def snapshot(self, *, now: float) -> TaskAdmissionSnapshot:  # noqa: ARG002 - as above
        """Return the accounts."""
        ledger = self._ledger
        return TaskAdmissionSnapshot(
            generation=self._generation,
            view=ledger.snapshot(),
            active_leases=len(ledger.active),
            leases_issued=ledger.issued,
            releases_by_reason=dict(ledger.releases_by_reason),
        )

    def check(self) -> None:
        """Assert the ledger's invariants."""
        self._ledger.check()

    # -- commands ----------------------------------------------------------------------------------

    def _configure(self, message: ConfigureTaskAdmission, _now: float) -> list[Outgoing]:
        self._until_recovered.clear()
        self._begin(message.run_id, message.config)
        configured = TaskAdmissionConfigured(message.run_id, self._generation, self._ledger.snapshot())
        return [Outgoing(message.reply_to or SCHEDULER, configured)]

    def _recover(self, message: RecoverTaskLeases, now: float) -> list[Outgoing]:
        """Take over what an earlier generation had granted, then do what has waited for that."""
        if message.generation != self._generation or not self._recovering:
            return []  # meant for one that was lost in its turn
        self._begin(message.run_id, message.config)
        leases = [self._ledger.adopt(lost, now=now) for lost in message.leases]
        self._reissued = {lost.lease_id: lease for lost, lease in zip(message.leases, leases, strict=True)}
        events = [
            Event(
                "task_lease_acquired",
                now,
                lease.correlation,
                task_lease_id=lease.lease_id,
                reason_or_outcome="recovered",
                diagnostics={"replaces": lost.lease_id},
            )
            for lost, lease in zip(message.leases, leases, strict=True)
        ]
        recovered = TaskLeasesRecovered(message.run_id, self._generation, leases, self._ledger.snapshot())
        outgoing = [Outgoing(TELEMETRY, RecordEvents("scheduler", events))] if events else []
        outgoing.append(Outgoing(message.reply_to or SCHEDULER, recovered))
        while self._until_recovered:  # one by one: while something waits here, not all is settled
            outgoing += self.handle(self._until_recovered.popleft(), now=now)
        return outgoing + self._settled()

    def _begin(self, run_id: str, config: TaskAdmissionConfig) -> None:
        """Count anew, for this run. Nothing is under pressure until request admission says so."""
        self._run_id = run_id
        self._policy = self._policy_named(config.policy)
        self._ledger = Ledger(
            config.resource_limits, generation=self._generation, last_id=self._ledger.last_id
        )
        self._pressure = ProviderPressure(config)

    @property
    def _recovering(self) -> bool:
        """Whether an earlier generation may have granted leases that are not accounted for here yet."""
        return self._policy is None and self._generation > 1

    def _acquire(self, message: AcquireTaskLeases, now: float) -> list[Outgoing]:
        if self._recovering:
            self._until_recovered.append(message)
            return []
        leases: list[TaskLease] = []
        denials: list[TaskAdmissionDenied] = []
        denied: list[Event] = []
        denied_groups: dict[GroupName, TaskAdmissionDenied] = {}
        selections = message.selections
        while (at := len(leases) + len(denials)) < len(selections):
            item = selections[at].item
            # FIFO inside a group: once its first is denied, those behind it are not looked at.
            earlier = denied_groups.get(item.group.name)
            if earlier is None:
                decision = self._decide(selections, at, now)
                if isinstance(decision, list):
                    leases += decision
                    continue
                denied_groups[item.group.name] = decision
                self._ledger.touch(item.group.name)
            else:
                decision = TaskAdmissionDenied(
                    item.task_id, earlier.reason, earlier.available_after, earlier.diagnostics
                )
            denials.append(decision)
            denied.append(
                Event(
                    "admission_denied",
                    now,
                    item.correlation,
                    reason_or_outcome=decision.reason,
                    diagnostics=decision.diagnostics or None,
                )
            )
        decided = TaskLeasesDecided(leases, denials, self._ledger.take_update())
        acquired = RecordTaskEvents(
            "task_lease_acquired",
            now,
            [lease.correlation for lease in leases],
            [lease.lease_id for lease in leases],
        )
        facts = [Outgoing(TELEMETRY, acquired)] if leases else []
        if denied:
            facts.append(Outgoing(TELEMETRY, RecordEvents("scheduler", denied)))
        return [*facts, Outgoing(SCHEDULER, decided)]

    def _return(self, message: ReturnTaskLeases, now: float) -> list[Outgoing]:
        if self._recovering:
            self._until_recovered.append(message)
            return []
        ledger, policy = self._ledger, self._policy
        returns = self._with_reissued(message.returns)
        results = ledger.release(returned.lease for returned in returns)
        releases = [
            TaskLeaseRelease(returned.lease, returned.outcome, result)
            for returned, result in zip(returns, results, strict=True)
        ]
        accepted = [release for release in releases if release.result.released]
        for release in accepted:
            assert policy is not None
            delta = policy.on_release(release.lease)
            if delta.debt:
                ledger.apply(release.lease.group.name, delta)
        returned_leases = TaskLeasesReturned(releases, ledger.take_update(), now)
        refused = [
            Event(
                "release_diagnostic",
                now,
                release.lease.correlation,
                task_lease_id=release.lease.lease_id,
                reason_or_outcome=release.result.reason,
            )
            for release in releases
            if not release.result.released
        ]
        released = RecordTaskEvents(
            "task_lease_released",
            now,
            [release.lease.correlation for release in accepted],
            [release.lease.lease_id for release in accepted],
            [release.outcome.kind for release in accepted],
        )
        facts = [Outgoing(TELEMETRY, released)] if accepted else []
        if refused:
            facts.append(Outgoing(TELEMETRY, RecordEvents("scheduler", refused)))
        return [*facts, Outgoing(SCHEDULER, returned_leases), *self._settled()]

    def _pressure_changed(self, message: RequestPressureChanged, _now: float) -> list[Outgoing]:
        if self._recovering:
            self._until_recovered.append(message)
            return []
        if message.run_id != self._run_id:
            return []
        self._pressure.note(message.pressures)
        return self._tell_pressed()

    def _forget_pressure(self, message: ForgetRequestPressure, _now: float) -> list[Outgoing]:
        if self._recovering:
            self._until_recovered.append(message)
            return []
        if message.run_id != self._run_id:
            return []
        self._pressure.forget()
        return self._tell_pressed()

    def _tell_pressed(self) -> list[Outgoing]:
        """Return what tells the scheduler what is under pressure, if that is news (T13)."""
        if not self._ledger.press(self._pressure.pressed()):
            return []
        return [Outgoing(SCHEDULER, TaskAdmissionViewChanged(self._ledger.take_update()))]

    def _await(self, message: AwaitTaskLeases, _now: float) -> list[Outgoing]:
        self._awaiting = message
        return self._settled()

    def _settled(self) -> list[Outgoing]:
        """Return the answer to whoever awaits that every lease is back, if it is so."""
        waiting = self._awaiting
        if waiting is None or self._recovering or self._until_recovered or self._ledger.active:
            return []
        self._awaiting = None
        return [Outgoing(waiting.reply_to or SCHEDULER, TaskLeasesSettled(waiting.run_id))]

    def _with_reissued(self, returns: list[TaskLeaseReturn]) -> list[TaskLeaseReturn]:
        """Return the tokens, each that was reissued followed by its successor with the same outcome.

        A token of an earlier generation frees nothing (T2); what it tells ends the lease that took its
        place, and only once.
        """
        if not self._reissued:
            return returns
        found: list[TaskLeaseReturn] = []
        for returned in returns:
            found.append(returned)
            if returned.lease.generation != self._generation:
                successor = self._reissued.pop(returned.lease.lease_id, None)
                if successor is not None:
                    found.append(TaskLeaseReturn(successor, returned.outcome))
        return found

    def _decide(
        self, selections: list[QueueSelection], at: int, now: float
    ) -> list[TaskLease] | TaskAdmissionDenied:
        """Return a lease for one selection; with it those of the ones that follow and need no judgement."""
        item, ledger, policy = selections[at].item, self._ledger, self._policy
        if policy is None:
            return TaskAdmissionDenied(item.task_id, "shutdown", diagnostics={"cause": "not configured"})
        short = self._short_of(item.resource_request)
        if short is not None:
            return TaskAdmissionDenied(item.task_id, "no_capacity", diagnostics={"resource": short})
        decision = policy.evaluate(item, selections[at].queue_view, ledger.view)
        if not decision.allowed:
            return TaskAdmissionDenied(
                item.task_id,
                decision.reason or "policy_denial",
                decision.available_after,
                decision.diagnostics,
            )
        if decision.standing:
            return ledger.acquire(_alike(selections, at, self._room_for(item.resource_request)), now=now)
        leases = ledger.acquire([item], now=now)
        delta = policy.on_acquire(leases[0], decision)
        if delta.debt:
            ledger.apply(item.group.name, delta)
        return leases

    def _short_of(self, request: SchedulerResourceRequest) -> str | None:
        available = self._ledger.view.resources_available
        for resource, amount in request.amounts:
            if available.get(resource, 0) < amount:
                return resource
        return None

    def _room_for(self, request: SchedulerResourceRequest) -> int:
        """Return how many times a request fits."""
        available = self._ledger.view.resources_available
        return min(available[resource] // amount for resource, amount in request.amounts)


def _alike(selections: list[QueueSelection], at: int, most: int) -> list[SchedulableTask]:
    """Return the items from `at` on that have the group and the vector of the first, at most so many."""
    first = selections[at].item
    alike: list[SchedulableTask] = []
    for selection in islice(selections, at, at + most):
        item = selection.item
        if item.group is not first.group or item.resource_request is not first.resource_request:
            break
        alike.append(item)
    return alike
