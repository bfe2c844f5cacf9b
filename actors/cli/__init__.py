"""The command line: `leasehold`, or `python -m actors`.

It runs an actor system of its own and speaks to it as any program would: `submit`, `cancel`, `ask`.
"""

from actors.cli.app import main

__all__ = ["main"]
