"""References to user functions, so that a job that holds one is still plain data.

A function that can be imported again is referred to as `module:qualified.name`. One that cannot (a
lambda, a closure) is kept in a table of this process and referred to as `local:<number>:<name>`.
"""

from __future__ import annotations

import importlib
import itertools
import sys
from collections.abc import Callable
from typing import Any

_local: dict[str, Callable[..., Any]] = {}
_local_numbers = itertools.count(1)
_LOCAL_PREFIX = "local:"


def reference_to(function: Callable[..., Any]) -> str:
    """Return the reference under which `resolve_reference` finds `function` in this process."""
    module = getattr(function, "__module__", None)
    name = getattr(function, "__qualname__", None)
    if module and name and "<" not in name and _attribute(sys.modules.get(module), name) is function:
        return f"{module}:{name}"
    for reference, known in _local.items():
        if known is function:
            return reference
    label = getattr(function, "__name__", type(function).__name__)
    reference = f"{_LOCAL_PREFIX}{next(_local_numbers)}:{label}"
    _local[reference] = function
    return reference


def resolve_reference(reference: str) -> Any:
    """Return what `reference` names.

    Raises:
        ValueError: the reference is not of the form `module:name`, or is local to another process.
        ImportError: the module cannot be imported.
        AttributeError: the module has no such name.
    """
    if reference.startswith(_LOCAL_PREFIX):
        if reference not in _local:
            raise ValueError(f"{reference!r} was made in another process and cannot be called here")
        return _local[reference]
    module_name, separator, name = reference.partition(":")
    if not separator or not module_name or not name:
        raise ValueError(f"{reference!r} is not of the form 'module:name'")
    module = sys.modules.get(module_name) or importlib.import_module(module_name)
    found = _attribute(module, name)
    if found is None:
        raise AttributeError(f"module {module_name!r} has no {name!r}")
    return found


def _attribute(holder: Any, dotted: str) -> Any:
    for part in dotted.split("."):
        holder = getattr(holder, part, None)
    return holder
