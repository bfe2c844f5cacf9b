"""What every compiled generator is to those that plan it and run it."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine, Sequence
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

from messages.tasks import TaskType
from messages.worker import TaskStart

T = TypeVar("T")

Mode: TypeAlias = Literal["inline", "thread", "async"]
"""How the worker runs it: on its own thread, in its pool, or as a coroutine."""

Role: TypeAlias = Literal["system", "user", "assistant"]

Turn: TypeAlias = tuple[Role, str]
"""One message of a conversation: who says it, and what."""

ROW_NAMES = ("columns.*", "source")
"""Where the names of a row come from: what a problem with such a name rests on."""

GeneratorErrorKind = Literal[
    "wrong_shape", "wrong_type", "template_error", "conversion_error", "invalid_output", "user_exception"
]


class GeneratorError(Exception):
    """A generator could not make a usable value. Trying again would give the same.

    `message` may hold row data: it goes to the result and `dropped.jsonl`, never into events.
    """

    def __init__(self, kind: GeneratorErrorKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


class ModelCalls(Protocol):
    """What a generator may ask of models. Each call is made under leases of its own.

    `model` is an alias of the job; `seed` goes with the request, so that a reply can be determined.
    `parameters` go over those of the model's own. A task that is tried again asks again from its first call;
    what was answered before is given as it was, and costs nothing.
    """

    async def chat(
        self,
        *,
        model: str,
        messages: Sequence[Turn],
        seed: int,
        output_schema: dict[str, Any] | None = None,
        parameters: dict[str, Any] | None = None,
    ) -> str:
        """Return the model's reply to the last of `messages`.

        `output_schema` asks the provider for JSON that fits it; whether the reply does is not judged here.
        """
        ...

    async def embed(
        self,
        *,
        model: str,
        input: str,  # noqa: A002 - its name
        seed: int,
        parameters: dict[str, Any] | None = None,
    ) -> list[float]:
        """Return the model's embedding of `input`."""
        ...

    async def image(
        self,
        *,
        model: str,
        prompt: str,
        seed: int,
        parameters: dict[str, Any] | None = None,
    ) -> str:
        """Return the model's picture of `prompt`: in base64, or where it can be fetched."""
        ...


class BlockingModelCalls(ModelCalls, Protocol):
    """`ModelCalls` for a generator that runs on a thread: what they return runs on the worker's loop."""

    def wait_for(self, call: Coroutine[Any, Any, T]) -> T:
        """Run `call` on the worker's loop and block this thread until it is over; raise what it raises."""
        ...


class Generator:
    """One compiled column, or one function that fills several.

    outputs: the columns it fills, in the order in which its result lists them.
    needs: the columns and source fields whose values each task is given.
    timeout_seconds: how long one task may run; None is without end.
    takes_models: whether it may call any of the job's models, any number of times.
    calls_models: whether its coroutine calls models, those that it takes or one of its own.

    A generator keeps no state between tasks. Its result is `TaskOutcome.value`: for one output the
    value (a list with one per row, where the task is about a row group), for several a list of those. One
    that has more to say than a value returns a whole `TaskOutcome`.
    """

    def __init__(
        self,
        name: str,
        *,
        mode: Mode,
        task_type: TaskType = "cell",
        outputs: tuple[str, ...] = (),
        needs: tuple[str, ...] = (),
        timeout_seconds: float | None = None,
        takes_models: bool = False,
        calls_models: bool = False,
    ) -> None:
        self.name = name
        self.mode: Mode = mode
        self.task_type: TaskType = task_type
        self.outputs = outputs or (name,)
        self.needs = needs
        self.timeout_seconds = timeout_seconds
        self.takes_models = takes_models
        self.calls_models = takes_models or calls_models

    def run(self, start: TaskStart) -> Any:
        """Return the result of one task; for the modes `inline` and `thread`.

        Raises:
            GeneratorError: the value cannot be made or cannot be used.
        """
        raise TypeError(f"generator {self.name!r} of mode {self.mode!r} runs as a coroutine: {start.task}")

    def run_with_models(self, start: TaskStart, models: BlockingModelCalls) -> Any:
        """Return the result of one task; for the mode `thread`, where it `takes_models`. Raises as `run`."""
        raise TypeError(f"generator {self.name!r} takes no models, such as {models!r}: {start.task}")

    def begin(self, start: TaskStart, models: ModelCalls | None) -> Awaitable[Any]:
        """Return what to await of one task; `finished` makes its result of what that gives.

        `run_async` in two steps: a user's coroutine that is awaited as it is costs no other one.
        """
        return self.run_async(start, models)

    def finished(self, found: Any, start: TaskStart) -> Any:  # noqa: ARG002 - most have nothing left to do
        """Return the result of a task whose `begin` gave `found`. Raises as `run`."""
        return found

    async def run_async(self, start: TaskStart, models: ModelCalls | None) -> Any:
        """Return the result of one task; for the mode `async`. Raises as `run`.

        `models` may be None where it does not call any (`calls_models`).
        """
        raise TypeError(f"generator {self.name!r} of mode {self.mode!r} runs with {models!r}: {start.task}")
