"""Memory and CPU time of the server's worker."""

import os
from pathlib import Path

from tests.support.server_process import Server

#: MiB: the container's limit in manifests/base/50-deployment.yaml.
LIMIT = 384

_TICK = os.sysconf("SC_CLK_TCK")


def most_memory(server: Server) -> float:
    """Give the most memory that it has held so far, MiB."""
    return _status(server, "VmHWM")


def memory(server: Server) -> float:
    """Give the memory that it holds, MiB."""
    return _status(server, "VmRSS")


def cpu(server: Server) -> float:
    """Give the seconds that it has computed so far."""
    (worker,) = server.workers()
    fields = Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def descriptors(server: Server) -> int:
    """Count its open files and sockets."""
    (worker,) = server.workers()
    return len(list(Path(f"/proc/{worker}/fd").iterdir()))


def _status(server: Server, key: str) -> float:
    (worker,) = server.workers()
    status = Path(f"/proc/{worker}/status").read_text()
    return int(status.partition(f"{key}:")[2].split()[0]) / 1024
