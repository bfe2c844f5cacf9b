"""Service-time fair: weights are shares of the machine's time, not of its turns."""

from __future__ import annotations

from actors.task_admission.policies.provider_aware import ProviderAwareTaskAdmissionPolicy
from actors.task_admission.policies.strict_fair import StrictFairTaskAdmissionPolicy
from messages.task_admission import Charge


class ServiceTimeFairTaskAdmissionPolicy(ProviderAwareTaskAdmissionPolicy):
    """Who may start as under strict fair (T11), heeding providers (A12); who is next by time taken (Q1).

    The order alone shares the capacity, so nothing has to be lent: a group that has taken more than its share
    of lease-seconds waits, however few tasks that were, and one whose tasks are short has many turns.
    """

    charge: Charge = "lease_seconds"

    def __init__(self) -> None:
        super().__init__(StrictFairTaskAdmissionPolicy())
