"""What holds for every test: how property tests explore, what is no garbage, and when garbage goes."""

from __future__ import annotations

import gc
import os

import pytest
from hypothesis import settings

# A busy machine is no failure, so no example has a deadline. A change is judged by the same examples every
# time; everywhere else each run explores new ones.
settings.register_profile("explore", deadline=None, print_blob=True)
settings.register_profile("ci", deadline=None, print_blob=True, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "explore")


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Collected tests are no garbage: nobody looks among them for some, neither now nor after a test."""
    gc.disable()
    collected = yield
    gc.freeze()
    gc.enable()
    return collected


@pytest.fixture(autouse=True, scope="module")
def _garbage_goes_with_its_file():
    """Nothing that a file of tests has left behind is told of, or finalised, in the midst of another's."""
    yield
    gc.collect()
