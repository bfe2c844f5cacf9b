"""The answers of failed tries: with their tasks until these end, and never more than so many (R14)."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from actors.scheduler.kept_answers import KeptAnswers
from messages.tasks import KeptAnswer


def answers(*replies):
    return tuple(KeptAnswer(str(number), reply) for number, reply in enumerate(replies))


def test_a_tasks_answers_are_its_latest_and_go_with_it():
    kept = KeptAnswers()
    kept.keep(0, 7, answers(b"a"))
    kept.keep(0, 7, answers(b"a", b"b"))
    kept.keep(0, 8, answers(b"c"))
    assert (kept.of(0, 7), kept.of(0, 8), kept.of(1, 7)) == (answers(b"a", b"b"), answers(b"c"), ())
    kept.forget(0, 7)
    kept.forget(0, 7)
    assert (kept.of(0, 7), len(kept)) == ((), 1)


def test_a_try_that_says_nothing_takes_nothing_away():
    kept = KeptAnswers()
    kept.keep(0, 7, answers(b"a"))
    kept.keep(0, 7, ())
    assert kept.of(0, 7) == answers(b"a")


def test_what_is_left_of_a_row_group_goes_with_it():
    kept = KeptAnswers()
    for task_id in (1, 2):
        kept.keep(4, task_id, answers(b"a"))
    kept.keep(5, 3, answers(b"a"))
    kept.forget_row_group(4)
    kept.forget_row_group(4)
    assert (len(kept), kept.of(5, 3)) == (1, answers(b"a"))


def test_there_is_a_bound_and_who_ends_makes_room_below_it():
    kept = KeptAnswers(most_bytes=1000)
    kept.keep(0, 1, answers(b"x" * 500))
    kept.keep(0, 2, answers(b"y" * 500))
    assert (kept.of(0, 1), kept.of(0, 2)) == (answers(b"x" * 500), ())
    kept.keep(0, 1, answers(b"x" * 500, b"z" * 500))
    assert kept.of(0, 1) == answers(b"x" * 500), "what there was is kept"
    kept.forget(0, 1)
    kept.keep(0, 2, answers(b"y" * 500))
    assert kept.of(0, 2) == answers(b"y" * 500)


class Tasks(RuleBasedStateMachine):
    """Tasks fail, end, and are forgotten with their row groups, in any order."""

    def __init__(self):
        super().__init__()
        self.kept = KeptAnswers(most_bytes=1500)
        self.known = {}

    @rule(group=st.integers(0, 2), task=st.integers(0, 3), sizes=st.lists(st.integers(0, 400), max_size=4))
    def fail(self, group, task, sizes):
        told = answers(*(b"x" * size for size in sizes))
        before = self.kept.of(group, task)
        self.kept.keep(group, task, told)
        assert self.kept.of(group, task) in (before, told)
        self.known[group, task] = self.kept.of(group, task)

    @rule(group=st.integers(0, 2), task=st.integers(0, 3))
    def end(self, group, task):
        self.kept.forget(group, task)
        self.known.pop((group, task), None)

    @rule(group=st.integers(0, 2))
    def finish(self, group):
        self.kept.forget_row_group(group)
        self.known = {key: told for key, told in self.known.items() if key[0] != group}

    @invariant()
    def what_is_kept_is_known_and_bounded(self):
        assert all(self.kept.of(*key) == told for key, told in self.known.items())
        assert len(self.kept) == sum(map(bool, self.known.values()))
        assert sum(len(each.reply) for told in self.known.values() for each in told) <= 1500

    def teardown(self):
        """Everything that was counted is counted off again: there is room for all of it."""
        for group in range(3):
            self.kept.forget_row_group(group)
        everything = answers(b"x" * 1300)
        self.kept.keep(0, 0, everything)
        assert self.kept.of(0, 0) == everything


TestTasks = Tasks.TestCase
