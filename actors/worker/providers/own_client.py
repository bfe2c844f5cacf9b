"""A provider client of the user's own: found, judged and made, or why it cannot be."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable
from typing import Any, cast

from actors.generators import FunctionTable
from actors.generators.functions import is_async
from actors.worker.providers.base import ProviderClient
from messages.job import Problem, PythonProvider

_METHODS = ("chat", "embed", "image", "healthcheck", "close")


def find_class(config: PythonProvider, path: str, functions: FunctionTable) -> Callable[..., Any] | Problem:
    """Return the class that a provider names, as far as it can be judged without making a client.

    `path` is the provider's place in the job file.
    """
    found = functions.find(config.client, f"{path}.client", kind="Class")
    if isinstance(found, Problem):
        return found
    if isinstance(found, type):
        problem = _problem_with(found, str(config.client), f"{path}.client")
        if problem is not None:
            return problem
    try:
        inspect.signature(found).bind(**config.options)
    except TypeError as error:
        what = f"are not what {config.client} is made with: {error}"
        return Problem(f"{path}.options", what, "give what its __init__ takes", (f"{path}.client",))
    except ValueError:  # it does not say what it takes: it will say so when it is made
        return found
    return found


def make(config: PythonProvider, path: str, functions: FunctionTable) -> ProviderClient | Problem:
    """Return a new client of the class that a provider names."""
    found = find_class(config, path, functions)
    if isinstance(found, Problem):
        return found
    try:
        client = found(**config.options)
    except Exception as error:  # noqa: BLE001 - a user's class may raise anything
        what = f"making {config.client} raised {type(error).__name__}: {error}"
        return Problem(f"{path}.client", what, "mend the class, or its options", (f"{path}.options",))
    problem = _problem_with(type(client), str(config.client), f"{path}.client")
    return cast("ProviderClient", client) if problem is None else problem


def _problem_with(made: type, reference: str, path: str) -> Problem | None:
    """Return what keeps a class from being a provider client's."""
    methods: dict[str, Any] = {name: getattr(made, name, None) for name in _METHODS}
    # A class that derives from the protocol has all of them, and those that it leaves out do nothing.
    missing = [
        name for name in _METHODS if methods[name] is None or methods[name] is getattr(ProviderClient, name)
    ]
    if missing:
        remedy = "a provider client has all of " + ", ".join(_METHODS)
        return Problem(
            path, f"{reference} has no {' and no '.join(missing)}", f"{remedy}; see ProviderClient"
        )
    plain = [name for name in _METHODS if _is_plain(methods[name])]
    if plain:
        remedy = f"say 'async def': {plain[0]} is awaited, and would hold everything else up"
        return Problem(path, f"{reference} has a {' and a '.join(plain)} that is not async", remedy)
    return None


def _is_plain(method: Any) -> bool:
    found = inspect.unwrap(method)
    return isinstance(found, types.FunctionType) and not is_async(found)
