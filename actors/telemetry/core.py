"""Telemetry's core: gives every event its place, and passes it to whoever wants to know.

Owns the two streams' sequences, the open logs, the run's observed maxima and the subscriptions. It must
never know a controller, nor influence one: nothing that happens here changes what runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from actors.telemetry.journal import Journal
from actors.telemetry.log_codec import (
    LEFT_OUT,
    SHORT_KINDS,
    encode_entries,
    encode_events,
    encode_task_events,
    events_of,
)
from actors.telemetry.logs import LogSink
from actors.telemetry.maxima import ObservedCapacity
from actors.telemetry.subscriptions import Subscriptions
from messages._base import TELEMETRY, Message, Outgoing, Query
from messages.capacity import CapacityPlan
from messages.supervision import DeadlineReached
from messages.telemetry import (
    CapacityPlanReported,
    CloseRunLog,
    GetCapacityPlan,
    LogEntry,
    OpenRunLog,
    RecordEvents,
    RecordLeftOut,
    RecordLog,
    RecordTaskEvents,
    RunLogClosed,
    RunLogOpened,
    RunLogRefused,
    Subscribe,
    TelemetrySnapshot,
    Unsubscribe,
)

SYSTEM_LOG: Final = "system log"
"""The name of the system-wide log in reports of failure; a run's log goes by its path."""


_BATCH_KINDS: Final = SHORT_KINDS | {"dependency_ready"}


class TelemetryCore:
    """Sequences, logs, maxima and subscriptions.

    `open_log` makes a log at a path; it raises `OSError` where it cannot, `FileExistsError` where there
    is one already. `system_log` gets everything from the start until `close`. With `observing` off,
    events are counted and nothing else: no log is written, nobody is told.
    """

    def __init__(
        self,
        *,
        open_log: Callable[[str], LogSink],
        system_log: LogSink | None = None,
        observing: bool = True,
        journal: Journal | None = None,
        generation: int = 1,
        now: float = 0.0,
    ) -> None:
        self.generation: Final = generation
        self._open_log = open_log
        self._observing = observing
        self.journal = journal or Journal()
        self._subscriptions = Subscriptions()
        self._handlers: dict[type[Message], Callable[[Any, float], list[Outgoing]]] = {
            RecordEvents: self._record,
            RecordTaskEvents: self._record_tasks,
            RecordLeftOut: self._record_left_out,
            RecordLog: self._record_log,
            OpenRunLog: self._open_run_log,
            CloseRunLog: self._close_run_log,
            GetCapacityPlan: self._report_plan,
            Subscribe: self._subscribe,
            Unsubscribe: self._unsubscribe,
            DeadlineReached: self._write_due,
        }
        if system_log is not None and observing:
            self.journal.logs.open(SYSTEM_LOG, system_log, dict(self.journal.next), now=now)

    @property
    def accepts(self) -> frozenset[type[Message]]:
        """The commands of `messages.telemetry`, and the deadline by which lines are written."""
        return frozenset(self._handlers)

    def handle(self, message: Message, *, now: float) -> list[Outgoing]:
        """Take one message of telemetry's protocol; return what to send."""
        return self._handlers[type(message)](message, now)

    def idle(self, *, now: float) -> list[Outgoing]:
        """Publish what has gathered for subscribers; write the logs if their lines are due."""
        self.journal.logs.write_due(now=now)
        return self._subscriptions.publish()

    def next_deadline(self) -> float | None:
        """Return when buffered lines have to be written."""
        return self.journal.logs.write_by

    def close(self, *, now: float) -> list[Outgoing]:
        """Publish what is left and complete every log. Nothing may be handled afterwards."""
        self.journal.logs.close_all(dict(self.journal.next), now=now)
        return self._subscriptions.publish()

    def snapshot(self, *, now: float) -> TelemetrySnapshot:  # noqa: ARG002 - every core's signature
        """Return telemetry's state. `sequences` holds how many events each stream has had."""
        return TelemetrySnapshot(
            run_id=self.journal.run_id,
            sequences={stream: following - 1 for stream, following in self.journal.next.items()},
            open_task_executions=self.journal.observed.tasks_held if self.journal.observed is not None else 0,
            bytes_written=self.journal.logs.bytes_written,
            sink_failures=dict(self.journal.logs.failures),
            dropped_events=self.journal.left_out,
            events=dict(self.journal.events),
            task_outcomes=dict(self.journal.task_outcomes),
        )

    def check(self) -> None:
        """Assert what always holds."""
        assert all(following >= 1 for following in self.journal.next.values())
        assert (self.journal.configured is None) == (self.journal.observed is None)
        assert self.journal.run_id is None or self.journal.observed is not None
        assert self.journal.run_log is None or self.journal.run_id is not None

    # -- commands ------------------------------------------------------------------------------------

    def _record_log(self, message: RecordLog, now: float) -> list[Outgoing]:
        if self.journal.logs:
            self.journal.logs.append(encode_entries(message.entries), now=now)
        return []

    def _open_run_log(self, message: OpenRunLog, now: float) -> list[Outgoing]:
        return self._answer(message, self._open_run(message, now=now))

    def _close_run_log(self, message: CloseRunLog, now: float) -> list[Outgoing]:
        return self._answer(message, self._close_run(message, now=now))

    def _report_plan(self, message: GetCapacityPlan, now: float) -> list[Outgoing]:
        plan = self._capacity_plan(message.run_id, now=now)
        return self._answer(message, CapacityPlanReported(message.run_id, plan))

    def _subscribe(self, message: Subscribe, _now: float) -> list[Outgoing]:
        self._subscriptions.add(message)
        return []

    def _unsubscribe(self, message: Unsubscribe, _now: float) -> list[Outgoing]:
        self._subscriptions.remove(message.reply_to)
        return []

    def _write_due(self, _message: DeadlineReached, now: float) -> list[Outgoing]:
        self.journal.logs.write_due(now=now)
        return []

    # -- events --------------------------------------------------------------------------------------

    def _record(self, message: RecordEvents, now: float) -> list[Outgoing]:
        stream, events = message.stream, message.events
        first = self.journal.next[stream]
        if self._observing and events:
            if self.journal.logs:
                self.journal.logs.append(encode_events(stream, first, events), now=now)
            if self.journal.run_id is not None and self.journal.observed is not None:
                self.journal.observed.record(events)
            self._subscriptions.gather(stream, first, events)
        self.journal.count(events)
        self.journal.next[stream] = first + len(events)
        return self._subscriptions.publish() if self._subscriptions.overdue else []

    def _record_tasks(self, message: RecordTaskEvents, now: float) -> list[Outgoing]:
        """Do as `_record` does, on the whole batch at once; whoever wants single events pays for them."""
        if message.event_kind not in _BATCH_KINDS:
            return self._record(RecordEvents("scheduler", events_of(message)), now)
        first, many = self.journal.next["scheduler"], len(message.correlations)
        if self._observing and many:
            if self.journal.logs:
                self.journal.logs.append(encode_task_events(first, message), now=now)
            if self.journal.run_id is not None and self.journal.observed is not None:
                self.journal.observed.record_tasks(message)
            if self._subscriptions.wants(message.event_kind):
                self._subscriptions.gather("scheduler", first, events_of(message))
        self.journal.count_tasks(message)
        self.journal.next["scheduler"] = first + many
        return self._subscriptions.publish() if self._subscriptions.overdue else []

    def _record_left_out(self, message: RecordLeftOut, now: float) -> list[Outgoing]:
        """Say at its place what was left out, and once, in a way that is seen, that anything was (O6)."""
        first = not self.journal.left_out
        self.journal.left_out += sum(message.events.values())
        entries = [LogEntry(now, TELEMETRY, "debug", LEFT_OUT, {"events": message.events})]
        outgoing = self._record_log(RecordLog(entries), now)
        if first:
            warning = LogEntry(now, TELEMETRY, "warning", "telemetry_overloaded")
            outgoing.append(Outgoing(TELEMETRY, RecordLog([warning])))
        return outgoing

    # -- runs ----------------------------------------------------------------------------------------

    def _open_run(self, message: OpenRunLog, *, now: float) -> RunLogOpened | RunLogRefused:
        if self.journal.run_id is not None:
            return RunLogRefused(
                message.run_id, f"the log of run {self.journal.run_id} is still open; close it first"
            )
        if message.path is not None and self._observing:
            try:
                sink = self._open_log(message.path)
            except OSError as error:
                culprit = "" if error.filename in (None, message.path) else f" ({error.filename})"
                reason = f"the log {message.path} cannot be written: {error.strerror}{culprit}"
                return RunLogRefused(message.run_id, reason)
            # An earlier run's failure at the same place is not this one's.
            self.journal.logs.failures.pop(message.path, None)
            self.journal.logs.open(message.path, sink, dict(self.journal.next), now=now)
            self.journal.run_log = message.path
        self.journal.run_id = message.run_id
        self.journal.configured = message.configured
        self.journal.observed = ObservedCapacity(message.plan, message.configured)
        return RunLogOpened(message.run_id)

    def _close_run(self, message: CloseRunLog, *, now: float) -> RunLogClosed:
        """Complete the run's log. Its capacity plan stays known until the next run opens."""
        if message.run_id != self.journal.run_id:
            return RunLogClosed(message.run_id, f"no log of run {message.run_id} is open")
        problem = ""
        if self.journal.run_log is not None:
            problem = self.journal.logs.close(self.journal.run_log, dict(self.journal.next), now=now)
        self.journal.run_log = self.journal.run_id = None
        return RunLogClosed(message.run_id, problem)

    def _capacity_plan(self, run_id: str, *, now: float) -> CapacityPlan | None:
        observed = self.journal.observed
        if observed is None or self.journal.configured is None or observed.run_id != run_id:
            return None
        return CapacityPlan(
            configured=self.journal.configured,
            runtime_snapshot=observed.present(now=now),
            observed_maxima=observed.maxima(),
        )

    @staticmethod
    def _answer(query: Query, answer: Message) -> list[Outgoing]:
        return [Outgoing(query.reply_to, answer)] if query.reply_to else []
