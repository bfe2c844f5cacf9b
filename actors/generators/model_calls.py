"""Columns that a model fills: a template makes the text, the worker makes the call."""

from __future__ import annotations

from actors.generators.base import Generator, ModelCalls
from actors.generators.seeds import column_seed, row_seed
from actors.generators.templates import Template
from messages.job import ChatColumn, EmbeddingColumn
from messages.worker import TaskStart


class ChatGenerator(Generator):
    """A model's reply to the row's prompt."""

    def __init__(
        self, name: str, column: ChatColumn, *, prompt: Template, system: Template, job_seed: int
    ) -> None:
        needs = tuple(dict.fromkeys((*prompt.needs, *system.needs)))
        super().__init__(name, mode="async", needs=needs)
        self._model = column.model
        self._prompt = prompt.render
        self._system = system.render
        self._seed = column_seed(job_seed, name)

    async def run_async(self, start: TaskStart, models: ModelCalls) -> str:
        """Return the reply."""
        inputs = start.inputs
        system = self._system(inputs)
        return await models.chat(
            model=self._model,
            messages=[*([("system", system)] if system else ()), ("user", self._prompt(inputs))],
            seed=row_seed(self._seed, start.first_row),
        )


class EmbeddingGenerator(Generator):
    """A model's embedding of the row's text."""

    def __init__(self, name: str, column: EmbeddingColumn, *, text: Template, job_seed: int) -> None:
        super().__init__(name, mode="async", needs=text.needs)
        self._model = column.model
        self._text = text.render
        self._seed = column_seed(job_seed, name)

    async def run_async(self, start: TaskStart, models: ModelCalls) -> list[float]:
        """Return the embedding."""
        return await models.embed(
            model=self._model,
            input=self._text(start.inputs),
            seed=row_seed(self._seed, start.first_row),
        )
