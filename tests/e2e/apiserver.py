"""The API server as a process that can be killed and restarted, and a second one with the same store."""

import json
import os
import shlex
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from .cluster import Cluster, eventually, find_kubectl

#: Seconds until a second one is ready, on a machine that is busy.
_READY = 90.0


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


@contextmanager
def second(cluster: Cluster, pid_file: Path, folder: Path, flags: Mapping[str, str] | None = None) -> Iterator[Path]:
    """Run a second API server as the first one was started, on another port; give a kubeconfig that leads to it.

    It leaves the Service `kubernetes` alone, and what it writes goes into `folder`. `flags` are set beside.
    """
    kubeconfig = cluster.kubectl("config", "view", "--raw", "--minify", "--flatten", "--output=json").manifest
    (entry,) = kubeconfig["clusters"]
    host = urlsplit(entry["cluster"]["server"]).hostname
    held = _hold_port(host)
    port = held.getsockname()[1]
    entry["cluster"]["server"] = f"https://{host}:{port}"
    written = folder / "kubeconfig"
    written.touch(mode=0o600)
    written.write_text(json.dumps(kubeconfig))

    process_number = int(pid_file.read_text())
    words = Path(f"/proc/{process_number}/cmdline").read_bytes().decode().rstrip("\0").split("\0")
    changes = {
        "--secure-port": str(port),
        "--permit-port-sharing": "true",
        "--audit-log-path": str(folder / "audit.log"),
        "--endpoint-reconciler-type": "none",
        **(flags or {}),
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(_changed(words, changes), stdout=log, stderr=log, start_new_session=True)
    try:
        kubectl = find_kubectl()
        assert kubectl is not None
        there = Cluster(kubectl, written)

        def ready() -> bool:
            assert process.poll() is None, (folder / "log").read_text()[-2000:]
            return there.run("get", "--raw", "/readyz").status == 0

        eventually("the second API server is ready", ready, _READY)
        yield written
    finally:
        held.close()
        process.terminate()
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.wait(timeout=5)


def _is_alive(process: int) -> bool:
    """Say whether a process runs: one that nobody has waited for yet is dead all the same."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except FileNotFoundError:
        return False
    return "\nState:\tZ" not in status


def _changed(words: list[str], changes: dict[str, str]) -> list[str]:
    """Set flags of a command line, whether they are written as one word or as two, and add those that are missing."""
    kept: list[str] = []
    skipped = False
    for word in words:
        if skipped:
            skipped = False
        elif word in changes:
            skipped = True
        elif word.partition("=")[0] not in changes:
            kept.append(word)
    return kept + [f"{flag}={value}" for flag, value in changes.items()]


def _hold_port(host: str | None) -> socket.socket:
    """Bind a free port, which only a process that shares it can bind as well; nothing is accepted on it here."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    held.bind((host or "", 0))
    return held
