"""What a user's function returned becomes a task's result, or the reason why it cannot."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from actors.generators.base import GeneratorError
from actors.generators.json_values import ATOMS, NotJsonError, json_value


class ResultShape:
    """The shape that one function's results must have, and their way into it.

    outputs: the columns that it declares to fill; empty for its own column alone.
    optional: those of the outputs that a mapping may leave out; they are None then.
    in_rows: whether each output is a list with one value per row.
    """

    def __init__(
        self, column: str, outputs: tuple[str, ...], optional: tuple[str, ...] = (), *, in_rows: bool
    ) -> None:
        self._column = column
        self._outputs = outputs
        self._optional = optional
        self._in_rows = in_rows

    def checked(self, found: Any, rows: int) -> Any:
        """Return `found`, what the function returned for `rows` rows, as `TaskOutcome.value`.

        Raises:
            GeneratorError: `wrong_shape` or `wrong_type`, naming the place and the remedy.
        """
        if type(found) not in ATOMS and inspect.isawaitable(found):
            if inspect.iscoroutine(found):
                found.close()
            raise self._wrong_type("returned an awaitable; declare the function `async def`, or await it")
        if not self._outputs:
            return self._output(found, rows, "")
        made = [
            self._output(value, rows, f"output {name!r} of ")
            for name, value in zip(self._outputs, self._split(found, rows), strict=True)
        ]
        return made if len(made) > 1 else made[0]

    def _split(self, found: Any, rows: int) -> list[Any]:
        """Return one entry per output."""
        outputs = self._outputs
        if isinstance(found, Mapping):
            missing = [name for name in outputs if name not in found and name not in self._optional]
            extra = [str(name) for name in found if name not in outputs]
            if missing or extra:
                raise self._wrong_shape(
                    f"returned a mapping with {_listed('no ', missing)}"
                    f"{' and ' if missing and extra else ''}{_listed('an undeclared ', extra)}; "
                    f"return exactly {', '.join(outputs)}"
                )
            absent = [None] * rows if self._in_rows else None
            return [found.get(name, absent) for name in outputs]
        if isinstance(found, list | tuple):
            if len(found) != len(outputs):
                raise self._wrong_shape(
                    f"returned {len(found)} values for {len(outputs)} outputs; return {', '.join(outputs)}"
                )
            return list(found)
        raise self._wrong_type(
            f"returned a {type(found).__name__}; return a mapping with {', '.join(outputs)}, or a list"
        )

    def _output(self, found: Any, rows: int, what: str) -> Any:
        if self._in_rows:
            if not isinstance(found, list | tuple):
                raise self._wrong_type(f"returned a {type(found).__name__} for {what}its rows; return a list")
            if len(found) != rows:
                raise self._wrong_shape(
                    f"returned {len(found)} values for {what}{rows} rows; return one per row"
                )
        try:
            return json_value(found)
        except NotJsonError as error:
            place = f" at value{error.place}" if error.place else ""
            raise self._wrong_type(f"returned for {what or 'its '}value{place}: {error.message}") from error

    def _wrong_type(self, what: str) -> GeneratorError:
        return GeneratorError("wrong_type", f"the function of column {self._column!r} {what}")

    def _wrong_shape(self, what: str) -> GeneratorError:
        return GeneratorError("wrong_shape", f"the function of column {self._column!r} {what}")


def _listed(prefix: str, names: list[str]) -> str:
    return f"{prefix}{', '.join(map(repr, names))}" if names else ""
