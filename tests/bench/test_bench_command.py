"""`python -m bench`: names, artifacts, the smoke, and how it says no."""

from __future__ import annotations

import msgspec
import pytest

from bench.__main__ import main
from bench.report import markdown
from bench.results import Artifact

QUICK = ["--iterations", "1", "--warmups", "0", "--tasks", "64"]


def test_one_scenario_leaves_an_artifact_that_says_what_was_run_where(tmp_path, capsys):
    path, table = tmp_path / "new" / "bench.json", tmp_path / "bench.md"
    assert main(["p7", *QUICK, "--json", str(path), "--markdown", str(table)]) == 0
    artifact = msgspec.json.decode(path.read_bytes(), type=Artifact)
    (scenario,) = artifact.scenarios
    assert (scenario.scenario_id, artifact.iterations, artifact.tasks) == ("P7", 1, 64)
    assert artifact.command_line[:4] == ["python", "-m", "bench", "p7"]
    assert artifact.machine["cores"] >= 1
    assert {run.leases_left for side in scenario.sides for run in side.runs} == {0}
    assert len({run.output_hash for side in scenario.sides for run in side.runs}) == 1
    assert scenario.figures[0].verdict == "inconclusive"  # one iteration concludes nothing
    assert table.read_text(encoding="utf-8") == markdown(artifact)
    assert "full log over telemetry off" in table.read_text(encoding="utf-8")
    assert "P7" in capsys.readouterr().out


def test_several_scenarios_are_measured_in_interpreters_of_their_own(tmp_path, capsys):
    path = tmp_path / "bench.json"
    assert main(["p7", "p11", *QUICK, "--json", str(path)]) == 0
    artifact = msgspec.json.decode(path.read_bytes(), type=Artifact)
    assert [scenario.scenario_id for scenario in artifact.scenarios] == ["P7", "P11"]
    assert "P11" in capsys.readouterr().out


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


def test_the_smoke_runs_every_scenario_and_names_what_is_not_installed(capsys):
    assert main(["smoke"]) == 0
    lines = capsys.readouterr().out.splitlines()
    told = {line.split()[0] for line in lines}
    assert told == {"P1", "P2", "P3", "P4", "P5", "P6", "P7", "P10", "P11", "P12", "P13"}
    assert all("no lease left" in line or "make bench-setup" in line for line in lines)
