"""Commands in processes of their own that are spared the import, which is most of what a short one takes.

What is watched or interrupted while it runs, and all that the README shows, has a fresh interpreter instead.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


class ForkingInterpreter:
    """Begun with the first command, ended with this process. No command sees anything of another."""

    def __init__(self):
        self._process = None
        atexit.register(self.end)

    def run(self, arguments, *, cwd, env, timeout):
        """Run a command to its end; return it as `subprocess.run` does, its output as text.

        Raises:
            subprocess.TimeoutExpired: it took longer, and was killed.
        """
        if self._process is None:
            self._begin()
        arguments = list(map(str, arguments))
        with tempfile.TemporaryDirectory() as folder:
            told, complaints = Path(folder, "stdout"), Path(folder, "stderr")
            command = {
                "arguments": arguments,
                "cwd": str(cwd),
                "env": dict(env),
                "stdout": str(told),
                "stderr": str(complaints),
            }
            try:
                code = self._ask(json.dumps(command), timeout)
            except BaseException:
                self.end()
                raise
            return subprocess.CompletedProcess(arguments, code, told.read_text(), complaints.read_text())

    def end(self):
        """Kill the interpreter, and the command that it runs."""
        process, self._process = self._process, None
        if process is not None:
            with process, contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    def _begin(self):
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.forking_interpreter"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            process_group=0,
        )

    def _ask(self, command, timeout):
        self._process.stdin.write(f"{command}\n")
        if not select.select([self._process.stdout], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired(command, timeout)
        return int(self._process.stdout.readline())


run_command = ForkingInterpreter().run
