"""Plays a script of typed messages against a fresh system: a bug report that can be run."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import NamedTuple

from actors.harness.expectations import ExpectationFailed
from actors.harness.harness import Harness
from actors.harness.matching import Where
from actors.harness.render import render_delivery
from actors.harness.script import SCRIPT, ExpectStep, Step, read_script
from actors.harness.transcript import Delivery


class PlayResult(NamedTuple):
    """How a script went. `failures` has one line per expectation that was not met."""

    ok: bool
    failures: tuple[str, ...]
    transcript: tuple[Delivery, ...]


def play_script(
    path: str | os.PathLike[str],
    print: Callable[[str], object] = print,  # noqa: A002 - what it is, and what it is by default
) -> PlayResult:
    """Play the script at `path` (its format: `actors.harness.script`) and print the transcript as it grows.

    An expectation that is not met is a failure, and the script goes on. After the last line the actors
    may settle; then the system is stopped.

    Raises:
        ScriptError: the file is no script; nothing was started.
    """
    script = read_script(path)
    failures: list[str] = []
    printed = 0

    def show() -> None:
        nonlocal printed
        fresh = harness.transcript.deliveries(printed)
        for delivery in fresh:
            print(render_delivery(delivery))
        printed += len(fresh)

    with Harness.start(script.actors, serialize_messages=script.serialize_messages, client=SCRIPT) as harness:
        for step in script.steps:
            verdict, met = _take(harness, step)
            show()
            if verdict:
                print(f"line {step.line}: {verdict}")
            if not met:
                failures.append(f"line {step.line}: {verdict}")
        with contextlib.suppress(ExpectationFailed):  # a script may end while work goes on
            harness.settle()
    show()
    return PlayResult(not failures, tuple(failures), harness.transcript.deliveries())


def _take(harness: Harness, step: Step) -> tuple[str, bool]:
    """Send and wait as the line says; return what came of its expectation, and whether it was met."""
    if step.message is not None:
        harness.send(step.to, step.message, sender=step.sender)
    expect = step.expect
    if expect is None:
        return "", True
    wait = harness.expect_none if expect.absent else harness.expect
    try:
        wait(
            expect.receiver,
            expect.type,
            where=Where(expect.where) if expect.where else None,
            timeout=expect.timeout,
            sender=expect.sender,
        )
    except ExpectationFailed as failure:
        return f"FAILED: {failure.expectation}", False
    return f"met: {_described(expect)}", True


def _described(expect: ExpectStep) -> str:
    return f"{expect.receiver} gets {'no ' if expect.absent else ''}{expect.type.__name__}"
