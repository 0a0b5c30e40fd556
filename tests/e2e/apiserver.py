"""The API server as a process that can be killed and started again."""

import os
import shlex
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from .cluster import eventually


class ApiServer(NamedTuple):
    """Where its process number is, and the command that starts it again and waits until it answers."""

    pid_file: Path
    command: str

    @contextmanager
    def killed(self) -> Iterator[None]:
        """Kill it, and start it again at the end."""
        process = int(self.pid_file.read_text())
        os.kill(process, signal.SIGKILL)
        eventually("the API server is gone", lambda: not _is_alive(process))
        try:
            yield
        finally:
            subprocess.run(shlex.split(self.command), stdout=subprocess.DEVNULL, timeout=120, check=True)


def _is_alive(process: int) -> bool:
    """Say whether a process runs: one that nobody has waited for yet is dead all the same."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except FileNotFoundError:
        return False
    return "\nState:\tZ" not in status
