"""How a user's function is called: which names its parameters take, decided once, before any task."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from typing import Any

from actors.generators.base import ROW_NAMES
from messages.hints import possible
from messages.job import Problem, PythonColumn

_POSITIONAL_ONLY = inspect.Parameter.POSITIONAL_ONLY
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_FROM_SCRATCH = ("rows", "row_index")


class Call:
    """Where each argument comes from: `positional` and `keywords` are names, in order.

    `needs` are those of them that are columns; the others are `rows` and `row_index`.
    """

    def __init__(
        self, positional: tuple[str, ...], keywords: tuple[str, ...], needs: tuple[str, ...]
    ) -> None:
        self.positional = positional
        self.keywords = keywords
        self.needs = needs

    @property
    def is_direct(self) -> bool:
        """Whether a task's inputs are the keyword arguments as they stand."""
        return not self.positional and self.keywords == self.needs


class SignatureReader:
    """Matches one function against the names that its column's rows have.

    `known` is None where the names cannot be said; `columns` are those that the job declares.
    """

    def __init__(
        self, name: str, column: PythonColumn, known: AbstractSet[str] | None, columns: AbstractSet[str]
    ) -> None:
        self._path = f"columns.{name}"
        self._column = column
        self._known = known
        self._names = columns if known is None else known
        self._own = column.outputs or (name,)
        self._declares = f"{self._path}.needs"
        self._scope = f"{self._path}.scope"
        self._from_scratch = column.scope == "from_scratch"

    def read(self, function: Callable[..., Any]) -> Call | tuple[Problem, ...]:
        """Return how to call `function`, or everything that is wrong with its parameters."""
        if self._column.needs:
            return self._declared(function)
        place = f"{self._path}.function"
        try:
            parameters = inspect.signature(function).parameters.values()
        except (ValueError, TypeError):
            found, remedy = "does not say what its parameters are", "name the columns in `needs`"
            return (Problem(place, found, remedy, (self._declares,)),)
        problems: list[Problem] = []
        taken = [parameter for parameter in parameters if self._takes(parameter, place, problems)]
        if not taken and any(parameter.kind in _VARIADIC for parameter in parameters) and not problems:
            found, rests_on = "takes `**` arguments only", (self._declares, self._scope, *ROW_NAMES)
            problems.append(Problem(place, found, "name the columns in `needs`", rests_on))
        positional = tuple(p.name for p in taken if p.kind is _POSITIONAL_ONLY)
        passed = [parameter for parameter in parameters if parameter.kind is _POSITIONAL_ONLY]
        if any(p not in taken for p in passed[: len(positional)]):
            problems.append(
                Problem(
                    place,
                    "has a positional-only parameter before others that is no column",
                    "reorder them",
                    (self._declares, self._scope, f"{self._path}.outputs", *ROW_NAMES),
                )
            )
        keywords = tuple(p.name for p in taken if p.kind is not _POSITIONAL_ONLY)
        special = _FROM_SCRATCH if self._from_scratch else ()
        needs = tuple(name for name in (*positional, *keywords) if name not in special)
        return tuple(problems) or self._checked(Call(positional, keywords, needs), place)

    def _takes(self, parameter: inspect.Parameter, place: str, problems: list[Problem]) -> bool:
        """Return whether an argument is passed for the parameter; note what is wrong with it."""
        name, optional = parameter.name, parameter.default is not inspect.Parameter.empty
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            remedy = "name the columns in `needs`"
            problems.append(Problem(place, f"takes `*{name}`", remedy, (self._declares,)))
            return False
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            return False
        if self._from_scratch and name in _FROM_SCRATCH:
            return True
        if optional and name in self._own:
            return False
        if name in self._names:
            return True
        if name == "models":
            problems.append(
                Problem(
                    place,
                    "has a parameter 'models', which is reserved and no column",
                    "rename the parameter; for model calls use a chat or embedding column",
                    (self._declares, *ROW_NAMES),
                )
            )
            return False
        if optional:
            return False
        if self._known is not None or self._from_scratch:
            problems.append(
                Problem(
                    place,
                    f"has a parameter {name!r}, which no column or source field has",
                    self._choices(name),
                    (self._declares, self._scope, *(() if self._from_scratch else ROW_NAMES)),
                )
            )
            return False
        return True

    def _choices(self, name: str) -> str:
        return possible(name, _FROM_SCRATCH if self._from_scratch else self._names)

    def _declared(self, function: Callable[..., Any]) -> Call | tuple[Problem, ...]:
        """Call with the column's `needs`: by keyword where the names fit, else in their order."""
        place, needs = self._declares, self._column.needs
        problems = [
            Problem(
                place,
                f"names {name!r}, which no column or source field has",
                possible(name, self._known),
                ROW_NAMES,
            )
            for name in needs
            if self._known is not None and name not in self._known
        ]
        problems += [Problem(place, f"names {name!r} twice") for name in _repeated(needs)]
        if problems:
            return tuple(problems)
        try:
            signature = inspect.signature(function)
        except (ValueError, TypeError):
            return self._checked(Call(needs, (), needs), place)
        if _fits(signature, (), needs):
            return self._checked(Call((), needs, needs), place)
        if _fits(signature, needs, ()):
            return self._checked(Call(needs, (), needs), place)
        problem = Problem(
            place, f"has {len(needs)} names, which do not fit {signature}", "name one per parameter"
        )
        return (problem,)

    def _checked(self, call: Call, place: str) -> Call | tuple[Problem, ...]:
        rests_on = (self._declares, self._scope, *ROW_NAMES)
        if self._from_scratch and call.needs:
            return (
                Problem(
                    place,
                    f"needs {', '.join(call.needs)}, but scope 'from_scratch' makes rows out of nothing",
                    "use scope 'batch'",
                    rests_on,
                ),
            )
        if self._column.scope == "batch" and not call.needs:
            return (
                Problem(
                    place,
                    "needs no column, but scope 'batch' is about columns",
                    "use 'from_scratch'",
                    rests_on,
                ),
            )
        return call


def _fits(signature: inspect.Signature, positional: Iterable[str], keywords: Iterable[str]) -> bool:
    try:
        signature.bind(*positional, **dict.fromkeys(keywords))
    except TypeError:
        return False
    return True


def _repeated(names: tuple[str, ...]) -> list[str]:
    return [name for index, name in enumerate(names) if name in names[:index]]
