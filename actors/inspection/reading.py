"""Tells a run's story from its log, whatever state that is in, also while it is being written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from actors.evidence.log_file import LogFile
from actors.evidence.reader import log_path
from actors.inspection.run_account import OnEnded
from actors.inspection.story import RunStory
from actors.telemetry.log_codec import EventRecord, LogDecoder, LogFormatError, decode_line
from messages.telemetry import LogEntry, SequencedEvent

DAMAGED: Final = (ValueError, KeyError, TypeError, AttributeError, OverflowError, msgspec.ValidationError)
"""What taking a record raises whose line is JSON and yet none of ours: it was damaged, or written by hand."""


class LogTail:
    """Reads a log from its beginning, and on from there each time it is asked: whole lines only."""

    def __init__(self, path: str | Path) -> None:
        """Find the log that `path`, a log file or a run folder, means.

        Raises:
            LogFormatError: there is none.
        """
        self.path = log_path(path)
        self._file = LogFile(self.path)
        self._decoder = LogDecoder()
        self.unreadable = 0

    def records(self) -> Iterator[SequencedEvent | LogEntry]:
        """Yield what has been written since the last call.

        A line that cannot be understood is counted and passed over. A last line without an end is left for
        the next call: it is still being written, or its writer was killed.

        Raises:
            LogFormatError: the log cannot be read.
        """
        try:
            for line in self._file.lines():
                record = self._record(line)
                if record is not None:
                    yield record
        except OSError as error:
            raise LogFormatError(f"{self.path} cannot be read: {error.strerror}") from error

    def _record(self, line: bytes) -> SequencedEvent | LogEntry | None:
        try:
            record = decode_line(line)
            if type(record) is EventRecord:
                return self._decoder.decode(record)
        except LogFormatError:
            self.unreadable += 1
            return None
        return record if isinstance(record, LogEntry) else None


class LogStory:
    """A log's story, which can be told further while the log grows."""

    def __init__(self, path: str | Path, *, ended: OnEnded | None = None) -> None:
        """Find the log. Raises as `LogTail`; `ended` as in `RunStory`."""
        self._tail = LogTail(path)
        self.story = RunStory(ended=ended)

    @property
    def path(self) -> Path:
        """The log file."""
        return self._tail.path

    def read_on(self) -> int:
        """Take what has been written since the last call; return how many records that was.

        Raises:
            LogFormatError: the log cannot be read.
        """
        count, story, unreadable = 0, self.story, self._tail.unreadable
        for record in self._tail.records():
            count += 1
            try:
                if isinstance(record, LogEntry):
                    story.log(record)
                else:
                    story.add(record)
            except DAMAGED:
                story.unreadable()
        for _ in range(self._tail.unreadable - unreadable):
            story.unreadable()
        return count
