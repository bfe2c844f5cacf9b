"""Whether every number of a job's models is one that can be worked with, and what they send is JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from actors.planning.bounds import at_least, duration, is_finite, pause
from messages.job import Job, ModelConfig, Problem, RequestAdmissionTuning

BUDGETS = ("requests_per_minute", "input_tokens_per_minute", "output_tokens_per_minute")
"""The fields of a model, and of `RequestBudgets`, that bound what it uses in a minute (A13)."""


def model_problems(job: Job) -> Iterator[Problem]:
    """Yield a problem for every setting of `job`'s models that is out of its bounds, in the file's order."""
    for alias, model in job.models.items():
        yield from _of_model(f"models.{alias}", model)


def _of_model(path: str, model: ModelConfig) -> Iterator[Problem]:
    yield from at_least(f"{path}.max_parallel_requests", model.max_parallel_requests, 1)
    for name in BUDGETS:
        yield from at_least(f"{path}.{name}", getattr(model, name), 1)
    yield from duration(f"{path}.timeout_seconds", model.timeout_seconds)
    yield from pause(f"{path}.queue_timeout_seconds", model.queue_timeout_seconds)
    yield from _of_tuning(f"{path}.limit", model.limit)
    cap, initial = model.max_parallel_requests, model.limit.initial
    if initial is not None and cap >= 1 and not 1 <= initial <= cap:
        expected = f"expected 1 to max_parallel_requests, {cap}"
        yield Problem(f"{path}.limit.initial", f"is {initial}", expected, (f"{path}.max_parallel_requests",))
    for name, value in model.parameters.items():
        yield from _of_json(f"{path}.parameters.{name}", value)


def _of_tuning(path: str, tuning: RequestAdmissionTuning) -> Iterator[Problem]:
    yield from at_least(f"{path}.maximum", tuning.maximum, 1)
    yield from pause(f"{path}.startup_ramp_seconds", tuning.startup_ramp_seconds)
    yield from pause(f"{path}.cooldown_seconds", tuning.cooldown_seconds)
    yield from pause(f"{path}.ceiling_hold_seconds", tuning.ceiling_hold_seconds)
    factor = tuning.multiplicative_decrease_factor
    if not 0 < factor < 1:
        expected = "expected a number between 0 and 1: what is left of the limit after a cut"
        yield Problem(f"{path}.multiplicative_decrease_factor", f"is {factor}", expected)
    yield from at_least(f"{path}.additive_increase_step", tuning.additive_increase_step, 1)
    yield from at_least(f"{path}.successes_until_increase", tuning.successes_until_increase, 1)
    yield from duration(f"{path}.circuit_after_seconds", tuning.circuit_after_seconds)
    first, most = tuning.circuit_probe_seconds, tuning.circuit_max_probe_seconds
    invalid = [*duration(f"{path}.circuit_probe_seconds", first)]
    yield from invalid
    if not invalid and not is_finite(most, least=first):
        expected = f"expected a finite number of at least circuit_probe_seconds, {first}"
        place = f"{path}.circuit_max_probe_seconds"
        yield Problem(place, f"is {most}", expected, (f"{path}.circuit_probe_seconds",))


def _of_json(path: str, value: Any) -> Iterator[Problem]:
    """Yield a problem for everything inside `value` that JSON cannot say."""
    match value:
        case None | bool() | int() | str():
            return
        case float():
            if not math.isfinite(value):
                yield Problem(path, f"is {value}", "expected a finite number: JSON has no other")
        case list() | tuple():
            for index, each in enumerate(value):
                yield from _of_json(f"{path}[{index}]", each)
        case dict():
            for key, each in value.items():
                if not isinstance(key, str):
                    yield Problem(f"{path}.{key}", f"is named by {key!r}", "expected text as a name")
                yield from _of_json(f"{path}.{key}", each)
        case _:
            expected = "expected what JSON can say: text, numbers, true or false, lists, tables"
            yield Problem(path, f"is a {type(value).__name__}", expected)
