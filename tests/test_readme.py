"""The front door is true: its commands run, its snippets work, its links lead somewhere."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

import pytest

import actors.cli
from actors.cli import output
from messages import load_job
from messages._base import ACTOR_NAMES
from messages.job import Column, ProviderConfig

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")

NUMBER = re.compile(r"\d[\d.,]*\d|\d")
COMMAND = [sys.executable, "-m", "actors"]


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def tables():
    """Return every table of the text as a mapping of what its first column quotes to the rest."""
    found = {}
    for table in re.findall(r"(?:^\|.*\|\n)+", README, re.MULTILINE):
        head, _, *rows = (line.strip("|").split("|", 1) for line in table.splitlines())
        found[head[0].strip()] = {
            name: rest.strip() for first, rest in rows for name in re.findall(r"`([^`]+)`", first)
        }
    return found


COMMANDS = [line for block in blocks("sh") for line in block.splitlines()]
OF_LEASEHOLD = [line for line in COMMANDS if line.startswith("leasehold ")]


def behind_make(target):
    """Return the commands of a target, with the Makefile's own variables filled in."""
    recipe = re.search(rf"^{target}:.*\n((?:\t.*\n)*)", MAKEFILE, re.MULTILINE)[1]
    variables = dict(re.findall(r"^(\w+)\s*[?:]?=\s*(.*)$", MAKEFILE, re.MULTILINE))
    variables["BIN"] = "bin"
    filled = re.sub(r"\$\((\w+)\)", lambda found: variables[found[1]], recipe)
    return [line.strip().removeprefix("bin/") for line in filled.splitlines()]


def run(arguments, folder):
    return subprocess.run(
        arguments,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )


def played(commands, folder):
    """Run commands of leasehold one after the other; return how each of them went."""
    return {command: run([*COMMAND, *shlex.split(command)[1:]], folder) for command in commands}


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """What the commands need of a clone, and the job file that the reader is asked to write."""
    folder = tmp_path_factory.mktemp("clone")
    shutil.copytree(ROOT / "bench/jobs", folder / "bench/jobs")
    (folder / "haiku.toml").write_text(blocks("toml")[0], encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def shown(clone):
    """All commands; those about the storm, which mostly wait, side by side with the rest."""
    storm = [command for command in OF_LEASEHOLD if "storm" in command]
    rest = [command for command in OF_LEASEHOLD if command not in storm]
    with ThreadPoolExecutor() as side_by_side:
        parts = side_by_side.map(lambda commands: played(commands, clone), (storm, rest))
    return {command: done for part in parts for command, done in part.items()}


@pytest.fixture(scope="module")
def made(clone):
    return played(behind_make("run"), clone)


@pytest.mark.parametrize("command", OF_LEASEHOLD)
def test_each_command_runs_and_says_something(shown, command):
    done = shown[command]

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_every_other_command_is_a_target_of_the_makefile():
    phony = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[1].split()

    targets = [line.split()[1] for line in COMMANDS if line not in OF_LEASEHOLD]
    assert targets == ["run", "test"]
    assert set(targets) <= set(phony)


def test_make_run_gives_what_the_text_shows(clone, made):
    assert [done.returncode for done in made.values()] == [0, 0]
    told = "".join(done.stdout for done in made.values()).replace(str(clone), "/.../leasehold").splitlines()

    shown = blocks("text")[0].splitlines()
    assert len(told) == len(shown)
    for line, example in zip(told, shown, strict=True):
        # Counts of events and seconds are another run's; what follows an ellipsis is left to the reader.
        pattern = re.escape(NUMBER.sub("#", example.removesuffix("...")))
        assert re.match(pattern, NUMBER.sub("#", line)), (line, example)
    assert "344 of 344 rows written, 0 dropped" in told[1]


def test_make_run_a_second_time_is_refused(clone, made):
    first, _ = made

    (again,) = played([first], clone).values()

    assert again.returncode == output.EXIT_USAGE
    assert "already holds a run" in again.stderr


def test_the_output_folder_holds_what_the_text_lists(clone, shown):
    folder = clone / "out/haiku"
    listed = re.search(r"^The output folder holds .*?\n\n", README, re.MULTILINE | re.DOTALL)[0]

    assert {path.name + "/" * path.is_dir() for path in folder.iterdir()} == set(
        re.findall(r"`([^`]+)`", listed)
    )


def test_the_job_in_the_text_is_a_job(clone):
    text, _ = blocks("toml")

    assert load_job(clone / "haiku.toml").name == tomllib.loads(text)["name"]


def test_the_model_in_the_text_is_one(clone):
    """It joins the job of one's own, whose columns then use it."""
    job, model = blocks("toml")
    (clone / "writer.toml").write_text(job + model, encoding="utf-8")

    found = load_job(clone / "writer.toml").models["writer"]
    assert (found.requests_per_minute, found.limit.initial) == (600, 4)


def test_the_real_model_takes_three_commands_whose_job_there_is(clone):
    (commands,) = [block.splitlines() for block in blocks("bash")]

    assert len(commands) == 3
    job = load_job(clone / shlex.split(commands[2])[2])
    assert job.providers["local"].base_url == "http://127.0.0.1:8080/v1"
    assert "--port 8080" in commands[1]
    assert f"--model_alias {job.models['writer'].model}" in commands[1]


def test_the_python_in_the_text_runs_as_it_stands(tmp_path):
    (tmp_path / "moods.py").write_text("".join(blocks("python")), encoding="utf-8")

    done = run([sys.executable, "moods.py"], tmp_path)

    assert done.returncode == 0, done.stderr
    first, *lines = done.stdout.splitlines()
    rows, watched = lines[:6], lines[6:]
    assert first == "succeeded 6"
    assert all(row.startswith("{'mood'") for row in rows)
    assert [line.split()[0] for line in watched] == ["row_group_checkpointed", "scheduler_job_completed", "6"]
    assert (tmp_path / "actors.jsonl").is_file()


def test_every_link_inside_the_project_leads_somewhere():
    links = re.findall(r"\]\((?!https://)([^)]+)\)", README)

    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_table_of_column_kinds_has_them_all():
    kinds = {kind.__struct_config__.tag for kind in Column.__args__}

    assert tables()["Column kind"].keys() == kinds


def test_the_table_of_provider_kinds_has_them_all():
    kinds = {kind.__struct_config__.tag for kind in ProviderConfig.__args__}

    assert tables()["Provider kind"].keys() >= kinds


def test_the_table_of_actors_has_them_all():
    assert tables()["Actor"].keys() == set(ACTOR_NAMES)


def test_the_exit_codes_are_those_of_the_command_line():
    told = re.search(r"`run` exits .*? interrupted", README, re.DOTALL)[0]
    codes = {value for name, value in vars(output).items() if name.startswith("EXIT_")}

    assert {int(number) for number in re.findall(r"\d+", told)} == codes


def test_leasehold_is_the_command_line_of_the_actors():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert project["scripts"] == {"leasehold": "actors.cli:main"}
    assert callable(actors.cli.main)
    (installed,) = metadata.entry_points(group="console_scripts", name="leasehold")
    assert installed.load() is actors.cli.main
