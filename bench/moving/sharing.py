"""How request admission shares one cap: between a model's domains, and between groups by weight."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import NamedTuple

from bench.moving.controllers import RESOURCE
from bench.moving.core_controller import CoreController, Lane
from bench.moving.server import VirtualServer
from bench.moving.simulation import simulate
from bench.results import Run, part_of
from bench.stopwatch import Stopwatch
from messages.job import RequestAdmissionTuning, ScriptStep
from messages.request_admission import RequestGroupSpec
from messages.tasks import RequestResourceKey

CAP = 16
"""Calls at once of the model, which the server takes all."""

SECONDS = 600


class Sharing(NamedTuple):
    """Who asks. `lanes` are the clients of each, and `weights` what each ought to get over what all get."""

    name: str
    lanes: tuple[Lane, ...]
    weights: tuple[float, ...]


def _embedding() -> RequestResourceKey:
    return RequestResourceKey(RESOURCE.provider, RESOURCE.model_id, "embedding")


SHARINGS = (
    Sharing(
        "two domains, 48 and 16 clients",
        (
            Lane(range(48), RESOURCE, RequestGroupSpec("chat")),
            Lane(range(48, 64), _embedding(), RequestGroupSpec("embedding")),
        ),
        (1.0, 1.0),
    ),
    Sharing(
        "two groups of weights 3 and 1, 32 clients each",
        (
            Lane(range(32), RESOURCE, RequestGroupSpec("three", 3.0)),
            Lane(range(32, 64), RESOURCE, RequestGroupSpec("one", 1.0)),
        ),
        (3.0, 1.0),
    ),
)


def sharing(who: Sharing) -> Callable[[int], Run]:
    """Return a side's `run`; every run has another seed.

    The measure `least_served` is the goodput of whoever gets least for its weight, over its fair share.
    """
    seeds = count()

    def run(tasks: int) -> Run:
        server = VirtualServer((ScriptStep(capacity=CAP),), latency=2.0, jitter=0.3, seed=next(seeds))
        with Stopwatch() as watch:
            tuning = RequestAdmissionTuning(algorithm="fixed")
            controller = CoreController(tuning, static_cap=CAP, lanes=who.lanes)
            clients = sum(len(lane.clients) for lane in who.lanes)
            course = simulate(controller, server, clients=clients, until=max(20, part_of(SECONDS, tasks)))
        done = controller.answered.total()
        fair = [done * weight / sum(who.weights) for weight in who.weights]
        served = [controller.answered[lane] / share for lane, share in zip(who.lanes, fair, strict=True)]
        measures = {"goodput": float(done), "least_served": min(served)}
        return Run(done, watch.wall_seconds, watch.cpu_seconds, course.left, measures=measures)

    return run
