"""The shipped installation, `certs/self-managed`, on a cluster whose nodes run its Pods.

A kustomization on top of it, written as in the README, sets the image, the registry's credential, and additional
components and settings.
"""

import base64
import json
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tests.e2e.cluster import Cluster, Manifest, Ran, eventually
from tests.e2e.pods import SERVER
from webhook.constants import CERTIFICATE, DEFAULT_NAMESPACE, MANAGED_BY_LABEL, PROGRAM

CONFIGURATION = f"mutatingwebhookconfiguration/{PROGRAM}"
DEPLOYMENT = f"deployment/{PROGRAM}"
CERTIFICATE_SECRET = f"secret/{CERTIFICATE}"
#: Where the sidecar answers probes and Prometheus.
_METRICS_PORT = 8081
_RENEWALS = re.compile(r"^registry_webhook_refresher_certificate_renewals_total (\S+)$", re.MULTILINE)

_CHECKOUT = Path(__file__).parents[2]
_BASE = _CHECKOUT / "certs" / "self-managed"
_COMPONENTS = _CHECKOUT / "manifests" / "components"
#: Seconds that a rollout may take where the machine is busy, a thing that is repaired, and Pods that leave.
ROLLOUT, REPAIR, LEAVING = 180.0, 10.0, 120.0

#: Every kind of object without a namespace that an installation has, but its Namespace.
GLOBAL = (
    "mutatingwebhookconfigurations",
    "clusterroles",
    "clusterrolebindings",
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
    "priorityclasses",
)
#: Kinds whose status follows the Pods.
_WITH_STATUS = {"Deployment", "PodDisruptionBudget"}


class Variant(NamedTuple):
    """How an installation differs from the one that ships."""

    components: tuple[str, ...] = ()
    settings: dict[str, Any] | None = None
    """What stands under `webhook` in the configuration."""
    replicas: int = 2
    patches: tuple[Manifest, ...] = ()
    """Operations on the Deployment (JSON Patch)."""


class Installation:
    """What is applied, and what can be seen of it."""

    def __init__(self, cluster: Cluster, folder: Path, image: str, credential: tuple[str, str]) -> None:
        """Take where the kustomization is written, the image that the nodes have, and user name and password."""
        self.cluster = cluster
        self.folder = folder
        self._image = image
        self.credential = credential

    def write(self, variant: Variant) -> None:
        """Write the kustomization."""
        name, _, tag = self._image.rpartition(":")
        username, password = self.credential
        unnamed = {"disableNameSuffixHash": True, "labels": {"app.kubernetes.io/name": PROGRAM}}
        generated = {"namespace": DEFAULT_NAMESPACE, "options": unnamed}
        literals = [f"username={username}", f"password={password}"]
        written: dict[str, Any] = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "sortOptions": {"order": "fifo"},
            "resources": [self._relative(_BASE)],
            "components": [self._relative(_COMPONENTS / component) for component in variant.components],
            "images": [{"name": PROGRAM, "newName": name, "newTag": tag}],
            "secretGenerator": [{"name": f"{PROGRAM}-credential", "literals": literals, **generated}],
            "replicas": [{"name": PROGRAM, "count": variant.replicas}],
        }
        configuration = yaml.safe_load((_CHECKOUT / "manifests" / "base" / "config.yaml").read_text())
        configuration["opencti"]["daemon"]["registry"]["server"] = SERVER
        (self.folder / "config.yaml").write_text(json.dumps(configuration | {"webhook": variant.settings}))
        written["configMapGenerator"] = [
            {"name": PROGRAM, "behavior": "replace", "files": ["config.yaml"], **generated}
        ]
        if variant.patches:
            target = {"kind": "Deployment", "name": PROGRAM}
            written["patches"] = [{"target": target, "patch": json.dumps(variant.patches)}]
        (self.folder / "kustomization.yaml").write_text(json.dumps(written))

    def _relative(self, folder: Path) -> str:
        return os.path.relpath(folder, self.folder.resolve())

    def apply(self, *options: str) -> Ran:
        """Apply it, as a user does or with further options."""
        return self.cluster.kubectl("apply", *options, "--kustomize", str(self.folder))

    def diff(self, *options: str) -> str:
        """Say what an apply would change: nothing, and this is empty."""
        ran = self.cluster.run("diff", *options, "--kustomize", str(self.folder))
        # 1 says that there is a difference, anything above that something went wrong.
        assert ran.status <= 1, ran.stderr
        return ran.stdout

    def versions(self) -> dict[str, str]:
        """Give for each object that is applied what changes with it; what follows the Pods does not count."""
        items = self.cluster.kubectl("get", "--kustomize", str(self.folder), "--output=json").manifest["items"]
        return {
            f"{item['kind']} {item['metadata']['name']}": str(
                item["metadata"]["generation" if item["kind"] in _WITH_STATUS else "resourceVersion"]
            )
            for item in items
        }

    def wait(self) -> None:
        """Wait until the rollout is over."""

        def over() -> bool:
            options = ("--namespace", DEFAULT_NAMESPACE, "--timeout=15s")
            return self.cluster.run("rollout", "status", DEPLOYMENT, *options).status == 0

        eventually("the rollout is over", over, ROLLOUT)

    def delete(self, *options: str) -> Ran:
        """Delete all of it."""
        return self.cluster.kubectl("delete", "--ignore-not-found", *options, "--kustomize", str(self.folder))

    def pods(self) -> list[str]:
        """Name the Pods that are there to stay."""
        found = self.cluster.items(DEFAULT_NAMESPACE, "pods")
        return [pod["metadata"]["name"] for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def run(self, pod: str, container: str, program: str) -> Ran:
        """Run a Python program in a container: there is no shell."""
        where = ("--namespace", DEFAULT_NAMESPACE, pod, "--container", container)
        return self.cluster.run("exec", *where, "--", "python", "-c", program)

    def webhook(self) -> Manifest:
        """Read the webhook configuration."""
        return self.cluster.get(DEFAULT_NAMESPACE, CONFIGURATION)

    def bundle(self) -> bytes:
        """Read `caBundle`: empty where there is none."""
        answer = self.cluster.run("get", CONFIGURATION, "--ignore-not-found", "--output=json")
        if not answer.stdout:
            return b""
        return base64.b64decode(answer.manifest["webhooks"][0]["clientConfig"].get("caBundle", ""))

    def renewals(self) -> float:
        """Sum up how often the sidecars that run say they have renewed the certificate."""
        return sum(self._renewals(pod) for pod in self.pods())

    def _renewals(self, pod: str) -> float:
        path = f"/api/v1/namespaces/{DEFAULT_NAMESPACE}/pods/{pod}:{_METRICS_PORT}/proxy/metrics"
        found = _RENEWALS.search(self.cluster.kubectl("get", "--raw", path).stdout)
        assert found is not None
        return float(found[1])

    def left(self) -> list[str]:
        """Name everything of ours that there is in the cluster, but for pull secrets."""
        ours = f"app.kubernetes.io/name={PROGRAM}"
        kinds = ",".join((*GLOBAL, "namespaces"))
        found = self.cluster.kubectl("get", kinds, "--selector", ours, "--output=name").stdout.split()
        # By name as well: a label can be taken away.
        named = self.cluster.kubectl("get", kinds, "--output=name").stdout.split()
        found += [name for name in named if name.partition("/")[2] == PROGRAM]
        return sorted({*found, *self._secrets(ours)})

    def pull_secrets(self) -> list[str]:
        """Name all pull secrets of ours, each with its namespace."""
        return self._secrets(f"{MANAGED_BY_LABEL}={PROGRAM}")

    def _secrets(self, selector: str) -> list[str]:
        items = self.cluster.kubectl("get", "secrets", "--all-namespaces", "--selector", selector, "--output=json")
        return [f"{item['metadata']['namespace']}/{item['metadata']['name']}" for item in items.manifest["items"]]
