"""Metrics of real runs: equal to what the log says, under labels that no id can get into."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import urllib.request
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client.parser import text_string_to_metric_families

from actors import ActorSystem
from actors.evidence.reader import read_events
from actors.harness import Harness
from actors.metrics.catalogue import CATALOGUE
from actors.metrics.labels import MOST_NAMES, OTHER, BoundedNames, closed, resource_kind
from actors.metrics.opentelemetry import OpenTelemetryBridge
from actors.metrics.prometheus import MetricsUnavailableError, serve_metrics
from actors.metrics.source import MetricsSource
from messages import (
    ChatColumn,
    EmbeddingColumn,
    FailurePolicy,
    Job,
    Latency,
    Limits,
    ModelConfig,
    PythonColumn,
    ScriptStep,
    SequenceColumn,
    SimulatedProvider,
)
from messages._base import ACTOR_NAMES
from messages.metadata import SchedulingMetadata

RAW_MODEL = "vendor/8f14e45fceea167a-secret:model"
ALLOWED_LABELS = {"event_kind", "resource_kind", "provider", "model", "domain", "algorithm"}
CLOSED_LABELS = {"outcome", "state", "direction", "actor"}


async def odd_ones_fail(n: int) -> int:
    if n % 6 == 5:
        raise ValueError
    return n


def a_job(rows=30, models=1):
    return Job(
        name="measured",
        health_check=False,
        rows=rows,
        row_group_size=10,
        providers={
            "sim": SimulatedProvider(
                latency_ms=Latency(3, 2),
                script=(ScriptStep(refuse_rate=0.2, retry_after=0.02), ScriptStep(at=0.1, refuse_rate=0.0)),
            )
        },
        models={
            f"writer {number}": ModelConfig(
                provider="sim", model=f"{RAW_MODEL}{number}", max_parallel_requests=3
            )
            for number in range(models)
        },
        columns={
            "n": SequenceColumn(),
            "checked": PythonColumn(
                function=odd_ones_fail, metadata=SchedulingMetadata("local", ("gpu-7f3a",))
            ),
            **{
                f"told{number}": ChatColumn(model=f"writer {number}", prompt="about {{ n }}")
                for number in range(models)
            },
            "vector": EmbeddingColumn(model="writer 0", input="{{ n }}"),
        },
        limits=Limits(resources={"gpu-7f3a": 2}),
        failure=FailurePolicy(backoff_seconds=0.01),
    )


def scraped(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }, text


def total(found, name, **labels):
    return sum(
        value
        for (each, given), value in found.items()
        if each == name and all(dict(given)[key] == wanted for key, wanted in labels.items())
    )


def test_what_is_scraped_after_a_run_is_what_its_log_says(tmp_path):
    log = tmp_path / "log.jsonl"
    with ActorSystem.start(log=log) as system, serve_metrics(system, port=0) as port:
        result = system.run(a_job())
        found, _ = scraped(port)
    events = [placed.event for placed in read_events(log)]
    kinds = Counter(event.event_kind for event in events)
    for kind, count in kinds.items():
        assert total(found, "leasehold_events_total", event_kind=kind) == count, kind
    outcomes = Counter(
        event.reason_or_outcome for event in events if event.event_kind == "task_lease_released"
    )
    for outcome, count in outcomes.items():
        assert total(found, "leasehold_tasks_total", outcome=outcome) == count
    usage = result.models["writer 0"]
    assert usage.outcomes["rate_limited"]
    for outcome, count in usage.outcomes.items():
        assert total(found, "leasehold_requests_total", outcome=outcome) == count
    assert total(found, "leasehold_tokens_total", direction="output") == usage.output_tokens
    assert total(found, "leasehold_rate_limited_total") == kinds["request_rate_limited"]
    assert total(found, "leasehold_request_seconds_count") == usage.attempts
    assert total(found, "leasehold_request_wait_seconds_count", domain="chat") > 0
    assert total(found, "leasehold_up") == 1


@pytest.mark.parametrize("models", [1, MOST_NAMES + 3])
def test_o4_no_label_is_ever_an_id_a_raw_model_a_column_or_a_row_group(models, monkeypatch):
    monkeypatch.setattr("actors.metrics.source._KEPT_SECONDS", 0.0)  # the second page is of a later moment
    job = a_job(rows=12, models=models)
    with ActorSystem.start() as system, serve_metrics(system, port=0) as port:
        handle = system.submit(job)
        pages = [scraped(port)]
        run_id = handle.run_id
        handle.result(timeout=30)
        pages.append(scraped(port))
    allowed_models = {f"writer_{number}" for number in range(models)} | {"other"}
    for found, text in pages:
        assert RAW_MODEL not in text
        assert "8f14e45fceea167a" not in text
        assert run_id not in text
        assert "gpu-7f3a" not in text
        seen_models = set()
        for _, labels in found:
            for name, value in labels:
                assert name in ALLOWED_LABELS | CLOSED_LABELS | {"le"}
                assert name == "le" or re.fullmatch(r"[A-Za-z0-9_.+-]{1,40}", value), value
                if name == "model":
                    seen_models.add(value)
        assert seen_models <= allowed_models
        assert len(seen_models) <= MOST_NAMES + 1
    assert total(pages[-1][0], "leasehold_requests_total") >= models * 8  # none was lost to `other`


def test_every_metric_has_only_labels_that_are_safe():
    for metric in CATALOGUE:
        assert set(metric.labels) <= ALLOWED_LABELS | CLOSED_LABELS, metric.name
    assert len({metric.name for metric in CATALOGUE}) == len(CATALOGUE)


@given(st.lists(st.text(max_size=60), max_size=100), st.text(max_size=60))
def test_names_are_bounded_and_harmless_whatever_they_are(names, asked):
    bounded = BoundedNames()
    for name in names:
        bounded.know(name)
    labels = {bounded.of(name) for name in [*names, asked]}
    assert len(labels) <= MOST_NAMES + 1
    assert all(re.fullmatch(r"[A-Za-z0-9_.+-]{1,40}", label) for label in labels)
    if asked not in names:
        assert bounded.of(asked) == OTHER


@given(st.text())
def test_what_is_in_no_closed_set_is_other(value):
    assert closed(value, ("a", "b")) in ("a", "b", OTHER)
    assert resource_kind(value) in ("submission", "llm_wait", "local", "threads", "request", "custom")


def test_a_port_that_is_taken_is_told_before_any_work():
    with socket.create_server(("127.0.0.1", 0)) as taken, ActorSystem.start() as system:
        port = taken.getsockname()[1]
        with pytest.raises(MetricsUnavailableError, match=f"127.0.0.1:{port}.*another port"):
            serve_metrics(system, port=port).__enter__()


def test_an_actor_that_is_missing_is_told(monkeypatch):
    monkeypatch.setattr("actors.metrics.source.ANSWER_SECONDS", 0.1)
    others = [name for name in ACTOR_NAMES if name != "storage"]
    with Harness.start(actors=others) as harness, MetricsSource(harness.system) as source:
        found = {sample.metric.name: sample.value for sample in source.samples()}
    assert found["leasehold_up"] == 0.0


def test_o5_the_bridge_gives_the_same_figures_through_the_api():
    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader])
    with ActorSystem.start() as system, OpenTelemetryBridge(system, meter_provider=provider):
        result = system.run(a_job())
        data = reader.get_metrics_data()
    found = {
        metric.name: list(metric.data.data_points)
        for scope in data.resource_metrics[0].scope_metrics
        for metric in scope.metrics
    }
    usage = result.models["writer 0"]
    assert sum(point.value for point in found["leasehold_requests"]) == usage.attempts
    assert sum(point.count for point in found["leasehold_request_seconds"]) == usage.attempts
    assert sum(point.value for point in found["leasehold_up"]) == 1
    attributes = {key for points in found.values() for point in points for key in point.attributes}
    assert attributes <= ALLOWED_LABELS | CLOSED_LABELS
    provider.shutdown()


def test_o5_without_an_sdk_the_bridge_does_nothing_and_harms_nothing():
    with ActorSystem.start() as system, OpenTelemetryBridge(system):
        assert system.run(a_job(rows=5)).rows_written > 0


def test_o5_the_core_imports_no_metrics_library_and_the_bridge_no_sdk():
    code = (
        "import sys, actors, messages; "
        "assert not [m for m in sys.modules if m.split('.')[0] in ('opentelemetry', 'prometheus_client')]; "
        "import actors.metrics.opentelemetry; "
        "assert not [m for m in sys.modules if m.startswith(('opentelemetry.sdk', 'opentelemetry.exporter'))]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


def test_without_its_library_serving_metrics_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with ActorSystem.start() as system, pytest.raises(MetricsUnavailableError, match=r"leasehold\[metrics\]"):
        serve_metrics(system, port=0).__enter__()
