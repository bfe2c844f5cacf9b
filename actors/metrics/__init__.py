"""A system's metrics, for Prometheus and OpenTelemetry: one catalogue, bounded labels, no cost per task."""
