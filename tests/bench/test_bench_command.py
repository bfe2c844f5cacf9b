"""`python -m bench`: names, artifacts, the smoke, and how it says no."""

from __future__ import annotations

import csv
import subprocess
import sys

import msgspec
import pytest

from bench.__main__ import main
from bench.comparison import Compared, Variant, checkouts
from bench.machine import describe_revision
from bench.plots import plot
from bench.report import markdown
from bench.results import PEAK_MIB, Run, Side
from bench.scenarios import named
from bench.side_process import PROJECT, SideProcess
from bench.smoke import run_smoke
from bench.writing import read_artifact

QUICK = ["--iterations", "1", "--warmups", "0", "--tasks", "64"]


def test_one_scenario_leaves_an_artifact_that_says_what_was_run_where(tmp_path, capsys):
    assert main(["p7", *QUICK, "--out", str(tmp_path / "new")]) == 0
    inside = tmp_path / "new" / "P7-telemetry-cost"
    artifact = read_artifact(tmp_path / "new", "P7")
    assert (artifact.scenario_id, artifact.tasks, artifact.clock) == ("P7", 64, "perf_counter")
    assert artifact.command_line[:4] == ["python", "-m", "bench", "p7"]
    assert artifact.machine["cores"] >= 1
    logged, silent = artifact.iterations
    assert logged.output_hashes == silent.output_hashes
    assert (logged.leases_left, logged.hidden_waiters, silent.hidden_waiters) == (0, 0, None)
    assert logged.final_task_snapshot["active_leases"] == 0
    assert logged.final_request_snapshot["resources"] == []
    assert 0 < logged.timeline["first_task_lease"] <= logged.timeline["all_rows"]
    assert logged.measures["ready_idle_gap"] == 0.0
    plan = artifact.capacity_plan["leasehold, full log"]["configured"]
    assert plan["task_resource_limits"]["local"] == {
        "value": 256,
        "source": "default",
        "fallback_from": None,
        "missing_reason": None,
    }
    assert (artifact.proof.runs, artifact.proof.active_leases_and_waiters) == (2, 0)
    assert artifact.proof.log_lines_verified == logged.log_lines
    assert artifact.derived_metrics.figures[0].verdict == "inconclusive"  # one iteration concludes nothing
    assert (tmp_path / "new" / "summary.md").read_text(encoding="utf-8") == markdown([artifact])
    with (inside / "runs.csv").open(newline="", encoding="utf-8") as lines:
        assert [line["side"] for line in csv.DictReader(lines)] == [logged.side, silent.side]
    with (inside / "statistics.csv").open(newline="", encoding="utf-8") as lines:
        told = list(csv.DictReader(lines))
    assert told[0]["verdict"] == "inconclusive"
    assert float(told[1]["median"]) == pytest.approx(logged.wall_time_seconds / 64 * 1e6)
    assert "P7" in capsys.readouterr().out


def test_an_artifact_is_drawn_the_same_every_time(tmp_path):
    pytest.importorskip("matplotlib")
    assert main(["p7", *QUICK, "--out", str(tmp_path)]) == 0
    drawn = tmp_path / "P7-telemetry-cost" / "plot.svg"
    again = tmp_path / "again.svg"
    plot(read_artifact(tmp_path, "P7"), again)
    assert b"leasehold, full log" in drawn.read_bytes()
    assert drawn.read_bytes() == again.read_bytes()


def test_without_the_drawing_library_the_rest_is_written_and_the_remedy_named(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["p7", *QUICK, "--out", str(tmp_path)]) == 0
    assert "pip install 'leasehold[bench]'" in capsys.readouterr().err
    assert read_artifact(tmp_path, "P7").scenario_id == "P7"
    assert not (tmp_path / "P7-telemetry-cost" / "plot.svg").exists()


def test_several_scenarios_are_measured_in_interpreters_of_their_own(tmp_path, capsys):
    assert main(["p7", "p11", *QUICK, "--out", str(tmp_path)]) == 0
    assert [read_artifact(tmp_path, name).scenario_id for name in ("P7", "P11")] == ["P7", "P11"]
    assert read_artifact(tmp_path, "P11").command_line[:5] == ["python", "-m", "bench", "p7", "p11"]
    assert "P11" in capsys.readouterr().out


def test_two_configurations_are_compared_in_turn(tmp_path):
    baseline = ["--baseline-config", "policy=strict_fair", "--baseline-config", "row_group_size=16"]
    candidate = ["--candidate-config", "limits.local=7"]
    assert main(["p7", *QUICK, *baseline, *candidate, "--out", str(tmp_path)]) == 0
    artifact = read_artifact(tmp_path, "P7")
    assert artifact.baseline_revision.endswith(" with limits.policy=strict_fair, row_group_size=16")
    assert artifact.candidate_revision.endswith(" with limits.local=7")
    sides = [run.side for run in artifact.iterations]
    assert sides[:2] == ["baseline: leasehold, full log", "candidate: leasehold, full log"]
    one, other = (artifact.capacity_plan[side]["configured"] for side in sides[:2])
    assert (one["row_group_size"]["value"], other["row_group_size"]["value"]) == (16, 1024)
    assert other["task_resource_limits"]["local"]["value"] == 7
    assert {figure.verdict for figure in artifact.derived_metrics.figures} == {"inconclusive"}


def compared(name):
    variants = (Variant("baseline", "", {}), Variant("candidate", "", {}))
    return Compared(variants, [PROJECT, PROJECT]).scenario(named(name))


def test_peers_are_left_out_of_a_comparison_and_the_rest_is_paired():
    scenario = compared("P5")
    ours = ("leasehold, full log", "leasehold, telemetry off")
    assert [side.name for side in scenario.sides] == [
        f"{variant}: {name}" for name in ours for variant in ("baseline", "candidate")
    ]
    assert [(figure.side, figure.against) for figure in scenario.figures] == [
        (f"candidate: {name}", f"baseline: {name}") for name in ours
    ]


def test_what_a_side_tells_beside_its_cost_is_compared_too():
    zstd = [figure.measure for figure in compared("LOGS").figures if figure.side == "candidate: log, zstd"]
    assert {"", "bytes_per_task", "verify_mib", "inspect_seconds"} <= set(zstd)
    peaks = [figure for figure in compared("P8").figures if figure.measure == PEAK_MIB]
    assert len(peaks) == 3


def test_a_revision_is_measured_by_what_it_was(tmp_path):
    if not describe_revision():
        pytest.skip("no git checkout")
    with checkouts(Variant("baseline", "HEAD", {}), Variant("candidate", "", {})) as (old, new):
        told = "BASELINE = 'said by the revision'\n"
        package = (old / "messages" / "__init__.py").resolve()
        package.write_text(package.read_text(encoding="utf-8") + told, encoding="utf-8")
        says = [sys.executable, "-c", "import bench.results, messages; print(hasattr(messages, 'BASELINE'))"]
        found = [subprocess.check_output(says, cwd=folder, text=True).strip() for folder in (old, new)]
        assert found == ["True", "False"]
        with SideProcess(old) as process:
            assert process.run("P7", "leasehold, full log", 8).tasks == 8
    assert not old.exists()


def test_a_scenario_that_cannot_be_measured_does_not_keep_the_others_from_being_written(tmp_path, capsys):
    refused = ["--candidate-config", "policy=no_such_module:Policy"]
    assert main(["p7", "p11", *QUICK, *refused, "--out", str(tmp_path)]) == 1
    told = capsys.readouterr()
    assert "no_such_module" in told.err
    assert read_artifact(tmp_path, "P11").proof.active_leases_and_waiters == 0
    assert "P11" in (tmp_path / "summary.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (["--baseline", "no-such-revision"], "no revision 'no-such-revision'"),
        (["--baseline-config", "policy"], "'policy' is no setting"),
        (["--candidate-config", "columns.c0=1"], "'columns.c0=1' is no setting"),
        (["--candidate-config", "limits.nothing=1"], "unknown field `nothing`"),
        (["--candidate-config", "local=many"], "Expected `int`, got `str` - at `$.limits.local`"),
    ],
)
def test_what_cannot_be_compared_is_said_before_anything_runs(wrong, told, capsys):
    assert main(["p7", *QUICK, *wrong]) == 1
    assert told in capsys.readouterr().err


def test_an_unknown_name_is_refused_with_what_is_possible(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["p99"])
    assert ended.value.code == 2
    assert "there is no scenario 'p99'" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [["--iterations", "0"], ["--tasks", "none"], ["--warmups", "-1"]])
def test_numbers_that_measure_nothing_are_refused(wrong, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["p7", *wrong])
    assert ended.value.code == 2
    assert wrong[0] in capsys.readouterr().err


def test_the_smoke_runs_what_it_can_names_what_is_not_installed_and_leaves_artifacts(tmp_path):
    absent = Side("absent", lambda tasks: Run(tasks, 1.0, 1.0), requires="no-such-distribution")
    scenario = named("P7")
    scenario = msgspec.structs.replace(scenario, sides=(*scenario.sides, absent))
    lines = run_smoke((scenario,), lambda _: None, tmp_path)
    assert lines[0] == "P7 telemetry-cost: 2 sides, 512 tasks, 0 leases or waiters left, 1 logs verified"
    assert lines[1].endswith("no-such-distribution is not installed: make bench-setup")
    assert read_artifact(tmp_path, "P7").iterations[0].tasks == 256
