"""What users of the simulated worlds bring along: functions of their inputs alone, good and bad.

`_lot` turns the inputs into a number, so that the same rows fail whatever the interleaving.
"""

from __future__ import annotations

import asyncio
import math
from zlib import crc32

from bench.virtual.pool import takes


def _lot(values, sides):
    return crc32(repr(sorted(values.items())).encode()) % sides


def _text(values):
    return f"{crc32(repr(sorted(values.items())).encode()):08x}"


# -- cells -----------------------------------------------------------------------------------------


def plain(**row):
    takes(0.001 * _lot(row, 40))
    return _text(row)


async def waits(**row):
    await asyncio.sleep(0.001 * _lot(row, 40))
    return _text(row)


async def answers_at_once(**row):
    return _text(row)


def fails(**row):
    takes(0.002)
    if _lot(row, 5) == 0:
        raise ValueError("this row is not to our taste")
    return _text(row)


async def fails_later(**row):
    await asyncio.sleep(0.002)
    if _lot(row, 5) == 0:
        raise KeyError("nor is this")
    return _text(row)


def exits(**row):
    if _lot(row, 6) == 0:
        raise SystemExit(3)
    return _text(row)


def blocks(**row):
    takes(math.inf if _lot(row, 5) == 0 else 0.01)
    return _text(row)


async def never_ends(**row):
    if _lot(row, 5) == 0:
        await asyncio.get_running_loop().create_future()
    return _text(row)


async def clings(**row):
    """Does not hear of being cancelled, at first."""
    for _ in range(2):
        try:
            await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            continue
    return _text(row)


def unstorable(**row):
    return object() if _lot(row, 6) == 0 else _text(row)


async def two(**row):
    return [_text(row), _lot(row, 1000)]


async def asks(models, **row):
    first = await next(iter(_each(models))).chat(f"What of {_text(row)}?")
    if _lot(row, 2) == 0:
        return first
    second, third = await asyncio.gather(*(_each(models)[-1].chat(f"{first} {n}") for n in range(2)))
    return second + third


async def asks_together(models, **row):
    """As a task group has it: the first call that is refused cancels the others."""
    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(_each(models)[-1].chat(f"{_text(row)} {n}")) for n in range(3)]
    return "".join(call.result() for call in calls)


def _each(models):
    return [models[alias] for alias in models]


# -- row groups ------------------------------------------------------------------------------------


def batch(**columns):
    takes(0.01)
    return [_text(dict(zip(columns, values, strict=True))) for values in zip(*columns.values(), strict=True)]


async def async_batch(**columns):
    await asyncio.sleep(0.01)
    return batch(**columns)


def wrong_shape(**columns):
    found = batch(**columns)
    return found[1:] if _lot({"rows": found}, 3) == 0 else found


def from_scratch(rows, row_index):
    takes(0.003)
    return [f"made {row_index + row}" for row in range(rows)]


async def async_from_scratch(rows, row_index):
    await asyncio.sleep(0.003)
    return [f"made {row_index + row}" for row in range(rows)]


def no_scratch(rows, row_index):
    if row_index and crc32(str(row_index).encode()) % 3 == 0:
        raise RuntimeError("nothing to be made here")
    return list(range(row_index, row_index + rows))


# -- processors ------------------------------------------------------------------------------------


def keeps(rows):
    return [True] * len(rows)


def sorts_out(rows):
    return [None if _lot({"n": row["n"]}, 4) == 0 else True for row in rows]


def changes(rows):
    return [{**row, "n": row["n"]} for row in rows]


def breaks(rows):
    if any(row["n"] >= 10 for row in rows):
        raise RuntimeError("the processor is broken")
    return rows
