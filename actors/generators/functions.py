"""The user's function that a job names: found, or why it cannot be."""

from __future__ import annotations

import importlib
import inspect
import sys
import types
from collections.abc import Callable
from typing import Any

from actors.generators.job_modules import JobModules
from messages.callables import resolve_reference
from messages.hints import possible
from messages.job import Problem

_LOCAL_PREFIX = "local:"
_FOLDER = ("base_dir",)
"""Where modules are looked for: what a problem with a module rests on."""


class FunctionTable:
    """Finds the functions of one job: beside its file first, then anywhere Python finds modules.

    Use one table per preparation of a job: columns that name the same module share it, and a file
    edited since the last preparation is read anew.
    """

    def __init__(self, base_dir: str, beside: JobModules | None = None) -> None:
        self._base_dir = base_dir
        self._beside = JobModules(base_dir) if beside is None else beside

    @classmethod
    def newest(cls, base_dir: str) -> FunctionTable:
        """Return a table that shares the modules of the last preparation, instead of reading them anew."""
        return cls(base_dir, JobModules.newest(base_dir))

    def find(self, reference: Any, path: str, *, kind: str = "function") -> Callable[..., Any] | Problem:
        """Return the function, or whatever `kind` says, that `reference` names.

        `path` is where the job file names it.
        """
        expected = f"expected 'module:{kind}'"
        if not isinstance(reference, str):
            return Problem(path, f"is a {type(reference).__name__}", f"{expected}, or a callable")
        if reference.startswith(_LOCAL_PREFIX):
            return _local(reference, path)
        module_name, _, name = reference.partition(":")
        if not all(part.isidentifier() for part in (*module_name.split("."), *name.split("."))):
            return Problem(path, f"is {reference!r}", expected)
        module = self._module(module_name, path)
        if isinstance(module, Problem):
            return module
        found: Any = module
        for part in name.split("."):
            if not hasattr(found, part):
                functions = (key for key, value in vars(module).items() if _is_choice(key, value, module))
                choices = possible(name, sorted(functions))
                return Problem(path, f"module {module_name!r} has no {name!r}", choices, _FOLDER)
            found = getattr(found, part)
        if not callable(found):
            what = f"{reference!r} is a {type(found).__name__}"
            return Problem(path, what, f"expected a {kind}", _FOLDER)
        function: Callable[..., Any] = found
        return function

    def _module(self, name: str, path: str) -> types.ModuleType | Problem:
        try:
            if self._beside.has(name):
                return self._beside.load(name)
            return sys.modules.get(name) or importlib.import_module(name)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - a module may raise anything, SystemExit too
            if (
                isinstance(error, ModuleNotFoundError)
                and error.name
                and f"{name}.".startswith(f"{error.name}.")
            ):
                where = f" in {self._base_dir}" if self._base_dir else ""
                missing = f"there is no module {name!r}{where}, nor an importable one"
                return Problem(path, missing, self._choices(name), _FOLDER)
            raised = f"importing {name!r} raised {type(error).__name__}: {error}"
            return Problem(path, raised, "mend the module", _FOLDER)

    def _choices(self, name: str) -> str:
        return possible(name, self._beside.names()) or "install it, or put it beside the job file"


def _local(reference: str, path: str) -> Callable[..., Any] | Problem:
    try:
        found: Callable[..., Any] = resolve_reference(reference)
    except ValueError as error:
        return Problem(path, str(error), "name it as 'module:function'")
    return found


def _is_choice(key: str, value: Any, module: types.ModuleType) -> bool:
    return not key.startswith("_") and callable(value) and getattr(value, "__module__", "") == module.__name__


def is_async(function: Callable[..., Any]) -> bool:
    """Return whether calling `function` makes a coroutine."""
    return _any_of(inspect.iscoroutinefunction, function)


def is_generator(function: Callable[..., Any]) -> bool:
    """Return whether calling `function` makes a generator, plain or async: it has no result."""
    return _any_of(inspect.isgeneratorfunction, function) or _any_of(inspect.isasyncgenfunction, function)


def _any_of(test: Callable[[Any], bool], function: Callable[..., Any]) -> bool:
    """Apply `test` to a function, or to what calling an object would call."""
    return test(function) or test(getattr(type(function), "__call__", None))  # noqa: B004 - its body matters
