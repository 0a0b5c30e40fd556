"""Cost of the refresher on a real API server: `make bench-refresh`.

The user of KUBECONFIG must be an administrator of the cluster. The refresher runs as a local process that connects as
in a Pod, with the token of a ServiceAccount: a kubeconfig takes 15 MiB more. Its configuration does not check
credentials with a registry. Everything that is created is removed.
"""

import argparse
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from prometheus_client.parser import text_string_to_metric_families

from webhook.config.listen_address import Address, listen
from webhook.constants import DEFAULT_NAMESPACE, ENABLED_LABEL
from webhook.errors import Conflict, NotFound
from webhook.kube import kubeconfig_credentials
from webhook.kube.access import Access
from webhook.kube.client import Client, Request, connect
from webhook.kube.kubernetes_client import Configuration
from webhook.settings import PullSecretSettings

SECRET = PullSecretSettings().name
#: Seconds between two passes at the least that can be set: 80 % of it, less the jitter.
_TTL = 30
_DEADLINE = 600.0
_CONFIGURATION = f"""\
opencti: {{daemon: {{registry: {{server: registry.example.com, username: bench, token_ttl: {_TTL}}}}}}}
webhook: {{verify: "off", namespaces: {{allow: ["bench-*"]}}, credential: {{file: PASSWORD}}}}
"""
#: Runs the program with the files of a ServiceAccount in a folder instead of where a Pod has them.
_PROGRAM = """
import webhook.kube.kubernetes_client
from kubernetes.config import incluster_config
incluster_config.SERVICE_TOKEN_FILENAME = {folder!r} + "/token"
incluster_config.SERVICE_CERT_FILENAME = {folder!r} + "/ca.crt"
from webhook.cli import main
main()
"""


class Sidecar:
    """The sidecar as a process, and what it says of itself."""

    def __init__(self, folder: Path) -> None:
        """Start it with a first password, in a folder with the files of a ServiceAccount."""
        self.password = folder / "password"
        self.change_password()
        configuration = folder / "config.yaml"
        configuration.write_text(_CONFIGURATION.replace("PASSWORD", str(self.password)))
        with listen(Address("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.log = folder / "log"
        program = _PROGRAM.format(folder=str(folder))
        command = [sys.executable, "-c", program, "refresh", "--config", str(configuration)]
        command += ["--health-bind", f"127.0.0.1:{port}"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, env=_variables(), stdout=log, stderr=log)

    def change_password(self) -> None:
        """Change the credential at its source."""
        self.password.write_text(secrets.token_urlsafe(24))

    def metrics(self) -> dict[str, float]:
        """Read the metrics: name with its labels' values -> value."""
        try:
            with urllib.request.urlopen(f"{self.url}/metrics", timeout=30) as answer:
                text = answer.read().decode()
        except urllib.error.URLError:
            return {}
        samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
        prefix = "registry_webhook_refresher_"
        return {
            ":".join([sample.name.removeprefix(prefix), *sample.labels.values()]): sample.value for sample in samples
        }

    def writes(self) -> float:
        """Count the Secrets that it has written."""
        return sum(value for name, value in self.metrics().items() if name.startswith("writes_total"))

    def memory(self) -> tuple[float, float]:
        """Give its resident memory in MiB, now and at most."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        values = dict(line.split(":", 1) for line in status.splitlines())
        return tuple(int(values[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))  # type: ignore[return-value]

    def stop(self) -> float:
        """Stop it, and give the seconds that it took."""
        began = time.monotonic()
        self.process.terminate()
        self.process.wait(30)
        return time.monotonic() - began


def main() -> None:
    """Measure, and print figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--namespaces", type=int, default=1000, help="how many are served (default 1000)")
    parser.add_argument("--samples", type=int, default=20, help="how often label to Secret is measured (default 20)")
    arguments = parser.parse_args()
    if not os.environ.get("KUBECONFIG"):
        sys.exit("KUBECONFIG must name the kubeconfig of a cluster to measure on")
    client = connect(Access(), lambda _method, _status: None)
    names = [f"bench-{secrets.token_hex(3)}-{number}" for number in range(arguments.namespaces)]
    with _namespaces(client, names), tempfile.TemporaryDirectory() as folder, _service_account(client, Path(folder)):
        _measure(client, names, arguments.samples, Path(folder))


def _measure(client: Client, names: list[str], samples: int, folder: Path) -> None:
    count = len(names)
    began = time.monotonic()
    sidecar = Sidecar(folder)
    try:
        _wait(lambda: sidecar.metrics().get("leading", 0) == 1)
        leading = time.monotonic() - began
        _wait(lambda: sidecar.writes() >= count)
        _say("first publication", f"{time.monotonic() - began:.1f} s", f"{leading:.1f} s of it until it may write")
        patches = sum(value for name, value in sidecar.metrics().items() if name.startswith("api_requests_total:PATCH"))
        _say("API calls per namespace", f"{patches / count:.3f}", f"{patches:.0f} for {count} namespaces")

        before = sidecar.writes()
        began = time.monotonic()
        sidecar.change_password()
        _wait(lambda: sidecar.writes() >= before + count)
        _say("rotation", f"{time.monotonic() - began:.1f} s", "a second of it at most until the change is seen")

        before, passes = sidecar.writes(), sidecar.metrics()["refreshes_total:published"]
        _wait(lambda: sidecar.metrics()["refreshes_total:published"] >= passes + 2)
        _say("writes in two passes that change nothing", f"{sidecar.writes() - before:.0f}")

        latencies = [_label_to_secret(client, names[0]) for _ in range(samples)]
        _say(
            "label to Secret",
            f"{statistics.median(latencies) * 1000:.0f} ms",
            f"at most {max(latencies) * 1000:.0f} ms",
        )
        now, most = sidecar.memory()
        _say("memory", f"{now:.0f} MiB", f"at most {most:.0f} MiB")
    finally:
        seconds = sidecar.stop()
    _say("SIGTERM to exit", f"{seconds:.2f} s")


def _label_to_secret(client: Client, like: str) -> float:
    """Make a namespace, label it, and give the seconds until its Secret is there."""
    name = f"{like.rpartition('-')[0]}-{secrets.token_hex(3)}"
    _make(client, name, {})
    try:
        began = time.monotonic()
        patch = {"metadata": {"labels": {ENABLED_LABEL: "true"}}}
        path = f"/api/v1/namespaces/{name}"
        client.call(Request("label", "PATCH", path, (), patch, "application/merge-patch+json"))
        _wait(lambda: _exists(client, f"{path}/secrets/{SECRET}"), pause=0.002)
        return time.monotonic() - began
    finally:
        _remove(client, name)


def _exists(client: Client, path: str) -> bool:
    try:
        client.call(Request("look", "GET", path))
    except NotFound:
        return False
    return True


@contextmanager
def _namespaces(client: Client, names: list[str]) -> Iterator[None]:
    """Have namespaces that are opted in, and the sidecar's own for its Lease."""
    made = []
    if not _exists(client, f"/api/v1/namespaces/{DEFAULT_NAMESPACE}"):
        _make(client, DEFAULT_NAMESPACE, {})
        made.append(DEFAULT_NAMESPACE)
    with ThreadPoolExecutor(8) as pool:
        try:
            list(pool.map(lambda name: _make(client, name, {ENABLED_LABEL: "true"}), names))
            yield
        finally:
            list(pool.map(lambda name: _remove(client, name), [*names, *made]))


@contextmanager
def _service_account(client: Client, folder: Path) -> Iterator[None]:
    """Have an administrator's ServiceAccount, with its files in a folder as a Pod has them."""
    name = f"bench-{secrets.token_hex(3)}"
    accounts = f"/api/v1/namespaces/{DEFAULT_NAMESPACE}/serviceaccounts"
    bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
    binding = {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": DEFAULT_NAMESPACE}],
    }
    _post(client, accounts, {"metadata": {"name": name}})
    try:
        _post(client, bindings, binding)
        token = _post(client, f"{accounts}/{name}/token", {"spec": {"expirationSeconds": 7200}})
        (folder / "token").write_text(token["status"]["token"])
        cas = client.call(Request("read the CA", "GET", "/api/v1/namespaces/default/configmaps/kube-root-ca.crt"))
        (folder / "ca.crt").write_text(json.loads(cas)["data"]["ca.crt"])
        yield
    finally:
        for path in (f"{bindings}/{name}", f"{accounts}/{name}"):
            with suppress(NotFound):
                client.call(Request("remove the ServiceAccount", "DELETE", path))


def _variables() -> dict[str, str]:
    """Give the environment of a Pod with the API server of the kubeconfig."""
    settings = Configuration(host="")
    kubeconfig_credentials.load(Access(), settings)
    server = urlsplit(settings.host)
    address = {"KUBERNETES_SERVICE_HOST": server.hostname or "", "KUBERNETES_SERVICE_PORT": str(server.port or 443)}
    return {name: value for name, value in os.environ.items() if name != "KUBECONFIG"} | address


def _post(client: Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(client.call(Request("create an object", "POST", path, body=body)))
    return answer


def _make(client: Client, name: str, labels: dict[str, str]) -> None:
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    client.call(Request("make a namespace", "POST", "/api/v1/namespaces", body=body))


def _remove(client: Client, name: str) -> None:
    with suppress(NotFound, Conflict):
        client.call(Request("remove a namespace", "DELETE", f"/api/v1/namespaces/{name}"))


def _wait(holds: Callable[[], bool], pause: float = 0.05) -> None:
    end = time.monotonic() + _DEADLINE
    while not holds():
        if time.monotonic() > end:
            sys.exit(f"not within {_DEADLINE:g} s: the figure above is the last")
        time.sleep(pause)


def _say(what: str, figure: str, more: str = "") -> None:
    print(f"{what:<42}{figure:>10}  {more}".rstrip(), flush=True)


if __name__ == "__main__":
    main()
