"""What an endpoint may use in any sixty seconds: requests, tokens in, tokens out (A13).

A window that slides, and not a bucket that refills: there is no minute, wherever it begins, in which more
is admitted than the budget. An attempt is counted with its estimate from the moment of its lease; its
return puts what it really used in the estimate's place.
"""

from __future__ import annotations

from collections import deque

from messages.request_admission import RequestAdmissionItem, RequestBudgets, RequestOutcome

WINDOW_SECONDS = 60.0

_LEARNING = 0.1
"""How much one answer moves what is expected of the next."""


class Spending:
    """What one attempt counts for in one window, until it slides out."""

    __slots__ = ("amount", "until")

    def __init__(self, until: float, amount: float) -> None:
        self.until = until
        self.amount = amount


class SlidingBudget:
    """One quantity. `limit` is what may be used in any window."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0.0
        self._spent: deque[Spending] = deque()

    def room_at(self, amount: float, now: float) -> float:
        """Return when so much may be spent: `now` where it may be at once.

        More than the whole budget is let through once nothing else is in the window: it would wait for ever.
        """
        self._slide(now)
        wanted = min(amount, self.limit)
        over = self.used + wanted - self.limit
        if over <= 0.0:
            return now
        for spending in self._spent:
            over -= spending.amount
            if over <= 1e-9:
                return spending.until
        return now + WINDOW_SECONDS

    def spend(self, amount: float, now: float) -> Spending:
        """Count an amount from `now` on."""
        spending = Spending(now + WINDOW_SECONDS, amount)
        self._spent.append(spending)
        self.used += amount
        return spending

    def correct(self, spending: Spending, amount: float, now: float) -> None:
        """Put what was really used in an estimate's place; too late, once that has slid out."""
        self._slide(now)
        if spending.until > now:
            self.used += amount - spending.amount
            spending.amount = amount

    def _slide(self, now: float) -> None:
        spent = self._spent
        while spent and spent[0].until <= now:
            self.used -= spent.popleft().amount
        if not spent:
            self.used = 0.0  # sums of fractions leave a remainder


class Reservation:
    """What one lease has reserved, one entry per budget."""

    __slots__ = ("input_tokens", "output_tokens", "requests")

    def __init__(
        self, requests: Spending | None, input_tokens: Spending | None, output_tokens: Spending | None
    ) -> None:
        self.requests = requests
        self.input_tokens = input_tokens
        self.output_tokens = output_tokens


class EndpointBudgets:
    """The budgets of one endpoint, all or nothing: what is admitted fits into each of them."""

    def __init__(self, budgets: RequestBudgets) -> None:
        self.requests = _budget(budgets.requests_per_minute)
        self.input_tokens = _budget(budgets.input_tokens_per_minute)
        self.output_tokens = _budget(budgets.output_tokens_per_minute)
        self._expected_input = 0.0
        self._expected_output = 0.0

    def room_at(self, item: RequestAdmissionItem, now: float) -> float:
        """Return when an attempt fits: `now` where it does at once."""
        at = now
        if self.requests is not None:
            at = max(at, self.requests.room_at(1.0, now))
        if self.input_tokens is not None:
            at = max(at, self.input_tokens.room_at(self._input_of(item), now))
        if self.output_tokens is not None:
            at = max(at, self.output_tokens.room_at(self._output_of(item), now))
        return at

    def reserve(self, item: RequestAdmissionItem, now: float) -> Reservation:
        """Count an attempt that leaves, by its estimates."""
        return Reservation(
            None if self.requests is None else self.requests.spend(1.0, now),
            None if self.input_tokens is None else self.input_tokens.spend(self._input_of(item), now),
            None if self.output_tokens is None else self.output_tokens.spend(self._output_of(item), now),
        )

    def settle(self, reservation: Reservation, outcome: RequestOutcome, now: float) -> None:
        """Correct an attempt that came back: what it used, or nothing where nothing was sent.

        A refusal counts as a request and uses no tokens. Where the provider does not say what it counted, the
        estimate stands.
        """
        tokens_in, tokens_out = outcome.input_tokens, outcome.output_tokens
        if not outcome.sent or outcome.kind == "rate_limited":
            tokens_in = tokens_out = 0
        elif outcome.kind == "success":
            self._learn(tokens_in, tokens_out)
        if reservation.requests is not None and self.requests is not None and not outcome.sent:
            self.requests.correct(reservation.requests, 0.0, now)
        if reservation.input_tokens is not None and self.input_tokens is not None and tokens_in is not None:
            self.input_tokens.correct(reservation.input_tokens, float(tokens_in), now)
        if (
            reservation.output_tokens is not None
            and self.output_tokens is not None
            and tokens_out is not None
        ):
            self.output_tokens.correct(reservation.output_tokens, float(tokens_out), now)

    def _learn(self, tokens_in: int | None, tokens_out: int | None) -> None:
        if tokens_in is not None:
            self._expected_input = _moved(self._expected_input, tokens_in)
        if tokens_out is not None:
            self._expected_output = _moved(self._expected_output, tokens_out)

    def _input_of(self, item: RequestAdmissionItem) -> float:
        return self._expected_input if item.input_tokens is None else float(item.input_tokens)

    def _output_of(self, item: RequestAdmissionItem) -> float:
        return self._expected_output if item.output_tokens is None else float(item.output_tokens)


def _budget(limit: int | None) -> SlidingBudget | None:
    return None if limit is None else SlidingBudget(limit)


def _moved(expected: float, seen: int) -> float:
    return float(seen) if not expected else expected + _LEARNING * (seen - expected)


def budgets_of(budgets: RequestBudgets) -> EndpointBudgets | None:
    """Return an endpoint's budgets; None where it has none, which is the commonest case."""
    return None if budgets == RequestBudgets() else EndpointBudgets(budgets)
