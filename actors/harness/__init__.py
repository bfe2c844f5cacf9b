"""The actors driven by hand: send any message, see every one, wait for the one that matters.

    with Harness.start(actors=["task_admission"]) as harness:
        scheduler = harness.probe("scheduler")
        scheduler.send("task_admission", ConfigureTaskAdmission("a", TaskAdmissionConfig({"submission": 1})))
        scheduler.expect(TaskAdmissionConfigured)

`play_script` does the same from a file of typed messages.
"""

from actors.harness.expectations import ExpectationFailed
from actors.harness.harness import Harness
from actors.harness.play import PlayResult, play_script
from actors.harness.probe import Probe
from actors.harness.script import ScriptError
from actors.harness.transcript import Delivery, Subscription, Transcript

__all__ = [
    "Delivery",
    "ExpectationFailed",
    "Harness",
    "PlayResult",
    "Probe",
    "ScriptError",
    "Subscription",
    "Transcript",
    "play_script",
]
