"""Every installation variant on a real API server: accepted, applied and removed.

The image need not exist, and no Pod has to run. While a variant is installed that is cluster-wide and fail-closed, Pods
can be created only in denied namespaces.
"""

import copy
import json
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.kustomize import compose
from tests.support.manifest_variants import (
    CHECKOUT,
    COMBINED,
    EVERYTHING,
    FOLDERS,
    VARIANTS,
    Variant,
    combined,
    composed,
)
from tests.support.monitoring_queries import MONITORING
from webhook.constants import DEFAULT_NAMESPACE, ENABLED_LABEL, GUARD_POLICY, MUTATE_POLICY, PROGRAM, WEBHOOK_NAME

from .cert_manager import certificate_kinds
from .cluster import Cluster, Manifest, eventually
from .pods import pod

_NAMESPACE = "namespace/" + DEFAULT_NAMESPACE
_DELETE = ("delete", "--ignore-not-found", "--timeout=50s")

_NAME_LABEL = "app.kubernetes.io/name"
#: The first minor version of kubectl that runs components after generators (kustomize 5.1).
_LABELS_GENERATED = 31

_Folder = Callable[[Variant], Path]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> _Folder:
    """Copy the checkout's folders, with what a user adds, and give what finds a variant there."""
    checkout = tmp_path_factory.mktemp("checkout")
    for name in ("manifests", "certs"):
        shutil.copytree(CHECKOUT / name, checkout / name)
    for variant in (*VARIANTS, combined("self-managed", *COMBINED, "fail-closed")):
        for path, text in variant.files(checkout).items():
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
    return lambda variant: checkout / variant.folder


@pytest.fixture(scope="module", autouse=True)
def _certificate_kinds(uninstalled: Cluster) -> Iterator[None]:
    with certificate_kinds(uninstalled):
        yield


def _dated(variants: Sequence[Variant]) -> list[Any]:
    """Say of each variant which version of Kubernetes has what it is made of."""
    dated = []
    for variant in variants:
        names = {one["metadata"]["name"] for one in composed(variant)}
        needed = 36 if MUTATE_POLICY in names else 33 if GUARD_POLICY in names else 30
        dated.append(pytest.param(variant, marks=pytest.mark.kubernetes(needed), id=str(variant)))
    return dated


@contextmanager
def in_place(cluster: Cluster, folder: Path) -> Iterator[None]:
    """Apply a variant, and take it away."""
    try:
        ran = cluster.kubectl("apply", "--validate=strict", f"--kustomize={folder}")
        assert not ran.warnings
        yield
    finally:
        cluster.kubectl(*_DELETE, f"--kustomize={folder}")


def replicas(cluster: Cluster) -> set[str]:
    pods = cluster.items(DEFAULT_NAMESPACE, "pods", f"app.kubernetes.io/name={PROGRAM}")
    return {one["metadata"]["uid"] for one in pods if "deletionTimestamp" not in one["metadata"]}


def _labelled(manifests: Iterable[Manifest], minor: int) -> list[Manifest]:
    """Leave out the labels that the kustomize of kubectl 1.30 does not give to generated objects: all but the name."""
    if minor >= _LABELS_GENERATED:
        return list(manifests)
    kept = copy.deepcopy(list(manifests))
    for manifest in kept:
        if manifest["kind"] in {"ConfigMap", "Secret"}:
            labels = manifest["metadata"]["labels"]
            for name in [name for name in labels if name.startswith("app.kubernetes.io/") and name != _NAME_LABEL]:
                del labels[name]
    return kept


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_kustomize_variant_same_as_composed(cluster: Cluster, folder: _Folder, variant: Variant) -> None:
    made, minor = cluster.kubectl("kustomize", str(folder(variant))).stdout, cluster.client_minor_version()
    assert _labelled(yaml.safe_load_all(made), minor) == _labelled(composed(variant), minor)


def test_kustomize_monitoring_same_as_composed(cluster: Cluster) -> None:
    """And no more: its kinds are the Prometheus operator's, which the cluster need not know."""
    made, minor = cluster.kubectl("kustomize", str(MONITORING)).stdout, cluster.client_minor_version()
    assert _labelled(yaml.safe_load_all(made), minor) == _labelled(compose(MONITORING, {}), minor)


def test_kustomize_patch_applied_twice_refused(cluster: Cluster, folder: _Folder) -> None:
    """The one that is there twice finds a policy that fails closed already."""
    ran = cluster.run("kustomize", str(folder(combined("self-managed", *COMBINED, "fail-closed"))))
    assert ran.status
    assert "/webhooks/0/failurePolicy" in ran.stderr


@pytest.fixture(scope="module")
def _no_namespace_left(uninstalled: Cluster) -> Iterator[None]:
    yield
    uninstalled.kubectl(*_DELETE, _NAMESPACE)


@pytest.mark.usefixtures("_no_namespace_left")
@pytest.mark.parametrize("variant", _dated(VARIANTS))
def test_variant_dry_run_accepted_without_warnings(cluster: Cluster, folder: _Folder, variant: Variant) -> None:
    # A dry run of the rest needs the Namespace, and what that admits.
    namespace = next(manifest for manifest in composed(variant) if manifest["kind"] == "Namespace")
    cluster.kubectl("apply", "--filename=-", stdin=namespace)
    ran = cluster.kubectl("apply", "--dry-run=server", "--validate=strict", f"--kustomize={folder(variant)}")
    assert not ran.warnings
    assert len(ran.stdout.splitlines()) == len(composed(variant))


@pytest.mark.parametrize("variant", _dated([*FOLDERS[1:], *EVERYTHING]))
def test_variant_applied_pods_recreated_nothing_left(cluster: Cluster, folder: _Folder, variant: Variant) -> None:
    with in_place(cluster, folder(variant)):
        before = eventually("the Pods are made", lambda: found if len(found := replicas(cluster)) == 2 else None)
        # Nobody answers for the webhook: the Pods are made because they are none that it is called for.
        cluster.kubectl(
            "delete", "pods", "--all", f"--namespace={DEFAULT_NAMESPACE}", "--wait=false", "--grace-period=0"
        )
        eventually("there are others", lambda: len(now := replicas(cluster)) == 2 and not now & before)
        # What the API server fills in is no drift.
        assert not cluster.kubectl("diff", f"--kustomize={folder(variant)}").stdout
    assert [manifest for manifest in composed(variant) if is_there(cluster, manifest)] == []
    namespace = cluster.make_namespace({ENABLED_LABEL: "true"})
    cluster.create(namespace, pod("any", app="any"))


def is_there(cluster: Cluster, manifest: Manifest) -> bool:
    group, _, version = manifest["apiVersion"].rpartition("/")
    kind = f"{manifest['kind']}.{version}.{group}" if group else manifest["kind"]
    return cluster.exists(manifest["metadata"].get("namespace", "default"), f"{kind}/{manifest['metadata']['name']}")


#: What the admissions enforcer of AKS adds to each namespaceSelector.
_ENFORCED = [
    {"key": "control-plane", "operator": "NotIn", "values": ["true"]},
    {"key": "kubernetes.azure.com/managedby", "operator": "NotIn", "values": ["aks"]},
]


def test_aks_enforcer_conflicts_only_in_namespace_selector(cluster: Cluster, folder: _Folder) -> None:
    """It writes as another field manager, unless an annotation tells it not to."""
    kustomize = f"--kustomize={folder(Variant('certs/self-managed'))}"
    server_side = ("apply", "--server-side", kustomize)
    what = f"mutatingwebhookconfiguration/{PROGRAM}"
    with in_place(cluster, folder(Variant("certs/self-managed"))):
        before = cluster.get("default", what)
        assert before["metadata"]["annotations"]["admissions.enforcer/disabled"] == "true"
        written = before["webhooks"][0]["namespaceSelector"]
        patch = [
            {"op": "add", "path": "/webhooks/0/namespaceSelector/matchExpressions/-", "value": one} for one in _ENFORCED
        ]
        enforce = ("patch", what, "--type=json", f"--patch={json.dumps(patch)}", "--field-manager=admissionsenforcer")
        cluster.kubectl(*enforce)
        assert cluster.get("default", what)["webhooks"][0]["namespaceSelector"]["matchExpressions"][-2:] == _ENFORCED
        # A namespace with the label stays selected meanwhile.
        assert {"key": ENABLED_LABEL, "operator": "In", "values": ["true"]} in written["matchExpressions"]

        ran = cluster.run(*server_side)
        assert ran.status
        conflicts = re.findall(r'conflicts? with "admissionsenforcer".*?: (\..*)', ran.stderr)
        assert conflicts == [f'.webhooks[name="{WEBHOOK_NAME}"].namespaceSelector']
        cluster.kubectl(*server_side, "--force-conflicts")
        assert cluster.get("default", what)["webhooks"][0]["namespaceSelector"] == written

        cluster.kubectl(*enforce)
        cluster.kubectl("apply", kustomize)
        assert cluster.get("default", what)["webhooks"][0]["namespaceSelector"] == written
