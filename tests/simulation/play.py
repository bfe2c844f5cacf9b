"""Plays a world to its end: one process, or several where it is killed and the run is resumed."""

from __future__ import annotations

import contextlib
import gc
import itertools
import logging
import random
import warnings
from collections import Counter

from actors.storage.ports import no_log_is_read
from actors.storage.source import FileSources
from actors.system.cores import Ports
from bench.virtual.clock import VirtualClock
from bench.virtual.stage import Stage, StuckError
from messages._base import ACTOR_NAMES, SCHEDULER
from messages.job import ChatColumn, Job, ModelConfig, SequenceColumn, SimulatedProvider
from messages.scheduler import CancelJob, JobFinished, JobRejected, SubmitJob
from messages.supervision import ActorSnapshot, GetSnapshot
from tests.simulation.disk import SimulatedDisk, journaled_on, rows_on, runs_on
from tests.simulation.logs import SimulatedLogs

CLIENT = "client"
OUT = "/out"
MOST_STEPS = 1_000_000
LONGEST = 20_000.0
"""Virtual seconds that a job may take: all of a world's troubles end long before."""

NEXT_JOB = Job(
    name="next",
    rows=2,
    providers={"p0": SimulatedProvider()},
    models={"m0": ModelConfig(provider="p0", model="small")},
    columns={"n": SequenceColumn(), "said": ChatColumn(model="m0", prompt="What of {{ n }}?")},
)

_standard = logging.getLogger("leasehold")


class ProcessEndedError(Exception):
    """The process is gone, before its job was over."""


class Played:
    """What came of a world: results, refusals and logs, one of each process, and the snapshots at the end.

    `next_job` is what the same system answered the next job; None where there was no asking any more.
    `locked` are the locks that are held when the job is over and everything has come to rest.
    `ended` is how many processes ended before the job was over, `faults` what has gone wrong, by kind, and
    `journaled` what each process found of cells that an earlier one had finished.
    """

    def __init__(self):
        self.results = []
        self.problems = []
        self.logs = []
        self.snapshots = {}
        self.ended = 0
        self.stopped = False
        self.steps = 0
        self.decisions = 0
        self.trail = 0
        self.loop_failures = []
        self.log_failed = False
        self.written = []
        self.dropped = []
        self.next_job = None
        self.faults = Counter()
        self.journaled = []
        self.locked = []

    @property
    def result(self):
        """The last process's result; None where there is none."""
        return self.results[-1] if self.results else None


class Play:
    """One process of a world. Faults hook themselves in here.

    `checks_cores`: whether the cores assert their own invariants after every message.
    """

    checks_cores = True

    def __init__(self, world, played, disk, *, seed, faults, resume):
        self.world = world
        self.played = played
        self.disk = disk
        self.address = CLIENT
        self.clock = VirtualClock()
        self.logs = SimulatedLogs()
        self.inbox = []
        self._resume = resume
        self._hooks = []
        how = world.scheduling
        chance = random.Random(f"{how.seed}/{seed}")
        self.stage = Stage(
            self._ports(seed),
            self.clock,
            chance,
            spread=how.spread,
            slow=how.slow,
            jitter=how.jitter,
            serialize=how.serialize,
        )
        self.stage.router.register(CLIENT, self._receive)
        for fault in faults:
            fault.arm(self)
        if self.checks_cores:
            self.stage.after_step = self._check
        if self._hooks:
            self.stage.router.on_send = self._sent
        self._tell_done = None

    def _ports(self, process):
        return Ports(
            now=self.clock.now,
            open_log=self.logs.open,
            open_system_log=lambda: self.logs.open("system"),
            runs=runs_on(self.disk, no_log_is_read),
            sources=FileSources(),
            run_ids=(f"run-{process}-{number}" for number in itertools.count(1)),
        )

    def _check(self, who, what):
        """Assert what must hold of a core after every message."""
        if what in ("take", "deadline", "attend"):
            check = getattr(self.stage.bodies[who].core, "check", None)
            if check is not None:
                check()

    # -- what faults use -----------------------------------------------------------------------------

    def at_step(self, step, action):
        """Do something once so many steps have been done."""
        self.stage.at_step(step, action)

    def at_time(self, time, action):
        """Do something at a time."""
        self.stage.at_time(time, action)

    def on_send(self, hook):
        """Let `hook(sender, receiver, messages)` return what is sent instead."""
        self._hooks.append(hook)

    def tell(self, actor, message):
        """Send a message as the user."""
        self.stage.router.send(CLIENT, actor, [message])

    def deliver(self, sender, actor, message):
        """Let a message arrive that was held back, past every hook, after what its sender is sending."""
        in_flight = self.stage.router.in_flight[sender]
        if in_flight:
            in_flight.append((actor, [message]))
        else:
            self.stage.inboxes[actor].put([message])

    def deliver_first(self, actor, message):
        """Put a message before everything that an actor has not read yet."""
        self.stage.inboxes[actor].put_first([message])

    def struck(self, fault):
        """Note that a fault has done its harm."""
        self.played.faults[type(fault).__name__] += 1

    def kill(self, *, power):
        """End the process."""
        self.disk.process_ends(power=power, chance=self.stage.chance)
        raise ProcessEndedError

    def stop_at_once(self):
        """Stop the actors, whatever they are doing, and end the process."""
        self.stage.stop()
        self.kill(power=False)

    def shut_down(self):
        """Begin to stop the system, as `ActorSystem.stop` does: cancel, wait, stop the actors."""
        if not self.played.stopped:
            self.played.stopped = True
            self.tell(SCHEDULER, CancelJob("the system was stopped"))

    # -- playing -------------------------------------------------------------------------------------

    def run(self):
        """Play until the job has ended and everything has come to rest; then stop the actors."""
        out = OUT if self.world.in_folder else None
        self.tell(SCHEDULER, SubmitJob(self.world.job, out=out, resume=self._resume, reply_to=CLIENT))
        try:
            self._until(self._is_over, "the job did not end")
            self._come_to_rest()  # what is still under way comes to rest
            self._take_snapshots()
            if not self.played.stopped:
                self._run_next_job()
            self.stage.stop()
        finally:
            self._note()

    def _is_over(self):
        return any(isinstance(message, JobFinished | JobRejected) for message in self.inbox)

    def _run_next_job(self):
        """Whatever happened to a job, the system takes the next one. Nothing goes wrong any more."""
        self.stage.forget_steps()
        self.stage.router.on_send = None
        answers = self.inbox
        self.inbox = []
        self.tell(SCHEDULER, SubmitJob(NEXT_JOB, reply_to=CLIENT))
        self._until(self._is_over, "the next job did not end")
        self.played.next_job = self.inbox[-1]
        self.inbox = answers
        self._come_to_rest()

    def _come_to_rest(self):
        """Let what is still under way come to its end."""
        self._until(lambda: False, None)

    def _until(self, done, problem):
        """Go on until `done()`; with a `problem`, it must come to that before nothing happens any more."""
        try:
            is_done = self.stage.run(done, most_steps=MOST_STEPS, longest=LONGEST)
        except StuckError as error:
            raise StuckError(f"{problem}: {error}") from None
        if problem is not None and not is_done:
            raise StuckError(f"{problem}: nothing happens any more at {self.clock.time:.3f} s")

    def _take_snapshots(self):
        for name in ACTOR_NAMES:
            self.tell(name, GetSnapshot(reply_to=CLIENT))
        self._come_to_rest()
        for message in self.inbox:
            if isinstance(message, ActorSnapshot):
                self.played.snapshots[message.actor] = message.state
        self.played.locked = self.disk.locked

    def _note(self):
        self.stage.loop.close()
        played, stage = self.played, self.stage
        played.logs.append(bytes(self.logs.contents["system"]))
        played.log_failed = bool(self.logs.failed)
        played.steps += stage.steps
        played.decisions += stage.decisions
        played.trail = hash((played.trail, stage.trail))
        played.loop_failures += stage.loop.failures
        for message in self.inbox:
            if isinstance(message, JobFinished):
                played.results.append(message.result)
                self._note_rows(message.result)
            elif isinstance(message, JobRejected):
                played.problems += message.problems

    def _note_rows(self, result):
        if result.dataset is not None:
            self.played.written, self.played.dropped = list(result.rows()), result.dropped
        else:
            self.played.written, self.played.dropped = rows_on(self.disk, OUT)

    def _receive(self, messages):
        self.inbox += messages
        return True

    def _sent(self, sender, to, messages):
        for hook in self._hooks:
            messages = hook(sender, to, messages)
        return messages


def play(world):
    """Return what comes of a world.

    Raises:
        StuckError: it did not come to an end.
    """
    with _undisturbed():
        return _played(world)


@contextlib.contextmanager
def _undisturbed():
    """Keep out what does not belong to a world: the collector, whose moment is nobody's to choose, and noise.

    What goes wrong here is meant to, and nobody awaits the coroutines of a killed process.
    """
    level, collecting = _standard.level, gc.isenabled()
    _standard.setLevel(logging.CRITICAL + 1)
    gc.disable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            yield
    finally:
        _standard.setLevel(level)
        if collecting:
            gc.enable()


def _played(world):
    played = Played()
    disk = SimulatedDisk()
    ends = [fault for fault in world.faults if fault.ends_process] if world.in_folder else []
    others = [fault for fault in world.faults if not fault.ends_process]
    for process in range(len(ends) + 1):
        faults = ends[process : process + 1]
        if process == 0:
            faults += [fault for fault in others if not fault.resumed]
        elif process == len(ends):
            faults += [fault for fault in others if fault.resumed]
        played.journaled.append(journaled_on(disk, OUT))
        current = Play(world, played, disk, seed=process, faults=faults, resume=process > 0)
        try:
            current.run()
        except ProcessEndedError:
            played.ended += 1
        else:
            break
    return played
