"""Leasehold's actors, and the system that runs them in your process.

from actors import ActorSystem
from messages import Job
"""

from actors.system.handle import JobHandle
from actors.system.system import ActorSystem

__all__ = ["ActorSystem", "JobHandle"]
