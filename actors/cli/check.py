"""`leasehold check`: could this job be run?"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import msgspec

from actors.cli.console import actors_heard
from actors.cli.output import EXIT_OK, EXIT_USAGE, complain_of, flush, one_line, say
from actors.system.system import ActorSystem
from messages import codec
from messages._base import SCHEDULER, Message
from messages.job import ChatColumn, Column, EmbeddingColumn, Job, JobError, Problem, PythonColumn
from messages.job_file import load_job
from messages.scheduler import CheckJob, JobChecked


def check_job(path: Path, *, probe: bool, as_json: bool) -> int:
    """Tell what the job would do, or everything that is wrong with it; return the exit code.

    With `probe` its providers are asked after their health, once nothing is wrong with the file.
    """
    job, checked = checked_job(path, probe=probe, as_json=as_json)
    complain_of(checked.problems, about=str(path))
    if as_json:
        answer = msgspec.structs.replace(checked, plan=None, configured=None)
        say(msgspec.json.encode(codec.to_builtins(answer)).decode())
    elif job is not None and not checked.problems:
        for line in told(path, job, checked, probed=probe):
            say(line)
    flush()
    return EXIT_USAGE if checked.problems else EXIT_OK


def checked_job(
    path: Path, *, rows: int | None = None, probe: bool = False, as_json: bool = False
) -> tuple[Job | None, JobChecked]:
    """Return the job of a file, as far as it is one, and what a check of it found.

    With `as_json` what its modules print goes to standard error.
    """
    prints = contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext()
    with actors_heard("warning"), prints:
        try:
            job = load_job(path, rows=rows)
        except JobError as error:
            return None, JobChecked(all_problems(error))
        return job, _ask(job, probe=probe)


def all_problems(error: JobError, *, out: Path | None = None) -> tuple[Problem, ...]:
    """Return what is wrong with a job file that `load_job` refused: its structure, and all the rest.

    `out` is the folder that a run would have written to.
    """
    if error.readable is None:
        return error.problems
    return error.joined(_ask(error.readable, out=out).problems)


def told(path: Path, job: Job, checked: JobChecked, *, probed: bool = False) -> list[str]:
    """Return a job that can be run as lines for a person; `probed`, where its providers were asked."""
    lines = [f"{path}: ready to run", f"  {checked.rows} rows in {checked.row_groups} row groups"]
    width = max(map(len, checked.generators), default=0)
    lines += [f"  {name:{width}}  {_told(job, name)}" for name in checked.generators]
    if probed:
        lines.append("  every provider that it uses is there, takes the key and knows the model")
    lines += [one_line(f"warning: {warning}") for warning in checked.warnings]
    return lines


def _ask(job: Job, *, out: Path | None = None, probe: bool = False) -> JobChecked:
    # Without a time limit: importing a user's module takes as long as it takes.
    with ActorSystem.start() as system, system.reply_box() as box:
        check = CheckJob(job, None if out is None else str(out), probe=probe, reply_to=box.address)
        system.tell(SCHEDULER, check)
        answer: Message = box.get()
    if isinstance(answer, JobChecked):
        return answer
    problem = Problem("", f"the job could not be checked: {answer}", "this is a defect: please report it")
    return JobChecked((problem,))


def _told(job: Job, name: str) -> str:
    processor = job.processors.get(name)
    if processor is not None:
        return f"{processor.stage} processor, {processor.function}"
    return _column(job.columns[name])


def _column(column: Column) -> str:
    kind = str(type(column).__struct_config__.tag)
    match column:
        case ChatColumn(model=model) | EmbeddingColumn(model=model):
            return f"{kind}, model {model}"
        case PythonColumn(function=function, outputs=outputs, side_effects=side_effects):
            named = (*outputs, *side_effects)
            filled = f", fills {', '.join(named)}" if named else ""
            return f"{kind}, {function}{filled}"
        case _:
            return kind
