"""Sandboxed Jinja templates over a row: which names they use, and what text they make.

Templates cannot change what they read, call into Python's internals, load other templates or draw
random numbers (R12).
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

import jinja2
import jinja2.meta
import jinja2.sandbox

from actors.generators.base import ROW_NAMES, GeneratorError
from actors.generators.json_values import NotJsonError, json_value
from messages.hints import possible
from messages.job import Problem


def _environment() -> jinja2.sandbox.ImmutableSandboxedEnvironment:
    # Nothing here becomes HTML, so nothing is escaped.
    made = jinja2.sandbox.ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined, autoescape=False)
    made.globals.pop("lipsum")
    made.filters.pop("random")
    return made


_rendering = _environment()
# Without globals every free name is reported, so that a column may be called `range`.
_reading = _environment()
_reading.globals.clear()


class Template:
    """One template of one column. `needs` are the row's names that it uses, sorted."""

    def __init__(self, column: str, compiled: jinja2.Template, needs: tuple[str, ...]) -> None:
        self.needs = needs
        self._column = column
        self._compiled = compiled
        self._constant: str | None = None
        if not needs:
            self._constant = self.render({})

    def render(self, row: Mapping[str, Any]) -> str:
        """Return the text for a row that has a value for each of `needs`; other names do not matter.

        Raises:
            GeneratorError: `template_error`, whatever the template stumbled over.
        """
        if self._constant is not None:
            return self._constant
        try:
            text: str = json_value(self._compiled.render(row))
        except NotJsonError as error:
            raise self._failed(str(error)) from error
        except jinja2.UndefinedError as error:
            raise self._failed(f"{error.message}; it uses {', '.join(self.needs)}") from error
        except Exception as error:  # a template is the user's code: any exception may come out of it
            raise self._failed(f"{type(error).__name__}: {error}") from error
        return text

    def _failed(self, why: str) -> GeneratorError:
        return GeneratorError("template_error", f"the template of column {self._column!r} failed: {why}")


def compile_template(
    column: str, path: str, source: str, *, known: AbstractSet[str] | None, columns: AbstractSet[str]
) -> Template | tuple[Problem, ...]:
    """Return the template, or everything that is wrong with it.

    `known` are all names that a row has, None where that cannot be said; `columns` those of them that
    the job itself declares. `path` is the template's place in the job file.
    """
    try:
        tree = _reading.parse(source)
        compiled = _rendering.from_string(source)
    except jinja2.TemplateSyntaxError as error:
        return (Problem(path, f"line {error.lineno}: {error.message}", "expected a Jinja template"),)
    except RecursionError:
        return (Problem(path, "is nested too deeply to be a template"),)
    if any(True for _ in jinja2.meta.find_referenced_templates(tree)):
        return (Problem(path, "refers to another template", "write everything into this one"),)
    free = sorted(jinja2.meta.find_undeclared_variables(tree))
    needs = tuple(name for name in free if name in columns or name not in _rendering.globals)
    if known is not None:
        needs = tuple(name for name in free if name in known or name not in _rendering.globals)
        unknown = [name for name in needs if name not in known]
        if unknown:
            return tuple(
                Problem(
                    path,
                    f"names {name!r}, which no column or source field has",
                    possible(name, known),
                    ROW_NAMES,
                )
                for name in unknown
            )
    try:
        return Template(column, compiled, needs)
    except GeneratorError as error:
        return (Problem(path, error.message),)
