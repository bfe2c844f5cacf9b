"""A worker whose runner decides how tasks end: the real shell and tokens, no threads and no loop."""

from __future__ import annotations

from collections import Counter

from actors.planning import prepare
from actors.planning.capacity import describe_capacity
from actors.runtime.shell import ActorShell
from actors.worker.core import RunnerStatus, WorkerCore
from messages._base import WORKER, Outgoing
from messages.request_admission import RequestLeasesReported
from messages.tasks import TaskError, TaskOutcome
from messages.worker import JobPrepared, ModelsProbed


class ScriptedRunner:
    """Runs every task at once. The first try of `column`'s task ends as `kind`, whatever it would make."""

    def __init__(self, column, kind):
        self._column = column
        self._kind = kind
        self._tries = Counter()
        self._generators = {}
        self._ended = []
        self._answers = []
        self.finished = None

    def prepare(self, message):
        made = prepare(
            message.job,
            run_id=message.run_id,
            source_fields=message.source_fields,
            source_rows=message.rows,
        )
        self._generators = made.generators
        return JobPrepared(message.run_id, made.plan, describe_capacity(message.job, made.plan))

    def probe(self, message):
        self._answers.append(Outgoing(message.reply_to, ModelsProbed(message.run_id, ())))

    def start(self, starts):
        unstarted = []
        for start in starts:
            column = start.task.column
            self._tries[column] += 1
            if column != self._column or self._tries[column] > 1:
                outcome = TaskOutcome("success", self._made(start))
            elif self._kind == "worker_spawn_failed":
                unstarted.append(start.lease.lease_id)
                continue
            else:
                outcome = TaskOutcome(self._kind, error=TaskError("scripted", "as the test wants it"))
            self._ended.append((start.lease.lease_id, outcome))
        return unstarted

    def _made(self, start):
        generator = self._generators[start.task.column]
        if generator.mode != "async":
            return generator.run(start)
        try:
            generator.run_async(start, None).send(None)
        except StopIteration as made:
            return made.value
        raise AssertionError("the function waits for something")

    def cancel_all(self):
        pass

    def release(self, run_id):
        return {}

    def decided(self, message):
        raise AssertionError(message)

    def report(self):
        return RequestLeasesReported([], [])

    def take_outgoing(self):
        # Called when the mailbox has run empty: by then the start has been told.
        ended, self._ended = self._ended, []
        for lease_id, outcome in ended:
            self.finished(lease_id, outcome)
        answers, self._answers = self._answers, []
        return answers

    def status(self):
        return RunnerStatus(0, 0, 0, 0, {})


def put_scripted_worker(harness, column, kind):
    """Put an actor with such a runner in the place of the harness's worker; return it."""
    core, runner = WorkerCore(), ScriptedRunner(column, kind)
    core.attach(runner)
    router, clock = harness.system.router, harness.system.clock
    runner.finished = lambda lease_id, outcome: core.finished(lease_id, outcome, now=clock.now())
    actor = ActorShell.start(WORKER, core, router, clock)

    def deliver(messages):
        actor.tell(messages)
        return True

    router.register(WORKER, deliver)
    return actor
