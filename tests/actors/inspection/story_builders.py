"""Runs told by hand: events with times of their own, and the story that they make."""

from __future__ import annotations

import msgspec

from actors.inspection.story import RunStory
from messages.telemetry import SequencedEvent
from tests.actors.evidence.log_script import CHAT, Script, a_plan, is_request


def told(events, *, entries=(), ended=None) -> RunStory:
    """Tell events, and log lines at their times, to a fresh story."""
    story = RunStory(ended=ended)
    entries = list(entries)
    for sequence, event in enumerate(events, 1):
        while entries and entries[0].captured_at <= event.captured_at:
            story.log(entries.pop(0))
        story.add(SequencedEvent("request" if is_request(event) else "scheduler", sequence, event))
    for entry in entries:
        story.log(entry)
    return story


def explained(script: Script, **more):
    """Explain what a script has told so far."""
    return told(script.events, **more).explain()


class TimedScript(Script):
    """A run of which every event is told with its time, in seconds."""

    def __init__(self, *, cap: int = 2, policy: str = "strict_fair", **plan) -> None:
        super().__init__(msgspec.structs.replace(a_plan(cap=cap, **plan), policy=policy))
        limits = {"endpoint": "sim/writer-1", "initial_limit": cap, "effective_max": cap, "algorithm": "aimd"}
        self.emit("request_resource_registered", at=0.0, resource=CHAT.name, diagnostics=limits)
        self.emit("scheduler_job_started", at=0.0, diagnostics=self.described())

    def described(self):
        from messages.describe import describe_run

        return describe_run(self.plan).to_builtins()

    def admitted(self, row_group: int = 0, *, at: float = 0.0, rows: int = 2) -> None:
        self.emit("row_group_admitted", at=at, diagnostics={"row_group": row_group, "rows": rows})

    def stored(self, row_group: int = 0, *, at: float, rows: int = 2, dropped: int = 0) -> None:
        counts = {"row_group": row_group, "rows": rows, "dropped": dropped}
        self.emit("row_group_checkpointed", at=at, diagnostics=counts)

    def ready(self, about, *, at: float) -> None:
        self.emit("dependency_ready", about, at=at)
        self.emit("ready_enqueued", about, at=at)

    def leased(self, about, *, at: float) -> None:
        self.leases += 1
        self.emit("selected", about, at=at)
        self.emit("task_lease_acquired", about, at=at, task_lease_id=about.task_execution_id)
        self.emit("worker_spawned", about, at=at, task_lease_id=about.task_execution_id)

    def ended(self, about, *, at: float, outcome: str = "success") -> None:
        lease = {"task_lease_id": about.task_execution_id, "reason_or_outcome": outcome}
        self.emit("task_completed", about, at=at, **lease)
        self.emit("task_lease_released", about, at=at, **lease)

    def asks(self, about, attempt: int, *, at: float) -> None:
        self.emit("request_wait_started", about, at=at, request_attempt_id=attempt, resource=CHAT.name)

    def sent(self, about, attempt: int, *, at: float, **waited) -> None:
        told = {"request_attempt_id": attempt, "resource": CHAT.name}
        self.emit("request_wait_completed", about, at=at, **told, diagnostics=waited or None)
        told["request_lease_id"] = attempt
        self.emit("request_lease_acquired", about, at=at, **told)
        self.emit("model_request_started", about, at=at, **told)

    def replied(self, about, attempt: int, *, at: float, outcome: str = "success", **said) -> None:
        told = {"request_attempt_id": attempt, "request_lease_id": attempt, "resource": CHAT.name}
        told["reason_or_outcome"] = outcome
        self.emit("model_request_completed", about, at=at, **told, diagnostics=said or None)
        self.emit("request_lease_released", about, at=at, **told)

    def refused(self, about, attempt: int, *, at: float, until: float) -> None:
        self.replied(about, attempt, at=at, outcome="rate_limited")
        said = {"retry_after": until - at, "status": 429, "blocked_until": until, "in_a_row": 1}
        told = {"request_attempt_id": attempt, "request_lease_id": attempt, "resource": CHAT.name}
        self.emit("request_rate_limited", about, at=at, **told, diagnostics=said)

    def queue(self, kind: str, *, at: float, short_of=(), reasons=("no_capacity",)) -> None:
        said = {"queued": 1, "reasons": list(reasons), "short_of": dict.fromkeys(short_of, 1)}
        self.emit(kind, at=at, diagnostics=None if kind == "queue_empty" else said)

    def over(self, *, at: float, status: str = "succeeded") -> None:
        counts = {"rows_requested": 4, "rows_written": 4, "rows_dropped": 0, "rows_pending": 0}
        self.emit("scheduler_job_completed", at=at, reason_or_outcome=status, diagnostics=counts)
