"""The harness: sides in turn, paired figures, and nothing measured that was not done."""

from __future__ import annotations

import pytest

from bench.harness import run_scenario
from bench.results import MIB, PEAK_MIB, Bar, BenchError, Evidence, Figure, Run, Scenario, Side


class Recorder:
    """A side of fixed cost, in microseconds per task, that notes when it was run."""

    def __init__(self, log, name, costs, **told):
        self._log, self._name, self._costs, self._told = log, name, list(costs), told

    def __call__(self, tasks):
        self._log.append((self._name, tasks))
        cost = self._costs.pop(0) if len(self._costs) > 1 else self._costs[0]
        return Run(tasks, cost * tasks / 1e6, cost * tasks / 1e6, **self._told)


def a_scenario(*sides, figures=(), **options):
    return Scenario("P0", "fixed", "Does it count?", sides, figures, {}, **options)


def run(scenario, **options):
    settings = {"tasks": 100, "iterations": 5, "warmups": 0, "notice": lambda _: None}
    return run_scenario(scenario, **(settings | options))


def test_sides_alternate_within_every_iteration_and_warm_ups_are_not_kept():
    log = []
    sides = [Side(name, Recorder(log, name, [1.0])) for name in "AB"]
    result = run(a_scenario(*sides), iterations=2, warmups=1)
    assert [name for name, _ in log] == ["A", "B", "B", "A", "A", "B"]
    told = [(run.iteration, run.position, run.side) for run in result.iterations]
    assert told == [(1, 1, "B"), (1, 2, "A"), (2, 1, "A"), (2, 2, "B")]


def test_a_ratio_pairs_the_runs_of_one_iteration():
    # The machine slows down by ten during the run: costs move, the ratio does not.
    costs = [1.0, 2.0, 4.0, 8.0, 10.0]
    ours = Side("ours", Recorder([], "ours", costs))
    peer = Side("peer", Recorder([], "peer", [3 * cost for cost in costs]))
    figure = Figure("peer over ours", "ratio", "peer", "ours", Bar("at least", 2.0))
    result = run(a_scenario(ours, peer, figures=(figure,)))
    (found,) = result.figures
    assert found.values == pytest.approx([3.0] * 5)
    assert found.verdict == "met"


def test_costs_and_differences_have_their_units():
    slow = Side("slow", Recorder([], "slow", [5.0]))
    fast = Side("fast", Recorder([], "fast", [2.0]))
    figures = (Figure("cost", "cost", "slow"), Figure("above", "difference", "slow", "fast"))
    cost, above = run(a_scenario(slow, fast, figures=figures)).figures
    assert (cost.summary.median, cost.unit) == (pytest.approx(5.0), " us")
    assert (above.summary.median, above.unit) == (pytest.approx(0.3), " ms")  # 100 tasks of 3 us


def test_a_slow_side_does_its_share_and_equal_shares_undo_that():
    log = []
    side = Side("slow", Recorder(log, "slow", [1.0]), share=0.05)
    run(a_scenario(side), iterations=1)
    run(a_scenario(side), iterations=1, equal_shares=True)
    assert log == [("slow", 5), ("slow", 100)]


def test_a_peer_that_is_not_installed_is_skipped_by_name_with_its_figures():
    ours = Side("ours", Recorder([], "ours", [1.0]))
    peer = Side("peer", Recorder([], "peer", [1.0]), requires="no-such-distribution")
    figure = Figure("peer over ours", "ratio", "peer", "ours", Bar("at least", 2.0))
    result = run(a_scenario(ours, peer, figures=(figure,)))
    assert [side.skipped for side in result.sides] == [
        "",
        "no-such-distribution is not installed: make bench-setup",
    ]
    assert result.figures[0].verdict == "skipped"
    assert result.figures[0].note == result.sides[1].skipped


def test_a_lease_that_is_left_over_ends_the_measurement():
    side = Side("leaky", Recorder([], "leaky", [1.0], leases_left=2))
    with pytest.raises(BenchError, match="leaky: 2 leases"):
        run(a_scenario(side))


def test_a_worker_that_waited_for_a_scheduler_resource_ends_the_measurement():
    waited = Evidence(log_lines=9, hidden_waiters=1)
    side = Side("hidden", Recorder([], "hidden", [1.0], evidence=waited))
    with pytest.raises(BenchError, match="hidden: 1 workers waited for a scheduler resource"):
        run(a_scenario(side))


def test_the_proof_counts_warm_ups_and_every_line_of_every_log():
    logged = Side("logged", Recorder([], "logged", [1.0], evidence=Evidence(log_lines=9, hidden_waiters=0)))
    silent = Side("silent", Recorder([], "silent", [1.0]))
    proof = run(a_scenario(logged, silent), iterations=2, warmups=1).proof
    assert (proof.runs, proof.logs_verified, proof.log_lines_verified) == (6, 3, 27)
    assert (proof.active_leases_and_waiters, proof.hidden_scheduler_resource_waiters) == (0, 0)


def test_what_is_measured_in_a_fresh_interpreter_needs_no_warm_up_and_tells_its_memory():
    log = []
    fresh = Side("fresh", Recorder(log, "fresh", [1.0], peak_bytes=3 * MIB), fresh=True)
    stale = Side("stale", Recorder([], "stale", [1.0], peak_bytes=3 * MIB))
    (side,) = run(a_scenario(fresh), iterations=1, warmups=1).sides
    assert len(log) == 1
    assert side.metrics[PEAK_MIB].median == 3.0
    both = run(a_scenario(fresh, stale), iterations=1)
    assert [PEAK_MIB in side.metrics for side in both.sides] == [True, False]


def test_a_difference_inside_the_noise_is_inconclusive():
    def verdict(*costs):
        one = Side("one", Recorder([], "one", [1.0]))
        other = Side("other", Recorder([], "other", costs))
        figure = Figure("other over one", "paired", "other", "one")
        return run(a_scenario(one, other, figures=(figure,))).figures[0].verdict

    assert verdict(1.1, 1.2, 1.1, 1.3, 1.2) == "higher"
    assert verdict(0.9, 0.8, 0.9, 0.7, 0.9) == "lower"
    assert verdict(0.9, 1.2, 1.3, 1.2, 1.1) == "inconclusive"
    assert verdict(1.0) == "inconclusive"


def test_a_ratio_over_nothing_is_skipped():
    one = Side("one", Recorder([], "one", [1.0], measures={"goodput": 3.0}))
    none = Side("none", Recorder([], "none", [1.0], measures={"goodput": 0.0}))
    figure = Figure("one over none", "measured ratio", "one", "none", measure="goodput")
    (found,) = run(a_scenario(one, none, figures=(figure,))).figures
    assert (found.verdict, found.note) == ("skipped", "there was none of goodput")


def test_sides_that_did_as_much_must_have_made_the_same():
    sides = [Side(name, Recorder([], name, [1.0], output_hash=name)) for name in "AB"]
    with pytest.raises(BenchError, match="outputs differ"):
        run(a_scenario(*sides, equal_outputs=True))
    run(a_scenario(*sides))


def test_outputs_of_different_sizes_are_not_compared():
    sides = (
        Side("A", Recorder([], "A", [1.0], output_hash="A")),
        Side("B", Recorder([], "B", [1.0], output_hash="B"), share=0.5),
    )
    run(a_scenario(*sides, equal_outputs=True))
