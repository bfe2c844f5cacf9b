"""Progress where there is no terminal: one line now and then."""

from __future__ import annotations

from actors.cli.progress import PlainLines, Silent
from messages.scheduler import OpenCircuit


def test_a_line_tells_rows_pace_time_left_and_what_limits(a_view, capsys):
    view = a_view(models=[(8, 8, 12)], rows_written=40, rows_dropped=1)

    with PlainLines() as progress:
        progress.show(view)

    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == (
        "10 s: 40 of 100 rows written, 1 dropped, 0.1 rows/s, about 16 min 30 s left, "
        "limited by model alias0 (sim/m0): all 8 slots in use, 12 waiting\n"
    )


def test_a9_a_line_tells_of_an_open_circuit(a_view, capsys):
    circuits = (OpenCircuit("sim/m0/chat", 2.0, 214, 14.0),)

    with PlainLines() as progress:
        progress.show(a_view(models=[(0, 1, 12)], circuits=circuits))

    assert capsys.readouterr().err.endswith(
        "limited by provider sim has refused everything for 8 s: circuit of alias0 (sim/m0) open, "
        "next probe in 4 s\n"
    )


def test_silence_is_silent_and_never_asks_for_a_view(a_view, capsys):
    with Silent() as progress:
        progress.show(a_view())

    assert capsys.readouterr() == ("", "")
    assert progress.shown_every == float("inf")
