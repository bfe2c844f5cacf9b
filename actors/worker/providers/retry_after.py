"""How long a response asks to be left alone, from its headers. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

_NUMBER = re.compile(r"\s*([+-]?\d+(?:\.\d*)?)\s*")


def retry_after_seconds(headers: Mapping[str, str], *, wall_now: float) -> float | None:
    """Return the seconds that `headers` ask to wait, None where they say nothing that can be read.

    `retry-after-ms` is more exact than `retry-after` and counts before it. `retry-after` is seconds, or an
    HTTP date: reckoned from the response's own `date` where there is one, so that clocks need not agree, else
    from `wall_now`, seconds since 1970. A time that has passed is 0. Names are in lower case, unless
    `headers` finds them in any.
    """
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return max(0.0, milliseconds / 1000.0)
    said = headers.get("retry-after", "")
    seconds = _number(said)
    if seconds is not None:
        return max(0.0, seconds)
    until = _date(said)
    if until is None:
        return None
    sent = _date(headers.get("date", ""))
    return max(0.0, until - (wall_now if sent is None else sent))


def _number(text: str) -> float | None:
    found = _NUMBER.fullmatch(text)
    value = float(found[1]) if found is not None else math.nan
    return value if math.isfinite(value) else None


def _date(text: str) -> float | None:
    try:
        found = parsedate_to_datetime(text)
        # An HTTP date without a zone is in GMT.
        return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
