"""What the server's worker holds."""

from pathlib import Path

from tests.serving.running import Server

#: MiB: the container's limit in manifests/50-deployment.yaml.
LIMIT = 256


def most_memory(server: Server) -> float:
    """Give the most memory that it has held so far, MiB."""
    return _status(server, "VmHWM")


def memory(server: Server) -> float:
    """Give the memory that it holds, MiB."""
    return _status(server, "VmRSS")


def descriptors(server: Server) -> int:
    """Count its open files and sockets."""
    (worker,) = server.workers()
    return len(list(Path(f"/proc/{worker}/fd").iterdir()))


def _status(server: Server, key: str) -> float:
    (worker,) = server.workers()
    status = Path(f"/proc/{worker}/status").read_text()
    return int(status.partition(f"{key}:")[2].split()[0]) / 1024
