"""The order of generators: after what they need, and as declared where that is free."""

from __future__ import annotations

import itertools
import random

from hypothesis import given
from hypothesis import strategies as st

from actors.generators import Generator
from actors.planning.graph import cycles, dependency_order, upstream_of


@st.composite
def graphs(draw, *, acyclic):
    count = draw(st.integers(0, 12))
    upstream = {}
    for node in range(count):
        above = draw(st.lists(st.integers(0, count - 1), unique=True, max_size=4))
        upstream[f"g{node}"] = tuple(f"g{each}" for each in above if each < node or not acyclic)
    names = list(upstream)
    random.Random(draw(st.integers(0, 99))).shuffle(names)
    return {name: upstream[name] for name in names}


@given(graphs(acyclic=True))
def test_every_name_comes_once_and_after_what_it_needs(upstream):
    order = dependency_order(upstream)
    assert sorted(order) == sorted(upstream)
    assert all(order.index(each) < order.index(name) for name in order for each in upstream[name])
    assert cycles(upstream) == []


@given(graphs(acyclic=True))
def test_the_order_is_the_declared_one_where_it_is_free(upstream):
    declared = list(upstream)
    done: list[str] = []
    for name in dependency_order(upstream):
        free = [each for each in declared if each not in done and set(upstream[each]) <= set(done)]
        assert name == free[0]
        done.append(name)


@given(graphs(acyclic=False))
def test_circles_are_real_and_explain_everything_that_cannot_run(upstream):
    found = cycles(upstream)
    assert bool(found) == (len(dependency_order(upstream)) < len(upstream))
    for circle in found:
        assert circle[0] == circle[-1]
        assert len(set(circle)) == len(circle) - 1
        assert all(above in upstream[name] for name, above in itertools.pairwise(circle))
    broken = {name for circle in found for name in circle}
    left = {name: tuple(set(above) - broken) for name, above in upstream.items() if name not in broken}
    assert len(dependency_order(left)) == len(left)


def test_a_long_chain_is_no_matter():
    upstream = {f"g{i}": (f"g{i + 1}",) for i in range(5000)} | {"g5000": ()}
    assert dependency_order(upstream)[0] == "g5000"
    (circle,) = cycles(upstream | {"g5000": ("g0",)})
    assert len(circle) == 5002


def test_upstream_are_the_generators_that_fill_what_is_needed():
    generators = [
        Generator("pair", mode="thread", outputs=("a", "b")),
        Generator("user", mode="thread", needs=("b", "species", "a")),
        Generator("species", mode="thread", needs=("species",)),
    ]
    assert upstream_of(generators) == {"pair": (), "user": ("pair", "species"), "species": ("species",)}
    assert upstream_of(generators, ["species"]) == {"pair": (), "user": ("pair",), "species": ()}
