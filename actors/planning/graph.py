"""The order in which generators can run: what each one waits for, and circles that none could."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping

from actors.generators import Generator

Upstream = dict[str, tuple[str, ...]]
"""Generator -> the generators that fill what it needs, in the order of its needs."""


def upstream_of(generators: Iterable[Generator], source_fields: Iterable[str] = ()) -> Upstream:
    """Return each generator's upstream. Needs that no generator fills are the source's."""
    given = set(source_fields)
    listed = tuple(generators)
    owners = {
        output: generator.name for generator in listed for output in generator.outputs if output not in given
    }
    return {
        generator.name: tuple(dict.fromkeys(owners[need] for need in generator.needs if need in owners))
        for generator in listed
    }


def dependency_order(upstream: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Return the names so that each follows its upstream, and in the given order where that is free.

    Names on a circle, and those that wait for one, are left out.
    """
    names = tuple(upstream)
    position = {name: index for index, name in enumerate(names)}
    waiting = {name: len(above) for name, above in upstream.items()}
    downstream: dict[str, list[str]] = {name: [] for name in names}
    for name, above in upstream.items():
        for each in above:
            downstream[each].append(name)
    free = [position[name] for name, count in waiting.items() if not count]
    order: list[str] = []
    while free:
        name = names[heapq.heappop(free)]
        order.append(name)
        for each in downstream[name]:
            waiting[each] -= 1
            if not waiting[each]:
                heapq.heappush(free, position[each])
    return tuple(order)


def cycles(upstream: Mapping[str, tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return circles of names, each needing the next, the first again at the end.

    Every name that can never run is on one of them or waits for one.
    """
    found: list[tuple[str, ...]] = []
    remaining = dict(upstream)
    while stuck := _without(remaining, dependency_order(remaining)):
        name, trail = next(iter(stuck)), list[str]()
        seen: dict[str, int] = {}
        while name not in seen:
            seen[name] = len(trail)
            trail.append(name)
            # Whoever is stuck has something stuck above it.
            name = next(above for above in stuck[name] if above in stuck)
        circle = trail[seen[name] :]
        first = circle.index(min(circle, key=list(upstream).index))
        circle = circle[first:] + circle[:first]
        found.append((*circle, circle[0]))
        remaining = _without(stuck, circle)
    return found


def _without(upstream: Mapping[str, tuple[str, ...]], gone: Iterable[str]) -> Upstream:
    """Return what is left when `gone` are taken away, from the needs of the others too."""
    absent = set(gone)
    return {
        name: tuple(each for each in above if each not in absent)
        for name, above in upstream.items()
        if name not in absent
    }
