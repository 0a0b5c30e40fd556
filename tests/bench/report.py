"""Cost of `registry-webhook report` for 10,000 Pods: `make bench-report`.

The user of KUBECONFIG must be allowed to create namespaces. The Pods are stored but never scheduled, and have owners
like Pods of Deployments. The command runs as a local process. Everything that is created is removed.
"""

import argparse
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from webhook.constants import ENABLED_LABEL, ORIGINALS_ANNOTATION
from webhook.errors import Conflict, NotFound
from webhook.kube.access import Access
from webhook.kube.client import MERGE, Client, Request, connect

SERVER, SECRET = "registry.example.com", "registry-webhook-pull"
_CONFIGURATION = f"""\
opencti: {{daemon: {{registry: {{server: {SERVER}}}}}}}
webhook: {{rules: [{{from: quay.io, to: {SERVER}/quay}}]}}
"""
#: Pods of one Deployment, and Deployments of one namespace.
_REPLICAS, _DEPLOYMENTS = 10, 25
_THREADS = 16
_DEADLINE = 120.0
_PAUSE = 0.02
#: Keeps a ReplicaSet that is being deleted: its controller leaves such a one, and so its Pods, alone.
_FINALIZER = "registry-webhook.internal/bench"
_IMAGES = ("opencti/connector-example:1.0.0", "redis:7.4", "library/nginx:1.27", "quay.io/coreos/etcd:v3.5.0")
_KIB = 1024


class Kind(NamedTuple):
    """How the Pods of a Deployment came to be."""

    rewritten: bool
    secret: bool
    annotated: bool
    label: str | None = None


_KINDS = (
    *[Kind(rewritten=True, secret=True, annotated=True)] * 17,
    *[Kind(rewritten=False, secret=False, annotated=False)] * 5,
    *[Kind(rewritten=True, secret=False, annotated=True)] * 2,
    Kind(rewritten=False, secret=False, annotated=False, label="false"),
)


def main() -> None:
    """Measure, and print figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--pods", type=int, default=10_000, help="how many there are (default 10000)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured (default 3)")
    parser.add_argument("--keep", type=Path, help="keep what was printed in this folder")
    arguments = parser.parse_args()
    if not os.environ.get("KUBECONFIG"):
        sys.exit("KUBECONFIG must name the kubeconfig of a cluster to measure on")
    client = connect(Access(), lambda _method, _status: None)
    count = -(-arguments.pods // (_REPLICAS * _DEPLOYMENTS))
    run = secrets.token_hex(2)
    names = [f"bench-{run}-{number:02}" for number in range(count)]
    with _namespaces(client, names), tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        _fill(client, names, arguments.pods)
        _say(f"{arguments.pods:,} Pods made", f"{time.monotonic() - began:.0f} s")
        answer = client.call(Request("list", "GET", f"/api/v1/namespaces/{names[0]}/pods", (("limit", "10"),)))
        _say("bytes of a Pod", f"{len(answer) / 10:,.0f}", "as the API server sends it")
        _measure(arguments.rounds, arguments.keep or Path(folder))


def _measure(rounds: int, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    configuration = folder / "config.yaml"
    configuration.write_text(_CONFIGURATION)
    for form, words in {
        "table": (),
        "html": ("--output=html", "--all-namespaces"),
        "json": ("--output=json", "--all-namespaces"),
    }.items():
        written = folder / f"report.{form}"
        measured = [_run(["report", f"--config={configuration}", *words], written) for _ in range(rounds)]
        seconds, processor, memory = zip(*measured, strict=True)
        figure = f"{statistics.median(seconds):.2f} s"
        spent = f"{statistics.median(processor):.2f} s of CPU"
        size = f"{written.stat().st_size / _KIB:,.0f} KiB written"
        _say(f"report as {form}", figure, f"{spent}, at most {max(memory):.0f} MiB, {size}")


def _run(words: list[str], written: Path) -> tuple[float, float, float]:
    """Run the command, and give its seconds, those of a processor, and its most resident memory in MiB."""
    began, before = time.monotonic(), os.times()
    most = 0.0
    with written.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-m", "webhook", *words], stdout=output)
    # What wait4 says of memory begins with that of this process, which it came from.
    while process.poll() is None:
        most = max(most, _memory(process.pid))
        time.sleep(_PAUSE)
    if process.returncode:
        sys.exit(f"report exited with {process.returncode}")
    after = os.times()
    spent = after.children_user - before.children_user + after.children_system - before.children_system
    return time.monotonic() - began, spent, most


def _memory(pid: int) -> float:
    """Give the most that a process has had resident, in MiB; 0 where it is gone."""
    with suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / _KIB
    return 0.0


def _fill(client: Client, names: list[str], pods: int) -> None:
    """Make the Pods, of Deployments that all came to be in other ways."""
    with ThreadPoolExecutor(_THREADS) as pool:
        numbers = range(-(-pods // _REPLICAS))
        places = [(names[number // _DEPLOYMENTS], number) for number in numbers]
        owners = list(pool.map(lambda place: _replica_set(client, *place), places))
        every = [
            (namespace, number, replica, owner)
            for (namespace, number), owner in zip(places, owners, strict=True)
            for replica in range(_REPLICAS)
        ]

        def make(namespace: str, number: int, replica: int, owner: dict[str, Any]) -> None:
            _create(client, f"/api/v1/namespaces/{namespace}/pods", _pod(number, replica, owner))

        list(pool.map(lambda one: make(*one), every[:pods]))


def _replica_set(client: Client, namespace: str, number: int) -> dict[str, Any]:
    """Make a Deployment that does nothing with a ReplicaSet that does nothing, and give what names it as an owner."""
    labels = {"app": f"app-{number}"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": _IMAGES[0]}]}}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    path = f"/apis/apps/v1/namespaces/{namespace}"
    body = {"metadata": {"name": f"app-{number}"}, "spec": {**spec, "paused": True}}
    deployment = _create(client, f"{path}/deployments", body)
    name = f"app-{number}-5d8f9c7b6"
    metadata = {"name": name, "labels": labels, "finalizers": [_FINALIZER]}
    owned = {**metadata, "ownerReferences": [_owner("Deployment", deployment)]}
    made = _create(client, f"{path}/replicasets", {"metadata": owned, "spec": spec})
    client.call(Request("delete a ReplicaSet", "DELETE", f"{path}/replicasets/{name}"))
    return _owner("ReplicaSet", made)


def _owner(kind: str, made: dict[str, Any]) -> dict[str, Any]:
    metadata = made["metadata"]
    return {"apiVersion": "apps/v1", "kind": kind, "name": metadata["name"], "uid": metadata["uid"], "controller": True}


def _pod(number: int, replica: int, owner: dict[str, Any]) -> dict[str, Any]:
    """Make a Pod of the size that they have in production: two containers, probes, variables, volumes."""
    kind = _KINDS[number % len(_KINDS)]
    image = _IMAGES[number % len(_IMAGES)]
    annotations = {"checksum/config": secrets.token_hex(32), "prometheus.io/scrape": "true"}
    if kind.annotated:
        annotations[ORIGINALS_ANNOTATION] = msgspec.json.encode({"app": image, "sidecar": "busybox:1.36"}).decode()
    labels = {"app": f"app-{number}", "pod-template-hash": "5d8f9c7b6", "team": f"team-{number % 7}"}
    return {
        "metadata": {
            "name": f"{owner['name']}-{replica:05}",
            "labels": {**labels, **({ENABLED_LABEL: kind.label} if kind.label else {})},
            "annotations": annotations,
            "ownerReferences": [owner],
        },
        "spec": {
            "schedulerName": "none",
            "containers": [
                _container("app", _written(image, kind)),
                _container("sidecar", _written("busybox:1.36", kind)),
            ],
            "volumes": [{"name": "work", "emptyDir": {}}, {"name": "settings", "configMap": {"name": "settings"}}],
            **({"imagePullSecrets": [{"name": SECRET}]} if kind.secret else {}),
        },
    }


def _written(image: str, kind: Kind) -> str:
    if not kind.rewritten:
        return image
    return image.replace("quay.io/", f"{SERVER}/quay/") if image.startswith("quay.io/") else f"{SERVER}/{image}"


def _container(name: str, image: str) -> dict[str, Any]:
    probe = {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 10}
    return {
        "name": name,
        "image": image,
        "env": [{"name": f"SETTING_{number}", "value": secrets.token_hex(8)} for number in range(10)],
        "ports": [{"containerPort": 8080, "name": "http"}] if name == "app" else [],
        "readinessProbe": probe,
        "livenessProbe": probe,
        "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}, "limits": {"memory": "256Mi"}},
        "volumeMounts": [{"name": "work", "mountPath": "/work"}, {"name": "settings", "mountPath": "/etc/settings"}],
    }


@contextmanager
def _namespaces(client: Client, names: list[str]) -> Iterator[None]:
    """Have namespaces, most of which are opted in, and in the end none of them."""
    with ThreadPoolExecutor(_THREADS) as pool:
        try:
            for number, name in enumerate(names):
                labels = {} if number % 10 == 9 else {ENABLED_LABEL: "true"}
                _create(client, "/api/v1/namespaces", {"metadata": {"name": name, "labels": labels}})
            for name in names:
                _wait(partial(_exists, client, f"/api/v1/namespaces/{name}/serviceaccounts/default"))
            yield
        finally:
            list(pool.map(lambda name: _remove(client, name), names))


def _remove(client: Client, name: str) -> None:
    """Remove a namespace, and let its ReplicaSets go."""
    path = f"/apis/apps/v1/namespaces/{name}/replicasets"
    listed = msgspec.json.decode(client.call(Request("list ReplicaSets", "GET", path)))
    for item in listed["items"]:
        let_go = {"metadata": {"finalizers": None}}
        with suppress(NotFound, Conflict):
            one = f"{path}/{item['metadata']['name']}"
            client.call(Request("let a ReplicaSet go", "PATCH", one, (), let_go, MERGE))
    with suppress(NotFound, Conflict):
        client.call(Request("remove a namespace", "DELETE", f"/api/v1/namespaces/{name}"))


def _create(client: Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = msgspec.json.decode(client.call(Request("make an object", "POST", path, body=body)))
    return made


def _exists(client: Client, path: str) -> bool:
    try:
        client.call(Request("look", "GET", path))
    except NotFound:
        return False
    return True


def _wait(holds: Callable[[], bool], pause: float = _PAUSE) -> None:
    end = time.monotonic() + _DEADLINE
    while not holds():
        if time.monotonic() > end:
            sys.exit(f"not within {_DEADLINE:g} s")
        time.sleep(pause)


def _say(what: str, figure: str, more: str = "") -> None:
    print(f"{what:<28}{figure:>10}  {more}".rstrip(), flush=True)


if __name__ == "__main__":
    main()
