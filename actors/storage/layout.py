"""The names inside a run's folder. Writers and readers of it share these and nothing else.

```
manifest.json        what was run, and how it ended
rows/0000000.jsonl   the rows of row group 0, one JSON object a line
dropped.jsonl        the dropped rows, one JSON object a line
journal/             finished model calls of row groups that are not stored yet
capacity_plan.json   the capacities that the run works under
actors.jsonl         the actor log, .gz or .zst where it is compressed; of a run that was resumed,
                     actors-2.jsonl and so on
run.lock             who runs the job, while somebody does; of a killed process it says nothing
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
LOCK = "run.lock"

STORED = (MANIFEST, ROWS, DROPPED, JOURNAL, CAPACITY_PLAN)
"""What storage makes: a folder that has one of these holds a run. The actor log may be there before."""

UNFINISHED = ".tmp"
"""How the name of a file ends that is being written, and will be renamed into place."""

_MIN_DIGITS = 7
_ACTOR_LOG_OF_RUN = re.compile(r"actors(?:-([1-9][0-9]*))?\.jsonl(\.gz|\.zst)?")


def log_of_run(number: int, compressed: str = "") -> str:
    """Return the usual name of the actor log of a folder's first, second, ... run.

    `compressed` is what the name of a compressed one ends in, `.gz` or `.zst`.
    """
    return f"{ACTOR_LOG if number == 1 else f'actors-{number}.jsonl'}{compressed}"


def newest_log(folder: Path) -> Path | None:
    """Return the actor log of the folder's latest run that has one in its usual place.

    Raises:
        OSError: the folder cannot be listed.
    """
    newest = _newest(folder)
    return None if newest is None else folder / log_of_run(*newest)


def next_log(folder: Path) -> Path:
    """Return where the actor log of the folder's next run goes: compressed as the last one is.

    Raises:
        OSError: the folder cannot be listed.
    """
    newest = _newest(folder) if folder.is_dir() else None
    if newest is None:
        return folder / ACTOR_LOG
    number, compressed = newest
    return folder / log_of_run(number + 1, compressed)


def _newest(folder: Path) -> tuple[int, str] | None:
    """Return the number of the folder's latest log, and how it is compressed."""
    found = (_ACTOR_LOG_OF_RUN.fullmatch(path.name) for path in folder.iterdir() if path.is_file())
    return max(((int(name[1] or 1), name[2] or "") for name in found if name), default=None)


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
