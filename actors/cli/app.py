"""The commands, their options and their exit codes.

Exit codes: 0 done; 1 the run or the proof failed; 2 the job or the command line is wrong; 3 the run
finished, but rows were dropped; 130 interrupted (SIGINT or SIGTERM).
"""

from __future__ import annotations

import io
import sys
from importlib import metadata
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer

from actors.cli.check import check_job
from actors.cli.inspect import InspectOptions, inspect_run
from actors.cli.logs import show_logs
from actors.cli.output import fail, flush, say
from actors.cli.plan import plan_job
from actors.cli.play import play as play_script_file
from actors.cli.proof import verify_run
from actors.cli.report import report_run
from actors.cli.run import RunOptions, run_job, usual_log
from actors.cli.schema import schema_document
from actors.cli.trace import trace_run
from actors.evidence.human import LogFilter
from messages.telemetry import LogLevel

app = typer.Typer(
    name="leasehold",
    help="Generate datasets with language models under leases, and prove from the log that none leaked.",
    epilog=(
        "Exit codes: 0 done, 1 failed, 2 bad job or usage, 3 finished but rows were dropped, 130 interrupted."
    ),
    add_completion=False,
    no_args_is_help=True,
    # Plain text, so that messages are not cut into boxes; and no traceback that shows local variables.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

JobArgument = Annotated[Path, typer.Argument(metavar="JOB", help="The job file, TOML or JSON.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Write the result as one line of JSON.")]


def main() -> None:
    """Run the command line of this process, and end it with the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    app(prog_name="leasehold")


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it so
    if wanted:
        say(f"leasehold {metadata.version('leasehold')}")
        flush()
        raise typer.Exit


def _folder(text: str) -> Path:
    # An empty name would be the current folder: what a script with an unset variable does not mean.
    if not text:
        raise typer.BadParameter("names no folder")
    return Path(text)


@app.callback()
def leasehold(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Say which version.")
    ] = False,
) -> None:
    """Generate datasets with language models under leases, and prove from the log that none leaked."""


@app.command()
def run(  # noqa: PLR0913 - a command's options are its parameters
    job: JobArgument,
    out: Annotated[
        Path,
        typer.Option("--out", metavar="DIR", parser=_folder, help="The folder for the dataset."),
    ],
    rows: Annotated[int | None, typer.Option("--rows", min=1, help="So many rows instead.")] = None,
    log: Annotated[
        Path | None, typer.Option("--log", metavar="PATH", help="The actor log [default: DIR/actors.jsonl].")
    ] = None,
    log_level: Annotated[
        LogLevel | None,
        typer.Option(help="What actors tell on standard error, events too [default: their warnings]."),
    ] = None,
    metrics_port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, metavar="PORT", help="Serve Prometheus metrics; 0: any port."),
    ] = None,
    metrics_host: Annotated[str, typer.Option(metavar="HOST", help="Where to.")] = "127.0.0.1",
    *,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in DIR; --rows may have grown.")
    ] = False,
    no_health_check: Annotated[
        bool, typer.Option("--no-health-check", help="Do not ask the providers whether they are there.")
    ] = False,
    as_json: JsonOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Write nothing but errors.")] = False,
) -> None:
    """Run a job. Ctrl-C cancels it, a second Ctrl-C kills it.

    A folder that holds a run is refused, but with --resume that run is continued, however it ended. Finished
    rows are kept, and so is every finished model call. Where the folder holds no run, one is begun.
    """
    if quiet and log_level is not None:
        fail("--quiet and --log-level contradict each other: give one of them")
    options = RunOptions(
        job,
        out,
        log or usual_log(out, resume=resume),
        rows,
        resume=resume,
        as_json=as_json,
        quiet=quiet,
        health_check=not no_health_check,
        metrics_port=metrics_port,
        metrics_host=metrics_host,
        log_level=log_level,
    )
    raise typer.Exit(run_job(options))


@app.command()
def check(
    job: JobArgument,
    *,
    probe: Annotated[
        bool,
        typer.Option("--probe", help="Ask its providers if they are there, take the key and know the model."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Say whether a job could be run, without running anything."""
    raise typer.Exit(check_job(job, probe=probe, as_json=as_json))


@app.command()
def plan(
    job: JobArgument,
    rows: Annotated[int | None, typer.Option("--rows", min=1, help="So many rows instead.")] = None,
    latency: Annotated[
        list[str] | None,
        typer.Option(metavar="MODEL=SECONDS", help="What a call of a model takes at the least; repeatable."),
    ] = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Say what a job will ask of its models, what will bound it and how long it takes at the least."""
    raise typer.Exit(plan_job(job, rows=rows, latency=latency or [], as_json=as_json))


@app.command()
def verify(
    path: Annotated[Path, typer.Argument(metavar="DIR_OR_LOG", help="A run's folder, or an actor log.")],
    *,
    as_json: JsonOption = False,
) -> None:
    """Prove from an actor log that every lease was taken before its work, and came back exactly once."""
    raise typer.Exit(verify_run(path, as_json=as_json))


@app.command()
def inspect(
    path: Annotated[Path, typer.Argument(metavar="DIR_OR_LOG", help="A run's folder, or an actor log.")],
    task: Annotated[int | None, typer.Option(metavar="ID", help="Every step of one task execution.")] = None,
    row: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Every step of every task of a row.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="One model: its limit, its pauses, its longest tasks.")
    ] = None,
    *,
    capacity: Annotated[
        bool,
        typer.Option("--capacity", help="Every capacity: its value, its source, the most that was used."),
    ] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Go on while the run is being written.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Say what limited a run and what to change, from its actor log, also while it is being written."""
    options = InspectOptions(task, row, model, capacity=capacity, as_json=as_json, follow=follow)
    raise typer.Exit(inspect_run(path, options))


@app.command()
def report(
    path: Annotated[Path, typer.Argument(metavar="DIR_OR_LOG", help="A run's folder, or an actor log.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE", help="The page.")],
    *,
    as_json: JsonOption = False,
) -> None:
    """Write a run as one page of HTML: what limited it, with plots, tables and the proof of its leases."""
    raise typer.Exit(report_run(path, out, as_json=as_json))


@app.command()
def trace(
    path: Annotated[Path, typer.Argument(metavar="DIR_OR_LOG", help="A run's folder, or an actor log.")],
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="FILE", help="The trace; compressed where it ends in .gz.")
    ],
    *,
    as_json: JsonOption = False,
) -> None:
    """Write a log as a trace for Perfetto: tasks and calls as slices, limits and queues as counters."""
    raise typer.Exit(trace_run(path, out, as_json=as_json))


@app.command()
def schema() -> None:
    """Write the JSON Schema of the job file and of every message."""
    document = msgspec.json.encode(schema_document())
    say(msgspec.json.format(document, indent=2).decode())
    flush()


@app.command()
def play(
    script: Annotated[Path, typer.Argument(metavar="SCRIPT", help="JSON lines, one message each.")],
) -> None:
    """Play a script of typed messages against a fresh system, and write what the actors said."""
    raise typer.Exit(play_script_file(script))


@app.command()
def logs(
    path: Annotated[Path, typer.Argument(metavar="DIR", help="A run's folder, or an actor log.")],
    actor: Annotated[str | None, typer.Option(metavar="NAME", help="Lines of this actor alone.")] = None,
    level: Annotated[
        Literal["debug", "info", "warning", "error"] | None,
        typer.Option(metavar="L", help="Lines of this level and above."),
    ] = None,
    kind: Annotated[str | None, typer.Option(metavar="K", help="Lines of this kind of event alone.")] = None,
) -> None:
    """Read the actors' logs back in human form, also while a run is writing them."""
    raise typer.Exit(show_logs(path, LogFilter(actor=actor, level=level, kind=kind)))
