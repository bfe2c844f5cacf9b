"""Request admission's protocol: may this one model call leave the process now?"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from messages._base import Message, Query, Value
from messages.job import RequestAdmissionTuning
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
    "budget",
    "hard_policy_denial",
]

CircuitState = Literal["closed", "open"]

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
    """What the request's events are about. `request_attempt_id` is new for every attempt.

    Without a correlation the attempt is no task's: it asks after a provider's health.
    """

    correlation: RuntimeCorrelation | None
    request_attempt_id: int

    @property
    def task_execution_id(self) -> int:
        """The task execution that makes this attempt; 0 where it is no task's."""
        return 0 if self.correlation is None else self.correlation.task_execution_id


class RequestAdmissionItem(Value, frozen=True, gc=False):
    """One attempt that wants to leave.

    `queue_wait_timeout` in seconds; None waits as long as it takes, 0 not at all: it is denied at once, with
    what stands in its way. `replicas` are other resources that would do as well as `resource`: the lease
    names the one it is for. The token counts are estimates for the budgets (A13); None where there is none,
    and what such attempts used lately then stands for it.
    """

    resource: RequestResourceKey
    group: RequestGroupSpec
    queue_wait_timeout: float | None
    event_context: RequestEventContext
    replicas: tuple[RequestResourceKey, ...] = ()
    input_tokens: int | None = None
    output_tokens: int | None = None


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
    """How the attempt under a lease ended. `provider_status` is the HTTP status where there was one.

    `duration_seconds` is how long the provider took, `input_tokens` and `output_tokens` what it counted;
    None where that is not known. `sent` is False where nothing left the process: its budget is refunded.
    """

    kind: RequestOutcomeKind
    retry_after_seconds: float | None = None
    provider_status: int | None = None
    duration_seconds: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    sent: bool = True


class RequestBudgets(Value, frozen=True, gc=False):
    """What an endpoint may use in any sixty seconds (A13); None is without a bound."""

    requests_per_minute: int | None = None
    input_tokens_per_minute: int | None = None
    output_tokens_per_minute: int | None = None


class RequestResourceSpec(Value, frozen=True):
    """A resource of a job: its key, the aliases that mean it, and the static cap of its endpoint.

    `raw_caps` are the aliases' own caps; `static_cap` is the least of them (A10). `budgets` are the
    endpoint's, as the cap is.
    """

    resource: RequestResourceKey
    static_cap: int
    aliases: tuple[str, ...] = ()
    raw_caps: dict[str, int] = msgspec.field(default_factory=dict)
    budgets: RequestBudgets = RequestBudgets()


class RequestAdmissionConfig(Value, frozen=True):
    """How request admission works for one job. The maps go by resource name, `provider/model/domain`.

    `initial_limits` and `max_limit_clamps` name what differs from the static cap; `tuning` holds the rest of
    each resource's settings, and `default_tuning` stands for those that are not named.
    """

    initial_limits: dict[str, int] = msgspec.field(default_factory=dict)
    max_limit_clamps: dict[str, int] = msgspec.field(default_factory=dict)
    tuning: dict[str, RequestAdmissionTuning] = msgspec.field(default_factory=dict)
    default_tuning: RequestAdmissionTuning = RequestAdmissionTuning()
    default_queue_wait_timeout_seconds: float | None = None

    def tuning_of(self, resource: RequestResourceKey) -> RequestAdmissionTuning:
        """Return the settings of a resource."""
        return self.tuning.get(resource.name, self.default_tuning)


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
    algorithm: str = "aimd"
    circuit: CircuitState = "closed"
    next_probe_at: float | None = None
    budget_blocked_until: float | None = None
    suspect_until: float | None = None
    """Until when a replica is passed over that failed several times in a row."""
    outcomes: dict[str, int] = msgspec.field(default_factory=dict)
    """How many attempts ended in which way."""

    @property
    def is_pressed(self) -> bool:
        """Whether an attempt that came now would have to wait (A12)."""
        return self.circuit == "open" or self.cooldown_remaining > 0 or self.waiters > 0


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
    config: RequestAdmissionConfig = RequestAdmissionConfig()


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

    If the lease was granted before this arrived, the worker returns it as `local_cancelled` (A7). Without an
    `event_context` there is nothing to tell: it was denied, and nobody was left to hear that.
    """

    request_attempt_id: int
    event_context: RequestEventContext | None = None


class ReturnRequestLease(Query, frozen=True, gc=False):
    """A worker gives a lease back. `event_context` is captured for the events the return causes.

    `lost_holder` is the generation of the worker that the lease was granted to, where that one was lost
    before it heard of it; 0 where who gives it back has held it.
    """

    lease: RequestLease
    outcome: RequestOutcome
    event_context: RequestEventContext
    lost_holder: int = 0


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

    Its tokens are given back for it: nobody else will. `generation` is which incarnation it was.
    """

    held: list[HeldRequestLease]
    waiting: list[AcquireRequestLease]
    generation: int


class RequestPressureChanged(Message, frozen=True):
    """Request admission to task admission: these resources are pressed now, or no longer (A12).

    Sent when whether and why a resource is pressed has changed, and not for every waiter.
    """

    run_id: str
    pressures: tuple[RequestPressureSnapshot, ...]


class RequestCircuitChanged(Message, frozen=True):
    """Request admission to the scheduler: a circuit opened or closed (A9). The job's policy decides.

    `rate_limited` and `succeeded` count the resource's attempts since it was registered; `since` is when
    the rate limits without a success began, `next_probe_at` when one attempt is let through to see.
    """

    run_id: str
    resource: RequestResourceKey
    state: CircuitState
    since: float
    rate_limited: int
    succeeded: int
    next_probe_at: float | None = None


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
