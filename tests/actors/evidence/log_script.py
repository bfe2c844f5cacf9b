"""Builds logs of legal runs, through the real telemetry core and the real file sink."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from actors.telemetry.core import TelemetryCore
from actors.telemetry.sinks import open_log_file
from messages.capacity import CapacityValue, ConfiguredCapacity
from messages.describe import describe_run
from messages.plan import GeneratorPlan, JobPlan, ResolvedTaskScheduling
from messages.request_admission import RequestResourceSpec
from messages.tasks import (
    RequestResourceKey,
    RuntimeCorrelation,
    SchedulerResourceRequest,
    TaskGroupKey,
    TaskGroupSpec,
)
from messages.telemetry import CloseRunLog, Event, OpenRunLog, RecordEvents

CHAT = RequestResourceKey("sim", "writer-1", "chat")
SCHEDULER_KINDS_WITH_LEASE = ("worker_spawned", "task_completed", "task_lease_released")


def a_generator(
    name: str,
    *,
    kind: str = "local",
    amounts: tuple[tuple[str, int], ...] = (("local", 1), ("submission", 1)),
) -> GeneratorPlan:
    key = TaskGroupKey(kind, ("default", name))
    scheduling = ResolvedTaskScheduling(
        group=TaskGroupSpec(key, 1.0, None, key.name),
        resource_request=SchedulerResourceRequest(amounts),
        request_resource=CHAT if kind == "model" else None,
    )
    return GeneratorPlan(name, "cell", (name,), (), (), scheduling)


def a_plan(
    *, run_id: str = "run-1", rows: int = 4, row_group_size: int = 2, submission: int = 8, cap: int = 2
) -> JobPlan:
    return JobPlan(
        run_id=run_id,
        job_name="penguins",
        rows=rows,
        row_group_size=row_group_size,
        row_group_concurrency=2,
        source_fields=(),
        dataset_columns=("story", "words"),
        generators=(
            a_generator("story", kind="model", amounts=(("llm_wait", 1), ("submission", 1))),
            a_generator("words"),
        ),
        resource_limits={"submission": submission, "llm_wait": 4, "local": 4},
        request_resources=(RequestResourceSpec(CHAT, cap, ("writer",), {"writer": cap}),),
        policy="strict_fair",
        max_retries=3,
        backoff_seconds=0.5,
        max_backoff_seconds=30.0,
    )


def some_capacity() -> ConfiguredCapacity:
    value = CapacityValue(1, "default")
    return ConfiguredCapacity(value, value, value, {}, (), {}, {}, {}, {})


class Script:
    """A run's events in the order in which telemetry hears of them. Every event is a moment later."""

    def __init__(self, plan: JobPlan | None = None) -> None:
        self.plan = plan or a_plan()
        self.events: list[Event] = []
        self.leases = 0
        self.request_leases = 0
        self.executions = 0
        self.attempts = 0
        self.held = 0
        self.in_flight = 0
        self._time = 0.0

    def emit(self, kind, correlation=None, *, at: float | None = None, **fields) -> Event:
        if at is None:
            at = self._time = round(self._time + 0.001, 6)
        event = Event(kind, at, correlation, **fields)
        self.events.append(event)
        return event

    def correlation(self, column: str, row_group: int = 0, row_index: int | None = 0) -> RuntimeCorrelation:
        self.executions += 1
        generator = next(one for one in self.plan.generators if one.name == column)
        key = generator.scheduling.group.key
        return RuntimeCorrelation(
            self.plan.run_id,
            row_group,
            row_index,
            column,
            "cell",
            key.kind,
            key.identity_hash,
            self.executions,
        )

    # -- the run ---------------------------------------------------------------------------------

    def start(self) -> Script:
        self.emit("scheduler_job_started", diagnostics=describe_run(self.plan).to_builtins())
        return self

    def admit_row_groups(self, *row_groups: int) -> None:
        for row_group in row_groups:
            self.emit("row_group_admitted", diagnostics={"row_group": row_group})

    def checkpoint(self, row_group: int, rows: int = 2, dropped: int = 0) -> None:
        self.emit(
            "row_group_checkpointed", diagnostics={"row_group": row_group, "rows": rows, "dropped": dropped}
        )

    def complete(self, status: str = "succeeded", **rows: int) -> Script:
        requested = self.plan.rows
        counts = {
            "rows_requested": requested,
            "rows_written": requested,
            "rows_dropped": 0,
            "rows_pending": 0,
        }
        self.emit("scheduler_job_completed", reason_or_outcome=status, diagnostics=counts | rows)
        return self

    # -- tasks, one event at a time, so that they can be interleaved -----------------------------

    def steps(
        self, correlation: RuntimeCorrelation, *, outcome: str = "success", attempts: int = 0
    ) -> Iterator[None]:
        """Everything that happens to one execution. Yields after every event, and while it has to wait."""
        self.emit("dependency_ready", correlation)
        yield
        self.emit("ready_enqueued", correlation)
        yield
        self.emit("selected", correlation)
        yield
        while self.held >= 4:
            self.emit("admission_denied", correlation, reason_or_outcome="no_capacity")
            yield
            self.emit("selected", correlation)
            yield
        self.held += 1
        self.leases += 1
        lease = self.leases
        self.emit("task_lease_acquired", correlation, task_lease_id=lease)
        yield
        yield from self._after_lease(correlation, lease, outcome, attempts)
        self.held -= 1
        self.emit("task_lease_released", correlation, task_lease_id=lease, reason_or_outcome=outcome)
        yield
        if outcome == "retryable_failure":
            self.emit("retry_deferred", correlation, reason_or_outcome="provider_timeout")
            yield

    def _after_lease(self, correlation, lease: int, outcome: str, attempts: int) -> Iterator[None]:
        if outcome == "stale_discard":
            self.emit("stale_selection", correlation, task_lease_id=lease)
            yield
            return
        if outcome == "worker_spawn_failed":
            self.emit("worker_spawn_failed", correlation, task_lease_id=lease)
            yield
            return
        if outcome == "shutdown":
            return
        self.emit("worker_spawned", correlation, task_lease_id=lease)
        yield
        for _ in range(attempts):
            yield from self._attempt(correlation)
        if outcome != "worker_lost":
            self.emit("task_completed", correlation, task_lease_id=lease, reason_or_outcome=outcome)
            yield

    def _attempt(self, correlation) -> Iterator[None]:
        self.attempts += 1
        about = {"request_attempt_id": self.attempts, "resource": CHAT.name}
        started = self.emit("request_wait_started", correlation, **about).captured_at
        at_once = True
        while self.in_flight >= self.plan.request_resources[0].static_cap:
            at_once = False
            yield
        self.in_flight += 1
        # What is granted at once has waited for no time. The grant is one step of request admission.
        self.emit("request_wait_completed", correlation, at=started if at_once else None, **about)
        self.request_leases += 1
        about["request_lease_id"] = self.request_leases
        self.emit("request_lease_acquired", correlation, **about)
        yield
        self.emit("model_request_started", correlation, **about)
        yield
        self.emit("model_request_completed", correlation, **about, reason_or_outcome="success")
        yield
        self.in_flight -= 1
        self.emit(
            "request_lease_released",
            correlation,
            request_lease_id=about["request_lease_id"],
            resource=CHAT.name,
            reason_or_outcome="success",
        )
        yield

    def run(self, correlation: RuntimeCorrelation, **how) -> None:
        for _ in self.steps(correlation, **how):
            pass


def a_run(plan: JobPlan | None = None, *, attempts: int = 1) -> Script:
    """A small run, one task after the other: two rows groups of two rows, two columns."""
    script = Script(plan).start()
    for row_group in range(2):
        script.admit_row_groups(row_group)
        for row in range(2):
            script.run(script.correlation("story", row_group, row), attempts=attempts)
            script.run(script.correlation("words", row_group, row))
        script.checkpoint(row_group)
    return script.complete()


def is_request(event: Event) -> bool:
    return event.event_kind.startswith(("request_", "model_request_"))


def tell(core: TelemetryCore, events: list[Event]) -> None:
    """Tell events one message each, in this order."""
    for event in events:
        stream = "request" if is_request(event) else "scheduler"
        core.handle(RecordEvents(stream, [event]), now=event.captured_at)
        core.idle(now=event.captured_at)


def write_log(path: Path, events: list[Event], plan: JobPlan | None = None) -> Path:
    """Write the events as a run's log, sequenced as telemetry does it."""
    plan = plan or a_plan()
    core = TelemetryCore(open_log=open_log_file)
    core.handle(OpenRunLog(plan.run_id, plan, some_capacity(), str(path)), now=0.0)
    tell(core, events)
    core.handle(CloseRunLog(plan.run_id), now=99.0)
    core.check()
    return path


def line_of(events: list[Event], kind: str, nth: int = 0) -> int:
    """The line on which the nth event of a kind stands: the header is line 1."""
    return [at for at, event in enumerate(events, 2) if event.event_kind == kind][nth]
