"""The refresher as a process, run as in a Pod, with a fake API server."""

import base64
import hashlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.support import polling
from webhook.pki import ca as pki_ca
from webhook.readiness import Readiness, decode

from .fake_api_server import SECRET, TOKEN, ApiServer

#: Seconds; longer than any step takes on a busy machine.
PATIENCE = 30.0
PASSWORD = "kept-secret"  # noqa: S105 - what is looked for
_ADDRESS = re.compile(r"probe server started address=http://(\S+)\n")
_PREFIX = "registry_webhook_refresher_"


class Place(NamedTuple):
    """A folder with all files of a refresher, and its API server."""

    folder: Path
    api: ApiServer

    def configure(self, **webhook: Any) -> None:
        """Write the configuration with these keys under `webhook`."""
        registry = {"server": "registry.example.com", "username": "robot", "retry_delay": 0}
        registry |= webhook.pop("registry", {})
        settings = {
            "verify": "off",
            "credential": {"file": "password"},
            "pull_secret": {"name": SECRET} | webhook.pop("pull_secret", {}),
            **webhook,
        }
        self.write("config.yaml", yaml.safe_dump({"opencti": {"daemon": {"registry": registry}}, "webhook": settings}))

    def write(self, name: str, text: str) -> None:
        """Replace a file's content atomically, as the kubelet does."""
        new = self.folder / f"{name}.new"
        new.write_text(text)
        new.replace(self.folder / name)

    def set_password(self, password: str = PASSWORD) -> None:
        """Write the password, as an editor does."""
        self.write("password", password + "\n")


def make_place(folder: Path, pair: pki_ca.KeyPair, ca: bytes) -> Place:
    """Start an API server, and write a kubeconfig for it. The caller stops the server."""
    api = ApiServer(pair, folder)
    place = Place(folder, api)
    cluster = {"server": api.url, "certificate-authority-data": base64.b64encode(ca).decode()}
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": "test", "user": {"token": TOKEN}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "current-context": "test",
    }
    place.write("kubeconfig", json.dumps(kubeconfig))
    place.configure()
    place.set_password()
    return place


def make_pair() -> tuple[pki_ca.KeyPair, bytes]:
    """Return a certificate for localhost and its CA's."""
    now, hour = datetime.now(UTC), timedelta(hours=1)
    ours = pki_ca.create_ca("test", now, hour)
    return pki_ca.sign(ours, ["127.0.0.1", "localhost"], now, hour), ours.certificate


class Sidecar:
    """A running refresher."""

    def __init__(self, place: Place, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.place = place
        self.process = process
        self._log = log

    @property
    def log(self) -> str:
        """Its log."""
        return self._log.read_text()

    @property
    def address(self) -> str:
        """Where it answers probes and Prometheus, `HOST:PORT`."""
        found = _ADDRESS.search(self.log)
        assert found, self.log
        return found[1]

    def state(self) -> Readiness:
        found = decode(self.probe("/readyz", Accept="application/json")[1].encode())
        assert found is not None
        return found

    def warnings(self) -> set[tuple[str, str | None]]:
        """The codes of its warnings, with their namespaces."""
        return {(one.code, one.namespace) for one in self.state().warnings}

    def probe(self, path: str, **headers: str) -> tuple[int, str]:
        """Send a request to its port; return status and body."""
        connection = http.client.HTTPConnection(self.address, timeout=PATIENCE)
        try:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def metric(self, name: str, *labels: str) -> float:
        """Return a metric's value, 0 if it does not exist."""
        for family in text_string_to_metric_families(self.probe("/metrics")[1]):
            for sample in family.samples:
                if sample.name == _PREFIX + name and tuple(sample.labels.values()) == labels:
                    return float(sample.value)
        return 0.0

    def stop(self) -> float:
        """Stop it as the kubelet does, and return the seconds it took."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(PATIENCE) == 0
        return time.monotonic() - began


def _environment() -> dict[str, str]:
    ours = ("OPENCTI__", "WEBHOOK__", "KUBE")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def _command(*words: str) -> list[str]:
    return [sys.executable, "-m", "webhook", "refresh", "--kubeconfig=kubeconfig", "--config=config.yaml", *words]


@contextmanager
def refreshing(place: Place, name: str = "log", *words: str, **variables: str) -> Iterator[Sidecar]:
    """Run `registry-webhook refresh` in a folder inside the block; its output must not contain the credential.

    The replica has the name of its log.
    """
    path = place.folder / name
    with path.open("wb") as log:
        command = _command("--health-bind=127.0.0.1:0", "--log-level=debug", *words)
        environment = _environment() | {"HOSTNAME": name} | variables
        process = subprocess.Popen(command, cwd=place.folder, env=environment, stderr=log, stdout=log)
    sidecar = Sidecar(place, process, path)
    try:
        wait_until(lambda: _ADDRESS.search(sidecar.log) or process.poll() is not None)
        assert process.poll() is None, sidecar.log
        yield sidecar
        if process.poll() is None:
            shown = [sidecar.probe(page)[1] for page in ("/healthz", "/readyz", "/metrics")]
            assert shown[0] == "ok\n"
            assert traces("".join(shown), place.api) == []
            assert sidecar.metric("loop_restarts_total") == 0
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(PATIENCE)
    assert "Traceback" not in sidecar.log
    assert traces(sidecar.log + json.dumps(place.api.events), place.api) == []


def run(place: Place, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run `registry-webhook refresh` in a folder to its end; its output must not contain the credential."""
    done = subprocess.run(
        _command(*words), cwd=place.folder, env=_environment(), capture_output=True, text=True, check=False, timeout=60
    )
    said = done.stdout + done.stderr
    assert "Traceback" not in said
    assert traces(said + json.dumps(place.api.events), place.api) == []
    return done


def traces(text: str, api: ApiServer) -> list[str]:
    """Return what output must never contain: a password, the token, either in base64, or a hash of content."""
    # In base64 a string has three forms, depending on its offset in a group of three bytes.
    encoded = [base64.b64encode(b"\0" * before + PASSWORD.encode())[4:-4].decode() for before in range(3)]
    words = [PASSWORD, *encoded]
    for asked in list(api.asked):
        if asked.method == "PATCH" and asked.namespace and asked.body:
            content = base64.b64decode(asked.body["data"][".dockerconfigjson"])
            words.append(hashlib.sha256(content).hexdigest())
    return [word for word in words if word in text]


def wait_until(holds: Callable[[], object], patience: float = PATIENCE) -> None:
    """Wait for a condition; failed connections count as not met."""
    polling.wait_until(holds, patience)
