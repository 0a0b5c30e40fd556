"""The webhook in a cluster: the server as a local process, and the shipped manifest.

The manifest's address of the server and name of the configuration are replaced, and a condition on namespaces is added,
which keeps the webhook away from everything else in the cluster and from other test runs.
"""

import base64
import ipaddress
import os
import re
import secrets
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import yaml

from webhook.constants import ENABLED_LABEL
from webhook.pki import ca

from .cluster import Cluster, Manifest, Ran, eventually
from .pods import REWRITTEN, SERVER, becomes

MANIFEST = Path(__file__).parents[2] / "manifests" / "base" / "60-webhook.yaml"

#: On a namespace: which installation's it is.
RUN_LABEL = "registry-webhook-e2e"
#: What a server is told unless a test says otherwise.
CONFIGURATION = f"opencti: {{daemon: {{registry: {{server: {SERVER}}}}}}}\n"
_ADDRESSES = re.compile(r'server started addresses="https://\S+?:(\d+), (http://[^"]+)"')


class Server(NamedTuple):
    """A server that runs."""

    process: subprocess.Popen[bytes]
    url: str
    """Where the API server calls it."""
    health: str
    """Where probes ask."""
    bundle: bytes
    """The authority that its certificate is signed by, PEM."""

    def stop(self) -> None:
        """Stop it and wait until it is gone."""
        self.process.terminate()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, 9)
            self.process.wait(timeout=5)
            raise


class Installation(NamedTuple):
    """A server, and the configuration that has the API server call it in this installation's namespaces."""

    cluster: Cluster
    server: Server
    run: str
    """What sets this installation's namespaces apart."""

    @property
    def name(self) -> str:
        """The webhook configuration's."""
        return f"registry-webhook-e2e-{self.run}"

    def namespace(self, *, labelled: bool) -> str:
        """Make a namespace; a labelled one is served when this returns."""
        namespace = self.cluster.make_namespace({RUN_LABEL: self.run})
        if labelled:
            self.label(namespace)
        return namespace

    def label(self, namespace: str) -> None:
        """Opt a namespace in, and wait until the API server acts on it."""
        self.cluster.kubectl("label", "namespace", namespace, f"{ENABLED_LABEL}=true")
        eventually("the webhook is in force", lambda: becomes(self.cluster, namespace) == REWRITTEN)


@contextmanager
def installed(
    cluster: Cluster, address: str, folder: Path, *options: str, configuration: str = CONFIGURATION, **changes: object
) -> Iterator[Installation]:
    """Start a server in `folder` that the API server reaches at `address`, and put the manifest in force.

    `options` are added to its command line, and `changes` are made to the webhook in the manifest, such as
    `failurePolicy="Fail"`.
    """
    with running(address, folder, *options, configuration=configuration) as server:
        installation = Installation(cluster, server, secrets.token_hex(4))
        manifest = _directed(shipped(), server, installation.name, installation.run)
        manifest["webhooks"][0].update(changes)
        try:
            cluster.kubectl("create", "--validate=strict", "--filename=-", stdin=manifest)
            yield installation
        finally:
            cluster.kubectl("delete", "mutatingwebhookconfiguration", installation.name, "--ignore-not-found")


def shipped() -> Manifest:
    """Read the manifest as it ships."""
    manifest: Manifest = yaml.safe_load(MANIFEST.read_text())
    return manifest


def _directed(manifest: Manifest, server: Server, name: str, run: str) -> Manifest:
    manifest["metadata"]["name"] = name
    (webhook,) = manifest["webhooks"]
    path = webhook["clientConfig"]["service"]["path"]
    webhook["clientConfig"] = {"url": server.url + path, "caBundle": base64.b64encode(server.bundle).decode()}
    ours = {"key": RUN_LABEL, "operator": "In", "values": [run]}
    webhook["namespaceSelector"]["matchExpressions"].append(ours)
    return manifest


@contextmanager
def running(address: str, folder: Path, *options: str, configuration: str = CONFIGURATION) -> Iterator[Server]:
    """Run the real server in `folder`, with a certificate for `address`, until the end."""
    now, life = datetime.now(UTC), timedelta(days=1)
    ours = ca.create_ca("registry-webhook e2e", now, life)
    pair = ca.sign(ours, [address], now, life)
    certificate, key, settings, output = (folder / name for name in ("crt", "key", "config.yaml", "log"))
    certificate.write_bytes(pair.certificate)
    key.write_bytes(pair.key)
    settings.write_text(configuration)
    files = [f"--cert={certificate}", f"--key={key}", f"--config={settings}"]
    # An address that is no loopback one may be another machine's name for this one.
    binding = [f"--bind={'' if _is_remote(address) else _host(address)}:0", "--health-bind=127.0.0.1:0", "--drain=0"]
    with output.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "webhook", "serve", *binding, *files, *options],
            stdout=log,
            stderr=log,
            env=environment(),
            start_new_session=True,
        )
    server = Server(process, "", "", ours.certificate)
    try:
        port, health = eventually("the server says where it listens", lambda: _addresses(process, output))
        eventually(f"the server is ready: {output.read_text()}", lambda: _answers(f"{health}/readyz"))
        yield server._replace(url=f"https://{_host(address)}:{port}", health=health)
    finally:
        if process.poll() is None:
            server.stop()


def environment() -> dict[str, str]:
    """Leave out what would configure the server: a variable wins over the file."""
    ours = ("OPENCTI__", "WEBHOOK__", "REGISTRY_WEBHOOK_")
    return {name: value for name, value in os.environ.items() if not name.upper().startswith(ours)}


def cleanup(*words: str) -> Ran:
    """Run `registry-webhook cleanup`, as whom KUBECONFIG says."""
    done = subprocess.run(
        [sys.executable, "-m", "webhook", "cleanup", *words],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return Ran(done.returncode, done.stdout, done.stderr)


def _addresses(process: subprocess.Popen[bytes], output: Path) -> tuple[str, str] | None:
    written = output.read_text()
    assert process.poll() is None, f"the server stopped: {written}"
    found = _ADDRESSES.search(written)
    return None if found is None else (found[1], found[2])


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - http, on loopback
            return bool(answer.status == 200)
    except urllib.error.URLError:
        return False


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _is_remote(address: str) -> bool:
    try:
        return not ipaddress.ip_address(address).is_loopback
    except ValueError:
        return True
