"""What each model's limit, pauses and calls came to, from the request stream alone."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import Any, Final, Literal

from actors.inspection.charges import micros
from actors.inspection.explained import LimitChange, ModelExplained
from actors.inspection.measures import Moments, Series, Stretch
from actors.telemetry.timeline import RECOVERED, WAIT_CAUSES
from messages.telemetry import Event, RequestResourceDescriptor

_MOST_CHANGES: Final = 200
_MOST_COOLDOWNS: Final = 200


class _Model:
    """One request resource's account, times in microseconds."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.descriptor = RequestResourceDescriptor(endpoint=name.rpartition("/")[0], static_cap=0)
        self.algorithm = ""
        self.effective_max = 0
        self.outcomes: Counter[str] = Counter()
        self.given_up: Counter[str] = Counter()
        self.input_tokens = self.output_tokens = 0
        self.waiting: dict[int, int] = {}
        self.leases: set[int] = set()
        self.sent: dict[int, int] = {}
        self.provider = self.most_in_flight = self.most_waiting = self.most_limit = 0
        self.waited = dict.fromkeys(("limit", *WAIT_CAUSES), 0)
        self.full, self.cut, self.wanted, self.free = Stretch(), Stretch(), Stretch(), Stretch()
        self.rate_limited = Moments()
        self.cooldown = 0
        self.cooldowns: deque[list[int]] = deque(maxlen=_MOST_COOLDOWNS)
        self.circuit = Stretch()
        self.circuit_openings = 0
        self.change_counts: Counter[str] = Counter()
        self.changes: deque[tuple[int, int, int, str]] = deque(maxlen=_MOST_CHANGES)
        self.limit, self.in_flight, self.waiters = Series(), Series(), Series()


class Models:
    """The request resources of one run."""

    def __init__(self) -> None:
        self._models: dict[str, _Model] = {}
        self._waiting_at: dict[int, _Model] = {}
        self._wanted: set[str] = set()
        self._any_wanted = Stretch()
        self._just_asked: tuple[_Model, int, int] | None = None
        self.leases_granted = self.leases_returned = 0
        self._in_flight: Counter[str] = Counter()
        self.most_by_endpoint: dict[str, int] = {}
        """The most calls in flight at once to each endpoint, over all of its domains."""
        self._sent: dict[int, str] = {}
        self._sent_now: Counter[str] = Counter()
        self.most_sent: dict[str, int] = {}
        """The most calls at once that each provider was sent and had not answered."""
        self._handlers: dict[str, Callable[[_Model, Event, int], None]] = {
            "request_resource_registered": self._registered,
            "request_effective_cap_changed": self._cap_changed,
            "request_wait_started": self._wait_started,
            "request_wait_completed": self._wait_over,
            "request_wait_timeout": self._wait_given_up,
            "request_wait_cancelled": self._wait_given_up,
            "request_lease_acquired": self._granted,
            "model_request_started": self._started,
            "model_request_completed": self._completed,
            "request_lease_released": self._released,
            "request_rate_limited": self._rate_limited,
            "request_limit_increased": self._limit_changed,
            "request_limit_decreased": self._limit_changed,
            "request_soft_ceiling_recovered": self._told,
            "request_fully_recovered": self._told,
            "request_circuit_opened": self._circuit_opened,
            "request_circuit_closed": self._circuit_closed,
        }

    @property
    def handled(self) -> frozenset[str]:
        """The kinds of event that change anything here."""
        return frozenset(self._handlers)

    def add(self, event: Event, at: int) -> None:
        """Take an event of one of the handled kinds."""
        if self._just_asked is not None:
            self._judge_just_asked(event, at)
        name = event.resource
        if not name and event.request_attempt_id in self._waiting_at:
            name = self._waiting_at[event.request_attempt_id].name
        if name:
            self._handlers[event.event_kind](self._model(name), event, at)

    def wanted(self, at: int) -> int:
        """Return for how long in all calls have waited for any model."""
        return self._any_wanted.total(at)

    def describe(self, resources: dict[str, RequestResourceDescriptor]) -> None:
        """Take what the run's description says of its resources."""
        for name, descriptor in resources.items():
            model = self._model(name)
            model.descriptor = descriptor
            if not model.effective_max:
                model.effective_max = descriptor.static_cap
                model.limit.value = descriptor.static_cap

    def most(self, of: Literal["most_waiting", "most_in_flight", "most_limit"]) -> dict[str, int]:
        """Return the most that was seen of something, by resource of the run, where there was any."""
        found = {
            name: int(getattr(model, of))
            for name, model in self._models.items()
            if model.descriptor.static_cap  # the checks before the run are no resource of its
        }
        return {name: most for name, most in found.items() if most}

    def explained(self, at: int, origin: int) -> dict[str, ModelExplained]:
        """Return every model as it is now."""
        return {name: _explained(model, at, origin) for name, model in self._models.items()}

    def waiting_for(self, resource: str, at: int) -> str:
        """Return what an attempt that waits for this resource waits for now."""
        model = self._model(resource)
        if model.circuit.holds:
            return f"{resource}: its circuit is open"
        if model.cooldowns and model.cooldowns[-1][1] > at:
            return f"{resource}: paused by its provider for {(model.cooldowns[-1][1] - at) / 1e6:.1f} s"
        if len(model.leases) >= model.limit.value:
            return f"{resource}: all {len(model.leases)} calls of its limit are in flight"
        return f"{resource}: a request lease"

    def _model(self, name: str) -> _Model:
        model = self._models.get(name)
        if model is None:
            model = self._models[name] = _Model(name)
        return model

    # -- events --------------------------------------------------------------------------------------

    def _registered(self, model: _Model, event: Event, at: int) -> None:
        said = event.diagnostics or {}
        model.algorithm = said.get("algorithm", "")
        model.effective_max = _number(said, "effective_max", model.effective_max)
        _set_limit(model, _number(said, "initial_limit", model.effective_max), at)

    def _cap_changed(self, model: _Model, event: Event, at: int) -> None:
        said = event.diagnostics or {}
        model.effective_max = _number(said, "effective_max", model.effective_max)
        _set_limit(model, _number(said, "limit", int(model.limit.value)), at)
        self._judge(model, at)

    def _wait_started(self, model: _Model, event: Event, at: int) -> None:
        attempt = event.request_attempt_id
        model.waiting[attempt] = at
        self._waiting_at[attempt] = model
        self._just_asked = (model, attempt, at)

    def _judge_just_asked(self, event: Event, now: int) -> None:
        """Count the last one that asked among those that wait, unless it has its lease at once."""
        assert self._just_asked is not None
        model, attempt, at = self._just_asked
        self._just_asked = None
        granted = event.event_kind == "request_wait_completed" and event.request_attempt_id == attempt
        if granted and now <= at:
            del model.waiting[attempt]
        else:
            self._waiters_changed(model, at)

    def _wait_over(self, model: _Model, event: Event, at: int) -> None:
        # Of several replicas the one that was asked first has counted the wait.
        waited_at = self._waiting_at.pop(event.request_attempt_id, model)
        since = waited_at.waiting.pop(event.request_attempt_id, None)
        if since is None:
            return
        rest = max(0, at - since)
        for cause in WAIT_CAUSES:
            part = min(rest, micros((event.diagnostics or {}).get(cause) or 0.0))
            waited_at.waited[cause] += part
            rest -= part
        waited_at.waited["limit"] += rest
        self._waiters_changed(waited_at, at)

    def _wait_given_up(self, model: _Model, event: Event, at: int) -> None:
        model.given_up[event.reason_or_outcome or event.event_kind] += 1
        self._wait_over(model, event, at)

    def _granted(self, model: _Model, event: Event, at: int) -> None:
        before = len(model.leases)
        if event.reason_or_outcome != RECOVERED:
            self.leases_granted += 1
        else:  # the attempt's one lease, under another number
            model.leases.discard(int((event.diagnostics or {})["replaces"]))
        model.leases.add(event.request_lease_id)
        self._in_flight_changed(model, before, at)

    def _started(self, model: _Model, event: Event, at: int) -> None:
        model.sent[event.request_lease_id] = at
        provider = self._sent[event.request_attempt_id] = model.descriptor.endpoint.partition("/")[0]
        self._sent_now[provider] += 1
        self.most_sent[provider] = max(self.most_sent.get(provider, 0), self._sent_now[provider])

    def _completed(self, model: _Model, event: Event, at: int) -> None:
        said = event.diagnostics or {}
        model.outcomes[event.reason_or_outcome] += 1
        model.input_tokens += said.get("input_tokens") or 0
        model.output_tokens += said.get("output_tokens") or 0
        model.provider += max(0, at - model.sent.pop(event.request_lease_id, at))
        self._answered(event)

    def _answered(self, event: Event) -> None:
        provider = self._sent.pop(event.request_attempt_id, None)
        if provider is not None:
            self._sent_now[provider] -= 1

    def _released(self, model: _Model, event: Event, at: int) -> None:
        before = len(model.leases)
        self.leases_returned += 1
        model.leases.discard(event.request_lease_id)
        model.sent.pop(event.request_lease_id, None)
        self._answered(event)
        self._in_flight_changed(model, before, at)

    def _rate_limited(self, model: _Model, event: Event, at: int) -> None:
        model.rate_limited.add(at)
        until = (event.diagnostics or {}).get("blocked_until")
        if until is None or micros(until) <= at:
            return
        end, last = micros(until), model.cooldowns[-1] if model.cooldowns else None
        if last is not None and at <= last[1]:
            model.cooldown += max(0, end - last[1])
            last[1] = max(last[1], end)
        else:
            model.cooldown += end - at
            model.cooldowns.append([at, end])

    def _limit_changed(self, model: _Model, event: Event, at: int) -> None:
        said = event.diagnostics or {}
        after = _number(said, "after", int(model.limit.value))
        before = _number(said, "before", int(model.limit.value))
        model.effective_max = _number(said, "effective_max", model.effective_max)
        model.changes.append((at, before, after, event.reason_or_outcome))
        _set_limit(model, after, at)
        self._told(model, event, at)
        self._judge(model, at)

    def _told(self, model: _Model, event: Event, _at: int) -> None:
        model.change_counts[event.event_kind.removeprefix("request_")] += 1

    def _circuit_opened(self, model: _Model, _event: Event, at: int) -> None:
        model.circuit_openings += not model.circuit.holds
        model.circuit.set(holds=True, at=at)

    def _circuit_closed(self, model: _Model, _event: Event, at: int) -> None:
        model.circuit.set(holds=False, at=at)

    # -- what holds now ------------------------------------------------------------------------------

    def _waiters_changed(self, model: _Model, at: int) -> None:
        waiting = len(model.waiting)
        model.most_waiting = max(model.most_waiting, waiting)
        model.waiters.set(waiting, at)
        self._judge(model, at)

    def _in_flight_changed(self, model: _Model, before: int, at: int) -> None:
        in_flight = len(model.leases)
        model.most_in_flight = max(model.most_in_flight, in_flight)
        endpoint = model.descriptor.endpoint
        self._in_flight[endpoint] += in_flight - before
        if self._in_flight[endpoint] > self.most_by_endpoint.get(endpoint, 0):
            self.most_by_endpoint[endpoint] = self._in_flight[endpoint]
        model.in_flight.set(in_flight, at)
        self._judge(model, at)

    def _judge(self, model: _Model, at: int) -> None:
        waiting, in_flight, limit = bool(model.waiting), len(model.leases), model.limit.value
        stopped = waiting and in_flight >= limit
        if waiting and not stopped and model.descriptor.static_cap:
            stopped = self._is_endpoint_full(model)
        model.wanted.set(holds=waiting, at=at)
        model.full.set(holds=stopped and limit >= model.effective_max, at=at)
        model.cut.set(holds=stopped and limit < model.effective_max, at=at)
        before = bool(self._wanted)
        if waiting:
            self._wanted.add(model.name)
        else:
            self._wanted.discard(model.name)
        if before == bool(self._wanted):
            self._judge_free(model, at)
        else:  # what one model is short of is what all the others wait behind
            self._any_wanted.set(holds=bool(self._wanted), at=at)
            for each in self._models.values():
                self._judge_free(each, at)

    def _judge_free(self, model: _Model, at: int) -> None:
        model.free.set(holds=bool(model.leases) and not self._wanted, at=at)

    def _is_endpoint_full(self, model: _Model) -> bool:
        """Return whether all domains of the endpoint together hold what it may have."""
        endpoint = model.descriptor.endpoint
        held = sum(len(each.leases) for each in self._models.values() if each.descriptor.endpoint == endpoint)
        return held >= model.descriptor.static_cap


def _set_limit(model: _Model, limit: int, at: int) -> None:
    model.limit.set(limit, at)
    model.most_limit = max(model.most_limit, limit)


def _number(said: dict[str, Any], name: str, otherwise: int) -> int:
    found = said.get(name)
    return otherwise if found is None else int(found)


def _explained(model: _Model, at: int, origin: int) -> ModelExplained:
    def since(moment: int) -> float:
        return (moment - origin) / 1e6

    last = model.cooldowns[-1][1] if model.cooldowns else 0
    still_to_come = max(0, last - at)
    return ModelExplained(
        endpoint=model.descriptor.endpoint,
        caps=dict(model.descriptor.caps),
        budgets=dict(model.descriptor.budgets),
        algorithm=model.algorithm,
        static_cap=model.descriptor.static_cap,
        effective_max=model.effective_max,
        limit=int(model.limit.value),
        attempts=model.outcomes.total(),
        outcomes=dict(model.outcomes),
        waits_given_up=dict(model.given_up),
        input_tokens=model.input_tokens,
        output_tokens=model.output_tokens,
        provider_seconds=model.provider / 1e6,
        most_in_flight=model.most_in_flight,
        most_waiting=model.most_waiting,
        in_flight=len(model.leases),
        waiting=len(model.waiting),
        full_seconds=model.full.seconds(at),
        cut_seconds=model.cut.seconds(at),
        waiting_seconds=model.wanted.seconds(at),
        free_seconds=model.free.seconds(at),
        waited_seconds={cause: waited / 1e6 for cause, waited in model.waited.items()},
        rate_limited=model.rate_limited.count,
        rate_limited_at=tuple(since(moment) for moment in model.rate_limited.kept),
        cooldown_seconds=max(0, model.cooldown - still_to_come) / 1e6,
        cooldowns=tuple((since(start), since(min(end, at))) for start, end in model.cooldowns),
        cooldown_until=since(last) if still_to_come else None,
        circuit_openings=model.circuit_openings,
        circuit_seconds=model.circuit.seconds(at),
        circuit_open=model.circuit.holds,
        limit_changes=dict(model.change_counts),
        limit_changed=tuple(
            LimitChange(since(moment), before, after, reason)
            for moment, before, after, reason in model.changes
        ),
        limit_curve=model.limit.curve(origin),
        in_flight_curve=model.in_flight.curve(origin),
        waiting_curve=model.waiters.curve(origin),
    )
