"""Releases of the Helm chart, on a cluster whose nodes run its Pods."""

import base64
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.cluster import Cluster, Manifest, Ran, eventually
from tests.e2e.pods import SERVER
from webhook.constants import CERTIFICATE, INSTALLATION_LABEL, PROGRAM, REFRESHER

from .installation import GLOBAL, LEAVING, ROLLOUT

CHART = Path(__file__).parents[2] / "manifests" / "helm" / PROGRAM

#: Every kind of object with a namespace that a release may have, and what its hook and the refresher create.
_NAMESPACED = (
    "deployments",
    "replicasets",
    "pods",
    "services",
    "configmaps",
    "secrets",
    "serviceaccounts",
    "roles",
    "rolebindings",
    "leases",
    "jobs",
    "networkpolicies",
    "poddisruptionbudgets",
    "horizontalpodautoscalers",
)
#: What each namespace has, and what belongs to helm.
_USUAL = re.compile(r"configmap/kube-root-ca\.crt|serviceaccount/default|secret/sh\.helm\.release\..*")
#: What the cluster adds to an object by itself.
_CHANGING = ("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "annotations", "labels")


class Release:
    """A release, and what can be seen of it."""

    def __init__(self, cluster: Cluster, image: str, credential: tuple[str, str], name: str, namespace: str) -> None:
        """Take the image that the nodes have, and user name and password for the registry."""
        self.cluster = cluster
        self.name, self.namespace = name, namespace
        self.full = name if PROGRAM in name else f"{name}-{PROGRAM}"
        self.configuration = f"mutatingwebhookconfiguration/{self.full}"
        repository, _, tag = image.rpartition(":")
        username, password = credential
        self._always = {
            "image": {"repository": repository, "tag": tag},
            "credentials": {"username": username, "password": password},
        }

    def helm(self, *words: str, values: Manifest | None = None) -> Ran:
        """Run helm, whatever comes of it."""
        done = subprocess.run(
            [str(shutil.which("helm")), *words, "--namespace", self.namespace],
            input=yaml.safe_dump(values) if values is not None else "",
            capture_output=True,
            text=True,
            timeout=2 * ROLLOUT,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def succeed(self, *words: str, values: Manifest | None = None) -> Ran:
        """Run helm, which has to succeed."""
        ran = self.helm(*words, values=values)
        assert ran.status == 0, f"helm {' '.join(words)}: {ran.stdout}{ran.stderr}"
        return ran

    def try_upgrade(self, *options: str, chart: Path = CHART, **values: Any) -> Ran:
        """Install it, or upgrade it to exactly these values, and wait for the rollout, whatever comes of it."""
        config: dict[str, Any] = {"registry": {"server": SERVER}, **values.pop("config", {})}
        words = ("upgrade", "--install", "--create-namespace", self.name, str(chart), "--values=-", *options)
        wait = ("--wait", f"--timeout={ROLLOUT:.0f}s")
        return self.helm(*words, *wait, values={**self._always, "config": config, **values})

    def upgrade(self, *options: str, chart: Path = CHART, **values: Any) -> None:
        """Install it, or upgrade it to exactly these values, which has to succeed."""
        ran = self.try_upgrade(*options, chart=chart, **values)
        assert ran.status == 0, f"helm upgrade {self.name}: {ran.stdout}{ran.stderr}"

    def rollback(self, revision: int, *options: str) -> Ran:
        """Go back to a revision, and wait for the rollout."""
        return self.succeed("rollback", self.name, str(revision), *options, "--wait", f"--timeout={ROLLOUT:.0f}s")

    def uninstall(self, *options: str) -> Ran:
        """Uninstall it as a user does."""
        return self.helm("uninstall", self.name, f"--timeout={LEAVING:.0f}s", *options)

    def remove(self) -> None:
        """Remove what a failed test has left of it."""
        self.cluster.run("delete", self.configuration, "--ignore-not-found")
        self.uninstall("--no-hooks", "--ignore-not-found")
        pods = ("--all", "--force", "--grace-period=0", "--ignore-not-found")
        self.cluster.run("delete", "pods", "--namespace", self.namespace, *pods)
        self.cluster.run("delete", "namespace", self.namespace, "--ignore-not-found", "--wait=false")
        there = f"namespace/{self.namespace}"
        eventually("its namespace is gone", lambda: not self.cluster.exists("default", there), LEAVING)

    def webhook(self) -> Manifest:
        """Read the webhook configuration."""
        return self.cluster.get("default", self.configuration)

    def kept_by_refresher(self) -> tuple[str, list[Manifest]]:
        """Give `caBundle` and the owners of the webhook configuration, which no chart has."""
        found = self.webhook()
        bundle = found["webhooks"][0]["clientConfig"].get("caBundle", "")
        assert b"BEGIN CERTIFICATE" in base64.b64decode(bundle)
        return bundle, found["metadata"].get("ownerReferences", [])

    def pods(self) -> set[str]:
        """Name the Pods that are there to stay."""
        selector = "app.kubernetes.io/component=admission-webhook"
        found = self.cluster.items(self.namespace, "pods", selector)
        return {pod["metadata"]["name"] for pod in found if "deletionTimestamp" not in pod["metadata"]}

    def left(self) -> list[str]:
        """Name all that there is of it in the cluster, by name and in its namespace, and its pull secrets."""
        named = self._names("get", ",".join(GLOBAL), "--output=name")
        found = [name for name in named if name.partition("/")[2].startswith(self.full)]
        found += self._names("get", ",".join(_NAMESPACED), "--namespace", self.namespace, "--output=name")
        ours = f"{INSTALLATION_LABEL}={self.namespace}"
        found += self._names("get", "secrets", "--all-namespaces", "--selector", ours, "--output=name")
        return sorted(name for name in found if not _USUAL.fullmatch(name))

    def _names(self, *words: str) -> list[str]:
        return self.cluster.kubectl(*words).stdout.split()

    def state(self) -> dict[str, Manifest]:
        """Give every object that helm or its hook made, without what the cluster adds to it."""
        selector = f"app.kubernetes.io/instance={self.name},app.kubernetes.io/managed-by=Helm"
        kinds = [one for one in (*GLOBAL, *_NAMESPACED) if one not in {"pods", "replicasets"}]
        words = ("get", ",".join(kinds), "--namespace", self.namespace, "--selector", selector, "--output=json")
        state = {}
        for item in self.cluster.kubectl(*words).manifest["items"]:
            item.pop("status", None)
            for field in _CHANGING:
                item["metadata"].pop(field, None)
            state[f"{item['kind']}/{item['metadata']['name']}"] = item
        return state

    def own(self) -> list[str]:
        """Name the objects of the refresher."""
        return [f"lease.coordination.k8s.io/{REFRESHER}", f"secret/{CERTIFICATE}"]


def earlier_version(folder: Path) -> Path:
    """Write the chart as an earlier version had it: nothing was released before this one."""
    chart = folder / PROGRAM
    shutil.copytree(CHART, chart)
    file = chart / "Chart.yaml"
    before = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump({**before, "version": "0.0.9", "appVersion": "0.0.9"}))
    return chart


def needs_helm() -> None:
    """Skip the test without helm."""
    if shutil.which("helm") is None:
        pytest.skip("helm is not on PATH: .ci/helm prints a folder that has it")


def policy_text(generated: str) -> str:
    """Give the YAML of a policy and its binding, generated as JSON."""
    return "---\n".join(yaml.safe_dump(item) for item in json.loads(generated)["items"])
