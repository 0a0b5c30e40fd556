"""The refresher as a local process with the token of its ServiceAccount.

Its permissions are bound in the namespaces created here. Its output is searched for every password it ever had.
"""

import base64
import json
import re
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from webhook.constants import DEFAULT_NAMESPACE, ENABLED_LABEL, PROGRAM, REFRESHER, REFUSED_ANNOTATION

from .cluster import NAMESPACES, Cluster, Manifest, Ran, eventually
from .installation import environment
from .pods import PULL_SECRET, REWRITTEN, SERVER, becomes
from .service_account import DEPLOYMENT

#: Keys of the configuration by their paths, each with its value.
Settings = dict[str, object]

SECRET = f"secret/{PULL_SECRET}"

_USERNAME = "opencti.daemon.registry.username"
_DEFAULTS: Settings = {
    "opencti.daemon.registry.server": SERVER,
    # The shortest that can be set: a pass every ten seconds.
    "opencti.daemon.registry.token_ttl": 10,
    "opencti.daemon.registry.retry_delay": 1,
    "webhook.verify": "off",
    "webhook.namespaces.allow": [f"{NAMESPACES}*"],
}
_METRICS = "registry_webhook_refresher_"
_ADDRESS = re.compile(r"probe server started address=(\S+)\n")
_RELOADED = "configuration reloaded"
_ROUND = re.compile(" credential (?:refresh|read by) ")
#: Seconds within which it is gone after SIGTERM, on a machine that is busy.
_LEAVING = 5.0


class Confidential:
    """What no output may hold, and who makes output."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._forms: set[str] = set()
        self._speakers: list[Callable[[], str]] = []

    def add(self, username: str, password: str) -> None:
        """Take a password, as it is and in what it could be hidden in."""
        auth = f"{username}:{password}"
        encoded = [base64.b64encode(text.encode()).decode().rstrip("=") for text in (password, auth)]
        escaped = [json.dumps(password)[1:-1], json.dumps(password, ensure_ascii=False)[1:-1], repr(password)[1:-1]]
        escaped.append(password.encode("unicode_escape").decode())
        self._forms.update([password, *encoded, *escaped])

    def listen(self, speaker: Callable[[], str]) -> None:
        """Search also what this one says."""
        self._speakers.append(speaker)

    def check(self, cluster: Cluster) -> None:
        """Search all that was said, and every Event."""
        events = cluster.kubectl("get", "events.events.k8s.io", "--all-namespaces", "--output=yaml").stdout
        said = [events, *(speaker() for speaker in self._speakers)]
        disclosing = {line for text in said for line in text.splitlines() if any(form in line for form in self._forms)}
        assert not disclosing, "an output holds a credential"


class Sidecar:
    """A sidecar with a configuration and a password of its own, which can be run again and again."""

    def __init__(self, kubeconfig: Path, folder: Path, confidential: Confidential, settings: Settings) -> None:
        """Write its configuration into `folder`; it has no password yet."""
        self.username = str(settings.get(_USERNAME, f"e2e-{secrets.token_hex(4)}"))
        self.password = ""
        self.password_file = folder / "password"
        self._configuration = folder / "config.yaml"
        self._output = folder / "log"
        self._output.touch()
        self._confidential = confidential
        # A replica that does not write logs its refreshes at the level debug.
        self._command = [sys.executable, "-m", "webhook", "refresh", f"--kubeconfig={kubeconfig}"]
        self._command += [f"--config={self._configuration}", "--log-level=debug"]
        self._settings = {**_DEFAULTS, _USERNAME: self.username, "webhook.credential.file": str(self.password_file)}
        self._process: subprocess.Popen[bytes] | None = None
        self._url = ""
        self._last_words = ""
        self._turns = 0
        self._write_configuration(settings)
        confidential.listen(self._said)

    def set_password(self, password: str | None = None, end: str = "") -> str:
        """Change the password at the source, to a new one where none is given; `end` is what the file ends with."""
        self.password = password or new_password()
        self._confidential.add(self.username, self.password)
        _replace(self.password_file, self.password + end)
        return self.password

    def configure(self, **settings: object) -> None:
        """Change the configuration under it, a key's dots written as two underscores; wait until that is in force."""
        before = self.log().count(_RELOADED)
        self._write_configuration({key.replace("__", "."): value for key, value in settings.items()})
        eventually("the new configuration is in force", lambda: self.log().count(_RELOADED) > before)

    def _write_configuration(self, settings: Settings) -> None:
        self._settings |= settings
        tree: dict[str, Any] = {}
        for path, value in self._settings.items():
            *parents, key = path.split(".")
            branch = tree
            for parent in parents:
                branch = branch.setdefault(parent, {})
            if value is not None:
                branch[key] = value
        _replace(self._configuration, json.dumps(tree))

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run it; at the end it is told to leave, and does, unless it was killed."""
        try:
            self.start()
            yield
        finally:
            self.stop()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        start = self._output.stat().st_size
        with self._output.open("ab") as log:
            command = [*self._command, "--health-bind=127.0.0.1:0"]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=environment())

        def address() -> str | None:
            assert self.is_running(), f"the sidecar stopped: {self.log()}"
            found = _ADDRESS.search(self._output.read_bytes()[start:].decode())
            return found and found[1]

        self._url = eventually("the sidecar says where it answers", address)

    def stop(self) -> float:
        """Tell it to leave, and give the seconds that it took; 0 where it did not run."""
        process, self._last_words = self._process, self._words()
        self._process = None
        if process is None:
            return 0.0
        began = time.monotonic()
        process.terminate()
        try:
            status = process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=5)
            raise
        assert status == 0, self.log()
        assert time.monotonic() - began < _LEAVING
        return time.monotonic() - began

    def kill(self) -> None:
        """End it as a machine that loses its power would."""
        assert self._process is not None
        self._last_words = self._words()
        self._process.kill()
        self._process.wait(timeout=5)
        self._process = None

    def is_running(self) -> bool:
        """Say whether it has not ended by itself."""
        return self._process is not None and self._process.poll() is None

    def run(self, *options: str, **variables: str) -> Ran:
        """Run it with these options until it ends by itself."""
        variables = {"OPENCTI__DAEMON__REGISTRY__USERNAME": self.username, **variables}
        done = subprocess.run(
            [*self._command, *options],
            env=environment() | variables,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        with self._output.open("a") as log:
            log.write(done.stdout + done.stderr)
        return Ran(done.returncode, done.stdout, done.stderr)

    def log(self) -> str:
        """Give what it has written."""
        return self._output.read_text()

    def ask(self, path: str) -> tuple[int, str]:
        """Ask its port, and give the answer's status and text."""
        try:
            with urllib.request.urlopen(self._url + path, timeout=10) as answer:  # noqa: S310 - http, on loopback
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def metric(self, name: str) -> float:
        """Read a metric: its name without what all begin with, and its labels' values, joined by colons."""
        return self._metrics().get(name, 0.0)

    def _metrics(self) -> dict[str, float]:
        families = text_string_to_metric_families(self.ask("/metrics")[1])
        samples = (sample for family in families for sample in family.samples)
        return {
            ":".join([sample.name.removeprefix(_METRICS), *sample.labels.values()]): sample.value for sample in samples
        }

    def _counts(self, name: str) -> dict[str, int]:
        """Count by a label's value."""
        found = {key.removeprefix(f"{name}:"): value for key, value in self._metrics().items() if key.startswith(name)}
        return {label: int(count) for label, count in found.items()}

    def wait_until_leading(self) -> None:
        """Wait until it is the one that writes."""
        eventually("the sidecar writes", lambda: self.metric("leading") == 1)

    def passes(self) -> int:
        """Count the passes that it has made since its start, whatever came of them."""
        return sum(self._counts("refreshes_total").values())

    def writes(self) -> dict[str, int]:
        """Count by kind the Secrets that it has written since its start."""
        return self._counts("writes_total")

    def pass_again(self, times: int = 1) -> None:
        """Have it make a pass on the same password, so many times: a line's end is none of it."""
        for _ in range(times):
            self._turns += 1
            # Those of a replica that does not write are in its log alone.
            before = len(_ROUND.findall(self.log()))
            _replace(self.password_file, self.password + "\n" * (self._turns % 2))
            eventually("it makes a pass", lambda before=before: len(_ROUND.findall(self.log())) > before)  # type: ignore[misc]

    def _said(self) -> str:
        """Give all that it has said so far."""
        return self.log() + (self._words() if self.is_running() else self._last_words)

    def _words(self) -> str:
        if not self.is_running():
            return ""
        try:
            return "".join(self.ask(path)[1] for path in ("/metrics", "/readyz", "/healthz"))
        except OSError as error:
            return str(error)


def new_password() -> str:
    """Make a password that nothing else could be taken for."""
    return f"secret-{secrets.token_hex(12)}"


def published(cluster: Cluster, namespace: str) -> Manifest | None:
    """Give the pull secret of a namespace, or None where there is none."""
    ran = cluster.kubectl("get", SECRET, "--namespace", namespace, "--ignore-not-found", "--output=json")
    return ran.manifest if ran.stdout else None


def selected_namespace(cluster: Cluster) -> str:
    """Make a namespace that is opted in, and wait until it has its pull secret and the webhook is called for it."""
    name = cluster.make_namespace({ENABLED_LABEL: "true"})
    eventually("there is a pull secret", lambda: published(cluster, name))
    # A rollout is over before every part of the cluster knows where its Pods are.
    eventually("Pods are rewritten", lambda: becomes(cluster, name) == REWRITTEN)
    return name


def password_in(secret: Manifest | None, server: str = SERVER) -> str | None:
    """Give the password that a pull secret holds, or None where there is none for the server."""
    if secret is None:
        return None
    content = json.loads(base64.b64decode(secret["data"][".dockerconfigjson"]))
    entry = content["auths"].get(server)
    if entry is None:
        return None
    assert base64.b64decode(entry["auth"]).decode() == f"{entry['username']}:{entry['password']}"
    return str(entry["password"])


def version(cluster: Cluster, namespace: str) -> tuple[str, str]:
    """Give uid and resourceVersion of a pull secret, which change with it."""
    metadata = cluster.get(namespace, SECRET)["metadata"]
    return metadata["uid"], metadata["resourceVersion"]


def has_password(cluster: Cluster, namespace: str, password: str, deadline: float = 30.0) -> float:
    """Wait until the pull secret of a namespace holds a password, and give the seconds that it took."""
    began = time.monotonic()
    eventually(
        f"the pull secret is current in {namespace}",
        lambda: password_in(published(cluster, namespace)) == password,
        deadline,
    )
    return time.monotonic() - began


def is_told(cluster: Cluster, namespace: str, reason: str, text: str = "") -> Manifest:
    """Wait until an Event of the sidecar's in a namespace has this reason and holds this text, and give it."""

    def found() -> Manifest | None:
        events = cluster.items(namespace, "events.events.k8s.io")
        told = [event for event in events if event["reportingController"] == f"{DEFAULT_NAMESPACE}/refresher"]
        return next((event for event in told if event["reason"] == reason and text in event["note"]), None)

    return eventually(f"an Event in {namespace} says {reason} {text}", found)


def remove_pull_secrets(cluster: Cluster) -> None:
    """Remove what sidecars of earlier tests published: another one takes it for what it has published itself."""
    cluster.kubectl("delete", "secrets", "--all-namespaces", f"--field-selector=metadata.name={PULL_SECRET}")


def forget_refused_logins(cluster: Cluster) -> None:
    """Remove the times of refused logins from the Lease: they limit the sidecars of further tests."""
    cluster.run("annotate", f"lease/{REFRESHER}", f"{REFUSED_ANNOTATION}-", f"--namespace={DEFAULT_NAMESPACE}")


def free_lease(cluster: Cluster) -> None:
    """Remove the Lease, so that whoever starts next does not wait for the end of what somebody left."""
    cluster.kubectl("delete", "lease", REFRESHER, "--namespace", DEFAULT_NAMESPACE, "--ignore-not-found")


@contextmanager
def without_rights(cluster: Cluster) -> Iterator[None]:
    """Take its role away from the sidecar's account, and give it back at the end."""
    take_rights(cluster)
    try:
        yield
    finally:
        give_rights(cluster)


def take_rights(cluster: Cluster) -> None:
    """Take its role away from the sidecar's account."""
    cluster.kubectl("delete", "clusterrolebinding", PROGRAM, "--ignore-not-found")
    eventually("the account has no rights", lambda: not _has_rights(cluster))


def give_rights(cluster: Cluster) -> None:
    """Give the sidecar's account its role."""
    cluster.kubectl("apply", "--server-side", f"--filename={DEPLOYMENT.with_name('30-rbac.yaml')}")
    eventually("the account has its rights", lambda: _has_rights(cluster))


def _has_rights(cluster: Cluster) -> bool:
    account = f"--as=system:serviceaccount:{DEFAULT_NAMESPACE}:{PROGRAM}"
    return cluster.run("auth", "can-i", "list", "namespaces", account).status == 0


def _replace(path: Path, text: str) -> None:
    """Change a file in one go, as a mounted Secret is."""
    written = path.with_suffix(".new")
    written.write_text(text)
    written.replace(path)
