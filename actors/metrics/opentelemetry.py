"""Metrics through OpenTelemetry's API, and only that (O5).

No SDK and no exporter is chosen here: where the process has configured none, everything below does nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

from opentelemetry.metrics import CallbackOptions, Histogram, MeterProvider, Observation, get_meter_provider

from actors.metrics.catalogue import CATALOGUE, Metric
from actors.metrics.labels import Label
from actors.metrics.source import MetricsSource, System


class OpenTelemetryBridge:
    """Registers a system's metrics with a meter provider while its block lasts.

        with ActorSystem.start() as system, OpenTelemetryBridge(system):
            system.run(job)

    `meter_provider`: None takes the process's own.
    """

    def __init__(self, system: System, *, meter_provider: MeterProvider | None = None) -> None:
        self._source = MetricsSource(system, observe=self._observe)
        self._open = False
        meter = (meter_provider or get_meter_provider()).get_meter("leasehold")
        self._histograms: dict[Metric, Histogram] = {}
        for metric in CATALOGUE:
            name, unit, says = metric.name, metric.unit, metric.help
            if metric.kind == "histogram":
                self._histograms[metric] = meter.create_histogram(name, unit=unit, description=says)
            elif metric.kind == "counter":
                meter.create_observable_counter(name, [self._reading(metric)], unit=unit, description=says)
            else:
                meter.create_observable_gauge(name, [self._reading(metric)], unit=unit, description=says)

    def __enter__(self) -> Self:
        """Begin to follow the system. Raises as `MetricsSource`."""
        self._source.__enter__()
        self._open = True
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Follow no longer: what is read afterwards is nothing."""
        self._open = False
        self._source.__exit__(exc_type, exc, traceback)

    def _reading(self, metric: Metric) -> Callable[[CallbackOptions], Iterator[Observation]]:
        def read(_options: CallbackOptions) -> Iterator[Observation]:
            for sample in self._source.samples() if self._open else ():
                if sample.metric == metric:
                    yield Observation(sample.value, _attributes(metric, sample.labels))

        return read

    def _observe(self, metric: Metric, labels: tuple[Label, ...], value: float) -> None:
        self._histograms[metric].record(value, _attributes(metric, labels))


def _attributes(metric: Metric, labels: tuple[Label, ...]) -> dict[str, Any]:
    return dict(zip(metric.labels, labels, strict=True))
