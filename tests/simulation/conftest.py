"""Worlds leave coroutines behind whose process is gone: nobody awaits them, and nobody is to be told."""

from __future__ import annotations

import gc
import sys

import pytest


@pytest.fixture(autouse=True)
def nothing_is_told_of_processes_that_are_gone(monkeypatch):
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    yield
    gc.collect()
