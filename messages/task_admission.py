"""Task admission's protocol: may this dependency-ready task become a running worker?"""

from __future__ import annotations

from typing import Any, Literal, Protocol, TypeAlias

import msgspec

from messages._base import Message, Query, Value
from messages.tasks import (
    GroupName,
    QueueSelection,
    QueueView,
    RuntimeCorrelation,
    SchedulableTask,
    SchedulerResourceKey,
    SchedulerResourceRequest,
    TaskGroupSpec,
    TaskId,
    TaskOutcome,
)

# -- values --------------------------------------------------------------------------------------

TaskAdmissionDenialReason = Literal[
    "no_capacity", "group_cap", "borrow_debt", "provider_pressure", "shutdown", "policy_denial"
]

ReleaseReason = Literal[
    "released", "duplicate", "stale_lease", "wrong_controller_generation", "unknown_lease"
]


class TaskLease(Value, frozen=True, gc=False):
    """The token: the right of one task to run, and what it holds of each resource while it does."""

    lease_id: int
    generation: int
    task_id: TaskId
    group: TaskGroupSpec
    resources: SchedulerResourceRequest
    acquired_at: float
    correlation: RuntimeCorrelation


class TaskAdmissionDenied(Value, frozen=True, gc=False):
    """Why a task did not get a lease, and when it is worth asking again, if that is known."""

    task_id: TaskId
    reason: TaskAdmissionDenialReason
    available_after: float | None = None
    diagnostics: dict[str, Any] = msgspec.field(default_factory=dict)


TaskAdmissionDecision: TypeAlias = TaskLease | TaskAdmissionDenied


class ReleaseResult(Value, frozen=True, gc=False):
    """What a returned token turned out to be. Only `released` freed anything."""

    released: bool
    reason: ReleaseReason
    diagnostics: dict[str, Any] = msgspec.field(default_factory=dict)


class TaskLeaseReturn(Value, frozen=True, gc=False):
    """A token on its way back, with how its task ended."""

    lease: TaskLease
    outcome: TaskOutcome


class TaskLeaseRelease(Value, frozen=True, gc=False):
    """A token that has been accounted for. The outcome counts only where `result.released`."""

    lease: TaskLease
    outcome: TaskOutcome
    result: ReleaseResult


class TaskAdmissionConfig(Value, frozen=True):
    """Capacities, all positive. `resource_limits` includes `submission`.

    `replicas` says of each task resource that stands for models which endpoints serve it: it is pressed
    when all of them are (A12). One that is not named there is served by the endpoint in its own name.
    """

    resource_limits: dict[SchedulerResourceKey, int]
    policy: str = "provider_aware"
    replicas: dict[SchedulerResourceKey, tuple[str, ...]] = msgspec.field(default_factory=dict)

    @property
    def submission_capacity(self) -> int:
        """Tasks admitted at once, of any kind."""
        return self.resource_limits["submission"]


class TaskAdmissionView(Value, frozen=True, gc=False):
    """The ledger as policies and snapshots see it. A snapshot's maps hold no zero entries."""

    resource_limits: dict[SchedulerResourceKey, int]
    resources_available: dict[SchedulerResourceKey, int]
    leased_resources_by_group: dict[GroupName, dict[SchedulerResourceKey, int]]
    running_by_group: dict[GroupName, int]
    policy_debt_by_group_resource: dict[GroupName, dict[SchedulerResourceKey, int]]
    version: int = 0
    pressed: dict[SchedulerResourceKey, float | None] = msgspec.field(default_factory=dict)
    """Task resources whose models are under pressure -> until when, where that is known (A12)."""

    @property
    def leased_resources(self) -> dict[SchedulerResourceKey, int]:
        """What is leased of each resource of which anything is."""
        available = self.resources_available
        held = {resource: limit - available[resource] for resource, limit in self.resource_limits.items()}
        return {resource: amount for resource, amount in held.items() if amount}

    def pressed_of(self, request: SchedulerResourceRequest) -> SchedulerResourceKey | None:
        """Return the resource of `request` that is under pressure, the first of several; None: it is not."""
        for resource, _ in request.amounts:
            if resource in self.pressed:
                return resource
        return None


class TaskAdmissionViewUpdate(Value, frozen=True, gc=False):
    """What changed in the ledger by one message, as absolute values of the entries it touched.

    Groups that were denied a lease are among them, changed or not: whoever counted on a grant learns
    what is true.

    Applied in order they keep a copy of the view equal to the ledger, at a cost that does not grow
    with the number of groups. A group's entry replaces the old one; an empty or zero one removes it.
    """

    version: int
    resources_available: dict[SchedulerResourceKey, int]
    leased_resources_by_group: dict[GroupName, dict[SchedulerResourceKey, int]]
    running_by_group: dict[GroupName, int]
    policy_debt_by_group_resource: dict[GroupName, dict[SchedulerResourceKey, int]]
    pressed: dict[SchedulerResourceKey, float | None] | None = None
    """All that is pressed, where that has changed."""


class TaskAdmissionBlockSummary(Value, frozen=True):
    """Why nothing that is queued may start right now, and when to look again."""

    queued_count: int
    dominant_reasons: tuple[TaskAdmissionDenialReason, ...]
    available_after: float | None = None
    diagnostics: dict[str, Any] = msgspec.field(default_factory=dict)


class PolicyStateDelta(Value, frozen=True, gc=False):
    """Changes of a group's policy debt per resource, applied in the step that caused them."""

    debt: tuple[tuple[SchedulerResourceKey, int], ...] = ()


class Recheck(Value, frozen=True, gc=False):
    """When a policy's refusal may change, so that the group need not be judged on every pass.

    Always when a lease of the group comes back, when no peer presses the group any more, and when what is
    under pressure changes; beside these, when the weight that competes for `resource` falls below
    `weight_below`. With `among_unpressed` only groups compete that are under no pressure themselves (A12).
    A group that is `yielding` was passed over for such groups: its turn comes, at the latest, when none of
    them can go.
    """

    resource: SchedulerResourceKey = ""
    weight_below: float = 0.0
    among_unpressed: bool = False
    yielding: bool = False


class TaskAdmissionPolicyDecision(Value, frozen=True, gc=False):
    """A policy's answer about one candidate.

    `borrows` is what the lease would add to the group's debt, decided by `evaluate` and turned into a
    delta by `on_acquire`, so that nothing is decided twice. `recheck` says when a refusal may change; a
    policy that cannot say so leaves it None, and its refusals are judged again on every pass.
    `standing` says that the candidate is allowed, without debt, whatever its group holds: further tasks of
    the group with the same vector need not be judged in the same pass, and `on_acquire` is called for none
    of them. A policy that cannot say so leaves it False, and every task is judged.
    """

    allowed: bool
    reason: TaskAdmissionDenialReason | None = None
    available_after: float | None = None
    borrows: tuple[tuple[SchedulerResourceKey, int], ...] = ()
    recheck: Recheck | None = None
    diagnostics: dict[str, Any] = msgspec.field(default_factory=dict)
    standing: bool = False


Charge = Literal["task", "lease_seconds"]
"""What a group is charged in the ready queue's order: its tasks, or the time for which they hold leases."""


class TaskAdmissionPolicy(Protocol):
    """Who may start while capacity is free. Decides eligibility; never touches the ledger (T8).

    One with an attribute `charge` of "lease_seconds" has groups share the time for which leases are held;
    without one they share turns (Q1).
    """

    def evaluate(
        self, item: SchedulableTask, queue_view: QueueView, admission_view: TaskAdmissionView
    ) -> TaskAdmissionPolicyDecision:
        """Return whether `item` may start, from the views alone. Pure; called any number of times (T9)."""
        ...

    def on_acquire(self, lease: TaskLease, decision: TaskAdmissionPolicyDecision) -> PolicyStateDelta:
        """Return how the group's debt changes because `lease` was granted under `decision`."""
        ...

    def on_release(self, lease: TaskLease) -> PolicyStateDelta:
        """Return how the group's debt changes because `lease` was returned. Debt stops at zero."""
        ...


# -- commands, and the replies they cause ----------------------------------------------------------


class ConfigureTaskAdmission(Query, frozen=True):
    """The scheduler, before a job starts: count against these capacities from now on."""

    run_id: str
    config: TaskAdmissionConfig


class TaskAdmissionConfigured(Message, frozen=True):
    """The ledger is empty and counts against the asked capacities."""

    run_id: str
    generation: int
    view: TaskAdmissionView


class AcquireTaskLeases(Message, frozen=True, gc=False):
    """The scheduler asks for leases, in fair order. Answered by one `TaskLeasesDecided`."""

    selections: list[QueueSelection]


class TaskLeasesDecided(Message, frozen=True, gc=False):
    """Every asked task is either in `leases` or in `denials`; both keep the asked order."""

    leases: list[TaskLease]
    denials: list[TaskAdmissionDenied]
    view: TaskAdmissionViewUpdate


class ReturnTaskLeases(Message, frozen=True, gc=False):
    """Whoever holds tokens gives them back. Never raises at the sender (T3)."""

    returns: list[TaskLeaseReturn]


class TaskLeasesReturned(Message, frozen=True, gc=False):
    """Tokens that came back, accounted for; the scheduler applies the accepted ones' outcomes."""

    releases: list[TaskLeaseRelease]
    view: TaskAdmissionViewUpdate
    returned_at: float = 0.0


class TaskAdmissionViewChanged(Message, frozen=True, gc=False):
    """Task admission to the scheduler: what may start has changed although no lease has (T13)."""

    view: TaskAdmissionViewUpdate


class ForgetRequestPressure(Message, frozen=True):
    """The scheduler to task admission: request admission was lost, and what it has told no longer holds.

    Its new incarnation tells what it finds pressed, and knows of nothing that ended with the old one.
    """

    run_id: str


class RecoverTaskLeases(Query, frozen=True):
    """The scheduler to the incarnation `generation`: these tasks run under leases of earlier ones.

    Each gets a lease of the present one. The old token still frees nothing; the outcome that it brings
    ends the new lease.
    """

    run_id: str
    generation: int
    config: TaskAdmissionConfig
    leases: list[TaskLease]


class TaskLeasesRecovered(Message, frozen=True):
    """The new leases, in the order of the old ones, and the ledger as it is with them."""

    run_id: str
    generation: int
    leases: list[TaskLease]
    view: TaskAdmissionView


class AwaitTaskLeases(Query, frozen=True):
    """A new incarnation of the scheduler: tell me when every lease is back."""

    run_id: str


class TaskLeasesSettled(Message, frozen=True):
    """No lease is out."""

    run_id: str


class TaskAdmissionSnapshot(Message, frozen=True):
    """Task admission's answer to `GetSnapshot`."""

    generation: int
    view: TaskAdmissionView
    active_leases: int
    leases_issued: int
    releases_by_reason: dict[str, int]


Command: TypeAlias = (
    ConfigureTaskAdmission
    | AcquireTaskLeases
    | ReturnTaskLeases
    | ForgetRequestPressure
    | RecoverTaskLeases
    | AwaitTaskLeases
)
