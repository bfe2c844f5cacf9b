"""An interpreter that has imported the command line and nothing else, and forks for every command.

    python -m tests.forking_interpreter

Each line of its standard input is a command as JSON. It forks, runs the command to its end in the fork, as
`python -m actors` would, and answers with a line that is the exit code.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from pathlib import Path

from actors.cli import main

ROOT = Path(__file__).parents[1]


def next_command():
    """Return every command in a process of its own; in this one None, once there are no more."""
    for line in sys.stdin:
        if not (child := os.fork()):
            return json.loads(line)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
        sys.stdout.flush()
    return None


def take_on(command, libraries):
    """Make this process what an interpreter is that is started for the command."""
    os.chdir(command["cwd"])
    os.environ.clear()
    os.environ.update(command["env"])
    sys.argv = [str(ROOT / "actors/__main__.py"), *command["arguments"]]
    sys.path[:] = [
        str(Path.cwd()),
        *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)),
        *libraries,
    ]
    for number, path in enumerate((os.devnull, command["stdout"], command["stderr"])):
        file = os.open(path, os.O_RDWR | os.O_CREAT)
        os.dup2(file, number)
        os.close(file)


if __name__ == "__main__":
    libraries = [path for path in sys.path if path != str(ROOT)]
    gc.freeze()
    if command := next_command():
        take_on(command, libraries)
        main()
