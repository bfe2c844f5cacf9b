"""Whether every provider of a job says what can be worked with, and a script what can be played."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import assert_never
from urllib.parse import urlsplit

from actors.planning.bounds import at_least, duration, is_finite, pause, share
from messages.job import (
    Job,
    Latency,
    OpenAIProvider,
    Problem,
    ProviderConfig,
    PythonProvider,
    ScriptStep,
    SimulatedProvider,
)

_RATES = ("error_rate", "refuse_rate", "hang_rate", "reset_rate")
"""What a call may end in by chance; one call ends in one of them at the most."""

_ROUNDING = 1e-9
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LONGEST_MIXED_NAME = 24
"""A name longer than this, of capitals, small letters and digits at once, is nobody's choice."""

_EXAMPLE_URL = "expected such as 'http://127.0.0.1:8080/v1'"


def provider_problems(job: Job) -> Iterator[Problem]:
    """Yield a problem for everything about `job`'s providers that is out of bounds, in the file's order."""
    for name, provider in job.providers.items():
        path = f"providers.{name}"
        yield from _of_kind(path, provider)
        for index, status in enumerate(provider.overload_statuses):
            if not 400 <= status <= 599:
                place = f"{path}.overload_statuses[{index}]"
                yield Problem(place, f"is {status}", "expected an HTTP status from 400 to 599")


def _of_kind(path: str, provider: ProviderConfig) -> Iterator[Problem]:
    match provider:
        case SimulatedProvider():
            yield from _of_latency(f"{path}.latency_ms", provider.latency_ms)
            yield from _of_script(path, provider)
        case OpenAIProvider():
            yield from _of_url(f"{path}.base_url", provider.base_url)
            yield from _of_key(f"{path}.api_key_env", provider.api_key_env)
            yield from duration(f"{path}.connect_timeout_seconds", provider.connect_timeout_seconds)
        case PythonProvider():
            pass  # its class is found by whoever makes clients
        case _:
            assert_never(provider)


# -- simulated -------------------------------------------------------------------------------------


def _of_latency(path: str, latency: Latency) -> Iterator[Problem]:
    if not is_finite(latency.mean, least=0):
        yield Problem(f"{path}.mean", f"is {latency.mean}", "expected a finite number of at least 0")
    elif not 0 <= latency.jitter <= latency.mean:
        expected = f"expected 0 to the mean, {latency.mean}"
        yield Problem(f"{path}.jitter", f"is {latency.jitter}", expected, (f"{path}.mean",))


def _of_script(path: str, provider: SimulatedProvider) -> Iterator[Problem]:
    last: float | None = None
    rates: dict[str, float] = {}
    rates_at: list[str] = []
    times = tuple(f"{path}.script[{index}].at" for index in range(len(provider.script)))
    for index, step in enumerate(provider.script):
        place = f"{path}.script[{index}]"
        yield from _of_step(place, step)
        if not is_finite(step.at, least=0):
            yield Problem(f"{place}.at", f"is {step.at}", "expected a finite number of seconds, at least 0")
        elif last is not None and step.at <= last:
            expected = f"expected more than the step before, {last}: steps stand in the order of time"
            yield Problem(f"{place}.at", f"is {step.at}", expected, times)
        else:
            last = step.at
        # What a step leaves out stays as the step before it said.
        rates |= {name: rate for name in _RATES if (rate := getattr(step, name)) is not None}
        rates_at += (f"{place}.{name}" for name in _RATES)
        if all(0 <= rate <= 1 for rate in rates.values()) and sum(rates.values()) > 1 + _ROUNDING:
            told = ", ".join(f"{name} {rate}" for name, rate in rates.items() if rate)
            remedy = "lower one; what a step leaves out stays as it was"
            yield Problem(place, f"its rates add up to more than 1: {told}", remedy, tuple(rates_at))
    repeat = provider.repeat_seconds
    yield from duration(f"{path}.repeat_seconds", repeat)
    if repeat is not None and last is not None and 0 < repeat <= last:
        expected = f"expected more than the last step's `at`, {last}"
        yield Problem(f"{path}.repeat_seconds", f"is {repeat}", expected, (f"{path}.script", *times))


def _of_step(path: str, step: ScriptStep) -> Iterator[Problem]:
    yield from at_least(f"{path}.capacity", step.capacity, 0)
    for name in ("ramp_seconds", "retry_after", "outage"):
        yield from pause(f"{path}.{name}", getattr(step, name))
    for name in _RATES:
        yield from share(f"{path}.{name}", getattr(step, name))
    factor = step.latency_factor
    if factor is not None and not (math.isfinite(factor) and factor > 0):
        yield Problem(f"{path}.latency_factor", f"is {factor}", "expected a finite number above 0")


# -- OpenAI-compatible -----------------------------------------------------------------------------


def _of_url(path: str, url: str | None) -> Iterator[Problem]:
    """Yield what is wrong with an address, never the address itself: it may hold a secret."""
    if url is None:
        return
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        yield Problem(path, "is no http or https address", _EXAMPLE_URL)
    elif "@" in parts.netloc:
        remedy = "leave them out, and name the variable that holds the key in `api_key_env`"
        yield Problem(path, "holds a user's name or a password", remedy)


def _of_key(path: str, variable: str | None) -> Iterator[Problem]:
    """Yield a problem where the name of a variable is none; what stands there is not repeated."""
    if variable is not None and (not _VARIABLE.fullmatch(variable) or _looks_like_a_key(variable)):
        found = "is the name of a variable, not the key itself"
        yield Problem(path, found, "expected such as 'OPENAI_API_KEY', with the key in that variable")


def _looks_like_a_key(name: str) -> bool:
    kinds = (str.isupper, str.islower, str.isdigit)
    return len(name) > _LONGEST_MIXED_NAME and all(any(map(kind, name)) for kind in kinds)
