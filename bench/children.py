"""The environment that children of the harness run in."""

from __future__ import annotations

import os

_NOT_FOR_CHILDREN = ("PYTHONDONTWRITEBYTECODE", "PYTHONSAFEPATH")
"""An installed product has its bytecode, so children may write theirs; and they find it by their folder."""


def child_environment() -> dict[str, str]:
    """Return this process's environment, but for what would change what a child measures."""
    return {name: value for name, value in os.environ.items() if name not in _NOT_FOR_CHILDREN}
