"""Exceptions that user code may raise, and that are hard to talk about."""

from __future__ import annotations

import asyncio


class MuteError(Exception):
    """Cannot say what it is."""

    def __str__(self):
        raise ValueError("no text")


class ExitingTextError(Exception):
    """Ends the program when it is asked what it is."""

    def __str__(self):
        raise SystemExit(3)


class IncomparableError(Exception):
    """Cannot be compared, and is false."""

    __hash__ = None

    def __eq__(self, other):
        raise ValueError("not comparable")

    def __bool__(self):
        raise ValueError("neither true nor false")


class OwnBaseException(BaseException):
    """Not an `Exception`, as libraries that cancel by exception have them."""


def chained():
    """Return an exception whose causes cannot be compared and go in a circle."""
    first, second = IncomparableError("first"), IncomparableError("second")
    first.__cause__, second.__cause__ = second, first
    error = ValueError("outer")
    error.__cause__ = first
    return error


RAISED = {
    "ValueError": lambda: ValueError("no"),
    "SystemExit": lambda: SystemExit(1),
    "KeyboardInterrupt": KeyboardInterrupt,
    "CancelledError": asyncio.CancelledError,
    "GeneratorExit": GeneratorExit,
    "StopIteration": lambda: StopIteration(7),
    "StopAsyncIteration": StopAsyncIteration,
    "TimeoutError": lambda: TimeoutError("user's own"),
    "MemoryError": MemoryError,
    "BaseExceptionGroup": lambda: BaseExceptionGroup("several", [SystemExit(1), ValueError("x")]),
    "OwnBaseException": lambda: OwnBaseException("own"),
    "MuteError": MuteError,
    "ExitingTextError": ExitingTextError,
    "IncomparableError": IncomparableError,
    "chained": chained,
    "surrogate": lambda: ValueError("text that no file can hold: \ud800"),
    "long": lambda: ValueError("x" * 100_000),
}
