"""Where an attempt may go: one resource, or one of several replicas that would do as well.

A *route* is such a choice, with those who wait for it. Routes that share an endpoint are in one *pool*,
and take turns in one fair order.
"""

from __future__ import annotations

from collections.abc import Iterator

from actors.request_admission.resources import Endpoint, Resource
from actors.request_admission.waiters import VirtualClock, Waiter, WaiterQueue
from messages.request_admission import (
    ProviderModelKey,
    RequestAdmissionConfig,
    RequestAdmissionItem,
    RequestResourceSpec,
)

RouteKey = tuple[str, ...]


class Route:
    """Resources that will do for an attempt, in the order in which it named them, and who waits for them."""

    def __init__(self, resources: tuple[Resource, ...], pool: Pool) -> None:
        self.resources = resources
        self.pool = pool
        self.waiters = WaiterQueue(pool.clock)

    def choose(self, item: RequestAdmissionItem, now: float) -> Resource | None:
        """Return the resource with the most room for an attempt; None where it has to wait."""
        resources = self.resources
        if len(resources) == 1:
            (only,) = resources
            return only if only.room(now) > 0 and only.endpoint.admits(item, now) else None
        trusted = [each for each in resources if not each.suspicion.stands(now)]
        best: Resource | None = None
        most = 0
        for each in trusted or resources:
            room = each.room(now)
            if room > 1 and each.suspicion.on_trial:
                room = 0 if each.in_flight else 1  # one call is enough to see whether it serves again
            if room > most and each.endpoint.admits(item, now):
                best, most = each, room
        return best

    def add(self, waiter: Waiter) -> None:
        """Let an attempt wait."""
        self.waiters.add(waiter)
        self._count(+1)

    def pop(self) -> Waiter:
        """Remove and return who is next. Call after a `peek` that found one."""
        self._count(-1)
        return self.waiters.pop()

    def remove(self, waiter: Waiter) -> None:
        """Take out one that gave up."""
        self.waiters.remove(waiter)
        self._count(-1)

    def _count(self, change: int) -> None:
        for resource in self.resources:
            resource.waiting += change
        self.pool.waiting += change


class Pool:
    """Routes that share endpoints: one virtual time, one order."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.routes: list[Route] = []
        self.waiting = 0

    def next_waiter(self, now: float) -> tuple[Route, Resource, Waiter] | None:
        """Remove and return who is served next, and by which resource, if anybody who waits can be.

        One who only lacks budget keeps its turn: those behind it do not use up what it waits for.
        """
        places = []
        for index, route in enumerate(self.routes):
            place = route.waiters.peek()
            if place is not None:
                places.append((place, index))
        places.sort()
        held_back: set[Endpoint] = set()
        for _, index in places:
            route = self.routes[index]
            if held_back and any(resource.endpoint in held_back for resource in route.resources):
                continue
            for each in route.resources:
                each.endpoint.budget_blocked_until = None
            resource = route.choose(route.waiters.first().message.item, now)
            if resource is not None:
                return route, resource, route.pop()
            held_back.update(
                each.endpoint for each in route.resources if each.endpoint.budget_blocked_until is not None
            )
        return None


class Routes:
    """The resources that may be asked for, and the routes over them that have been."""

    def __init__(self) -> None:
        self.endpoints: dict[str, Endpoint] = {}
        self.resources: dict[str, Resource] = {}
        self._routes: dict[RouteKey, Route] = {}
        self._pools: dict[str, Pool] = {}
        """By endpoint: every endpoint is in one pool."""

    def register(
        self, specs: tuple[RequestResourceSpec, ...], config: RequestAdmissionConfig
    ) -> Iterator[tuple[Resource, Resource | None]]:
        """Forget all routes and take these resources; yield each with the one it takes the place of."""
        earlier = self.resources
        self.endpoints, self.resources, self._routes, self._pools = {}, {}, {}, {}
        for spec in specs:
            key = ProviderModelKey(spec.resource.provider, spec.resource.model_id)
            endpoint = self.endpoints.setdefault(key.name, Endpoint(key, spec))
            endpoint.static_cap = min(endpoint.static_cap, spec.static_cap)
            self._pools.setdefault(key.name, Pool())
            resource = Resource(spec, endpoint, config)
            endpoint.resources.append(resource)
            self.resources[resource.name] = resource
            yield resource, earlier.get(resource.name)

    def of(self, item: RequestAdmissionItem) -> Route | None:
        """Return the route that an attempt asks for; None where it names what is not registered."""
        names: RouteKey = (item.resource.name,)
        if item.replicas:
            names += tuple(each.name for each in item.replicas)
        route = self._routes.get(names)
        if route is not None:
            return route
        if any(name not in self.resources for name in names):
            return None
        resources = tuple(self.resources[name] for name in dict.fromkeys(names))
        pool = self._joined({resource.endpoint.key.name: None for resource in resources})
        route = self._routes[names] = Route(resources, pool)
        pool.routes.append(route)
        return route

    def pool_of(self, endpoint: Endpoint) -> Pool | None:
        """Return an endpoint's pool; None where it is no longer registered."""
        pool = self._pools.get(endpoint.key.name)
        return pool if self.endpoints.get(endpoint.key.name) is endpoint else None

    def pools(self) -> list[Pool]:
        """Return every pool once."""
        return list(dict.fromkeys(self._pools.values()))

    def first_moment(self, now: float) -> float | None:
        """Return the first moment after `now` at which time alone changes what may leave."""
        moments = [resource.next_moment(now) for resource in self.resources.values()]
        moments += [endpoint.budget_blocked_until for endpoint in self.endpoints.values()]
        return min((moment for moment in moments if moment is not None and moment > now), default=None)

    def _joined(self, endpoints: dict[str, None]) -> Pool:
        """Return the one pool of these endpoints; several become one, under the latest virtual time."""
        pools = list(dict.fromkeys(self._pools[name] for name in endpoints))
        first = pools[0]
        for other in pools[1:]:
            first.clock.now = max(first.clock.now, other.clock.now)
            for route in other.routes:
                route.pool = first
                route.waiters.keep_time_by(first.clock)
            first.routes += other.routes
            first.waiting += other.waiting
            for name, pool in self._pools.items():
                if pool is other:
                    self._pools[name] = first
        return first
