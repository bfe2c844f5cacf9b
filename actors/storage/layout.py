"""The names inside a run's folder. Writers and readers of it share these and nothing else.

```
manifest.json        what was run, and how it ended
rows/0000000.jsonl   the rows of row group 0, one JSON object a line
dropped.jsonl        the dropped rows, one JSON object a line
journal/             finished model calls of row groups that are not stored yet
capacity_plan.json   the capacities that the run works under
actors.jsonl         the actor log; of a run that was resumed, actors-2.jsonl and so on
```
"""

from __future__ import annotations

import re
from pathlib import Path

MANIFEST = "manifest.json"
ROWS = "rows"
DROPPED = "dropped.jsonl"
JOURNAL = "journal"
CAPACITY_PLAN = "capacity_plan.json"
ACTOR_LOG = "actors.jsonl"

STORED = (MANIFEST, ROWS, DROPPED, JOURNAL, CAPACITY_PLAN)
"""What storage makes: a folder that has one of these holds a run. The actor log may be there before."""

UNFINISHED = ".tmp"
"""How the name of a file ends that is being written, and will be renamed into place."""

_MIN_DIGITS = 7
_ACTOR_LOG_OF_RUN = re.compile(r"actors-([1-9][0-9]*)\.jsonl")


def log_of_run(number: int) -> str:
    """Return the usual name of the actor log of a folder's first, second, ... run."""
    return ACTOR_LOG if number == 1 else f"actors-{number}.jsonl"


def newest_log(folder: Path) -> Path | None:
    """Return the actor log of the folder's latest run that has one in its usual place.

    Raises:
        OSError: the folder cannot be listed.
    """
    numbers = [1] if (folder / ACTOR_LOG).is_file() else []
    names = (_ACTOR_LOG_OF_RUN.fullmatch(path.name) for path in folder.iterdir())
    numbers += [int(name[1]) for name in names if name]
    return folder / log_of_run(max(numbers)) if numbers else None


def next_log(folder: Path) -> Path:
    """Return where the actor log of the folder's next run goes.

    Raises:
        OSError: the folder cannot be listed.
    """
    newest = newest_log(folder) if folder.is_dir() else None
    if newest is None:
        return folder / ACTOR_LOG
    name = _ACTOR_LOG_OF_RUN.fullmatch(newest.name)
    return folder / log_of_run(int(name[1]) + 1 if name else 2)


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
