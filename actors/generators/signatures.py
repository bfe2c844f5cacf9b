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

MODELS = "models"
"""The parameter that gets the job's models, unless a column that the function is given is called so."""


class Call:
    """Where each argument comes from: `positional` and `keywords` are names, in order.

    `needs` are those of them that are columns; the others are `rows` and `row_index`, and `models` where the
    function `takes_models`.
    """

    def __init__(
        self,
        positional: tuple[str, ...],
        keywords: tuple[str, ...],
        needs: tuple[str, ...],
        *,
        takes_models: bool = False,
    ) -> None:
        self.positional = positional
        self.keywords = keywords
        self.needs = needs
        self.takes_models = takes_models

    @property
    def is_direct(self) -> bool:
        """Whether a task's inputs are the keyword arguments as they stand."""
        return not self.positional and self.keywords == self.needs


class SignatureReader:
    """Matches one function against the names that its column's rows have.

    `known` is None where the names cannot be said; `columns` are those that the job declares.
    """

    def __init__(
        self,
        name: str,
        column: PythonColumn,
        known: AbstractSet[str] | None,
        columns: AbstractSet[str],
        *,
        has_models: bool,
    ) -> None:
        self._path = f"columns.{name}"
        self._column = column
        self._known = known
        self._names = columns if known is None else known
        self._own = column.outputs or (name,)
        self._declares = f"{self._path}.needs"
        self._scope = f"{self._path}.scope"
        self._from_scratch = column.scope == "from_scratch"
        self._has_models = has_models

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
        named = (*positional, *keywords)
        takes_models = MODELS in named and self._are_the_jobs_models(MODELS)
        special = (*(_FROM_SCRATCH if self._from_scratch else ()), *((MODELS,) if takes_models else ()))
        needs = tuple(name for name in named if name not in special)
        call = Call(positional, keywords, needs, takes_models=takes_models)
        return tuple(problems) or self._checked(call, place)

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
        if self._are_the_jobs_models(name):
            if not self._has_models and not optional:
                problems.append(self._without_models(place))
            return self._has_models
        if name in self._names:
            return True
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

    def _are_the_jobs_models(self, name: str) -> bool:
        """Whether a parameter means the job's models: a column of that name goes first, where one can be."""
        return name == MODELS and (self._from_scratch or name not in self._names)

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
        ways = [Call((), needs, needs), Call(needs, (), needs)]
        takes_models = MODELS not in needs and _is_parameter(signature, MODELS)
        if takes_models and self._has_models:
            ways = [*_ways_with_models(signature, needs), *ways]
        for call in ways:
            if _fits(signature, call.positional, call.keywords):
                return self._checked(call, place)
        if takes_models and not self._has_models:
            return (self._without_models(f"{self._path}.function"),)
        problem = Problem(
            place, f"has {len(needs)} names, which do not fit {signature}", "name one per parameter"
        )
        return (problem,)

    def _without_models(self, place: str) -> Problem:
        remedy = "describe one under `models`, or rename the parameter"
        return Problem(place, "takes `models`, but the job has none", remedy, ("models.*", self._declares))

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


def _is_parameter(signature: inspect.Signature, name: str) -> bool:
    return name in signature.parameters and signature.parameters[name].kind not in _VARIADIC


def _ways_with_models(signature: inspect.Signature, needs: tuple[str, ...]) -> list[Call]:
    """Return how a function might be given its needs and, in their midst or by its name, `models`."""
    place = list(signature.parameters).index(MODELS)
    among = (*needs[:place], MODELS, *needs[place:])
    return [
        Call((), (*needs, MODELS), needs, takes_models=True),
        Call(needs, (MODELS,), needs, takes_models=True),
        Call(among, (), needs, takes_models=True),
    ]


def _fits(signature: inspect.Signature, positional: Iterable[str], keywords: Iterable[str]) -> bool:
    try:
        signature.bind(*positional, **dict.fromkeys(keywords))
    except TypeError:
        return False
    return True


def _repeated(names: tuple[str, ...]) -> list[str]:
    return [name for index, name in enumerate(names) if name in names[:index]]
