"""Two installations in one cluster, one opt-in and one cluster-wide, do not disturb each other."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster import Cluster, Manifest, eventually
from tests.e2e.installation import cleanup
from tests.e2e.pods import REWRITTEN, becomes
from tests.e2e.program import program
from tests.e2e.refresher import password_in, published
from tests.e2e.registry import Registry
from webhook.constants import ENABLED_LABEL, INSTALLATION_LABEL, PROGRAM
from webhook.output.finding_codes import Code

from .installation import LEAVING, ROLLOUT, Installation, Variant


class Neighbor:
    """An installation with a namespace, a prefix and an instance label of its own."""

    def __init__(self, name: str, shipped: Installation, folder: Path) -> None:
        self.cluster = shipped.cluster
        self.namespace = f"registry-webhook-e2e-{name}"
        self.name = f"{name}-{PROGRAM}"
        self.password = shipped.credential[1]
        self._shipped = shipped
        self._folder = folder
        self._prefix = f"{name}-"

    def write(self, variant: Variant, patches: list[Manifest]) -> None:
        """Write both kustomizations: one as in the docs, and one over it that moves it."""
        self._shipped.write(variant)
        kustomization = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "namespace": self.namespace,
            "namePrefix": self._prefix,
            "labels": [{"pairs": {"app.kubernetes.io/instance": self.name}, "includeSelectors": True}],
            "sortOptions": {"order": "fifo"},
            "resources": [os.path.relpath(self._shipped.folder.resolve(), self._folder.resolve())],
            "patches": patches,
        }
        (self._folder / "kustomization.yaml").write_text(json.dumps(kustomization))

    def apply(self) -> None:
        self.cluster.kubectl("apply", "--kustomize", str(self._folder))

    def wait(self) -> None:
        status = ("rollout", "status", f"deployment/{self.name}", "--namespace", self.namespace, "--timeout=15s")
        eventually("the rollout is over", lambda: self.cluster.run(*status).status == 0, ROLLOUT)

    def stop(self) -> str:
        """Remove it as the docs say, and return what cleanup printed."""
        ran = cleanup("--stop", f"--installation-namespace={self.namespace}")
        assert ran.status == 0, ran.stdout + ran.stderr
        self.cluster.kubectl("delete", "--ignore-not-found", "--kustomize", str(self._folder))
        return ran.stdout

    def remove(self) -> None:
        """Remove it without any grace."""
        self.cluster.run("delete", "mutatingwebhookconfiguration", self.name, "--ignore-not-found")
        pods = ("--all", "--force", "--grace-period=0", "--ignore-not-found")
        self.cluster.run("delete", "deployment", self.name, "--namespace", self.namespace, "--ignore-not-found")
        self.cluster.run("delete", "pods", "--namespace", self.namespace, *pods)
        self.cluster.run("delete", "--ignore-not-found", "--wait=false", "--kustomize", str(self._folder))
        gone = f"namespace/{self.namespace}"
        eventually("it is gone", lambda: not self.cluster.exists("default", gone), LEAVING)

    def left(self) -> list[str]:
        """Name what is left of it, of any kind that is of no namespace, and its namespace."""
        kinds = "mutatingwebhookconfigurations,validatingadmissionpolicies,validatingadmissionpolicybindings"
        more = "clusterroles,clusterrolebindings,priorityclasses,namespaces"
        found = self.cluster.kubectl("get", f"{kinds},{more}", "--output=name").stdout.split()
        return [one for one in found if self._prefix in one or one.endswith(self.namespace)]

    def codes(self) -> set[str]:
        """Return the codes of errors and of what doctor says about the other one; check that it is about this one."""
        ran = program("doctor", "--output=json", f"--installation-namespace={self.namespace}")
        assert f"{self.namespace}/{self.name}" in ran.stdout
        findings = json.loads(ran.stdout)["findings"]
        about_both = {Code.SELECT_OVERLAP, Code.SECRET_OTHER}
        return {one["code"] for one in findings if one["mark"] == "error" or one["code"] in about_both}

    def publishes(self, namespace: str) -> bool:
        """Return whether a namespace's pull secret is from this one."""
        secret = published(self.cluster, namespace)
        if secret is None or secret["metadata"]["labels"].get(INSTALLATION_LABEL) != self.namespace:
            return False
        return password_in(secret) == self.password


@pytest.fixture(scope="module")
def teams(cluster: Cluster) -> dict[str, str]:
    """Make a namespace that is opted in, and one that is not."""
    return {"labelled": cluster.make_namespace({ENABLED_LABEL: "true"}), "other": cluster.make_namespace({})}


def _neighbor(
    name: str, image: str, registry: Registry, cluster: Cluster, factory: pytest.TempPathFactory
) -> Iterator[Neighbor]:
    credential = registry.admit_new(f"{name}-user")
    shipped = Installation(cluster, factory.mktemp(f"{name}-shipped"), image, credential)
    one = Neighbor(name, shipped, factory.mktemp(name))
    cluster.expect_no_namespace(one.namespace)
    try:
        yield one
    finally:
        one.remove()
        cleanup(f"--installation-namespace={one.namespace}")


@pytest.fixture(scope="module")
def opt_in(
    image: str, registry: Registry, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Neighbor]:
    """Apply an installation that selects by label."""
    for one in _neighbor("acme", image, registry, cluster, tmp_path_factory):
        one.write(Variant(replicas=1), [])
        one.apply()
        yield one


@pytest.fixture(scope="module")
def cluster_wide(
    teams: dict[str, str],
    image: str,
    registry: Registry,
    cluster: Cluster,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Neighbor]:
    """Apply one that selects all namespaces, except for the labelled one, which it denies as the docs say."""
    denied = {"name": "WEBHOOK__NAMESPACES__DENY", "value": teams["labelled"]}
    containers = [{"name": name, "env": [denied]} for name in ("webhook", "refresher")]
    template = {"spec": {"template": {"spec": {"containers": containers}}}}
    selector = {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": [teams["labelled"]]}
    excluded = [{"op": "add", "path": "/webhooks/0/namespaceSelector/matchExpressions/-", "value": selector}]
    meta = {"metadata": {"name": "any"}}
    patches: list[Manifest] = [
        {
            "target": {"kind": "Deployment"},
            "patch": json.dumps({"apiVersion": "apps/v1", "kind": "Deployment", **meta, **template}),
        },
        {"target": {"kind": "MutatingWebhookConfiguration"}, "patch": json.dumps(excluded)},
    ]
    for one in _neighbor("zoo", image, registry, cluster, tmp_path_factory):
        one.write(Variant(components=("cluster-wide",), replicas=1), patches)
        one.apply()
        yield one


@pytest.fixture(scope="module")
def both(opt_in: Neighbor, cluster_wide: Neighbor) -> tuple[Neighbor, Neighbor]:
    """Wait until both are rolled out."""
    opt_in.wait()
    cluster_wide.wait()
    return opt_in, cluster_wide


def _wait_until_rewritten(cluster: Cluster, namespace: str) -> None:
    eventually("Pods are rewritten", lambda: becomes(cluster, namespace) == REWRITTEN)


def test_side_by_side_each_publishes_in_its_namespaces(
    cluster: Cluster, both: tuple[Neighbor, Neighbor], teams: dict[str, str]
) -> None:
    first, second = both
    eventually("the opt-in one publishes", lambda: first.publishes(teams["labelled"]))
    eventually("the cluster-wide one publishes", lambda: second.publishes(teams["other"]))
    for namespace in teams.values():
        _wait_until_rewritten(cluster, namespace)


def test_side_by_side_doctor_about_one(both: tuple[Neighbor, Neighbor], teams: dict[str, str]) -> None:
    assert teams
    for one in both:
        end = time.monotonic() + 60
        while (found := one.codes()) and time.monotonic() < end:
            time.sleep(1)
        assert found == set()


def test_same_namespace_selected_by_both_first_keeps_secret_and_doctor_warns(
    cluster: Cluster, both: tuple[Neighbor, Neighbor]
) -> None:
    first, second = both
    shared = cluster.make_namespace({ENABLED_LABEL: "true"})
    eventually("one of them publishes", lambda: first.publishes(shared) or second.publishes(shared))
    _wait_until_rewritten(cluster, shared)
    # Either may be the first; the other reports it, and neither replaces it again.
    eventually("the other one reports it", lambda: Code.SECRET_OTHER in first.codes() | second.codes())
    before = published(cluster, shared)
    overlap = {Code.SELECT_OVERLAP.value}
    assert all(overlap <= one.codes() for one in both)
    assert published(cluster, shared) == before
    cluster.kubectl("delete", "namespace", shared, "--wait=false")


def test_removal_of_one_leaves_the_other(
    cluster: Cluster, both: tuple[Neighbor, Neighbor], teams: dict[str, str]
) -> None:
    first, second = both
    said = first.stop()
    assert f"Secret {teams['labelled']}/registry-webhook-pull: deleted" in said
    assert f"pull secrets of the installation in namespace {second.namespace}: kept" in said
    eventually("nothing is left of the first", lambda: not first.left(), LEAVING)
    assert second.publishes(teams["other"])
    assert published(cluster, teams["labelled"]) is None
    later = cluster.make_namespace({})
    eventually("the second one goes on", lambda: second.publishes(later))
    _wait_until_rewritten(cluster, later)
    second.stop()
    eventually("nothing is left of the second", lambda: not second.left(), LEAVING)
    labelled = ("get", "secrets", "--all-namespaces", "--selector", INSTALLATION_LABEL, "--output=name")
    assert cluster.kubectl(*labelled).stdout == ""
