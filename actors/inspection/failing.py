"""Failing work among what held a run back: tries that came to nothing, and what helps against them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from actors.inspection.columns import PRESSURE, SORTED_OUT
from actors.inspection.explained import ColumnExplained, RunExplained
from actors.inspection.finding import Finding
from actors.inspection.settings import column_name, model_name, model_setting


def failures(run: RunExplained) -> Iterator[Finding]:
    """Yield a finding for every column with tries that failed for another reason than a provider's limits.

    Its share is the share of the time that all tasks held leases.
    """
    held = sum(column.running_seconds for column in run.columns.values())
    for name, column in run.columns.items():
        kinds = _kinds(name, run)
        if not kinds or held <= 0:
            continue
        subject = column_name(name, column)
        given_up = f"; given up, with their rows: {column.failed}" if column.failed else ""
        yield Finding(
            layer="failures",
            subject=subject,
            about=name,
            share=min(1.0, column.failing_seconds / held),
            says=f"{subject}: {kinds.total()} of {column.started} tries failed "
            f"({', '.join(kind for kind, _ in kinds.most_common(3))}){given_up}",
            remedy=_mended(kinds.most_common(1)[0][0], subject, column, run),
        )


def _kinds(name: str, run: RunExplained) -> Counter[str]:
    """Return how often a column's tries failed, by kind."""
    kinds: Counter[str] = Counter()
    for each in (*run.retries, *run.drops):
        if each.column == name and each.kind not in PRESSURE and each.kind != SORTED_OUT:
            kinds[each.kind] += each.count
    return kinds


def _mended(kind: str, subject: str, column: ColumnExplained, run: RunExplained) -> str:
    """Return what helps against failures of a kind."""
    models = [run.models[name] for name in column.models]
    if kind == "task_timeout":
        return f"make {subject} faster, or raise {subject}.timeout_seconds"
    if kind == "provider_timeout" and models:
        settings = dict.fromkeys(model_setting(model, "timeout_seconds") for model in models)
        return f"see to the provider, which does not reply in time, or raise {' or '.join(settings)}"
    if kind == "provider_failure" and models:
        names = dict.fromkeys(model_name(model) for model in models)
        answered = ", and dropped.jsonl says what it answered" if column.failed else ""
        return (
            f"see to the provider of {' and '.join(names)}: `leasehold check JOB --probe` asks whether it is "
            f"there{answered}"
        )
    return f"see to {subject}: dropped.jsonl, and first_error in manifest.json, tell what went wrong"
