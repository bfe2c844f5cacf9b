"""What Leasehold is measured against: one peer per module, doing its work in its own best way.

A peer that needs the `bench` extra is imported when it is first run, by `lazily`, so that everything
else works without it.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from bench.results import Run


def lazily(module: str, function: str, **options: Any) -> Callable[[int], Run]:
    """Return a side's `run` that imports `bench.peers.<module>` when it is first called."""

    def run(tasks: int) -> Run:
        peer: Callable[..., Run] = getattr(import_module(f"bench.peers.{module}"), function)
        return peer(tasks, **options)

    return run
