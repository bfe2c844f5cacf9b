"""Metrics as Prometheus reads them: a text page on a port of this machine."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from actors.metrics.catalogue import BUCKETS, CATALOGUE, Metric, Sample
from actors.metrics.source import MetricsSource, System

LOOPBACK: Final = "127.0.0.1"


class MetricsUnavailableError(RuntimeError):
    """Metrics cannot be served; the text says why, and what to do."""


@contextmanager
def serve_metrics(system: System, *, port: int, host: str = LOOPBACK) -> Iterator[int]:
    """Serve a system's metrics over HTTP while the block lasts; give the port. 0 lets the machine choose.

    Raises:
        MetricsUnavailableError: the port cannot be had, or the library is not installed.
        UnreachableError: the system does not run.
    """
    try:
        from prometheus_client import CollectorRegistry, start_http_server  # noqa: PLC0415 - an extra
    except ImportError:
        raise MetricsUnavailableError(
            "metrics need prometheus_client, which is not installed: pip install 'leasehold[metrics]'"
        ) from None
    registry = CollectorRegistry(auto_describe=False)
    with MetricsSource(system) as source:
        registry.register(_Collector(source))
        try:
            server, thread = start_http_server(port, addr=host, registry=registry)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise MetricsUnavailableError(
                f"metrics cannot be served on {host}:{port}: {reason}; choose another port, or 0 for any"
            ) from error
        try:
            yield server.server_port
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


class _Collector:
    """Reads the source at every scrape."""

    def __init__(self, source: MetricsSource) -> None:
        self._source = source

    def describe(self) -> list[Any]:
        """Return nothing: what there is shows at the scrape."""
        return []

    def collect(self) -> Iterator[Any]:
        """Yield one family per metric of the catalogue that has any samples."""
        by_metric: dict[Metric, list[Sample]] = defaultdict(list)
        for sample in self._source.samples():
            by_metric[sample.metric].append(sample)
        histograms = self._source.histograms()
        for metric in CATALOGUE:
            if metric.kind == "histogram":
                found = {labels: each for (of, labels), each in histograms.items() if of == metric}
                yield _histogram(metric, found)
            elif by_metric[metric]:
                yield _family(metric, by_metric[metric])


def _family(metric: Metric, found: list[Sample]) -> Any:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily  # noqa: PLC0415 - an extra

    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = kind(metric.name, metric.help, labels=metric.labels)
    for sample in found:
        family.add_metric(sample.labels, sample.value)
    return family


def _histogram(metric: Metric, found: dict[Any, Any]) -> Any:
    from prometheus_client.core import HistogramMetricFamily  # noqa: PLC0415 - an extra

    family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, histogram in found.items():
        so_far, buckets = 0, []
        for bound, count in zip((*map(str, BUCKETS), "+Inf"), histogram.counts, strict=True):
            so_far += count
            buckets.append((bound, so_far))
        family.add_metric(labels, buckets, histogram.sum)
    return family
