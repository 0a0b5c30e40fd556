"""Access to the cluster through kubectl, so that commands in tests work for users too."""

import json
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pytest

#: A Kubernetes object as kubectl prints it.
Manifest = dict[str, Any]

#: How the name of every namespace begins that is made here.
NAMESPACES = "registry-webhook-e2e-"

_T = TypeVar("_T")
_DEADLINE = 30.0
_PAUSE = 0.05


class Ran(NamedTuple):
    """What a command left behind."""

    status: int
    stdout: str
    stderr: str

    @property
    def warnings(self) -> list[str]:
        """The warnings that the API server answered with."""
        return [line for line in self.stderr.splitlines() if line.startswith("Warning:")]

    @property
    def manifest(self) -> Manifest:
        """The object that was printed, asked for with `-o json`."""
        printed: Manifest = json.loads(self.stdout)
        return printed


class Cluster:
    """A cluster, and the namespaces that were made in it."""

    def __init__(self, kubectl: Path, kubeconfig: Path | None = None) -> None:
        """Use this kubectl, which finds the cluster by itself, or by this kubeconfig and as whom that says."""
        self._kubectl = [str(kubectl), *([] if kubeconfig is None else [f"--kubeconfig={kubeconfig}"])]
        self._namespaces: list[str] = []

    def run(self, *arguments: str, stdin: Manifest | str | None = None) -> Ran:
        """Run kubectl, whatever comes of it."""
        done = subprocess.run(
            [*self._kubectl, "--request-timeout=20s", *arguments],
            input=json.dumps(stdin) if isinstance(stdin, dict) else stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def kubectl(self, *arguments: str, stdin: Manifest | str | None = None) -> Ran:
        """Run kubectl, which has to succeed."""
        ran = self.run(*arguments, stdin=stdin)
        assert ran.status == 0, f"kubectl {' '.join(arguments)}: {ran.stderr}"
        return ran

    def minor_version(self) -> int:
        """Give the second number of the API server's version."""
        return self._minor_version("serverVersion")

    def client_minor_version(self) -> int:
        """Give the second number of kubectl's version."""
        return self._minor_version("clientVersion")

    def _minor_version(self, whose: str) -> int:
        version = self.kubectl("version", "--output=json").manifest[whose]
        return int("".join(filter(str.isdigit, version["minor"])))

    def get(self, namespace: str, what: str) -> Manifest:
        """Read an object, `pod/x`."""
        return self.kubectl("get", what, "--namespace", namespace, "--output=json").manifest

    def exists(self, namespace: str, what: str) -> bool:
        """Say whether there is such an object."""
        return self.kubectl("get", what, "--namespace", namespace, "--ignore-not-found", "--output=name").stdout != ""

    def expect_no_namespace(self, name: str) -> None:
        """Fail if there is this namespace, in which a test would change what it did not make."""
        if self.exists("default", f"namespace/{name}"):
            pytest.fail(f"the cluster has a namespace {name} already: tests need one that has none")

    def items(self, namespace: str, kind: str, selector: str = "") -> list[Manifest]:
        """List the objects of a kind."""
        arguments = ("get", kind, "--namespace", namespace, "--selector", selector, "--output=json")
        found: list[Manifest] = self.kubectl(*arguments).manifest["items"]
        return found

    def create(self, namespace: str, manifest: Manifest) -> Manifest:
        """Store an object; it is given as stored."""
        arguments = ("create", "--namespace", namespace, "--filename=-", "--output=json")
        return self.kubectl(*arguments, stdin=manifest).manifest

    def make_namespace(self, labels: dict[str, str]) -> str:
        """Make a namespace of a name that nobody has, and wait until Pods can be made in it."""
        name = self.start_namespace(labels)
        eventually("the namespace has its service account", lambda: self.exists(name, "serviceaccount/default"))
        return name

    def start_namespace(self, labels: dict[str, str]) -> str:
        """Make a namespace of a name that nobody has, and wait for nothing."""
        name = f"{NAMESPACES}{secrets.token_hex(4)}"
        self._namespaces.append(name)
        metadata = {"name": name, "labels": labels}
        self.kubectl("create", "--filename=-", stdin={"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        return name

    @contextmanager
    def short_lived(self) -> Iterator[None]:
        """Remove at the end every namespace that is made until then, and do not wait until they are gone."""
        kept, self._namespaces = self._namespaces, []
        try:
            yield
        finally:
            if self._namespaces:
                self.kubectl("delete", "namespace", "--ignore-not-found", "--wait=false", *self._namespaces)
            self._namespaces += kept

    def remove_namespaces(self) -> None:
        """Remove every namespace that was made, and wait until they are gone."""
        if self._namespaces:
            self.kubectl("delete", "namespace", "--ignore-not-found", "--wait=false", *self._namespaces)
            remaining = ("get", "namespace", "--ignore-not-found", "--output=name", *self._namespaces)
            eventually("the namespaces are gone", lambda: not self.kubectl(*remaining).stdout, deadline=180)


def find_kubectl() -> Path | None:
    """Find kubectl on PATH."""
    found = shutil.which("kubectl")
    return None if found is None else Path(found)


def eventually(what: str, probe: Callable[[], _T | None], deadline: float = _DEADLINE) -> _T:
    """Ask until the answer is a true one, and give it; fail with `what` when the deadline (seconds) is over."""
    end = time.monotonic() + deadline
    while not (found := probe()):
        assert time.monotonic() < end, f"not within {deadline:g} s: {what}"
        time.sleep(_PAUSE)
    return found
