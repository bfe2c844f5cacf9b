"""Whether a job's admission policy is there to be used."""

from __future__ import annotations

from collections.abc import Iterator

from actors.task_admission.policies import policy_named
from messages.job import Job, Problem


def policy_problems(job: Job) -> Iterator[Problem]:
    """Yield what is wrong with the policy that the job names."""
    try:
        policy_named(job.limits.policy)
    except LookupError as error:
        yield Problem("limits.policy", str(error))
