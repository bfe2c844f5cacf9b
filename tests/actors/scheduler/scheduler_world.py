"""A scheduler core among a real task admission core and fakes of the other actors.

Messages between two actors keep their order. Mail to an actor can be held back, so that a test can let
things cross; an actor's answer to a kind of message can be replaced.
"""

from __future__ import annotations

import itertools
from collections import deque

import msgspec

from actors.scheduler.core import SchedulerCore
from actors.task_admission.core import TaskAdmissionCore
from actors.task_admission.policies import policy_named
from messages import storage, telemetry, worker
from messages._base import Outgoing
from messages.job import Job
from messages.request_admission import RegisterRequestResources, RequestResourcesRegistered
from messages.scheduler import CancelJob, CheckJob, JobFinished, ModelUsage, SubmitJob
from messages.task_admission import ReturnTaskLeases, TaskLeaseReturn
from messages.tasks import TaskError, TaskOutcome
from tests.actors.evidence.log_script import some_capacity

ACTORS = ("storage", "worker", "telemetry", "request_admission", "task_admission")


def failure(kind="boom", *, outcome="non_retryable_failure", message="it broke", causes=(), retry_after=None):
    return TaskOutcome(outcome, error=TaskError(kind, message, causes, retry_after))


def retryable(kind="provider_failure", **how):
    return failure(kind, outcome="retryable_failure", **how)


class World:
    """`plan` is a function of the run id, as the worker would answer `PrepareJob`."""

    def __init__(self, plan, *, source_rows=0, source_fields=()):
        self.plan = plan
        self.now = 0.0
        self._run_ids = (f"run-{number}" for number in itertools.count(1))
        self.core = SchedulerCore(policy_named, self._run_ids)
        self.admission = TaskAdmissionCore(policy_named)
        self.mail = {name: deque() for name in (*ACTORS, "scheduler")}
        self.held_back = set()
        self.answers = {}  # message type -> function of the message, in place of the fake's answer
        self.sent = []  # everything the scheduler sent, in order
        self.client = []
        self.running = {}  # lease id -> TaskStart
        self.stubborn = False  # whether the worker ignores cancels
        self.stored = {}
        self.dropped = []
        self.events = []
        self.source = (source_fields, source_rows)

    # -- driving it --------------------------------------------------------------------------------

    def submit(self, *, reply_to="client", out=None):
        return self.tell(SubmitJob(Job(name="a job"), out=out, reply_to=reply_to))

    def check_job(self, *, probe=False, out=None):
        return self.tell(CheckJob(Job(name="a job"), out, probe=probe, reply_to="client"))

    def cancel(self, reason="cancelled"):
        return self.tell(CancelJob(reason, reply_to="client"))

    def tell(self, message):
        """Send the scheduler a message and let everybody come to rest."""
        self.mail["scheduler"].append(message)
        self.settle()
        return self

    def lose_the_scheduler(self):
        """Let the core be lost between two messages, and a new one take its place."""
        lost = self.core
        self._send(lost.idle(now=self.now))
        self.core = SchedulerCore(
            policy_named,
            self._run_ids,
            generation=lost.generation + 1,
            orphan=lost.orphan,
            execution_ids_from=lost.next_execution_id,
        )
        self.settle()

    def settle(self):
        for _ in range(100_000):
            name = next((name for name in ACTORS if self.mail[name] and name not in self.held_back), None)
            if name is not None:
                self._deliver(name, self.mail[name].popleft())
            elif self.mail["scheduler"]:
                message = self.mail["scheduler"].popleft()
                assert type(message) in self.core.accepts
                self._send(self.core.handle(message, now=self.now))
                self.core.check()
            elif not self._rest():
                return
        raise AssertionError("it never comes to rest")

    def _rest(self):
        outgoing = self.core.idle(now=self.now)
        self.core.check()
        self.admission.check()
        self._send(outgoing)
        return bool(outgoing)

    def hold_back(self, *names):
        self.held_back.update(names)

    def let_through(self, *names):
        self.held_back.difference_update(names)
        self.settle()

    def at(self, now):
        """Let time pass up to `now`, stopping at every deadline on the way."""
        while (deadline := self.core.next_deadline()) is not None and deadline <= now:
            self.now = max(self.now, deadline)
            self.settle()
        self.now = now
        self.settle()

    # -- the worker's side -------------------------------------------------------------------------

    def tasks(self):
        """Return (column, row) of what runs; the row is None for a row group's task."""
        return sorted(((start.task.column, start.task.row_index) for start in self.running.values()), key=str)

    def start_of(self, column, row=None):
        return next(
            start
            for start in self.running.values()
            if (start.task.column, start.task.row_index) == (column, row)
        )

    def finish(self, column, row=None, outcome=None, *, value="v"):
        """End one running task and let everybody come to rest."""
        start = self.start_of(column, row)
        del self.running[start.lease.lease_id]
        self.give_back((start.lease, outcome or TaskOutcome("success", value)))
        return start

    def finish_all(self, value_of=lambda start: "v"):
        """End everything that runs, and what starts because of it."""
        while self.running:
            starts = list(self.running.values())
            self.running.clear()
            self.give_back(*((start.lease, TaskOutcome("success", value_of(start))) for start in starts))

    def give_back(self, *endings):
        returns = [TaskLeaseReturn(lease, outcome) for lease, outcome in endings]
        self.mail["task_admission"].append(ReturnTaskLeases(returns))
        self.settle()

    def account_for(self, column, row=None, outcome=None, *, value="v"):
        """End one running task; its token overtakes whatever else is on its way to task admission."""
        self.account_for_start(self.start_of(column, row), outcome or TaskOutcome("success", value))

    def account_for_start(self, start, outcome):
        """The same for one start, whatever else of its column runs."""
        del self.running[start.lease.lease_id]
        ending = TaskLeaseReturn(start.lease, outcome)
        self._deliver("task_admission", ReturnTaskLeases([ending]))
        self.settle()

    # -- what was seen -----------------------------------------------------------------------------

    def sent_to(self, name, kind=None):
        return [item.message for item in self.sent if item.to == name and kind in (None, type(item.message))]

    def kinds_sent_to(self, name):
        return [type(message).__name__ for message in self.sent_to(name)]

    @property
    def result(self):
        (finished,) = [message for message in self.client if isinstance(message, JobFinished)]
        return finished.result

    @property
    def phase(self):
        return self.core.snapshot(now=self.now).phase

    def leases_out(self):
        return self.admission.snapshot(now=self.now).active_leases

    # -- the others --------------------------------------------------------------------------------

    def _send(self, outgoing):
        for item in outgoing:
            assert isinstance(item, Outgoing)
            self.sent.append(item)
            if item.to in self.mail:
                self.mail[item.to].append(item.message)
            else:
                self.client.append(item.message)

    def _deliver(self, name, message):
        answer = self.answers.get(type(message))
        if answer is not None:
            self.mail["scheduler"].extend(answer(message))
        elif name == "task_admission":
            for item in self.admission.handle(message, now=self.now):
                if item.to == "scheduler":
                    self.mail["scheduler"].append(item.message)
                else:
                    self._note_events(item.message)
        else:
            self.mail["scheduler"].extend(getattr(self, f"_{name}")(message))

    def _storage(self, message):
        run_id = message.run_id
        match message:
            case storage.InspectFiles():
                fields, rows = self.source
                yield storage.FilesInspected(run_id, fields, rows)
            case storage.OpenRun():
                self.stored.clear()
                self.dropped.clear()
                yield storage.RunOpened(run_id)
            case storage.LoadRowGroup(row_group=index, first_row=first, rows=rows):
                columns = {name: [f"{name}{first + at}" for at in range(rows)] for name in self.source[0]}
                yield storage.RowGroupLoaded(run_id, index, columns)
            case storage.StoreRowGroup():
                assert all(len(values) == message.rows for values in message.columns.values())
                assert message.row_group not in self.stored
                self.stored[message.row_group] = message
                self.dropped += message.dropped
                yield storage.RowGroupStored(run_id, message.row_group, message.rows)
            case storage.CloseRun() if message.reply_to:
                yield storage.RunClosed(run_id, msgspec.structs.replace(message.result, output="closed"))

    def _worker(self, message):
        match message:
            case worker.PrepareJob():
                yield worker.JobPrepared(message.run_id, self.plan(message.run_id), some_capacity())
            case worker.ProbeModels():
                yield worker.ModelsProbed(message.run_id, ())
            case worker.ExecuteTasks():
                for start in message.starts:
                    assert start.lease.lease_id in self.admission._ledger.active
                    self.running[start.lease.lease_id] = start
            case worker.CancelTasks() if not self.stubborn:
                leases = [start.lease for start in self.running.values()]
                self.running.clear()
                returns = [TaskLeaseReturn(lease, TaskOutcome("cancelled")) for lease in leases]
                self.mail["task_admission"].append(ReturnTaskLeases(returns))
            case worker.ReleaseJob() if message.reply_to:
                yield worker.JobReleased(message.run_id, {"m": ModelUsage(3, {"success": 3})})

    def _telemetry(self, message):
        match message:
            case telemetry.OpenRunLog():
                yield telemetry.RunLogOpened(message.run_id)
            case telemetry.GetCapacityPlan():
                yield telemetry.CapacityPlanReported(message.run_id, None)
            case telemetry.CloseRunLog() if message.reply_to:
                yield telemetry.RunLogClosed(message.run_id)
            case _:
                self._note_events(message)

    def _note_events(self, message):
        match message:
            case telemetry.RecordEvents():
                self.events += [(event.event_kind, event.reason_or_outcome) for event in message.events]
            case telemetry.RecordTaskEvents():
                self.events += [(message.event_kind, "")] * len(message.correlations)

    def _request_admission(self, message):
        assert isinstance(message, RegisterRequestResources)
        yield RequestResourcesRegistered(message.run_id, 1)
