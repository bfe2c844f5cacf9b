"""What a running job does when another actor has lost its state and begins anew.

Every actor's obligations to the job are known here as well: which leases are out, which row groups are
loading or on their way to storage. So each can be taken over by the actor's next incarnation.
"""

from __future__ import annotations

from actors.scheduler.run import WORKER_LOST, JobRun
from actors.scheduler.submission import Submission
from messages._base import (
    REQUEST_ADMISSION,
    SCHEDULER,
    TASK_ADMISSION,
    WORKER,
    ActorName,
    Outgoing,
)
from messages.request_admission import RegisterRequestResources
from messages.task_admission import (
    ForgetRequestPressure,
    RecoverTaskLeases,
    ReturnTaskLeases,
    TaskAdmissionConfig,
    TaskLeaseReturn,
)


def recover(actor: ActorName, generation: int, run: JobRun, submission: Submission) -> list[Outgoing]:
    """Return what brings a restarted actor back into the run."""
    plan = run.plan
    if actor == TASK_ADMISSION:
        config = TaskAdmissionConfig(plan.resource_limits, plan.policy, plan.replicas)
        leases = list(run.outstanding.values())
        return [
            Outgoing(
                TASK_ADMISSION, RecoverTaskLeases(plan.run_id, generation, config, leases, reply_to=SCHEDULER)
            )
        ]
    if actor == REQUEST_ADMISSION:
        run.circuits.forget()
        register = RegisterRequestResources(
            plan.run_id, plan.request_resources, plan.request_admission, reply_to=SCHEDULER
        )
        # First: what the new incarnation finds pressed, it tells once it knows the resources.
        forget = Outgoing(TASK_ADMISSION, ForgetRequestPressure(plan.run_id))
        return [forget, Outgoing(REQUEST_ADMISSION, register)]
    if actor == WORKER:
        # Nobody else knows which tokens it held: they are returned for it, and its tasks tried again.
        run.worker = None
        returns = [TaskLeaseReturn(lease, WORKER_LOST) for lease in run.outstanding.values()]
        outgoing = [Outgoing(TASK_ADMISSION, ReturnTaskLeases(returns))] if returns else []
        return [*outgoing, submission.prepare_again(generation)]
    return []  # telemetry and storage find what they need where they write
