"""A running job as the command line sees it: the snapshots of the actors that know."""

from __future__ import annotations

from typing import NamedTuple

from actors.system.system import ActorSystem
from messages._base import REQUEST_ADMISSION, SCHEDULER, TASK_ADMISSION
from messages.request_admission import RequestAdmissionSnapshot
from messages.scheduler import SchedulerSnapshot
from messages.task_admission import TaskAdmissionSnapshot

_PATIENCE_SECONDS = 1.0


class ModelView(NamedTuple):
    """One request resource, by the names that the job's author knows it by."""

    name: str
    in_flight: int
    limit: int
    waiting: int
    cooldown_remaining: float


class RunView(NamedTuple):
    """A run at a moment, `at` in run time, seconds."""

    at: float
    job: SchedulerSnapshot
    tasks: TaskAdmissionSnapshot
    requests: RequestAdmissionSnapshot

    @property
    def elapsed(self) -> float:
        """Seconds since the job's work began."""
        return max(0.0, self.at - self.job.started_at)

    def models(self) -> list[ModelView]:
        """Return the models with what they have in flight, in the job's order; probes of health apart."""
        endpoints = {endpoint.key.name: endpoint for endpoint in self.requests.provider_models}
        models = []
        for resource in self.requests.resources:
            key = resource.resource
            if key.domain == "healthcheck":
                continue
            endpoint = endpoints[f"{key.provider}/{key.model_id}"]
            domain = "" if key.domain == "chat" else f" {key.domain}"
            models.append(
                ModelView(
                    name=f"{', '.join(endpoint.aliases)} ({endpoint.key.name}{domain})",
                    in_flight=resource.in_flight,
                    limit=min(resource.current_limit, endpoint.static_cap),
                    waiting=resource.waiters,
                    cooldown_remaining=resource.cooldown_remaining,
                )
            )
        return models


def look(system: ActorSystem) -> RunView | None:
    """Return the run as it is now; None while an actor is too busy to say, or no job runs."""
    try:
        scheduler = system.snapshot(SCHEDULER, timeout=_PATIENCE_SECONDS)
        tasks = system.snapshot(TASK_ADMISSION, timeout=_PATIENCE_SECONDS).state
        requests = system.snapshot(REQUEST_ADMISSION, timeout=_PATIENCE_SECONDS).state
    except TimeoutError:
        return None
    job = scheduler.state
    assert isinstance(job, SchedulerSnapshot)
    assert isinstance(tasks, TaskAdmissionSnapshot)
    assert isinstance(requests, RequestAdmissionSnapshot)
    return RunView(scheduler.captured_at, job, tasks, requests) if job.rows_requested else None
