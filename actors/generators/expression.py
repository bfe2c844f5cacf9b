"""A template over the row, whose text becomes a value of the column's type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from actors.generators.base import Generator, GeneratorError
from actors.generators.json_values import NotJsonError, json_value
from actors.generators.templates import Template
from messages.job import ExpressionColumn
from messages.worker import TaskStart

_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_LONGEST_SHOWN = 60


class ExpressionGenerator(Generator):
    """Renders its template and converts the text."""

    def __init__(self, name: str, column: ExpressionColumn, template: Template) -> None:
        super().__init__(name, mode="inline", needs=template.needs)
        self._render = template.render
        self._dtype = column.dtype
        self._conversion = _CONVERSIONS.get(column.dtype)

    def run(self, start: TaskStart) -> Any:
        """Return the row's value."""
        text = self._render(start.inputs)
        if self._conversion is None:
            return text
        convert, expected = self._conversion
        try:
            return json_value(convert(text.strip()))
        except NotJsonError as error:
            raise self._unusable(text, str(error)) from error
        except (ValueError, KeyError, RecursionError) as error:
            raise self._unusable(text, f"expected {expected}") from error

    def _unusable(self, text: str, why: str) -> GeneratorError:
        shown = text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 3] + "..."
        return GeneratorError(
            "conversion_error", f"the text {shown!r} of column {self.name!r} is not a {self._dtype}: {why}"
        )


def _truth(text: str) -> bool:
    return _TRUTH[text.lower()]


_CONVERSIONS: dict[str, tuple[Callable[[str], Any], str]] = {
    "int": (int, "a whole number"),
    "float": (float, "a number"),
    "bool": (_truth, f"one of {', '.join(_TRUTH)}"),
    "json": (msgspec.json.decode, "JSON"),
}
