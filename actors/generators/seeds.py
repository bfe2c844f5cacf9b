"""Randomness that depends on the job's seed, the column and the row, and on nothing else (R12).

However rows are grouped, retried or interleaved, the same row draws the same number.
"""

from __future__ import annotations

from hashlib import blake2b

_MASK = 0xFFFF_FFFF_FFFF_FFFF
_STEP = 0x9E37_79B9_7F4A_7C15


def column_seed(job_seed: int, column: str) -> int:
    """Return the 64-bit seed of one column of a job."""
    digest = blake2b(f"{job_seed}\x1f{column}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def row_hash(seed: int, row: int) -> int:
    """Return 64 evenly distributed bits for `row`, counted from 0 over the whole job (splitmix64)."""
    mixed = (seed + (row + 1) * _STEP) & _MASK
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58_476D_1CE4_E5B9) & _MASK
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D0_49BB_1331_11EB) & _MASK
    return mixed ^ (mixed >> 31)


def row_seed(seed: int, row: int) -> int:
    """Return the seed that one row's model call carries: 53 bits, which every JSON reader keeps."""
    return row_hash(seed, row) >> 11


def call_seed(seed: int, request: bytes, number: int) -> int:
    """Return the seed of the call `number` (from 0) of those that ask the same `request` within one task.

    It does not depend on the calls that ask for something else: whichever is made first, each has its own.
    """
    asked = int.from_bytes(blake2b(request, digest_size=8).digest(), "big")
    return row_seed(seed ^ asked, number)


def correction_seed(seed: int, number: int) -> int:
    """Return the seed of the correction `number` (from 1) of the call that carried `seed`."""
    return row_seed(seed, number)
