"""What a new incarnation must not do until it knows what the last one had granted.

Until the worker has reported what it holds, nothing is granted and nothing is judged: what arrives is
kept. The report is sent after all of that, so it tells the present; what was kept only tells what still
has to be recorded.
"""

from __future__ import annotations

from messages.request_admission import (
    AcquireRequestLease,
    CancelRequestWait,
    RequestEventContext,
    RequestLease,
    RequestOutcome,
    ReturnRequestLease,
)


class Recovery:
    """The messages kept, and which new lease stands for which lost one."""

    def __init__(self) -> None:
        self.over = False
        self.reissued: dict[int, RequestLease] = {}
        self.lost_waiting: list[RequestEventContext] = []
        """Who waited in a worker that was lost as well."""
        self.lost_holders: set[int] = set()
        """The generations of the workers whose loss has been heard of since."""
        self._kept: list[AcquireRequestLease | CancelRequestWait | ReturnRequestLease] = []

    def go_on(self, lost: Recovery) -> None:
        """Go on with what was kept by an incarnation that was lost before it had recovered."""
        self.lost_waiting, self.lost_holders = lost.lost_waiting, lost.lost_holders
        self._kept = lost._kept

    def keep(self, message: AcquireRequestLease | CancelRequestWait | ReturnRequestLease) -> bool:
        """Keep a message that came before the worker's report; return False once that is there."""
        if not self.over:
            self._kept.append(message)
        return not self.over

    def asked(self) -> set[int]:
        """Return the attempts whose asking was kept: of these, nothing has been recorded yet."""
        return {
            message.item.event_context.request_attempt_id
            for message in self._kept
            if isinstance(message, AcquireRequestLease)
        }

    def returned(self) -> list[tuple[RequestEventContext, RequestLease, RequestOutcome]]:
        """Return the lost incarnation's tokens that came back before the report.

        Without those that were granted to a worker whose loss the lost incarnation has heard of: it has
        taken them back itself.
        """
        return [
            (message.event_context, message.lease, message.outcome)
            for message in self._kept
            if isinstance(message, ReturnRequestLease) and message.lost_holder in (0, *self.lost_holders)
        ]

    def cancelled(self) -> list[RequestEventContext]:
        """Return the attempts that gave up waiting, and whose asking the lost incarnation had recorded.

        One whose lease has come back had been granted it after all: it waited no longer. Nor did one that had
        been denied.
        """
        answered = {context.request_attempt_id for context, _, _ in self.returned()}
        answered |= {
            message.request_attempt_id
            for message in self._kept
            if isinstance(message, CancelRequestWait) and message.event_context is None
        }
        gone = [
            message.event_context
            for message in self._kept
            if isinstance(message, CancelRequestWait) and message.event_context is not None
        ]
        known = self.asked() | answered
        return [context for context in (*gone, *self.lost_waiting) if context.request_attempt_id not in known]

    def successor(self, lost: RequestLease) -> RequestLease | None:
        """Return, once, the lease that stands for one of an earlier generation."""
        return self.reissued.pop(lost.lease_id, None)
