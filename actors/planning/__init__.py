"""Planning: a job becomes generators and a `JobPlan`, or the list of everything wrong with it."""

from actors.planning.capacity import connections_of, describe_capacity
from actors.planning.prepare import Prepared, Unpreparable, prepare
from actors.planning.request_resources import RequestResourceResolver
from actors.planning.resolver import TaskSchedulingResolver

__all__ = [
    "Prepared",
    "RequestResourceResolver",
    "TaskSchedulingResolver",
    "Unpreparable",
    "connections_of",
    "describe_capacity",
    "prepare",
]
