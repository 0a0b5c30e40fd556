"""The guard applies wherever a kustomization puts the installation and however it names its objects.

Escalations are tried with a real token in dry runs: a Secret in kube-system that the API server would fill with the
token of another ServiceAccount.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import chart
from tests.support.manifest_variants import CHECKOUT, COMBINED, FOLDERS, Variant, combined
from webhook.constants import ENABLED_LABEL, GUARD_POLICY, INSTALLATION_LABEL, SYSTEM_NAMESPACES

from .cluster import Cluster, Manifest, eventually
from .service_account import acting, certificate, event, pull_secret, write_kubeconfig

_GUARDED = (
    *("Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"),
    *("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"),
)
_PLATFORM = "registry-webhook-e2e-platform"
_MOVED = {"namespace": _PLATFORM, "namePrefix": "acme-"}
_RENAMED_ACCOUNT = [
    {"target": {"kind": kind}, "patch": json.dumps([{"op": "replace", "path": path, "value": "renamed"}])}
    for kind, path in (
        ("ServiceAccount", "/metadata/name"),
        ("ClusterRoleBinding", "/subjects/0/name"),
        ("RoleBinding", "/subjects/0/name"),
        ("Deployment", "/spec/template/spec/serviceAccountName"),
    )
]
#: The account's name is copied into the Pods, and the Pods' label into the role.
_REPLACEMENTS = [
    {
        "source": {"kind": source, "fieldPath": "metadata.name"},
        "targets": [{"select": {"kind": target}, "fieldPaths": [path], "options": {"create": True}}],
    }
    for source, target, path in (
        ("ServiceAccount", "Deployment", "spec.template.metadata.annotations.account"),
        ("Deployment", "ClusterRole", "metadata.labels.of"),
    )
]
_TYPE = "can write Secrets only with the type"
_UNSELECTED = "can create Secrets only in selected namespaces"
_ALL = combined("self-managed", *COMBINED)

_Transformed = tuple[Variant, dict[str, Any]]

_INSTALLATIONS: dict[str, _Transformed] = {
    "namespace": (combined("self-managed"), {"namespace": _PLATFORM}),
    "prefix": (combined("self-managed"), {"namePrefix": "acme-"}),
    "suffix": (combined("self-managed"), {"nameSuffix": "-two"}),
    "labels": (
        combined("self-managed"),
        {"labels": [{"pairs": {"app.kubernetes.io/name": "pull", "team": "a"}, "includeSelectors": True}]},
    ),
    "annotations": (combined("self-managed"), {"commonAnnotations": {"team": "a"}}),
    "patches": (combined("self-managed"), {"patches": _RENAMED_ACCOUNT}),
    "replacements": (combined("self-managed"), {**_MOVED, "replacements": _REPLACEMENTS}),
    **{f"moved-{str(one).replace('/', '-')}": (one, _MOVED) for one in (*FOLDERS[1:], _ALL)},
}

#: Values of the chart, whose release and namespace are not the default ones either.
_CHARTS: dict[str, chart.Values] = {
    "default": {},
    "renamed": {"fullnameOverride": "pulls"},
    **{name: values for name, values in chart.COMPONENT_VALUES.items() if name in {"cluster-wide", "fail-closed"}},
    "cert-manager": {"certificates": {"mode": "cert-manager"}},
}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the checkout's folders."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in ("manifests", "certs"):
        shutil.copytree(CHECKOUT / name, copy / name)
    for variant in (combined("self-managed"), _ALL):
        for path, text in variant.files(copy).items():
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
    return copy


@pytest.fixture(scope="module")
def render(uninstalled: Cluster, checkout: Path) -> Callable[[str], list[Manifest]]:
    """Give what renders an installation, as a user's own kustomization makes it."""

    def rendered(name: str) -> list[Manifest]:
        variant, transformers = _INSTALLATIONS[name]
        folder = checkout / f"own-{name}"
        folder.mkdir(exist_ok=True)
        kustomization = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "sortOptions": {"order": "fifo"},
            "resources": [f"../{variant.folder}"],
            **transformers,
        }
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
        return list(yaml.safe_load_all(uninstalled.kubectl("kustomize", str(folder)).stdout))

    return rendered


def test_cert_manager_elsewhere_certificate_names_follow(uninstalled: Cluster, checkout: Path) -> None:
    """As certs/cert-manager/names says: a component in a kustomization over the one that moves it."""
    kind = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "sortOptions": {"order": "fifo"}}
    inner = {"resources": ["../certs/cert-manager"], **_MOVED}
    outer = {"resources": ["../inner"], "components": ["../certs/cert-manager/names"]}
    for name, written in (("inner", inner), ("outer", outer)):
        (checkout / name).mkdir()
        (checkout / name / "kustomization.yaml").write_text(yaml.safe_dump(kind | written))
    manifests = list(yaml.safe_load_all(uninstalled.kubectl("kustomize", str(checkout / "outer")).stdout))
    (service,) = (one["metadata"]["name"] for one in manifests if one["kind"] == "Service")
    certificates = [one for one in manifests if one["kind"] == "Certificate"]
    (serving,) = (one for one in certificates if "dnsNames" in one["spec"])
    host = f"{service}.{_PLATFORM}.svc"
    assert serving["spec"]["dnsNames"] == [host, f"{host}.cluster.local"]
    (configuration,) = (one for one in manifests if one["kind"] == "MutatingWebhookConfiguration")
    injected = configuration["metadata"]["annotations"]["cert-manager.io/inject-ca-from"]
    assert injected == f"{_PLATFORM}/{serving['metadata']['name']}"
    issuers = {one["metadata"]["name"] for one in manifests if one["kind"] == "Issuer"}
    assert {one["spec"]["issuerRef"]["name"] for one in certificates} == issuers


@contextmanager
def _granted(cluster: Cluster, manifests: list[Manifest], folder: Path) -> Iterator[Cluster]:
    """Apply the account with its guard and rights, and act as the account."""
    # The generated policy is another matter, and not for all versions of Kubernetes.
    items = [one for one in manifests if one["kind"] in _GUARDED and GUARD_POLICY not in one["metadata"]["name"]]
    applied = {"apiVersion": "v1", "kind": "List", "items": items}
    (account,) = (one["metadata"] for one in manifests if one["kind"] == "ServiceAccount")
    try:
        cluster.kubectl("apply", "--validate=strict", "--filename=-", stdin=applied)
        yield acting(write_kubeconfig(cluster, account["namespace"], account["name"], folder / "kubeconfig"))
    finally:
        cluster.kubectl("delete", "--ignore-not-found", "--timeout=50s", "--filename=-", stdin=applied)


@pytest.mark.parametrize("name", _INSTALLATIONS)
def test_guard_installation_transformed_holds(
    cluster: Cluster, render: Callable[[str], list[Manifest]], tmp_path: Path, name: str
) -> None:
    manifests = render(name)
    served, other = (cluster.make_namespace({ENABLED_LABEL: label}) for label in ("true", "false"))
    with _granted(cluster, manifests, tmp_path) as account:
        _assert_bounded(account, served, other, _own(manifests))


@chart.needs_helm
@pytest.mark.parametrize("values", _CHARTS.values(), ids=_CHARTS)
def test_guard_chart_other_release_and_namespace_holds(
    cluster: Cluster, uninstalled: Cluster, tmp_path: Path, values: chart.Values
) -> None:
    assert uninstalled is cluster
    own = {"namespace": {"create": True}, "podLabels": {"team": "a"}, "commonLabels": {"team": "a"}}
    manifests = chart.objects(chart.combined(own, values), release="acme", namespace=_PLATFORM)
    served, other = (cluster.make_namespace({ENABLED_LABEL: label}) for label in ("true", "false"))
    with _granted(cluster, manifests, tmp_path) as account:
        _assert_bounded(account, served, other, _own(manifests))


def test_guard_installations_side_by_side_holds_for_both(
    cluster: Cluster, render: Callable[[str], list[Manifest]], tmp_path: Path
) -> None:
    """One is opted in by label, the other selects all namespaces, and neither restricts the other to its own."""
    first, second = (render(name) for name in ("suffix", "moved-manifests-overlays-cluster-wide"))
    served, other, unlabelled = (
        cluster.make_namespace(one) for one in ({ENABLED_LABEL: "true"}, {ENABLED_LABEL: "false"}, {})
    )
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
    with _granted(cluster, first, tmp_path / "first") as one, _granted(cluster, second, tmp_path / "second") as two:
        _assert_bounded(one, served, other, _own(first))
        _assert_bounded(two, served, other, _own(second))
        assert _UNSELECTED in _tried(one, unlabelled, pull_secret())
        assert not _tried(two, unlabelled, pull_secret())
        # Neither is let into the other's certificate.
        stolen = certificate(namespace=_own(second))
        assert "cannot patch resource" in _tried(one, _own(second), stolen)
        stolen = certificate(namespace=_own(first))
        assert "cannot patch resource" in _tried(two, _own(first), stolen)


def _own(manifests: list[Manifest]) -> str:
    (own,) = (one["metadata"]["name"] for one in manifests if one["kind"] == "Namespace")
    return str(own)


def _tried(account: Cluster, namespace: str, manifest: Manifest) -> str:
    """Apply in a dry run, and give what is said."""
    arguments = ("apply", "--server-side", "--dry-run=server", "--namespace", namespace, "--filename=-")
    return account.run(*arguments, stdin=manifest).stderr


def _assert_bounded(account: Cluster, served: str, other: str, own: str) -> None:
    """Try what the guard is there for, and what the account is there for. The `other` namespace is never selected."""
    token = pull_secret(annotations={"kubernetes.io/service-account.name": "generic-garbage-collector"})
    token |= {"type": "kubernetes.io/service-account-token", "data": {}}

    def refused() -> bool:
        forged = event(served, reportingController="kubelet")
        said = account.run("create", "--dry-run=server", "--namespace", served, "--filename=-", stdin=forged).stderr
        return "ValidatingAdmissionPolicy" in said and _TYPE in _tried(account, "kube-system", token)

    eventually("the guard and the rights are in force", refused)
    eventually("so is the check of the namespace", lambda: _UNSELECTED in _tried(account, other, pull_secret()))
    assert _TYPE in _tried(account, served, token)
    for namespace in ("kube-system", own):
        assert "cannot create or change Secrets in kube-system" in _tried(account, namespace, pull_secret())
    # And what it is for goes on.
    eventually("it may do what it has to", lambda: not _tried(account, served, pull_secret()))


@pytest.mark.parametrize("name", _INSTALLATIONS)
def test_reference_installation_transformed_follows(render: Callable[[str], list[Manifest]], name: str) -> None:
    manifests = render(name)
    (namespace,) = (one["metadata"]["name"] for one in manifests if one["kind"] == "Namespace")
    (configuration,) = (one for one in manifests if one["kind"] == "MutatingWebhookConfiguration")
    (service,) = (one["metadata"] for one in manifests if one["kind"] == "Service")
    granted = [rule for one in manifests if one["kind"] == "ClusterRole" for rule in one["rules"]]
    (webhook,) = configuration["webhooks"]
    called = webhook["clientConfig"]["service"]
    assert (called["namespace"], called["name"]) == (namespace, service["name"])
    selector = webhook["namespaceSelector"]["matchExpressions"][1]
    assert set(selector["values"]) == SYSTEM_NAMESPACES | {namespace}
    names = [rule["resourceNames"] for rule in granted if rule["resources"] == ["mutatingwebhookconfigurations"]]
    assert names
    assert all(one == [configuration["metadata"]["name"]] for one in names)
    for kind in ("ValidatingAdmissionPolicy", "MutatingAdmissionPolicy"):
        policies = [one["metadata"]["name"] for one in manifests if one["kind"] == kind]
        bindings = [one["spec"]["policyName"] for one in manifests if one["kind"] == f"{kind}Binding"]
        assert sorted(policies) == sorted(bindings)
    marks = {one["metadata"].get("annotations", {}).get(INSTALLATION_LABEL, namespace) for one in manifests}
    assert marks == {namespace}
    guarded = [
        one["spec"].get("paramRef", {}) for one in manifests if one["kind"] == "ValidatingAdmissionPolicyBinding"
    ]
    assert [one["name"] for one in guarded if "name" in one] == [namespace]
