"""Progress where there is no terminal: one line now and then."""

from __future__ import annotations

from actors.cli.progress import PlainLines, Silent


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


def test_silence_is_silent_and_never_asks_for_a_view(a_view, capsys):
    with Silent() as progress:
        progress.show(a_view())

    assert capsys.readouterr() == ("", "")
    assert progress.shown_every == float("inf")
