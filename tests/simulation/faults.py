"""What goes wrong in a world. A fault is a small struct that hooks itself into a play before it begins.

`arm(play)` may use `play.at_step`, `play.at_time`, `play.on_send`, `play.disk` and `play.logs`, and says by
`play.struck(self)` that it has done its harm. What it excuses it says in attributes that the checkers read:

- `may_end`: statuses that the job may have because of it, besides `succeeded` and `partial`
- `may_drop`: reasons for which rows may be dropped because of it
- `takes_worker`: whether the worker loses its state because of it
- `ends_process`: whether the process that it strikes ends with it, and the run is resumed by another
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from messages._base import (
    ACTOR_NAMES,
    REQUEST_ADMISSION,
    SCHEDULER,
    STORAGE,
    TASK_ADMISSION,
    TELEMETRY,
    WORKER,
)
from messages.request_admission import ReturnRequestLease
from messages.scheduler import CancelJob
from messages.supervision import CrashActor
from messages.task_admission import ReturnTaskLeases


class _Fault(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """`resumed`: whether it strikes the last process that resumes the run, and not the first one."""

    resumed: bool = False
    may_end: ClassVar[frozenset[str]] = frozenset()
    may_drop: ClassVar[frozenset[str]] = frozenset()
    takes_worker: ClassVar[bool] = False
    ends_process: ClassVar[bool] = False


class LostActor(_Fault, frozen=True):
    """An actor loses its state between two messages and begins anew."""

    actor: str
    step: int

    def arm(self, play):
        def lose():
            play.tell(self.actor, CrashActor())
            play.struck(self)

        play.at_step(self.step, lose)

    @property
    def takes_worker(self):
        return self.actor == WORKER

    @property
    def may_drop(self):
        return frozenset({"worker_lost", "worker_spawn_failed"}) if self.actor == WORKER else frozenset()

    @property
    def may_end(self):
        # Before its work has begun a job is refused; a lost scheduler ends it in any case.
        return frozenset({"rejected", "failed"} if self.actor == SCHEDULER else {"rejected"})


class LostReply(_Fault, frozen=True):
    """The worker dies while it sends: what it tells an actor then never arrives, and it begins anew.

    `to` task admission these are the ends of tasks, to the scheduler that a job is prepared. What it tells
    request admission is not lost: between actors of one process no message is, and that is relied upon.
    """

    number: int
    to: str = TASK_ADMISSION
    may_end: ClassVar[frozenset[str]] = frozenset({"rejected"})
    may_drop: ClassVar[frozenset[str]] = frozenset({"worker_lost", "worker_spawn_failed"})
    takes_worker: ClassVar[bool] = True

    def arm(self, play):
        seen = 0

        def lose(sender, receiver, messages):
            nonlocal seen
            if sender != WORKER or receiver != self.to:
                return messages
            seen += 1
            if seen != self.number:
                return messages
            play.deliver_first(WORKER, CrashActor())
            play.struck(self)
            return []

        play.on_send(lose)


class Cancel(_Fault, frozen=True):
    """The user cancels the job; with `again`, a second time so many steps later (R11)."""

    step: int
    again: int = 0
    may_end: ClassVar[frozenset[str]] = frozenset({"cancelled", "rejected"})

    def arm(self, play):
        def cancel():
            play.tell(SCHEDULER, CancelJob("enough", submitted_by=play.address))
            play.struck(self)

        for step in (self.step, self.step + self.again) if self.again else (self.step,):
            play.at_step(step, cancel)


class Shutdown(_Fault, frozen=True):
    """The system is stopped, whatever it is doing."""

    step: int
    may_end: ClassVar[frozenset[str]] = frozenset({"cancelled", "rejected", "unknown"})

    def arm(self, play):
        def stop():
            play.shut_down()
            play.struck(self)

        play.at_step(self.step, stop)


class StoppedActors(_Fault, frozen=True):
    """The actors are stopped in the midst of their work: the system had waited for its job long enough."""

    step: int
    ends_process: ClassVar[bool] = True

    def arm(self, play):
        def stop():
            play.struck(self)
            play.stop_at_once()

        play.at_step(self.step, stop)


class KilledProcess(_Fault, frozen=True):
    """The process ends at once. What was not synced may be lost, too, where `power` goes with it."""

    step: int
    power: bool = False
    ends_process: ClassVar[bool] = True

    def arm(self, play):
        def kill():
            play.struck(self)
            play.kill(power=self.power)

        play.at_step(self.step, kill)


class RepeatedReturn(_Fault, frozen=True):
    """A message that returns a lease arrives twice (T2)."""

    number: int
    of_requests: bool = False

    def arm(self, play):
        kind = ReturnRequestLease if self.of_requests else ReturnTaskLeases
        to = REQUEST_ADMISSION if self.of_requests else TASK_ADMISSION
        seen = 0

        def repeat(sender, receiver, messages):
            nonlocal seen
            if sender != WORKER or receiver != to:
                return messages
            found = []
            for message in messages:
                found.append(message)
                if isinstance(message, kind):
                    seen += 1
                    if seen == self.number:
                        found.append(message)
                        play.struck(self)
            return found

        play.on_send(repeat)


class LateReturn(_Fault, frozen=True):
    """A message that returns task leases arrives late, and after what was sent later."""

    number: int
    seconds: float

    def arm(self, play):
        seen = 0

        def delay(sender, receiver, messages):
            nonlocal seen
            if sender != WORKER or receiver != TASK_ADMISSION:
                return messages
            found = []
            for message in messages:
                if isinstance(message, ReturnTaskLeases):
                    seen += 1
                    if seen == self.number:
                        play.struck(self)
                        play.at_time(
                            play.clock.time + self.seconds,
                            lambda late=message: play.deliver(sender, receiver, late),
                        )
                        continue
                found.append(message)
            return found

        play.on_send(delay)


class SlowChannel(_Fault, frozen=True):
    """From some message on, what the worker tells request admission arrives late, in its order."""

    number: int
    seconds: float

    def arm(self, play):
        seen, held = 0, None

        def let_go():
            nonlocal held
            arriving, held = held, None
            for message in arriving:
                play.deliver(WORKER, REQUEST_ADMISSION, message)

        def delay(sender, receiver, messages):
            nonlocal seen, held
            if sender != WORKER or receiver != REQUEST_ADMISSION:
                return messages
            seen += 1
            if seen == self.number:
                held = []
                play.struck(self)
                play.at_time(play.clock.time + self.seconds, let_go)
            if held is None:
                return messages
            held += messages
            return []

        play.on_send(delay)


class FailingLog(_Fault, frozen=True):
    """The log cannot be written from some write on (O1)."""

    write: int

    def arm(self, play):
        play.logs.fail_from(self.write, lambda: play.struck(self))


class FailingDisk(_Fault, frozen=True):
    """An operation on the disk fails: before it did anything, half-way, or after it was done."""

    operation: int
    error: str
    when: str
    lasting: bool = False
    may_end: ClassVar[frozenset[str]] = frozenset({"failed", "rejected"})

    def arm(self, play):
        def struck():
            play.struck(self)

        play.disk.fail_at(self.operation, self.error, self.when, lasting=self.lasting, told=struck)


Fault = (
    LostActor
    | LostReply
    | Cancel
    | Shutdown
    | StoppedActors
    | KilledProcess
    | RepeatedReturn
    | LateReturn
    | SlowChannel
    | FailingLog
    | FailingDisk
)

KINDS = tuple(kind.__name__ for kind in Fault.__args__)
"""What can go wrong, by the name under which it is counted and left out."""

_LOSABLE = (TASK_ADMISSION, REQUEST_ADMISSION, WORKER, WORKER, TELEMETRY, STORAGE, SCHEDULER)
assert set(_LOSABLE) == set(ACTOR_NAMES)


def draw_faults(chance, job, *, in_folder):
    """Return the faults of a world: often none, sometimes several, which may come close together."""
    number = chance.choice((0, 0, 1, 1, 1, 2, 3, 4))
    near = chance.random() < 0.5
    kinds = ["lost", "lost", "lost", "cancel", "shutdown", "repeated", "late", "log", "reply"]
    if in_folder:
        kinds += ["killed", "killed", "stopped", "disk", "disk"]
    step = _step(chance)
    faults = tuple(
        _fault(chance, chance.choice(kinds), job, step + chance.randrange(12) if near else _step(chance))
        for _ in range(number)
    )
    if not any(fault.ends_process for fault in faults):
        return faults
    return tuple(
        fault if fault.ends_process or chance.random() < 0.6 else msgspec.structs.replace(fault, resumed=True)
        for fault in faults
    )


def _step(chance):
    return chance.choice((chance.randrange(60), chance.randrange(20, 300), chance.randrange(40, 1200)))


def _fault(chance, kind, job, step):
    match kind:
        case "lost":
            return LostActor(chance.choice(_LOSABLE), step)
        case "cancel":
            return Cancel(step, chance.choice((0, 0, 1, 20)))
        case "reply":
            to = chance.choice((TASK_ADMISSION, TASK_ADMISSION, SCHEDULER))
            return LostReply(chance.randrange(1, 3 if to == SCHEDULER else 10), to)
        case "shutdown":
            return Shutdown(step)
        case "stopped":
            return StoppedActors(step)
        case "killed":
            return KilledProcess(step, power=chance.random() < 0.5)
        case "repeated":
            return RepeatedReturn(
                chance.randrange(1, 10), of_requests=bool(job.models) and chance.random() < 0.5
            )
        case "late":
            kind = SlowChannel if job.models and chance.random() < 0.5 else LateReturn
            return kind(chance.randrange(1, 10), chance.choice((0.0, 0.05, 3.0)))
        case "log":
            return FailingLog(chance.randrange(1, 10))
        case _:
            error = chance.choice(("ENOSPC", "EIO"))
            when = chance.choice(("before", "half", "after"))
            return FailingDisk(chance.randrange(1, 40), error, when, lasting=chance.random() < 0.3)
