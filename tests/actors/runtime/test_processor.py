"""A process that computes all the time says so in its log, second by second."""

from __future__ import annotations

import queue
import threading
import time

import pytest

from actors import ActorSystem
from actors.evidence.verify import verify_log
from actors.inspection.reading import LogStory
from actors.inspection.verdict import findings
from actors.runtime.processor import Effort, EffortMeter, ProcessorWatch
from messages import Job, PythonColumn, SequenceColumn


@pytest.mark.parametrize(
    ("busy", "processors", "is_all"),
    [
        (0.84, 8, False),
        (0.86, 8, True),
        (1.14, 8, True),
        (1.2, 8, False),
        (6.7, 8, False),
        (6.9, 8, True),
        (1.6, 2, False),
        (1.8, 2, True),
    ],
)
def test_one_interpreters_worth_or_every_processor_is_all_that_there_is(busy, processors, is_all):
    assert Effort(busy, processors).is_all is is_all


def test_a_meter_counts_what_was_computed_between_two_readings():
    meter = EffortMeter()
    compute(0.1)
    first = meter.read()
    assert first.busy * first.seconds >= 0.1
    assert first.processors >= 1


def test_only_a_second_in_which_no_more_could_be_done_is_reported():
    class Readings:
        left = [Effort(0.1, 2, 1.0), Effort(1.0, 2, 1.0), Effort(0.5, 2, 1.0), Effort(2.0, 2, 1.0)]

        def read(self):
            return self.left.pop(0) if self.left else Effort()

    reported = queue.SimpleQueue()
    watch = ProcessorWatch(reported.put, every=0.001, meter=Readings())
    watch.start()
    found = [reported.get(timeout=20), reported.get(timeout=20)]
    watch.stop()
    assert found == [Effort(1.0, 2, 1.0), Effort(2.0, 2, 1.0)]
    assert reported.empty()


def compute(seconds):
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def test_the_log_tells_of_it_and_inspection_says_that_no_setting_helps(tmp_path, monkeypatch):
    monkeypatch.setattr(EffortMeter, "read", lambda _: Effort(1.02, 8, 1.0))
    log = tmp_path / "log.jsonl"

    def waits_for_the_log(n: int) -> int:
        while "processor_busy" not in log.read_text():
            time.sleep(0.01)
        return n

    columns = {"n": SequenceColumn(), "c": PythonColumn(function=waits_for_the_log)}
    with ActorSystem.start() as system:
        assert system.run(Job(name="busy", rows=2, columns=columns), log=log).rows_written == 2
    assert "leasehold-processor" not in {thread.name for thread in threading.enumerate()}

    story = LogStory(log)
    story.read_on()
    first = findings(story.story.explain())[0]
    assert (first.layer, first.remedy.split(":")[0]) == ("processor", "none of the settings")
    assert "1.0 of 8 processors" in first.says
    assert verify_log(log).ok
