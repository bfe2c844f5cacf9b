"""A running job as the command line sees it: the snapshots of the actors that know."""

from __future__ import annotations

from typing import NamedTuple

from actors.runtime.processor import Effort, EffortMeter
from actors.system.system import ActorSystem
from messages._base import REQUEST_ADMISSION, SCHEDULER, TASK_ADMISSION
from messages.request_admission import RequestAdmissionSnapshot
from messages.scheduler import SchedulerSnapshot
from messages.task_admission import TaskAdmissionSnapshot

_PATIENCE_SECONDS = 1.0

_MEASURED_SECONDS = 1.0
"""What the process does is measured over so long at the least: less would flicker."""


class ModelView(NamedTuple):
    """One request resource, by the names that the job's author knows it by.

    `limit` is how many calls may be in flight now, `maximum` how many at most. Times are seconds from now:
    `refused_for` is how long a provider whose circuit is open has refused everything, None where it is
    closed; `next_probe_in` when a call is let through to see, `budget_in` when its budgets allow a call.
    `ended` counts the calls that have ended, `failed` those that brought neither an answer nor a rate limit.
    """

    name: str
    provider: str
    in_flight: int
    limit: int
    maximum: int
    waiting: int
    cooldown_remaining: float
    refused_for: float | None = None
    next_probe_in: float | None = None
    budget_in: float = 0.0
    failed: int = 0
    ended: int = 0


class RunView(NamedTuple):
    """A run at a moment, `at` in run time, seconds.

    `effort` is what this process did when it was last measured, `tasks_per_second` how many tasks ended then.
    """

    at: float
    job: SchedulerSnapshot
    tasks: TaskAdmissionSnapshot
    requests: RequestAdmissionSnapshot
    effort: Effort = Effort()
    tasks_per_second: float = 0.0

    @property
    def elapsed(self) -> float:
        """Seconds since the job's work began."""
        return max(0.0, self.at - self.job.started_at)

    def models(self) -> list[ModelView]:
        """Return the models with what they have in flight, in the job's order; probes of health apart."""
        endpoints = {endpoint.key.name: endpoint for endpoint in self.requests.provider_models}
        circuits = {circuit.resource: circuit for circuit in self.job.circuits}
        models = []
        for resource in self.requests.resources:
            key = resource.resource
            if key.domain == "healthcheck":
                continue
            endpoint = endpoints[f"{key.provider}/{key.model_id}"]
            domain = "" if key.domain == "chat" else f" {key.domain}"
            circuit = circuits.get(key.name)
            outcomes = resource.outcomes
            answered = outcomes.get("success", 0) + outcomes.get("rate_limited", 0)
            probe_at = None if circuit is None else resource.next_probe_at or circuit.next_probe_at
            models.append(
                ModelView(
                    name=f"{', '.join(endpoint.aliases)} ({endpoint.key.name}{domain})",
                    provider=key.provider,
                    in_flight=resource.in_flight,
                    limit=min(resource.current_limit, endpoint.static_cap),
                    maximum=min(resource.effective_max, endpoint.static_cap),
                    waiting=resource.waiters,
                    cooldown_remaining=resource.cooldown_remaining,
                    refused_for=None if circuit is None else max(0.0, self.at - circuit.since),
                    next_probe_in=self._until(probe_at),
                    budget_in=self._until(resource.budget_blocked_until) or 0.0,
                    failed=sum(outcomes.values()) - answered,
                    ended=sum(outcomes.values()),
                )
            )
        return models

    def _until(self, moment: float | None) -> float | None:
        """Return the seconds to a moment in run time, 0 where it is over; None where there is none."""
        return None if moment is None else max(0.0, moment - self.at)


class Lookout:
    """Looks at the job that runs in this process, and at what the process itself has done meanwhile."""

    def __init__(self, system: ActorSystem) -> None:
        self._system = system
        self._meter = EffortMeter()
        self._measured = (0.0, Effort(), 0.0)
        self._ended = 0

    def look(self) -> RunView | None:
        """Return the run as it is now; None while an actor is too busy to say, or no job runs."""
        try:
            scheduler = self._system.snapshot(SCHEDULER, timeout=_PATIENCE_SECONDS)
            tasks = self._system.snapshot(TASK_ADMISSION, timeout=_PATIENCE_SECONDS).state
            requests = self._system.snapshot(REQUEST_ADMISSION, timeout=_PATIENCE_SECONDS).state
        except TimeoutError:
            return None
        job = scheduler.state
        assert isinstance(job, SchedulerSnapshot)
        assert isinstance(tasks, TaskAdmissionSnapshot)
        assert isinstance(requests, RequestAdmissionSnapshot)
        if not job.rows_requested:
            return None
        at = scheduler.captured_at
        if at >= self._measured[0] + _MEASURED_SECONDS or not self._measured[1].seconds:
            effort, before = self._meter.read(), self._ended
            self._ended = sum(each.done + each.failed for each in job.generators.values())
            self._measured = (at, effort, (self._ended - before) / effort.seconds)
        return RunView(at, job, tasks, requests, *self._measured[1:])
