"""Runs admitted tasks: inline, on a thread, or as a coroutine, and says how each one ended.

User code is never trusted: it may raise anything, block, never return or return anything; every way has
an outcome. Lives on the worker's event loop; the pool's threads reach it only through `_thread_done`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NamedTuple

import msgspec

from actors.generators import Generator
from actors.planning import Unpreparable, prepare
from actors.planning.capacity import describe_capacity
from actors.worker.core import RunnerStatus
from actors.worker.coroutines import CoroutineRunners, Stepping
from actors.worker.executor import ModelRequestExecutor
from actors.worker.failures import outcome_of, timed_out
from actors.worker.job_clock import JobClock
from actors.worker.model_calls import JobModels, TaskModelCalls
from actors.worker.probing import Probes
from actors.worker.providers.registry import ProviderUnusableError, provider_problems
from actors.worker.threads import MakePool, Pool
from actors.worker.user_calls import UserCalls
from messages._base import Outgoing
from messages.request_admission import RequestLeaseDenied, RequestLeaseGranted, RequestLeasesReported
from messages.scheduler import ModelUsage
from messages.tasks import TaskOutcome
from messages.worker import JobPrepared, JobUnpreparable, PrepareJob, ProbeModels, TaskStart

_INLINE_TURN = 64
"""Inline tasks run before the loop turns: model calls in flight must not wait for all of them."""

_CANCEL_GRACE_SECONDS = 5.0
"""How long a cancelled coroutine, or model call, may take to end before its token is returned without it."""

Finished = Callable[[int, TaskOutcome], None]
Warn = Callable[..., object]
"""Called with what happened, and fields: a logger's `warning`."""


class _OnThread(NamedTuple):
    """A thread's task: what gives it up when it takes too long, and the model calls that it may make."""

    timer: asyncio.TimerHandle | None
    calls: UserCalls | None


class TaskRunner:
    """Runs the tasks of one job at a time."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        executor: ModelRequestExecutor,
        *,
        finished: Finished,
        attend: Callable[[], None],
        stepping: Stepping[TaskStart],
        warn: Warn,
        make_pool: MakePool,
    ) -> None:
        self._loop = loop
        self._executor = executor
        self._finished = finished
        self._attend = attend
        self._stepping = stepping
        self._warn = warn
        self._make_pool = make_pool
        self._generators: dict[str, Generator] = {}
        self._models: JobModels | None = None
        self._job_clock = JobClock(loop.time)
        self._probes = Probes(loop, executor.tell)
        self._runners = CoroutineRunners(loop, self._run_async, self._waits, stepping)
        self._inline: deque[TaskStart] = deque()
        self._running: dict[int, asyncio.Task[None]] = {}
        """What runs each coroutine that waits, by its lease."""
        self._calls: dict[int, TaskModelCalls | UserCalls] = {}
        """The model calls of the coroutines that make any."""
        self._cancelled: set[int] = set()
        self._on_threads: dict[int, _OnThread] = {}
        self._pool: Pool | None = None
        self._run_id: str | None = None
        self._closing: asyncio.Task[None] | None = None
        self._thread_results: deque[tuple[int, Any, BaseException | None]] = deque()

    # -- the core's side -------------------------------------------------------------------------------

    def prepare(self, message: PrepareJob) -> JobPrepared | JobUnpreparable:
        """Import, compile and resolve what the job names; keep its generators."""
        prepared = prepare(
            message.job,
            run_id=message.run_id,
            source_fields=message.source_fields,
            source_rows=message.rows,
            client_problems=provider_problems,
        )
        if isinstance(prepared, Unpreparable):
            return JobUnpreparable(message.run_id, prepared.problems)
        if self._run_id != message.run_id:  # the same run again: its worker was lost
            self._executor.reset_usage()
            self._job_clock = JobClock(self._loop.time)
        self._run_id = message.run_id
        try:
            self._models = JobModels(message.job, self._executor, self._job_clock)
        except ProviderUnusableError as error:
            return JobUnpreparable(message.run_id, (error.problem,))
        self._generators = prepared.generators
        self._pool = self._make_pool(message.job.limits.threads, self._thread_done)
        return JobPrepared(message.run_id, prepared.plan, describe_capacity(message.job, prepared.plan))

    def probe(self, message: ProbeModels) -> None:
        """Ask after the health of the job's models. It is answered in any case, also when it is cut short."""
        self._probes.begin(message, self._models.health() if self._models is not None else None)

    def start(self, starts: list[TaskStart]) -> list[int]:
        """Run these tasks, each in its generator's mode; return the leases of those that cannot be."""
        if self._models is not None:
            self._models.job_started()
        unstarted: list[int] = []
        had_inline = bool(self._inline)
        coroutines: list[TaskStart] = []
        for start in starts:
            generator = self._generators.get(start.task.column)
            if generator is None:
                unstarted.append(start.lease.lease_id)
            elif generator.mode == "async":
                coroutines.append(start)
            elif generator.mode == "inline":
                self._inline.append(start)
            elif not self._run_on_thread(generator, start):
                unstarted.append(start.lease.lease_id)
        self._runners.add(coroutines)
        if self._inline and not had_inline:
            self._loop.call_soon(self._run_inline)
        return unstarted

    def cancel_all(self) -> None:
        """Cancel what runs; give up on threads; forget what has not begun."""
        cancelled = TaskOutcome("cancelled")
        for start in (*self._inline, *self._runners.take_waiting()):
            self._finished(start.lease.lease_id, cancelled)
        self._inline.clear()
        # The youngest first: a thread that is given up makes room for what still waits behind it.
        for lease_id in reversed(list(self._on_threads)):
            self._give_up_thread(lease_id, cancelled)
        self._probes.cut_short()
        self._cancelled.update(self._running)
        for task in self._running.values():
            task.cancel()
        if self._running:
            self._loop.call_later(_CANCEL_GRACE_SECONDS, self.return_overdue)
        self._attend()

    def return_overdue(self) -> None:
        """Return the tokens of cancelled coroutines that have not ended: they are left to themselves."""
        for lease_id in self._cancelled:
            self._end(lease_id, self._calls.get(lease_id), TaskOutcome("cancelled"))
        self._attend()

    def release(self, run_id: str) -> dict[str, ModelUsage]:  # noqa: ARG002 - the port's common shape
        """Forget the job."""
        self._generators = {}
        self._probes.cut_short()
        if self._models is not None:
            self._closing = self._loop.create_task(self._models.close())
            self._models = None
        if self._pool is not None:
            self._pool.close()
            self._pool = None
        return self._executor.usage()

    async def closed(self) -> None:
        """Return when the provider clients of the last job are closed; calls left behind are cancelled."""
        self._executor.cancel_calls()
        if self._closing is not None:
            await self._closing

    def decided(self, message: RequestLeaseGranted | RequestLeaseDenied) -> None:
        """Hand request admission's answer to the attempt that asked."""
        self._executor.decided(message)

    def report(self) -> RequestLeasesReported:
        """Return which request leases are held, and which attempts wait."""
        return self._executor.report()

    def take_over(self, lost: TaskRunner) -> None:
        """Take the place of a runner that was lost. What it ran is left to itself, and of no account."""
        self._run_id = lost._run_id
        self._job_clock = lost._job_clock
        self._executor.take_over(lost._executor)
        lost._abandon()

    def _abandon(self) -> None:
        self._inline.clear()
        self._runners.take_waiting()
        self._probes.cut_short()
        for calls in self._calls.values():
            calls.end()
        for task in self._running.values():
            task.cancel()
        for lease_id, thread in self._on_threads.items():
            if thread.timer is not None:
                thread.timer.cancel()
            if thread.calls is not None:
                thread.calls.end()
            if self._pool is not None:
                self._pool.abandon(lease_id)
        if self._pool is not None:
            self._pool.close()
        self._on_threads.clear()
        if self._models is not None:
            self._closing = self._loop.create_task(self._models.close())

    def take_outgoing(self) -> list[Outgoing]:
        """Return what attempts want to send."""
        return self._executor.take_outgoing()

    def status(self) -> RunnerStatus:
        """Return the runner's counts."""
        pool = self._pool
        return RunnerStatus(
            self._executor.waiting,
            self._executor.in_flight,
            pool.busy if pool is not None else 0,
            pool.abandoned if pool is not None else 0,
            self._executor.usage(),
        )

    # -- inline ----------------------------------------------------------------------------------------

    def _run_inline(self) -> None:
        for _ in range(min(_INLINE_TURN, len(self._inline))):
            start = self._inline.popleft()
            generator = self._generators[start.task.column]
            self._stepping.item = start
            try:
                outcome = _succeeded(generator.run(start))
            except BaseException as error:  # noqa: BLE001 - templates may raise anything at all
                outcome = outcome_of(error)
            self._stepping.item = None
            self._finished(start.lease.lease_id, outcome)
        if self._inline:
            self._loop.call_soon(self._run_inline)
        self._attend()

    # -- coroutines ------------------------------------------------------------------------------------

    async def _run_async(self, start: TaskStart) -> None:
        lease_id, generator = start.lease.lease_id, self._generators[start.task.column]
        calls: TaskModelCalls | UserCalls | None = None
        if generator.calls_models:
            calls = self._user_calls_of(start) if generator.takes_models else self._calls_of(start)
            self._calls[lease_id] = calls
        try:
            work = generator.begin(start, calls)
            if generator.timeout_seconds is None:
                outcome = _succeeded(generator.finished(await work, start))
            else:
                outcome = await self._within(generator.timeout_seconds, work, generator, start)
        except BaseException as error:  # noqa: BLE001 - user code may raise anything at all
            cancelled = lease_id in self._cancelled and isinstance(error, asyncio.CancelledError)
            outcome = TaskOutcome("cancelled") if cancelled else outcome_of(error)
        if self._running:  # it may have waited
            self._running.pop(lease_id, None)
            self._cancelled.discard(lease_id)
        if calls is None:
            self._finished(lease_id, outcome)
        else:
            del self._calls[lease_id]
            self._end(lease_id, calls, outcome)
        self._attend()

    def _waits(self, start: TaskStart, task: asyncio.Task[None]) -> None:
        self._running[start.lease.lease_id] = task

    async def _within(
        self, seconds: float, work: Awaitable[Any], generator: Generator, start: TaskStart
    ) -> TaskOutcome:
        lease_id = start.lease.lease_id
        limit = asyncio.timeout(seconds)
        if (calls := self._calls.get(lease_id)) is not None:
            calls.watch(limit.expired)
        overdue = self._loop.call_later(seconds + _CANCEL_GRACE_SECONDS, self._overran, lease_id, seconds)
        try:
            async with limit:
                return _succeeded(generator.finished(await work, start))
        except TimeoutError:
            if limit.expired():
                return timed_out(seconds)
            raise
        finally:
            overdue.cancel()

    def _overran(self, lease_id: int, seconds: float) -> None:
        """Return the token of a coroutine that did not end at its timeout: it is left to itself."""
        self._end(lease_id, self._calls.get(lease_id), timed_out(seconds))
        self._attend()

    # -- threads ---------------------------------------------------------------------------------------

    def _run_on_thread(self, generator: Generator, start: TaskStart) -> bool:
        """Give a task to the pool; return False if there is no thread to be had."""
        assert self._pool is not None
        lease_id, timer = start.lease.lease_id, None
        calls = self._user_calls_of(start) if generator.takes_models else None
        if generator.timeout_seconds is not None:
            seconds = generator.timeout_seconds
            timer = self._loop.call_later(
                seconds, self._thread_timed_out, lease_id, start.task.column, seconds
            )
        self._on_threads[lease_id] = _OnThread(timer, calls)
        call = partial(generator.run, start)
        if calls is not None:
            call = partial(generator.run_with_models, start, calls)
        try:
            self._pool.submit(lease_id, call)
        except RuntimeError:
            if timer is not None:
                timer.cancel()
            del self._on_threads[lease_id]
            self._pool.abandon(lease_id)
            return False
        return True

    def _thread_done(self, lease_id: int, value: Any, error: BaseException | None) -> None:
        """Called on the pool's threads: the loop takes the results, many at a time when they pile up."""
        waiting = bool(self._thread_results)
        self._thread_results.append((lease_id, value, error))
        if not waiting:
            try:
                self._loop.call_soon_threadsafe(self._take_thread_results)
            except RuntimeError:  # the loop is closed: the worker has stopped
                return

    def _take_thread_results(self) -> None:
        while self._thread_results:
            lease_id, value, error = self._thread_results.popleft()
            if lease_id not in self._on_threads:
                continue  # given up meanwhile
            timer, calls = self._on_threads.pop(lease_id)
            if timer is not None:
                timer.cancel()
            outcome = _succeeded(value) if error is None else outcome_of(error)
            self._end(lease_id, calls, outcome)
        self._attend()

    def _thread_timed_out(self, lease_id: int, column: str, seconds: float) -> None:
        calls = self._on_threads[lease_id].calls
        if calls is not None:
            calls.watch(lambda: True)
        if self._give_up_thread(lease_id, timed_out(seconds)) and self._pool is not None:
            self._warn(
                "thread_abandoned",
                column=column,
                timeout_seconds=seconds,
                threads_abandoned=self._pool.abandoned,
            )
        self._attend()

    def _give_up_thread(self, lease_id: int, outcome: TaskOutcome) -> bool:
        """End a thread's task without it; return whether a thread is left behind with it."""
        timer, calls = self._on_threads.pop(lease_id)
        if timer is not None:
            timer.cancel()
        left_behind = self._pool is not None and self._pool.abandon(lease_id)
        self._end(lease_id, calls, outcome)
        return left_behind

    # -- model calls -----------------------------------------------------------------------------------

    def _calls_of(self, start: TaskStart) -> TaskModelCalls:
        assert self._models is not None
        return self._models.calls_of(start.lease.correlation, start.answers)

    def _user_calls_of(self, start: TaskStart) -> UserCalls:
        return UserCalls(self._loop, self._calls_of(start))

    def _end(self, lease_id: int, calls: TaskModelCalls | UserCalls | None, outcome: TaskOutcome) -> None:
        """End a task's model calls, and report its end."""
        if calls is not None:
            calls.end()
            if calls.answered and outcome.kind == "success":
                outcome = msgspec.structs.replace(outcome, calls=calls.answered)
            elif calls.answered and outcome.kind == "retryable_failure":
                outcome = msgspec.structs.replace(outcome, answers=calls.kept())
        self._finished(lease_id, outcome)


def _succeeded(found: Any) -> TaskOutcome:
    """Return the outcome of a task whose generator returned `found`: a value, or an outcome of its own."""
    return found if type(found) is TaskOutcome else TaskOutcome("success", found)
