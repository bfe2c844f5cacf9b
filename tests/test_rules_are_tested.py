"""Every rule of the sections that are complete has a test that cites it by its number.

A test cites rules by its name (`test_t9_t11_...`) or by its docstring.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

RULES = {
    "T1": "no worker starts before its task lease exists",
    "T2": "every task lease is returned exactly once",
    "T3": "returning never raises at the worker",
    "T4": "from-scratch work takes the same road as all other work",
    "T5": "after start a worker never waits for a scheduler resource",
    "T6": "a lease whose selection has gone stale is returned before any worker starts",
    "T7": "hard resources are vectors, taken whole or not at all",
    "T8": "the ledger and the policy's debt are separate",
    "T9": "evaluate is pure",
    "T10": "a single group, or a single resource, stays live",
    "T11": "strict fair: a group keeps to its limit only under peer pressure",
    "T12": "bounded borrow: a weighted share, and debt for what exceeds it",
    "T13": "no lost wakeup",
    "T14": "replacement work is visible only after its lease has been accounted for",
    "Q1": "weighted fair queueing over groups, first in first out inside one",
    "Q2": "enqueue is idempotent by task id",
    "Q3": "select changes nothing",
    "Q4": "commit is the only removal by dispatch",
    "Q5": "the queue knows nothing of counts, providers or policies",
    "Q6": "memory is proportional to what is queued",
    "R1": "readiness, handed out once",
    "R2": "row groups in flight, fixed and adaptive",
    "R3": "a dropped row takes its tasks with it and unblocks batches",
    "R4": "retryable failures are deferred and retried",
    "R5": "non-retryable failures drop their rows at once",
    "R6": "early shutdown",
    "R7": "order-dependent, multi-output and side-effect columns",
    "R8": "processors before and after a row group's columns",
    "R9": "skip conditions and their propagation",
    "R10": "durable row groups and resume",
    "R11": "cancel",
    "R12": "same job, same seed, same output",
    "R13": "rows are conserved",
    "R14": "finished model calls are never repeated",
    "A1": "one lease per outbound attempt",
    "A2": "the effective maximum and the startup ramp",
    "A3": "what admission of a request needs",
    "A4": "rate limits: the gate and the cut",
    "A5": "growth after successes",
    "A6": "failures are not provider pressure",
    "A7": "fair waiters that receive their own leases only",
    "A8": "wakeups by deadline, without polling",
    "A9": "sustained rate limiting opens the circuit",
    "A10": "aliases of one endpoint share its caps",
    "A11": "classification of outcomes",
    "A12": "task admission reads pressure and changes nothing",
    "A13": "budgets of requests and tokens",
    "A14": "the limit algorithm is a strategy",
    "O1": "sinks never interrupt generation",
    "O2": "events are complete facts when made",
    "O3": "each stream works without the other",
    "O4": "nothing sensitive",
    "O5": "no exporter is configured",
    "O6": "telemetry is bounded",
    "O7": "every waiting second has a reason",
    "O8": "global logging is left alone",
}
DEMANDED = ("T", "Q", "R", "A", "O")
"""Sections of which every rule must have a test."""

_IN_NAME = re.compile(r"test_((?:[tqrao]\d+_)+)")
_IN_TEXT = re.compile(r"\b[TQRAO]\d+\b")


def cited_by(function):
    """Return the rules that a test function cites."""
    found = _IN_NAME.match(function.name)
    named = [part.upper() for part in found[1].split("_") if part] if found else []
    return {*named, *_IN_TEXT.findall(ast.get_docstring(function) or "")}


@pytest.fixture(scope="module")
def tests_by_rule():
    """Return which tests cite each rule, as `file:test`."""
    root = Path(__file__).parent
    tests = {}
    for path in sorted(root.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                for rule in cited_by(node):
                    tests.setdefault(rule, []).append(f"{path.relative_to(root)}:{node.name}")
    return tests


def test_every_rule_of_a_complete_section_has_a_test(tests_by_rule):
    missing = {
        rule: title for rule, title in RULES.items() if rule[0] in DEMANDED and rule not in tests_by_rule
    }
    assert missing == {}


def test_no_test_cites_a_rule_that_there_is_not(tests_by_rule):
    assert {rule: tests for rule, tests in tests_by_rule.items() if rule not in RULES} == {}


def test_rules_are_numbered_without_gaps():
    for section, count in {"T": 14, "Q": 6, "R": 14, "A": 14, "O": 8}.items():
        numbers = [int(rule[1:]) for rule in RULES if rule[0] == section]
        assert numbers == list(range(1, count + 1))


def test_rules_are_found_in_names_and_docstrings():
    source = 'def test_t9_t11_a_thing():\n    """As R3 says."""\n'
    (function,) = ast.parse(source).body
    assert cited_by(function) == {"T9", "T11", "R3"}
    (plain,) = ast.parse("def test_tasks_end_in_r5(): ...").body
    assert cited_by(plain) == set()
