"""Rate-limit storms on a real HTTP server: nothing is lost, and every attempt is one lease (A1, A4, A9).

A minute of storm is scaled to one second; cooldowns, circuits and latencies are sixty times shorter.
"""

from __future__ import annotations

import contextlib
import re
import shlex

import pytest

from actors import ActorSystem
from actors.evidence.reader import read_events
from actors.evidence.verify import verify_log
from actors.harness.behaviours import GOOD, Answer, always, storm
from actors.harness.misbehaving_server import MisbehavingServer
from messages import (
    ChatColumn,
    FailurePolicy,
    Job,
    Latency,
    ModelConfig,
    OpenAIProvider,
    RequestAdmissionTuning,
    ScriptStep,
    SequenceColumn,
    SimulatedProvider,
)
from tests.forked_command import ROOT, run_command

STORM_SECONDS = 1.0
REFUSAL = Answer(429, retry_after=0.025, delay=0.001)


def calls_of(server):
    """Return the outbound attempts as the server counted them: its health was asked after as well."""
    return sum(request.path.endswith("/chat/completions") for request in server.seen)


def a_job(base_url, *, rows, **changes):
    tuning = RequestAdmissionTuning(
        initial=4,
        cooldown_seconds=0.025,
        successes_until_increase=5,
        circuit_after_seconds=changes.pop("circuit_after", 60.0),
        circuit_probe_seconds=0.05,
        circuit_max_probe_seconds=0.2,
    )
    return Job(
        name="storm",
        rows=rows,
        row_group_size=25,
        providers={"net": OpenAIProvider(base_url=base_url)},
        models={"writer": ModelConfig(provider="net", model="small", max_parallel_requests=8, limit=tuning)},
        columns={
            "number": SequenceColumn(),
            "story": ChatColumn(model="writer", prompt="Tell {{ number }}."),
        },
        failure=FailurePolicy(backoff_seconds=0.02),
        **changes,
    )


def events_of(folder):
    return [placed.event for placed in read_events(folder)]


def kinds_of(folder):
    return [event.event_kind for event in events_of(folder)]


def test_a1_a4_half_of_all_calls_refused_for_a_minute_drops_no_row_and_costs_no_lease(tmp_path):
    weather = storm(STORM_SECONDS, behaviour=REFUSAL)

    def rule(arrival):
        behaviour = weather(arrival)
        return Answer(delay=0.01) if behaviour is GOOD else behaviour

    with MisbehavingServer(rule) as server:
        with ActorSystem.start() as system:
            result = system.run(
                a_job(server.base_url, rows=300), out=tmp_path / "out", log=tmp_path / "out/actors.jsonl"
            )
        sent, most = calls_of(server), server.most_in_flight
        last = max(request.number for request in server.seen)
    assert (result.status, result.rows_written, result.rows_dropped) == ("succeeded", 300, 0)
    report = verify_log(tmp_path / "out")
    assert report.ok, report.violations
    assert report.counts.request_leases == report.counts.model_requests == sent
    usage = result.models["writer"]
    assert (usage.attempts, usage.outcomes["success"]) == (sent, 300)
    refused = usage.outcomes["rate_limited"]
    assert refused == sent - 300 > 5
    assert kinds_of(tmp_path / "out").count("request_rate_limited") == refused
    assert "request_limit_decreased" in kinds_of(tmp_path / "out")
    assert "request_limit_increased" in kinds_of(tmp_path / "out")
    assert most <= 8
    assert last > sent, "its health was asked after"


def test_a9_a_provider_that_refuses_everything_for_a_while_is_waited_for(tmp_path):
    weather = storm(STORM_SECONDS, every=1, behaviour=REFUSAL)
    with MisbehavingServer(weather) as server:
        job = a_job(server.base_url, rows=50, circuit_after=0.2, health_check=False)
        with ActorSystem.start() as system:
            result = system.run(job, out=tmp_path / "out", log=tmp_path / "out/actors.jsonl")
        sent = calls_of(server)
    assert (result.status, result.rows_written) == ("succeeded", 50)
    report = verify_log(tmp_path / "out")
    assert report.ok, report.violations
    assert report.counts.request_leases == sent
    kinds = kinds_of(tmp_path / "out")
    assert kinds.count("request_circuit_opened") == kinds.count("request_circuit_closed") == 1
    opened = kinds.index("request_circuit_opened")
    probes = kinds[opened : kinds.index("request_circuit_closed")].count("request_lease_acquired")
    assert 2 <= probes <= 6, "at growing intervals, one at a time"


JOB_FILE = """
name = "storm"
rows = 50
row_group_size = 10
on_provider_exhausted = "stop"

[providers.net]
kind = "openai"
base_url = "{base_url}"

[models.writer]
provider = "net"
model = "small"
limit = {{ initial = 2, cooldown_seconds = 0.05, circuit_after_seconds = 0.3 }}

[columns.number]
kind = "sequence"

[columns.story]
kind = "chat"
model = "writer"
prompt = "Tell {{{{ number }}}}."

[failure]
backoff_seconds = 0.02
"""


def leasehold(arguments, folder):
    return run_command(arguments, cwd=folder, env={"PYTHONPATH": str(ROOT), "PATH": ""}, timeout=50)


def test_a9_stop_exits_1_names_the_provider_and_the_counts_and_says_how_to_go_on(tmp_path):
    """Twenty answers, then only refusals; once that is over, the told command finishes the job."""
    over = []

    def rule(arrival):
        return GOOD if over or arrival.number <= 21 else REFUSAL

    with MisbehavingServer(rule) as server:
        (tmp_path / "a job.toml").write_text(JOB_FILE.format(base_url=server.base_url))
        stopped = leasehold(["run", "a job.toml", "--out", "out"], tmp_path)
        assert stopped.returncode == 1, stopped.stderr
        told = stopped.stdout + stopped.stderr
        assert re.search(r"provider net refused every call to net/small/chat", told), told
        assert re.search(r"\d+ rate limits, 20 successes before", told), told
        assert "0 dropped" in told
        (command,) = re.findall(r"continue: leasehold (.*--resume.*)", told)
        sent_before = calls_of(server)
        over.append(True)
        resumed = leasehold(shlex.split(command), tmp_path)
        assert resumed.returncode == 0, resumed.stderr
        assert "50 of 50 rows written, 0 dropped" in resumed.stdout
        assert calls_of(server) - sent_before == 30, "finished calls are not made again (R14)"


def test_a9_one_replica_that_refuses_everything_degrades_the_model_and_not_the_job(tmp_path):
    with MisbehavingServer(always(REFUSAL)) as bad, MisbehavingServer() as good:
        job = a_job(
            bad.base_url, rows=60, circuit_after=0.2, health_check=False, on_provider_exhausted="stop"
        )
        model = job.models["writer"]
        replicated = ModelConfig(
            providers=("net", "spare"), model="small", max_parallel_requests=4, limit=model.limit
        )
        job = Job(
            **{name: getattr(job, name) for name in job.__struct_fields__}
            | {
                "providers": {**job.providers, "spare": OpenAIProvider(base_url=good.base_url)},
                "models": {"writer": replicated},
            }
        )
        with ActorSystem.start() as system:
            result = system.run(job, out=tmp_path / "out", log=tmp_path / "out/actors.jsonl")
        sent = calls_of(bad) + calls_of(good)
    assert (result.status, result.rows_written, result.rows_dropped) == ("succeeded", 60, 0)
    report = verify_log(tmp_path / "out")
    assert report.ok, report.violations
    assert report.counts.request_leases == sent


@pytest.mark.parametrize("algorithm", ["aimd", "gradient", "fixed"])
def test_a14_a_run_under_each_algorithm_verifies(algorithm, tmp_path):
    """Long enough for `gradient` to look for its baseline, on a server that queues beyond four calls."""
    tuning = RequestAdmissionTuning(algorithm=algorithm, startup_ramp_seconds=0.05)
    server = SimulatedProvider(
        latency_ms=Latency(mean=4.0, jitter=2.0), script=(ScriptStep(capacity=4),), when_full="queue"
    )
    job = Job(
        name="queueing",
        rows=400,
        providers={"sim": server},
        models={"writer": ModelConfig(provider="sim", model="m", max_parallel_requests=16, limit=tuning)},
        columns={
            "number": SequenceColumn(),
            "story": ChatColumn(model="writer", prompt="Tell {{ number }}."),
        },
    )
    with ActorSystem.start() as system:
        result = system.run(job, out=tmp_path / "out", log=tmp_path / "out/actors.jsonl")
    assert result.rows_written == 400
    report = verify_log(tmp_path / "out")
    assert report.ok, report.violations
    cut = "request_limit_decreased" in kinds_of(tmp_path / "out")
    assert cut == (algorithm == "gradient")


@pytest.fixture(autouse=True)
def no_key_of_the_machine(monkeypatch):
    """A server without keys gets none, whatever this machine has set."""
    with contextlib.suppress(KeyError):
        monkeypatch.delenv("OPENAI_API_KEY")
