"""The model calls of a user's function: from any of its tasks and threads, and none once it is over."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from actors.generators import Turn
from actors.worker.failures import ModelCallRefusedError
from actors.worker.model_calls import TaskModelCalls
from messages.tasks import KeptAnswer

T = TypeVar("T")

_ENDED = "the task that this model call belongs to has ended"
_ELSEWHERE = (
    "an `async` function's models were called on an event loop that is not the worker's; await the call in "
    "the function's own task, or in tasks that it starts"
)
_ON_THE_LOOP = (
    "a plain function's models were called on the worker's own thread, which would wait for itself; make the "
    "call on the function's own thread, or declare the function `async def`"
)


class UserCalls:
    """`BlockingModelCalls` for one task execution.

    The function may leave tasks and threads behind that still call. So each call runs as an asyncio task of
    its own, and `end` cancels those under way: none outlives the task, and no thread stays blocked.
    Made on the loop's thread; `wait_for` alone may be called on others.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, calls: TaskModelCalls) -> None:
        self._loop = loop
        self._thread = threading.get_ident()
        self._calls = calls
        self._under_way: dict[asyncio.Task[Any], None] = {}
        self._lock = threading.Lock()
        self._blocked: dict[concurrent.futures.Future[Any], None] = {}
        self._ended = False

    @property
    def answered(self) -> int:
        """How many calls brought a reply."""
        return self._calls.answered

    def kept(self) -> tuple[KeptAnswer, ...]:
        """Return the answers for the task's next try."""
        return self._calls.kept()

    async def chat(
        self,
        *,
        model: str,
        messages: Sequence[Turn],
        seed: int,
        output_schema: dict[str, Any] | None = None,
        parameters: dict[str, Any] | None = None,
    ) -> str:
        """Return the model's reply to the last of `messages`."""
        return await self._made(
            self._calls.chat(
                model=model, messages=messages, seed=seed, output_schema=output_schema, parameters=parameters
            )
        )

    async def embed(
        self,
        *,
        model: str,
        input: str,  # noqa: A002 - its name
        seed: int,
        parameters: dict[str, Any] | None = None,
    ) -> list[float]:
        """Return the model's embedding of `input`."""
        return await self._made(self._calls.embed(model=model, input=input, seed=seed, parameters=parameters))

    async def image(
        self, *, model: str, prompt: str, seed: int, parameters: dict[str, Any] | None = None
    ) -> str:
        """Return the model's picture of `prompt`: in base64, or where it can be fetched."""
        return await self._made(
            self._calls.image(model=model, prompt=prompt, seed=seed, parameters=parameters)
        )

    def wait_for(self, call: Coroutine[Any, Any, T]) -> T:
        """Run `call` on the loop and block this thread until it is over.

        Raises:
            ModelCallRefusedError: the task has ended, before or meanwhile; or the thread is the loop's own.
        """
        try:
            waiting = self._begun(call)
        except (ModelCallRefusedError, RuntimeError) as error:
            call.close()
            if isinstance(error, ModelCallRefusedError):
                raise
            raise ModelCallRefusedError("the worker has stopped") from error  # its loop is closed
        try:
            return waiting.result()
        except concurrent.futures.CancelledError:
            raise ModelCallRefusedError(_ENDED) from None
        finally:
            with self._lock:
                self._blocked.pop(waiting, None)

    def watch(self, is_overdue: Callable[[], bool]) -> None:
        """Take the answer to whether the task's own time is up, as `TaskModelCalls.watch`."""
        self._calls.watch(is_overdue)

    def end(self) -> None:
        """The task is over: refuse every call from now on, cancel those under way, release every thread."""
        with self._lock:
            self._ended = True
            blocked = list(self._blocked)
        self._calls.end()
        for waiting in blocked:
            waiting.cancel()
        for call in self._under_way:
            call.cancel()

    def _begun(self, call: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        if threading.get_ident() == self._thread:
            raise ModelCallRefusedError(_ON_THE_LOOP)
        with self._lock:
            if self._ended:
                raise ModelCallRefusedError(_ENDED)
            waiting = asyncio.run_coroutine_threadsafe(call, self._loop)
            self._blocked[waiting] = None
        return waiting

    def _refusal(self) -> str:
        """Return why a call cannot be made here and now; empty if it can."""
        if self._ended:
            return _ENDED
        return "" if asyncio.get_running_loop() is self._loop else _ELSEWHERE

    async def _made(self, call: Coroutine[Any, Any, T]) -> T:
        """Run a call as a task of its own; end it with the caller, or by `end`."""
        refusal = self._refusal()
        if refusal:
            call.close()
            raise ModelCallRefusedError(refusal)
        made = self._loop.create_task(call)
        self._under_way[made] = None
        made.add_done_callback(self._over)
        try:
            return await made
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if self._ended and made.cancelled() and caller is not None and not caller.cancelling():
                raise ModelCallRefusedError(_ENDED) from None
            raise

    def _over(self, call: asyncio.Task[Any]) -> None:
        self._under_way.pop(call, None)
        if not call.cancelled():
            call.exception()  # whoever made the call may be gone: nobody else asks for it
