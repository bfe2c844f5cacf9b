"""Rule O4: secrets are fed through every path of a run, and nothing that it leaves behind repeats one.

Only what a user asked to be kept holds values: the dataset, and the journal that a run is continued from.
"""

from __future__ import annotations

import json
import os
import re

import pytest

from actors import ActorSystem
from actors.harness.behaviours import Answer, Break
from actors.harness.misbehaving_server import MisbehavingServer
from messages._base import ACTOR_NAMES
from messages.job_file import load_job
from tests.forked_command import ROOT, run_command

MARK = "XSECRETX"
KEY = "sk-YSECRETY-key"
ROWS = 24

FUNCTIONS = f"""
MARK = "{MARK}"

def raises(private):
    raise ValueError(f"cannot take {{private}} {{MARK}}") from KeyError(private)

async def raises_later(private):
    try:
        raise ConnectionError(f"no way to {{private}}")
    except ConnectionError as error:
        raise RuntimeError(MARK) from error

def odd_ones(n, private):
    if n % 7 == 6:
        raises(private)
    return private

def talks(private, models):
    models.writer.chat(f"what of {{private}}?")
    return models.writer.chat(f"and {{MARK}}?")

def keep(rows):
    return [row["private"] != "{MARK} 3" for row in rows]

def keep_none(rows):
    raise ValueError(f"{{rows}} {{MARK}}")
"""

JOB = f"""
name = "secrets"
rows = {ROWS}
row_group_size = 6

[source]
path = "private.csv"

[providers.p]
kind = "openai"
base_url = "BASE_URL"
api_key_env = "SECRET_KEY"

[models.writer]
provider = "p"
model = "small"
max_parallel_requests = 3
parameters = {{ user = "{MARK}" }}
timeout_seconds = 2

[columns.n]
kind = "sequence"

[columns.checked]
kind = "python"
function = "secret_functions:odd_ones"

[columns.told]
kind = "chat"
model = "writer"
system = "You are {MARK}."
prompt = "{MARK}: tell of {{{{ checked }}}}"

[columns.judged]
kind = "chat"
model = "writer"
prompt = "{MARK}: judge {{{{ told }}}} of {{{{ private }}}}"
output_schema = {{ type = "object", properties = {{ grade = {{ type = "integer" }} }}, required = ["grade"] }}

[columns.spoken]
kind = "python"
function = "secret_functions:talks"

[columns.sum]
kind = "expression"
template = "{{{{ private.nothing.of_this if n % 5 == 4 else private }}}}"

[processors.sorted_out]
stage = "post_batch"
function = "secret_functions:PROCESSOR"

[failure]
max_retries = 1
backoff_seconds = 0.01
early_shutdown_rate = 1.0
"""

QUOTED = {"run", "out/dropped.jsonl"}
"""Where a user's own exception is quoted to the user: in the result, and with the rows that it cost."""

MANIFEST = "out/manifest.json"
"""Holds the job as it was given, prompts and all: without it a run could not be continued."""


def job_with(processor, server):
    """Return the job's text."""
    return JOB.replace("BASE_URL", server.base_url).replace("PROCESSOR", processor)


def behaviour(arrival):
    """Refuse, break and garble some requests, and say what was asked while doing so."""
    if arrival.method == "GET":
        return Answer()
    echo = (
        f'{{"error": {{"message": "{MARK} you said {MARK}", "type": "{MARK}", "code": "{MARK}"}}}}'.encode()
    )
    kinds = {
        3: Answer(429, retry_after=0.01, headers={"x-request-id": MARK}),
        5: Answer(400, body=echo),
        7: Answer(500, body=echo),
        9: Break("body"),
        11: Answer(body=f"<html>{MARK}</html>".encode(), content_type="text/html"),
        13: Answer(403, body=echo),
        15: Answer(body=json.dumps({"choices": [{"message": {"content": MARK}}]}).encode()),
    }
    return kinds.get(arrival.number % 16, Answer())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A job whose rows, prompts, functions, replies, refusals and key are all marked."""
    folder = tmp_path_factory.mktemp("secrets")
    (folder / "secret_functions.py").write_text(FUNCTIONS)
    rows = "".join(f"{MARK} {number}\n" for number in range(ROWS))
    (folder / "private.csv").write_text(f"private\n{rows}")
    return folder


def leasehold(folder, *arguments):
    """Run the command line as a user does; return what it said on both streams."""
    env = os.environ | {"SECRET_KEY": KEY, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
    ran = run_command(arguments, cwd=folder, env=env, timeout=60)
    return f"$ {' '.join(arguments)} -> {ran.returncode}\n{ran.stdout}{ran.stderr}"


def told_of(secret, text):
    """Return the places where a text tells a secret."""
    return [f"...{text[max(0, at.start() - 120) : at.end() + 60]}..." for at in re.finditer(secret, text)]


@pytest.fixture(scope="module")
def left_behind(folder):
    """Return what a run said and left, by name, but for dataset and journal."""
    with MisbehavingServer(behaviour, api_key=KEY) as server:
        (folder / "job.toml").write_text(job_with("keep", server))
        said = {"check": leasehold(folder, "check", "job.toml", "--probe")}
        said["plan"] = leasehold(folder, "plan", "job.toml")
        said["run"] = leasehold(folder, "run", "job.toml", "--out", "out")
    for command in ("verify", "inspect", "logs"):
        said[command] = leasehold(folder, command, "out")
    said["inspect --json"] = leasehold(folder, "inspect", "out", "--json")
    for how in (["--row", "6"], ["--task", "9"], ["--model", "writer"], ["--capacity"]):
        said[f"inspect {how[0]}"] = leasehold(folder, "inspect", "out", *how)
    said["trace"] = leasehold(folder, "trace", "out", "-o", "trace.json")
    said["report"] = leasehold(folder, "report", "out", "-o", "report.html")
    said["run again"] = leasehold(folder, "run", "job.toml", "--out", "out", "--resume", "--no-health-check")
    for path in sorted(folder.rglob("*")):
        given = path.suffix in (".py", ".csv", ".toml", ".pyc")
        if path.is_file() and not given and not {"rows", "journal"} & set(path.parts):
            said[str(path.relative_to(folder))] = path.read_text()
    return said


def test_o4_the_run_did_meet_every_kind_of_trouble(left_behind):
    for name, text in left_behind.items():
        assert not text.startswith("$") or " -> 0" in text or name in ("run", "run again"), text
    told = left_behind["inspect --json"]
    found = json.JSONDecoder().raw_decode(told[told.index("{") :])[0]["models"]["p/small/chat"]
    assert set(found["outcomes"]) >= {"success", "rate_limited", "provider_failure"}


def test_o4_nothing_that_a_run_says_or_leaves_behind_tells_a_value_a_prompt_or_a_reply(left_behind):
    told = {name: places for name, text in left_behind.items() if (places := told_of(MARK, text))}
    assert {MANIFEST, "out/dropped.jsonl"} <= set(told) <= QUOTED | {MANIFEST}
    del told[MANIFEST]
    assert [place for places in told.values() for place in places if "cannot take" not in place] == []


def test_o4_nobody_is_told_the_key(folder, left_behind):
    assert {name: places for name, text in left_behind.items() if (places := told_of("YSECRETY", text))} == {}
    assert [path for path in folder.rglob("*") if path.is_file() and b"YSECRETY" in path.read_bytes()] == []


@pytest.mark.parametrize("processor", ["keep", "keep_none"])
def test_o4_no_snapshot_event_or_logger_tells_a_secret(processor, folder, monkeypatch, caplog):
    monkeypatch.setenv("SECRET_KEY", KEY)
    monkeypatch.syspath_prepend(str(folder))
    events, snapshots = [], []
    with MisbehavingServer(behaviour, api_key=KEY) as server, ActorSystem.start() as system:
        (folder / "again.toml").write_text(job_with(processor, server))
        with system.subscribe() as subscription:
            handle = system.submit(load_job(folder / "again.toml"))
            while not handle.done:
                snapshots += [repr(system.snapshot(name)) for name in ACTOR_NAMES]
            result = handle.result(timeout=60)
            while not any(" scheduler_job_completed" in told for told in events):
                events += [f" {placed.event.event_kind} {placed!r}" for placed in subscription.get(30)]
    assert result.status == {"keep": "partial", "keep_none": "failed"}[processor]
    for told in (*events, *snapshots, caplog.text):
        assert told_of(f"{MARK}|YSECRETY", told) == []
