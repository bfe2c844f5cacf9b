"""A disk in memory."""

from __future__ import annotations

from actors.storage.files import FileRuns


class SimulatedDisk:
    def fail_at(self, operation, error, when, *, lasting):
        pass

    def process_ends(self, *, power, chance):
        pass


def runs_on(disk):
    return FileRuns()


def rows_on(disk, out):
    return [], []
