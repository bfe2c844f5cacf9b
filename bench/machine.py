"""Where and with what a measurement was made."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_DISTRIBUTIONS = ("leasehold", "pykka", "msgspec", "structlog", "data-designer", "anyio", "aiometer")
_KNOBS = ("LEASEHOLD_", "PYTHON")
_CPUINFO = Path("/proc/cpuinfo")
_ROOT = Path(__file__).resolve().parent.parent


def describe_machine() -> dict[str, Any]:
    """Return the machine's CPU, cores, memory, system and Python, and how busy it was."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(_memory_bytes() / 2**30, 1),
        "system": platform.platform(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }


def describe_versions() -> dict[str, str]:
    """Return the installed versions of the project, what it runs on and its peers."""
    found = {}
    for name in _DISTRIBUTIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def describe_revision() -> str:
    """Return the git revision measured, marked where files differ from it; empty outside a checkout."""
    commit = _git("rev-parse", "--short=12", "HEAD")
    return (
        f"{commit}+changes"
        if commit and _git("status", "--porcelain", "--", "actors", "messages")
        else commit
    )


def describe_knobs() -> dict[str, str]:
    """Return the environment variables that change how Leasehold, the harness or Python run."""
    return {name: value for name, value in sorted(os.environ.items()) if name.startswith(_KNOBS)}


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=_ROOT, capture_output=True, text=True, check=False, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _cpu_model() -> str:
    try:
        lines = _CPUINFO.read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _memory_bytes() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError):
        return 0
