"""Request admission's protocol: may this one model call leave the process now?"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from messages._base import Message, Query, Value
from messages.tasks import RequestResourceKey, RuntimeCorrelation

# -- values --------------------------------------------------------------------------------------

RequestDomain = Literal["chat", "embedding", "image", "healthcheck"]

RequestDenialReason = Literal[
    "no_capacity",
    "cooldown",
    "queue_timeout",
    "queued_waiters_ahead",
    "cancellation",
    "shutdown",
    "circuit_open",
    "hard_policy_denial",
]

RequestOutcomeKind = Literal[
    "success",
    "rate_limited",
    "provider_failure",
    "provider_timeout",
    "local_cancelled",
    "local_timeout",
    "unexpected_exception",
]


class ProviderModelKey(Value, frozen=True, gc=False):
    """One model of one provider, whatever it is called for: what an aggregate cap is about."""

    provider: str
    model_id: str

    @property
    def name(self) -> str:
        """The key as text."""
        return f"{self.provider}/{self.model_id}"


class RequestGroupSpec(Value, frozen=True, gc=False):
    """Who is asking, for fairness among those that wait, and that group's share."""

    key: str
    weight: float = 1.0


class RequestEventContext(Value, frozen=True, gc=False):
    """What the request's events are about. `request_attempt_id` is new for every attempt."""

    correlation: RuntimeCorrelation
    request_attempt_id: int

    @property
    def task_execution_id(self) -> int:
        """The task execution that makes this attempt."""
        return self.correlation.task_execution_id


class RequestAdmissionItem(Value, frozen=True, gc=False):
    """One attempt that wants to leave. `queue_wait_timeout` in seconds; None waits as long as it takes."""

    resource: RequestResourceKey
    group: RequestGroupSpec
    queue_wait_timeout: float | None
    event_context: RequestEventContext


class RequestLease(Value, frozen=True, gc=False):
    """The token: the right to make exactly one outbound attempt."""

    lease_id: int
    generation: int
    resource: RequestResourceKey
    acquired_at: float
    current_limit: int
    effective_max: int


class RequestAdmissionDenied(Value, frozen=True, gc=False):
    """Why an attempt may not leave; `retry_after_seconds` from now, `available_after` in run time."""

    reason: RequestDenialReason
    retry_after_seconds: float | None = None
    available_after: float | None = None
    message: str = ""


RequestAdmissionDecision: TypeAlias = RequestLease | RequestAdmissionDenied


class RequestOutcome(Value, frozen=True, gc=False):
    """How the attempt under a lease ended. `provider_status` is the HTTP status where there was one."""

    kind: RequestOutcomeKind
    retry_after_seconds: float | None = None
    provider_status: int | None = None


class RequestResourceSpec(Value, frozen=True):
    """A resource of a job: its key, the aliases that mean it, and the static cap of its endpoint.

    `raw_caps` are the aliases' own caps; `static_cap` is the least of them (A10).
    """

    resource: RequestResourceKey
    static_cap: int
    aliases: tuple[str, ...] = ()
    raw_caps: dict[str, int] = msgspec.field(default_factory=dict)


class RequestPressureSnapshot(Value, frozen=True):
    """One resource at a moment."""

    captured_at: float
    sequence: int
    resource: RequestResourceKey
    effective_max: int
    current_limit: int
    in_flight: int
    active_leases: int
    waiters: int
    blocked_until: float | None = None
    cooldown_remaining: float = 0.0
    rate_limit_ceiling: int | None = None
    consecutive_rate_limits: int = 0
    last_outcome: RequestOutcomeKind | None = None


class ProviderModelPressureSnapshot(Value, frozen=True):
    """One endpoint at a moment: what all of its domains hold together."""

    key: ProviderModelKey
    static_cap: int
    aggregate_in_flight: int
    aggregate_active_leases: int
    aliases: tuple[str, ...]
    raw_caps: dict[str, int]
    limits_by_domain: dict[str, int]


# -- commands, and the replies they cause ----------------------------------------------------------


class RegisterRequestResources(Query, frozen=True):
    """The scheduler, before a job starts: these are the resources that may be asked for."""

    run_id: str
    resources: tuple[RequestResourceSpec, ...]


class RequestResourcesRegistered(Message, frozen=True):
    """Earlier resources are forgotten; no lease of theirs is outstanding."""

    run_id: str
    generation: int


class AcquireRequestLease(Query, frozen=True, gc=False):
    """A worker asks for one lease. Answered once, by `RequestLeaseGranted` or `RequestLeaseDenied`."""

    item: RequestAdmissionItem


class RequestLeaseGranted(Message, frozen=True, gc=False):
    """The attempt may leave. Whoever gets this returns the lease, whatever has happened meanwhile."""

    request_attempt_id: int
    lease: RequestLease
    event_context: RequestEventContext | None = None


class RequestLeaseDenied(Message, frozen=True, gc=False):
    """The attempt may not leave, and no longer waits."""

    request_attempt_id: int
    denied: RequestAdmissionDenied


class CancelRequestWait(Message, frozen=True, gc=False):
    """A worker no longer wants the lease that this attempt waits for.

    If the lease was granted before this arrived, the worker returns it as `local_cancelled` (A7).
    """

    request_attempt_id: int
    event_context: RequestEventContext | None = None


class ReturnRequestLease(Query, frozen=True, gc=False):
    """A worker gives a lease back. `correlation` is captured for the events the return causes."""

    lease: RequestLease
    outcome: RequestOutcome
    event_context: RequestEventContext


class RequestLeaseReturned(Message, frozen=True, gc=False):
    """What the returned lease turned out to be: as `ReleaseResult` of task admission."""

    lease_id: int
    released: bool
    reason: str


class ReportRequestLeases(Query, frozen=True):
    """A new incarnation to the worker: what do you hold of earlier generations, who waits?"""


class HeldRequestLease(Value, frozen=True):
    """A lease that an attempt holds, and what the attempt is about."""

    lease: RequestLease
    event_context: RequestEventContext


class RequestLeasesReported(Message, frozen=True):
    """The worker's answer: everything it holds and everybody who waits, at this moment."""

    held: list[HeldRequestLease]
    waiting: list[AcquireRequestLease]


class RequestHolderLost(Message, frozen=True):
    """The worker's shell: the incarnation that held these and waited for those is gone.

    Its tokens are given back for it: nobody else will.
    """

    held: list[HeldRequestLease]
    waiting: list[AcquireRequestLease]


class RequestAdmissionSnapshot(Message, frozen=True):
    """Request admission's answer to `GetSnapshot`."""

    generation: int
    resources: tuple[RequestPressureSnapshot, ...]
    provider_models: tuple[ProviderModelPressureSnapshot, ...]
    leases_issued: int
    releases_by_reason: dict[str, int]


Command: TypeAlias = (
    RegisterRequestResources
    | AcquireRequestLease
    | CancelRequestWait
    | ReturnRequestLease
    | RequestLeasesReported
    | RequestHolderLost
)
