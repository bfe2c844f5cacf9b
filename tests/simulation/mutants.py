"""Deliberate bugs in the cores, for the simulator to find. Each is a patch over the running code."""

from __future__ import annotations

import contextlib
from unittest.mock import patch
from weakref import WeakKeyDictionary

from actors.request_admission.core import RequestAdmissionCore
from actors.request_admission.leases import RequestLeases
from actors.request_admission.waiters import WaiterQueue
from actors.scheduler.cell_journal import CellJournal
from actors.scheduler.facts import Facts
from actors.system import cores
from actors.task_admission.ledger import Ledger
from messages.task_admission import PolicyStateDelta


def _every(nth, otherwise, broken):
    """Return a method that is `broken` every `nth` time on the same object, and as it was `otherwise`."""
    calls = WeakKeyDictionary()

    def call(owner, *arguments, **named):
        calls[owner] = calls.get(owner, 0) + 1
        return (otherwise if calls[owner] % nth else broken)(owner, *arguments, **named)

    return call


@contextlib.contextmanager
def _patched(owner, name, make):
    with patch.object(owner, name, make(getattr(owner, name))):
        yield


def skip_a_return():
    """Task admission says that a lease is back and keeps it."""

    def kept(ledger, leases):
        leases = list(leases)
        found = {lease.lease_id: ledger.active.get(lease.lease_id) for lease in leases[:1]}
        results = whole(ledger, leases)
        ledger.active.update((lease_id, lease) for lease_id, lease in found.items() if lease is not None)
        return results

    whole = Ledger.release
    return _patched(Ledger, "release", lambda release: _every(9, release, kept))


def double_a_grant():
    """Request admission gives out the same lease twice."""

    def again(leases, *arguments, **named):
        if leases.issued:
            leases._next_id -= 1
        return whole(leases, *arguments, **named)

    whole = RequestLeases.issue
    return _patched(RequestLeases, "issue", lambda issue: _every(7, issue, again))


def forget_a_wakeup():
    """Nothing wakes request admission when a time has come."""
    return _patched(RequestAdmissionCore, "next_deadline", lambda _: lambda _core: None)


def ignore_a_generation():
    """A core that begins anew takes itself for the first one."""
    return _patched(cores, "_following", lambda _: lambda _lost: 1)


def drop_a_waiter():
    """Somebody who has to wait for a request lease is forgotten."""
    return _patched(WaiterQueue, "add", lambda add: _every(9, add, lambda _queue, _waiter: None))


def miscount_debt():
    """What a group owes is never paid back."""

    def owing(ledger, group, delta):
        grown = tuple((resource, change) for resource, change in delta.debt if change > 0)
        whole(ledger, group, PolicyStateDelta(grown))

    whole = Ledger.apply
    return _patched(Ledger, "apply", lambda _: owing)


def lose_an_event():
    """The scheduler does not tell of something that has happened."""
    return _patched(Facts, "add", lambda add: _every(20, add, lambda _facts, _event: None))


def forget_the_journal():
    """A run that is resumed makes calls again that were paid for."""
    return _patched(CellJournal, "restore", lambda _: lambda _journal, _group, _tracker: [])


MUTANTS = (
    skip_a_return,
    double_a_grant,
    forget_a_wakeup,
    ignore_a_generation,
    drop_a_waiter,
    miscount_debt,
    lose_an_event,
    forget_the_journal,
)
