"""The names inside a run's folder. Writers and readers of it share these and nothing else.

```
manifest.json        what was run, and how it ended
rows/0000000.jsonl   the rows of row group 0, one JSON object a line
dropped.jsonl        the dropped rows, one JSON object a line
capacity_plan.json   the capacities that the run works under
actors.jsonl         the actor log
```
"""

from __future__ import annotations

MANIFEST = "manifest.json"
ROWS = "rows"
DROPPED = "dropped.jsonl"
CAPACITY_PLAN = "capacity_plan.json"
ACTOR_LOG = "actors.jsonl"

STORED = (MANIFEST, ROWS, DROPPED, CAPACITY_PLAN)
"""What storage makes: a folder that has one of these holds a run. The actor log may be there before."""

_MIN_DIGITS = 7


def row_group_digits(row_groups: int) -> int:
    """Return how many digits a run of so many row groups numbers its files with, so that names sort."""
    return max(_MIN_DIGITS, len(str(max(0, row_groups - 1))))


def row_group_name(row_group: int, digits: int) -> str:
    """Return the name of a row group's file in `rows/`."""
    return f"{row_group:0{digits}}.jsonl"


def row_group_number(name: str) -> int | None:
    """Return the number of the row group whose file has this name; None for any other file."""
    stem, _, ending = name.partition(".")
    digits = stem.isascii() and stem.isdigit() and len(stem) >= _MIN_DIGITS
    return int(stem) if digits and ending == "jsonl" else None
