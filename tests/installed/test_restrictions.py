"""An installation in a cluster with restrictions: quota, limit range, Pod Security `restricted`, and assigned user IDs.

The namespace has a default-deny NetworkPolicy too, and the component network-policy. Whether a connection is possible
depends on the network of the cluster: tests/integration/manifests/test_network_policy.py evaluates the rules.
"""

import json
import os
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import pytest
import yaml

from tests.e2e.apiserver import second
from tests.e2e.cluster import Cluster, Manifest, eventually, find_kubectl
from tests.e2e.pods import IMAGE, REWRITTEN, becomes, images, pod
from tests.support.doc_pages import CHECKOUT, blocks
from webhook.constants import DEFAULT_NAMESPACE, ENABLED_LABEL, PROGRAM
from webhook.kube.client import Client

from .installation import DEPLOYMENT, LEAVING, Installation, Variant
from .load import making_pods

_Figure = Callable[[str, object], None]

_PAGE = CHECKOUT / "docs" / "how-to" / "restricted-clusters.md"
#: As OpenShift's restricted-v2 assigns them, from the range of the namespace.
_USER = 1000650000
_ASSIGNED = {"runAsUser": _USER, "fsGroup": _USER, "seLinuxOptions": {"level": "s0:c26,c5"}}
_VARIANT = Variant(
    components=("fail-closed", "network-policy"),
    patches=tuple(
        {"op": "add", "path": f"/spec/template/spec/securityContext/{name}", "value": value}
        for name, value in _ASSIGNED.items()
    ),
)
_IDENTITY = "import json, os; print(json.dumps([os.getuid(), os.getgid()]))"
_RESTRICTED_BY_DEFAULT = {
    "apiVersion": "apiserver.config.k8s.io/v1",
    "kind": "AdmissionConfiguration",
    "plugins": [
        {
            "name": "PodSecurity",
            "configuration": {
                "apiVersion": "pod-security.admission.config.k8s.io/v1",
                "kind": "PodSecurityConfiguration",
                "defaults": {
                    f"{mode}{of}": value
                    for mode, (of, value) in product(
                        ("enforce", "audit", "warn"), (("", "restricted"), ("-version", "latest"))
                    )
                },
            },
        }
    ],
}
_COMPLIANT = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def _shown(kind: str) -> Manifest:
    """Return the object of a kind that the documentation shows."""
    shown = [yaml.safe_load(block.text) for block in blocks(_PAGE) if block.language == "yaml"]
    found: list[Manifest] = [one for one in shown if one.get("kind") == kind]
    assert len(found) == 1, kind
    return found[0]


@pytest.fixture(scope="module")
def restricted(from_nothing: Installation) -> Installation:
    """Install it in a namespace that is restricted already."""
    cluster = from_nothing.cluster
    cluster.kubectl("delete", "mutatingwebhookconfiguration", PROGRAM, "--ignore-not-found")
    from_nothing.delete("--wait=false")
    eventually("nothing is left", lambda: not from_nothing.left(), LEAVING)
    from_nothing.write(_VARIANT)
    manifests = yaml.safe_load_all(cluster.kubectl("kustomize", str(from_nothing.folder)).stdout)
    namespace = next(one for one in manifests if one["kind"] == "Namespace")
    for manifest in (namespace, *map(_shown, ("ResourceQuota", "LimitRange", "NetworkPolicy"))):
        cluster.kubectl("apply", "--filename=-", stdin=manifest)
    from_nothing.apply()
    from_nothing.wait()
    return from_nothing


@pytest.fixture(scope="module")
def selected(restricted: Installation) -> str:
    return restricted.cluster.make_namespace({ENABLED_LABEL: "true"})


@pytest.fixture(scope="module")
def restricted_by_default(restricted: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Start an API server that enforces `restricted` in namespaces without labels for it."""
    pid_file = os.environ.get("E2E_APISERVER_PID")
    if not pid_file:
        pytest.skip("E2E_APISERVER_PID does not say which process the API server is")
    folder = tmp_path_factory.mktemp("apiserver")
    configuration = folder / "admission.yaml"
    configuration.write_text(json.dumps(_RESTRICTED_BY_DEFAULT))
    flags = {"--admission-control-config-file": str(configuration)}
    with second(restricted.cluster, Path(pid_file), folder, flags) as kubeconfig:
        kubectl = find_kubectl()
        assert kubectl is not None
        yield Cluster(kubectl, kubeconfig)


def _quota(installation: Installation) -> Manifest:
    status: Manifest = installation.cluster.get(DEFAULT_NAMESPACE, f"resourcequota/{PROGRAM}")["status"]
    return status


def test_limit_range_leaves_resources_unchanged(restricted: Installation) -> None:
    deployment = restricted.cluster.get(DEFAULT_NAMESPACE, DEPLOYMENT)
    written = {one["name"]: one["resources"] for one in deployment["spec"]["template"]["spec"]["containers"]}
    for replica in restricted.cluster.items(DEFAULT_NAMESPACE, "pods"):
        assert {one["name"]: one["resources"] for one in replica["spec"]["containers"]} == written


@pytest.mark.parametrize("scope", [None, "PriorityClass"])
@pytest.mark.parametrize("room", [4, 3])
def test_update_within_quota_no_pod_missed(  # noqa: PLR0913, PLR0917 - fixtures
    restricted: Installation, selected: str, api: Client, figure: _Figure, room: int, scope: str | None
) -> None:
    quota = _shown("ResourceQuota")
    hard = quota["spec"]["hard"]
    hard["pods"] = str(room)
    if scope:
        selector = next(
            one["spec"]["scopeSelector"]
            for one in (yaml.safe_load(block.text) for block in blocks(_PAGE) if block.language == "yaml")
            if "scopeSelector" in one.get("spec", {})
        )
        counted = {name: value for name, value in hard.items() if name.startswith(("pods", "requests", "limits"))}
        quota["spec"] = {"hard": counted, "scopeSelector": selector}
    cluster = restricted.cluster
    cluster.kubectl("delete", f"resourcequota/{PROGRAM}", "--namespace", DEFAULT_NAMESPACE)
    cluster.kubectl("create", "--filename=-", stdin=quota)
    eventually("the quota counts two replicas", lambda: _quota(restricted).get("used", {}).get("pods") == "2", LEAVING)
    with making_pods([api], selected) as load, load.around():
        cluster.kubectl("rollout", "restart", DEPLOYMENT, "--namespace", DEFAULT_NAMESPACE)
        restricted.wait()
    figure(f"Update with a quota of {room} Pods, fail-closed", load.taken().all_rewritten())


def test_assigned_user_group_0_serves(restricted: Installation, selected: str) -> None:
    for replica in restricted.pods():
        for container in ("webhook", "refresher"):
            assert json.loads(restricted.run(replica, container, _IDENTITY).stdout) == [_USER, 0]
    eventually("Pods are rewritten", lambda: becomes(restricted.cluster, selected) == REWRITTEN)


def test_restricted_by_default_pods_accepted(restricted_by_default: Cluster, selected: str) -> None:
    """Ours, and a user's Pod that is rewritten; one that the level does not allow is refused."""
    deployment = restricted_by_default.get(DEFAULT_NAMESPACE, DEPLOYMENT)
    template = deployment["spec"]["template"]
    ours = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "ours"}, "spec": template["spec"]}
    create = ("create", "--dry-run=server", "--filename=-", "--output=json")
    # The quota may have no room for one more, also in a dry run.
    restricted_by_default.kubectl("delete", f"resourcequota/{PROGRAM}", "--namespace", DEFAULT_NAMESPACE)
    ran = restricted_by_default.kubectl(*create, "--namespace", DEFAULT_NAMESPACE, stdin=ours)
    assert not ran.warnings

    theirs = pod("theirs", app=IMAGE)
    refused = restricted_by_default.run(*create, "--namespace", selected, stdin=theirs)
    assert refused.status
    assert 'violates PodSecurity "restricted:latest"' in refused.stderr
    theirs["spec"]["containers"][0]["securityContext"] = _COMPLIANT
    assert images(restricted_by_default.kubectl(*create, "--namespace", selected, stdin=theirs).manifest) == {
        "app": REWRITTEN
    }
