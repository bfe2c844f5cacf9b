"""A run drawn on a terminal."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from actors.cli.live import columns_to_show, drawn
from actors.cli.pace import Pace
from messages.scheduler import GeneratorProgress, OpenCircuit


@pytest.fixture
def text_of():
    def render(view, *, most_columns=10):
        pace = Pace()
        pace.note(view.at, view.job)
        console = Console(file=io.StringIO(), width=120)
        console.print(drawn(view, pace, most_columns=most_columns))
        return console.file.getvalue()

    return render


def test_it_shows_rows_pace_columns_models_and_what_limits(a_view, text_of):
    text = text_of(
        a_view(
            models=[(8, 8, 12)],
            rows_written=40,
            rows_dropped=1,
            generators={"story": GeneratorProgress(50, 1, 100)},
        )
    )

    lines = [line.split() for line in text.splitlines()]
    assert "40 of 100 rows written, 1 dropped" in text
    assert "5.1 rows/s, 10 s, about 10 s left" in text
    assert ["story", "50", "1", "100"] in lines
    assert ["alias0", "(sim/m0)", "8", "8", "12"] in lines
    assert "limited by model alias0 (sim/m0): all 8 slots in use, 12 waiting" in text


def test_what_is_asked_about_a_models_health_is_no_model_at_work(a_view):
    assert a_view(models=[(1, 8, 0)], domain="embedding").models()[0].name == "alias0 (sim/m0 embedding)"
    assert a_view(models=[(1, 8, 0)], domain="healthcheck").models() == []


def test_a_limit_that_was_cut_is_shown_beside_the_most_and_an_open_circuit_is_told(a_view, text_of):
    circuits = (OpenCircuit("sim/m0/chat", 2.0, 214, 14.0),)
    text = text_of(a_view(models=[(1, 3, 12)], maximum=8, circuits=circuits))

    assert ["alias0", "(sim/m0)", "1", "3/8", "12"] in [line.split() for line in text.splitlines()]
    assert "limited by provider sim has refused everything for 8 s" in text


def test_names_are_shown_as_they_are_not_as_markup(a_view, text_of):
    assert "[bold]x" in text_of(a_view(generators={"[bold]x": GeneratorProgress(0, 0, 1)}))


def test_of_too_many_columns_those_at_work_are_shown_and_the_others_counted(a_view, text_of):
    finished = {f"finished{n}": GeneratorProgress(100, 0, 100) for n in range(50)}
    generators = {**finished, "busy": GeneratorProgress(1, 0, 100)}

    text = text_of(a_view(generators=generators), most_columns=3)

    assert "busy" in text
    assert "and 49 more" in text


@given(st.lists(st.integers(0, 2), max_size=20), st.integers(2, 8))
def test_columns_keep_the_jobs_order_and_fit_with_the_line_that_counts_the_rest(states, most):
    generators = {str(n): GeneratorProgress(done, 0, 2) for n, done in enumerate(states)}

    shown = columns_to_show(generators, most)

    assert shown == [name for name in generators if name in shown]
    assert len(shown) + (len(shown) < len(generators)) <= most
