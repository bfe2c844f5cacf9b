"""Where processors stand in the order of a job's work (R8).

Work from scratch comes first, then the `pre_batch` processors one after another, then every other
column, then the `post_batch` processors one after another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from actors.generators import FunctionTable, Generator, compile_processor, declared_columns
from actors.planning.graph import Upstream
from messages.job import Job, Problem


class Processors:
    """The processors of one job, compiled: `generators` by name, and everything wrong with the others."""

    def __init__(
        self,
        job: Job,
        source_fields: tuple[str, ...],
        columns: Mapping[str, Generator],
        functions: FunctionTable,
    ) -> None:
        roots = tuple(name for name, made in columns.items() if _is_root(made))
        first = (*source_fields, *(output for name in roots for output in columns[name].outputs))
        every = tuple(declared_columns(job))
        last = (*source_fields, *every)
        self.generators: dict[str, Generator] = {}
        self.problems: list[Problem] = []
        for name, processor in job.processors.items():
            made = compile_processor(
                name, processor, first if processor.stage == "pre_batch" else last, functions
            )
            if isinstance(made, tuple):
                self.problems += made
            else:
                self.generators[name] = made
        self.problems += _without_rows(job, source_fields, columns)

    def woven_into(self, upstream: Upstream, columns: Mapping[str, Generator]) -> Upstream:
        """Return what each generator waits for, processors among them."""
        if not self.generators:
            return upstream
        roots = tuple(name for name in upstream if _is_root(columns[name]))
        woven: Upstream = {name: upstream[name] for name in roots}
        before = roots
        for name in self._of("pre_batch_processor"):
            woven[name] = before
            before = (name,)
        gate = () if before == roots else before
        woven |= {name: (*above, *gate) for name, above in upstream.items() if name not in woven}
        before = (*upstream, *gate)
        for name in self._of("post_batch_processor"):
            woven[name] = before
            before = (name,)
        return woven

    def _of(self, task_type: str) -> Iterator[str]:
        return (name for name, made in self.generators.items() if made.task_type == task_type)


def _is_root(generator: Generator) -> bool:
    return generator.task_type == "from_scratch"


def _without_rows(
    job: Job, source_fields: tuple[str, ...], columns: Mapping[str, Generator]
) -> Iterator[Problem]:
    """Yield a problem for every processor that would see rows without a single column."""
    if job.source is not None or source_fields or any(_is_root(made) for made in columns.values()):
        return
    for name, processor in job.processors.items():
        if processor.stage == "pre_batch":
            yield Problem(
                f"processors.{name}.stage",
                "is 'pre_batch', but nothing is there before other columns: no source, nothing from scratch",
                "use 'post_batch', or add a column that is made from scratch",
                ("columns.*", "source"),
            )
