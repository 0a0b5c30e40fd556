"""The cluster's second node, which can be lost and started again.

Two ways: its processes end, so that its addresses refuse connections, and nothing answers at all, as after a power
failure.
"""

import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.e2e.cluster import Cluster, Manifest, eventually

NAME = "node2"
#: A network device that leads nowhere, and an address on its link that nothing has.
_DEVICE, _NOTHING = "lost-node", "02:00:00:00:00:01"


class SecondNode(NamedTuple):
    """The files with the process numbers of kubelet and container runtime, and the command that starts both again."""

    cluster: Cluster
    pid_files: Sequence[Path]
    command: str

    @contextmanager
    def lost(self, pods: Sequence[Manifest], *, silent: bool) -> Iterator[None]:
        """Kill kubelet, container runtime and the processes of these Pods, and start the node again at the end.

        `silent`: the Pods' addresses answer nothing, instead of refusing connections.
        """
        containers = [
            status["containerID"].rpartition("//")[2] for pod in pods for status in pod["status"]["containerStatuses"]
        ]
        addresses = [pod["status"]["podIP"] for pod in pods] if silent else []
        processes = [*(int(file.read_text()) for file in self.pid_files), *_processes(containers)]
        assert len(processes) > len(self.pid_files), "the containers have no process on this machine"
        _unplug(addresses)
        try:
            for process in processes:
                os.kill(process, signal.SIGKILL)
            yield
        finally:
            _plug_in(addresses)
            subprocess.run(shlex.split(self.command), stdout=subprocess.DEVNULL, timeout=120, check=True)
            eventually("the node is ready", lambda: is_ready(self.cluster, NAME), 60.0)


def is_ready(cluster: Cluster, node: str) -> bool:
    """Return whether the node's kubelet reports, and reports that it is ready."""
    conditions = cluster.get("default", f"node/{node}")["status"]["conditions"]
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _processes(containers: Sequence[str]) -> list[int]:
    """Find the processes of containers by their cgroups."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cgroup"):
        try:
            cgroups = file.read_text()
        except OSError:
            continue  # it has ended
        if any(container in cgroups for container in containers):
            found.append(int(file.parent.name))
    return found


def _unplug(addresses: Sequence[str]) -> None:
    if addresses:
        _ip("link", "add", _DEVICE, "type", "veth", "peer", "name", f"{_DEVICE}-end")
        _ip("link", "set", f"{_DEVICE}-end", "up")
        _ip("link", "set", _DEVICE, "up")
    for address in addresses:
        _ip("route", "add", address, "dev", _DEVICE)
        _ip("neighbor", "add", address, "lladdr", _NOTHING, "dev", _DEVICE)


def _plug_in(addresses: Sequence[str]) -> None:
    if addresses:
        _ip("link", "delete", _DEVICE)


def _ip(*arguments: str) -> None:
    subprocess.run([shutil.which("ip") or "ip", *arguments], timeout=10, check=True)
