"""Columns that a model fills: a template makes the text, the worker makes the call."""

from __future__ import annotations

from typing import Any

from actors.generators.base import Generator, ModelCalls, Turn
from actors.generators.output_schema import OutputSchema, fitting_reply
from actors.generators.seeds import column_seed, row_seed
from actors.generators.templates import Template
from messages.job import ChatColumn, EmbeddingColumn
from messages.worker import TaskStart


class ChatGenerator(Generator):
    """A model's reply to the row's prompt: its text or, with a schema, what its text decodes to."""

    def __init__(
        self,
        name: str,
        column: ChatColumn,
        *,
        prompt: Template,
        system: Template,
        schema: OutputSchema | None,
        job_seed: int,
    ) -> None:
        needs = tuple(dict.fromkeys((*prompt.needs, *system.needs)))
        super().__init__(name, mode="async", needs=needs, calls_models=True)
        self._model = column.model
        self._prompt = prompt.render
        self._system = system.render
        self._schema = schema
        self._max_corrections = column.max_corrections
        self._seed = column_seed(job_seed, name)

    async def run_async(self, start: TaskStart, models: ModelCalls | None) -> Any:
        """Return the reply.

        Raises:
            GeneratorError: `template_error`, or `invalid_output` where no reply fits the schema.
        """
        assert models is not None
        inputs = start.inputs
        system = self._system(inputs)
        messages: list[Turn] = [("system", system)] if system else []
        messages.append(("user", self._prompt(inputs)))
        seed = row_seed(self._seed, start.first_row)
        if self._schema is None:
            return await models.chat(model=self._model, messages=messages, seed=seed)
        return await fitting_reply(
            models,
            model=self._model,
            messages=messages,
            seed=seed,
            schema=self._schema,
            max_corrections=self._max_corrections,
        )


class EmbeddingGenerator(Generator):
    """A model's embedding of the row's text."""

    def __init__(self, name: str, column: EmbeddingColumn, *, text: Template, job_seed: int) -> None:
        super().__init__(name, mode="async", needs=text.needs, calls_models=True)
        self._model = column.model
        self._text = text.render
        self._seed = column_seed(job_seed, name)

    async def run_async(self, start: TaskStart, models: ModelCalls | None) -> list[float]:
        """Return the embedding."""
        assert models is not None
        return await models.embed(
            model=self._model,
            input=self._text(start.inputs),
            seed=row_seed(self._seed, start.first_row),
        )
