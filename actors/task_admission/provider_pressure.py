"""Which task resources are under pressure from their providers, from what request admission tells (A12).

Not to be taken for peer pressure, which is about who else is queued: see `policies.pressure`.
"""

from __future__ import annotations

from collections.abc import Iterable

from messages.request_admission import ProviderModelKey, RequestPressureSnapshot
from messages.task_admission import TaskAdmissionConfig
from messages.tasks import REQUEST_RESOURCE_PREFIX, SchedulerResourceKey

_NO_CONFIG = TaskAdmissionConfig({})


class ProviderPressure:
    """What is pressed of one run's endpoints, and which of its task resources they leave nothing to.

    An endpoint is pressed while any of its request resources is; a task resource while all of the endpoints
    that serve it are.
    """

    def __init__(self, config: TaskAdmissionConfig = _NO_CONFIG) -> None:
        named = {
            resource: (resource.removeprefix(REQUEST_RESOURCE_PREFIX),)
            for resource in config.resource_limits
            if resource.startswith(REQUEST_RESOURCE_PREFIX)
        }
        self._served_by: dict[SchedulerResourceKey, tuple[str, ...]] = named | config.replicas
        self._endpoints: dict[str, dict[str, float | None]] = {}
        """Each pressed endpoint -> its pressed request resources, and until when each will be."""

    def note(self, snapshots: Iterable[RequestPressureSnapshot]) -> None:
        """Take in how some request resources are now; the others are as they were."""
        for snapshot in snapshots:
            key = snapshot.resource
            endpoint = ProviderModelKey(key.provider, key.model_id).name
            resources = self._endpoints.setdefault(endpoint, {})
            if snapshot.is_pressed:
                resources[key.name] = _until(snapshot)
            else:
                resources.pop(key.name, None)
            if not resources:
                del self._endpoints[endpoint]

    def forget(self) -> None:
        """Take nothing to be pressed."""
        self._endpoints.clear()

    def pressed(self) -> dict[SchedulerResourceKey, float | None]:
        """Return the task resources that are pressed, and until when, where that is known."""
        return {
            resource: self._soonest(endpoints)
            for resource, endpoints in self._served_by.items()
            if endpoints and all(endpoint in self._endpoints for endpoint in endpoints)
        }

    def _soonest(self, endpoints: Iterable[str]) -> float | None:
        """Return when the first of these pressed endpoints may take a call; None where one gives no time."""
        ends = [self._end_of(endpoint) for endpoint in endpoints]
        known = [end for end in ends if end is not None]
        return min(known) if len(known) == len(ends) else None

    def _end_of(self, endpoint: str) -> float | None:
        known = [end for end in self._endpoints[endpoint].values() if end is not None]
        return max(known, default=None)


def _until(snapshot: RequestPressureSnapshot) -> float | None:
    """Return until when a pressed resource waits by itself; None where it is for a call to end.

    A time that had passed when the snapshot was made says nothing of what presses the resource now.
    """
    times = (snapshot.blocked_until, snapshot.next_probe_at)
    return max((time for time in times if time is not None and time > snapshot.captured_at), default=None)
