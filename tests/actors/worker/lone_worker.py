"""A worker alone: its neighbours are mailboxes that a test reads, its tasks are what a test starts."""

from __future__ import annotations

import itertools

from actors import ActorSystem
from messages import Job, PythonColumn
from messages._base import REQUEST_ADMISSION, SCHEDULER, TASK_ADMISSION, TELEMETRY, WORKER
from messages.job import ChatColumn, Latency, Limits, ModelConfig, SimulatedProvider
from messages.request_admission import (
    AcquireRequestLease,
    RequestAdmissionDenied,
    RequestLease,
    RequestLeaseDenied,
    RequestLeaseGranted,
    ReturnRequestLease,
)
from messages.supervision import GetSnapshot
from messages.task_admission import ReturnTaskLeases, TaskLease
from messages.tasks import RuntimeCorrelation, Task
from messages.telemetry import RecordEvents
from messages.worker import (
    CancelTasks,
    ExecuteTasks,
    JobPrepared,
    JobReleased,
    JobUnpreparable,
    ModelsProbed,
    PrepareJob,
    ProbeModels,
    ReleaseJob,
    TaskStart,
)
from tests.actors.runtime.scripted_actor import Mailbox

RUN = "run-1"


class LoneWorker:
    """One real worker; scheduler, both admissions and telemetry are mailboxes."""

    def __init__(self, **start):
        self.boxes = {}

        def stand_in(system):
            for name in (SCHEDULER, TASK_ADMISSION, REQUEST_ADMISSION, TELEMETRY):
                self.boxes[name] = Mailbox(system.router, name)

        self.system = ActorSystem.start(actors=(WORKER,), prepare=stand_in, **start)
        self.plan = None
        self._lease_ids = itertools.count(1)
        self._returned = []
        self._request_leases = itertools.count(1)
        self._request_mail = []

    # -- commands ----------------------------------------------------------------------------------

    def prepare(self, columns=None, *, threads=4, rows=10, **job):
        """Prepare a job of these columns; return the worker's answer."""
        job = Job(name="a job", rows=rows, columns=columns or {}, limits=Limits(threads=threads), **job)
        self.system.tell(WORKER, PrepareJob(RUN, job, (), rows, reply_to=SCHEDULER))
        (answer,) = self.boxes[SCHEDULER].next((JobPrepared, JobUnpreparable))
        self.plan = getattr(answer, "plan", None)
        return answer

    def functions(self, threads=4, **functions):
        """Prepare a job with one python column per function."""
        columns = {name: PythonColumn(function=function) for name, function in functions.items()}
        assert isinstance(self.prepare(columns, threads=threads), JobPrepared)

    def start(self, *columns, rows=1, inputs=None):
        """Start one task of each column in one message; return their lease ids."""
        starts = [self._start(column, rows, inputs or {}) for column in columns]
        self.system.tell(WORKER, ExecuteTasks(starts))
        return [start.lease.lease_id for start in starts]

    def _start(self, column, rows, inputs):
        lease_id = next(self._lease_ids)
        generator = next((found for found in self.plan.generators if found.name == column), None)
        scheduling = (generator or self.plan.generators[0]).scheduling
        task_type = generator.task_type if generator is not None else "cell"
        row = lease_id if task_type == "cell" else None
        correlation = RuntimeCorrelation(RUN, 0, row, column, task_type, "local", "0" * 12, lease_id)
        lease = TaskLease(
            lease_id, 1, lease_id, scheduling.group, scheduling.resource_request, 0.0, correlation
        )
        return TaskStart(lease, Task(column, 0, row, task_type), inputs, 0, rows)

    def cancel(self):
        self.system.tell(WORKER, CancelTasks(RUN))

    def probe(self):
        """Ask for the health of the models; `probed` returns what is answered."""
        self.system.tell(WORKER, ProbeModels(RUN, reply_to=SCHEDULER))

    def probed(self):
        return self.boxes[SCHEDULER].next(ModelsProbed)[0]

    def release(self):
        self.system.tell(WORKER, ReleaseJob(RUN, reply_to=SCHEDULER))
        return self.boxes[SCHEDULER].next(JobReleased)[0]

    # -- what comes back ---------------------------------------------------------------------------

    def outcomes(self, *lease_ids, timeout=5.0):
        """Return the outcomes of these leases once all of their tokens have come back."""
        found = {}
        while not found.keys() >= set(lease_ids):
            for message in self.boxes[TASK_ADMISSION].next(ReturnTaskLeases, timeout):
                for returned in message.returns:
                    self._returned.append(returned.lease.lease_id)
                    found[returned.lease.lease_id] = returned.outcome
        return [found[lease_id] for lease_id in lease_ids]

    def outcome(self, column, **start):
        """Run one task of a column and return its outcome."""
        return self.outcomes(*self.start(column, **start))[0]

    def returned(self):
        """Return the ids of all tokens that have come back so far, in order (T2: each once)."""
        self.snapshot()
        for message in self.boxes[TASK_ADMISSION].drain():
            self._returned += [returned.lease.lease_id for returned in message.returns]
        return self._returned

    def snapshot(self):
        return self.system.ask(WORKER, GetSnapshot()).state

    # -- request admission's part ------------------------------------------------------------------

    def asked(self):
        """Return the next question for a request lease."""
        return self.sent_to_requests(AcquireRequestLease).item

    def grant(self, item, resource=None):
        """Grant what `item` asks for, or the replica `resource`; return the lease."""
        lease = RequestLease(next(self._request_leases), 1, resource or item.resource, 0.0, 4, 4)
        granted = RequestLeaseGranted(item.event_context.request_attempt_id, lease)
        self.system.tell(WORKER, granted)
        return lease

    def deny(self, item, reason, **fields):
        denied = RequestAdmissionDenied(reason, **fields)
        self.system.tell(WORKER, RequestLeaseDenied(item.event_context.request_attempt_id, denied))

    def sent_to_requests(self, kind):
        """Return the next message of a kind to request admission; those of other kinds are kept."""
        while True:
            found = next((message for message in self._request_mail if isinstance(message, kind)), None)
            if found is not None:
                self._request_mail.remove(found)
                return found
            self._request_mail += self.boxes[REQUEST_ADMISSION].next()

    def request_mail(self):
        """Return everything that was sent to request admission until now and has not been returned yet."""
        self.snapshot()
        found = self._request_mail + self.boxes[REQUEST_ADMISSION].drain()
        self._request_mail = []
        return found

    def given_back(self):
        """Return the next request lease that comes back, with its outcome."""
        return self.sent_to_requests(ReturnRequestLease)

    def request_events(self):
        """Return the request events that have been told and not been returned yet."""
        self.snapshot()
        return [
            event
            for message in self.boxes[TELEMETRY].drain()
            if isinstance(message, RecordEvents) and message.stream == "request"
            for event in message.events
        ]


def a_chat_job(*, latency_ms=0.0, timeout_seconds=60.0, queue_timeout_seconds=None):
    """Return the columns and models of a job with one chat column."""
    return {
        "columns": {"story": ChatColumn(model="writer", prompt="Tell me.")},
        "providers": {"sim": SimulatedProvider(latency_ms=Latency(mean=latency_ms))},
        "models": {
            "writer": ModelConfig(
                provider="sim",
                model="sim-writer",
                timeout_seconds=timeout_seconds,
                queue_timeout_seconds=queue_timeout_seconds,
            )
        },
    }
