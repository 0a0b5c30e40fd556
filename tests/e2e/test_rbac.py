"""What the refresher's ServiceAccount may do, and what RBAC or the guard denies.

Everything is tried with a real token.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from webhook.constants import CERTIFICATE, DEFAULT_NAMESPACE, ENABLED_LABEL, PROGRAM, REFRESHER, SYSTEM_NAMESPACES
from webhook.diagnostics.doctor.check_rbac import GUARDS

from .cluster import Cluster, Manifest, Ran, eventually
from .installation import shipped
from .pods import PULL_SECRET, pod
from .refresher import free_lease
from .service_account import CONTROLLER, DEPLOYMENT, acting, certificate, event, pull_secret

_SECRET = f"secret/{PULL_SECRET}"
_ONLY_IT = f"--field-selector=metadata.name={PULL_SECRET}"
_NEVER_SERVED = sorted(SYSTEM_NAMESPACES | {DEFAULT_NAMESPACE})
_TYPE = "can write Secrets only with the type kubernetes.io/dockerconfigjson"
_EVERYWHERE_ELSE = "cannot create or change Secrets in kube-system, kube-public, kube-node-lease and its own"
_LABEL = "can create Secrets only in selected namespaces"
_NAMESPACES = "registry-webhook-namespaces"
_FINALIZER = "registry-webhook-e2e/kept"
_OWNER = {"apiVersion": "v1", "kind": "ConfigMap", "name": "kube-root-ca.crt", "uid": "no-such"}
_CERTIFICATE = f"secret/{CERTIFICATE}"
_CONFIGURATION = f"mutatingwebhookconfiguration/{PROGRAM}"
_OTHER_CONFIGURATION = f"{PROGRAM}-other"
_LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{DEFAULT_NAMESPACE}/leases"

#: Verbs, API group, resource and the names that they are bound to.
_Right = tuple[frozenset[str], str, str, frozenset[str]]


@pytest.fixture(scope="module")
def refresher(account: Path) -> Cluster:
    """Act as the account."""
    return acting(account)


@pytest.fixture(scope="module")
def opted_in(cluster: Cluster) -> str:
    """Make a namespace that is opted in."""
    return cluster.make_namespace({ENABLED_LABEL: "true"})


@pytest.fixture
def labelled(cluster: Cluster, opted_in: str) -> Iterator[str]:
    """Give a namespace that is opted in and has no pull secret."""
    yield opted_in
    cluster.kubectl("delete", _SECRET, "--namespace", opted_in, "--ignore-not-found")


@pytest.fixture
def published(refresher: Cluster, labelled: str) -> str:
    """Give a namespace that is opted in and has the pull secret."""
    _done(_applied(refresher, labelled, pull_secret()))
    return labelled


@pytest.fixture
def left(cluster: Cluster, refresher: Cluster) -> str:
    """Make a namespace that has the pull secret, and has its label no more."""
    first, second = (cluster.make_namespace({ENABLED_LABEL: "true"}) for _ in range(2))
    _done(_applied(refresher, first, pull_secret()))
    for name in (first, second):
        cluster.kubectl("label", "namespace", name, f"{ENABLED_LABEL}-")
    # Where the guard acts on the second label's going, it acts on the first's.
    eventually("the label is gone", lambda: _applied(refresher, second, pull_secret(), "--dry-run=server").status)
    return first


@pytest.fixture(params=_NEVER_SERVED)
def never_served(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """Put the label on a namespace that is never served."""
    name = str(request.param)
    cluster.kubectl("label", "namespace", name, f"{ENABLED_LABEL}=true")
    try:
        yield name
    finally:
        cluster.kubectl("label", "namespace", name, f"{ENABLED_LABEL}-")
        cluster.kubectl("delete", _SECRET, "--namespace", name, "--ignore-not-found")


def _applied(account: Cluster, namespace: str, manifest: Manifest, *options: str) -> Ran:
    arguments = ("--server-side", f"--field-manager={REFRESHER}", "--namespace", namespace, "--filename=-")
    return account.run("apply", *arguments, *options, stdin=manifest)


def _merged(account: Cluster, namespace: str, patch: str) -> Ran:
    return account.run("patch", _SECRET, "--namespace", namespace, "--type=merge", f"--patch={patch}")


def _done(ran: Ran) -> None:
    assert ran.status == 0, ran.stderr


def _refused(ran: Ran, verb: str, resource: str) -> None:
    """Expect that the rights refuse it."""
    assert ran.status
    assert (
        f'User "system:serviceaccount:{DEFAULT_NAMESPACE}:{PROGRAM}" cannot {verb} resource "{resource}"' in ran.stderr
    )


def _guarded(ran: Ran, message: str, policy: str = "registry-webhook-secrets") -> None:
    """Expect that the rights allow it and the guard refuses it."""
    assert ran.status
    assert f"ValidatingAdmissionPolicy '{policy}' with binding '{policy}' denied request: " in ran.stderr
    assert message in ran.stderr
    assert "(Forbidden)" in ran.stderr


@pytest.mark.parametrize("own", [True, False])
def test_account_exact_permissions(cluster: Cluster, refresher: Cluster, labelled: str, own: bool) -> None:
    namespace = DEFAULT_NAMESPACE if own else labelled
    everyones = f"--as=system:serviceaccount:{labelled}:default"
    rights = _rights(refresher, namespace) - _rights(cluster, namespace, everyones)
    expected: set[_Right] = {
        (frozenset({"get", "list", "watch"}), "", "namespaces", frozenset()),
        (
            frozenset({"get", "list", "watch", "create", "patch", "delete"}),
            "",
            "secrets",
            frozenset({PULL_SECRET}),
        ),
        (
            frozenset({"get", "list", "watch", "patch"}),
            "admissionregistration.k8s.io",
            "mutatingwebhookconfigurations",
            frozenset({PROGRAM}),
        ),
        (frozenset({"create"}), "events.k8s.io", "events", frozenset()),
        (frozenset({"bound"}), PROGRAM, "restrictions", frozenset()),
    }
    if own:
        writing = frozenset({"get", "list", "watch", "create", "patch"})
        expected |= {
            (frozenset({"get", "create", "update"}), "coordination.k8s.io", "leases", frozenset({REFRESHER})),
            (writing, "", "secrets", frozenset({CERTIFICATE})),
        }
    assert rights == expected


def _rights(who: Cluster, namespace: str, *options: str) -> set[_Right]:
    """Ask what `kubectl auth can-i --list` asks, for all of the answer."""
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace},
    }
    # To validate it, kubectl would look whether its kind is a custom one, which the account may not.
    arguments = ("create", "--validate=ignore", "--filename=-", "--output=json", *options)
    status = who.kubectl(*arguments, stdin=review).manifest["status"]
    rules = [*status["resourceRules"], *(_addresses(rule) for rule in status["nonResourceRules"])]
    return {
        (frozenset(rule["verbs"]), group, resource, frozenset(rule.get("resourceNames", [])))
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


def _addresses(rule: Manifest) -> Manifest:
    return {"verbs": rule["verbs"], "apiGroups": ["no resource"], "resources": rule["nonResourceURLs"]}


# What it may.


def test_pull_secrets_listed_in_all_namespaces(refresher: Cluster, published: str) -> None:
    ran = refresher.kubectl("get", "secrets", "--all-namespaces", _ONLY_IT, "--output=json")
    found = {(item["metadata"]["namespace"], item["metadata"]["name"]) for item in ran.manifest["items"]}
    assert (published, PULL_SECRET) in found
    assert {name for _, name in found} == {PULL_SECRET}


def test_pull_secrets_watched_in_all_namespaces(refresher: Cluster, published: str) -> None:
    fields = f"fieldSelector=metadata.name%3D{PULL_SECRET}"
    ran = refresher.kubectl("get", f"--raw=/api/v1/secrets?watch=true&timeoutSeconds=1&{fields}")
    assert f'"namespace":"{published}"' in ran.stdout


def test_namespaces_listed(refresher: Cluster, labelled: str) -> None:
    ran = refresher.kubectl("get", "namespaces", f"--selector={ENABLED_LABEL}=true", "--output=name")
    assert f"namespace/{labelled}" in ran.stdout.split()


def test_pull_secret_selected_namespace_written_and_deleted(
    cluster: Cluster, refresher: Cluster, labelled: str
) -> None:
    _done(_applied(refresher, labelled, pull_secret()))
    _done(_applied(refresher, labelled, pull_secret(labels={"changed": "by-apply"})))
    assert refresher.get(labelled, _SECRET)["metadata"]["labels"] == {"changed": "by-apply"}
    _done(_merged(refresher, labelled, '{"metadata": {"labels": {"changed": "by-patch"}}}'))
    assert cluster.get(labelled, _SECRET)["metadata"]["labels"] == {"changed": "by-patch"}
    refresher.kubectl("delete", _SECRET, "--namespace", labelled)
    assert not cluster.exists(labelled, _SECRET)


def test_lease_created_by_put_and_held(cluster: Cluster, refresher: Cluster) -> None:
    free_lease(cluster)
    replace = ("replace", f"--raw={_LEASES}/{REFRESHER}", "--filename=-")
    refresher.kubectl(*replace, stdin=_lease(REFRESHER, "first"))
    made = refresher.get(DEFAULT_NAMESPACE, f"lease/{REFRESHER}")
    # What makes it takes it from nobody.
    assert "resourceVersion: Invalid value" in refresher.run(*replace, stdin=_lease(REFRESHER, "thief")).stderr
    made["spec"]["holderIdentity"] = "second"
    refresher.kubectl(*replace, stdin=made)
    assert refresher.get(DEFAULT_NAMESPACE, f"lease/{REFRESHER}")["spec"]["holderIdentity"] == "second"


def _lease(name: str, holder: str) -> Manifest:
    kind = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}
    return {**kind, "metadata": {"name": name}, "spec": {"holderIdentity": holder}}


def test_events_created(cluster: Cluster, refresher: Cluster, labelled: str) -> None:
    refresher.kubectl("create", "--namespace", labelled, "--filename=-", stdin=event(labelled))
    assert CONTROLLER in {made["reportingController"] for made in cluster.items(labelled, "events.events.k8s.io")}


# What its rights refuse.


@pytest.mark.parametrize("scope", ["--all-namespaces", f"--namespace={DEFAULT_NAMESPACE}"])
def test_other_secrets_list_refused(refresher: Cluster, scope: str) -> None:
    _refused(refresher.run("get", "secrets", scope), "list", "secrets")


def test_other_secret_get_refused(cluster: Cluster, refresher: Cluster, labelled: str) -> None:
    cluster.kubectl("create", "secret", "generic", "other", "--namespace", labelled)
    _refused(refresher.run("get", "secret/other", "--namespace", labelled), "get", "secrets")


def test_other_secret_apply_refused(refresher: Cluster, labelled: str) -> None:
    _refused(_applied(refresher, labelled, pull_secret(name="other")), "patch", "secrets")


def test_secret_post_refused(refresher: Cluster, labelled: str) -> None:
    ran = refresher.run("create", "--namespace", labelled, "--filename=-", stdin=pull_secret())
    _refused(ran, "create", "secrets")


def test_secret_put_refused(refresher: Cluster, published: str) -> None:
    ran = refresher.run("replace", "--namespace", published, "--filename=-", stdin=pull_secret())
    _refused(ran, "update", "secrets")


@pytest.mark.parametrize("name", [PULL_SECRET, "other"])
def test_secrets_delete_collection_refused(refresher: Cluster, published: str, name: str) -> None:
    address = f"/api/v1/namespaces/{published}/secrets?fieldSelector=metadata.name%3D{name}"
    _refused(refresher.run("delete", f"--raw={address}"), "deletecollection", "secrets")


@pytest.mark.parametrize("resource", ["pods", "configmaps", "serviceaccounts", "leases", "events"])
def test_other_resources_list_refused(refresher: Cluster, resource: str) -> None:
    _refused(refresher.run("get", resource, "--namespace", DEFAULT_NAMESPACE), "list", resource)


def test_namespace_changes_refused(refresher: Cluster, labelled: str) -> None:
    _refused(refresher.run("label", "namespace", labelled, "team=search"), "patch", "namespaces")
    _refused(refresher.run("delete", "namespace", labelled), "delete", "namespaces")


def test_other_lease_put_refused(refresher: Cluster, labelled: str) -> None:
    elsewhere = _LEASES.replace(DEFAULT_NAMESPACE, labelled)
    for address, name in ((_LEASES, "other"), (elsewhere, REFRESHER)):
        lease = _lease(name, "thief")
        ran = refresher.run("replace", f"--raw={address}/{name}", "--filename=-", stdin=lease)
        _refused(ran, "update", "leases")


def test_token_request_refused(refresher: Cluster) -> None:
    ran = refresher.run("create", "token", "default", "--namespace=kube-system")
    _refused(ran, "create", "serviceaccounts/token")


# What the guard refuses.


def test_token_secret_system_namespace_denied(cluster: Cluster, refresher: Cluster, never_served: str) -> None:
    # A controller of kube-system that may do much, where there is one.
    _guarded(_applied(refresher, never_served, _token_of("generic-garbage-collector")), _TYPE)
    assert not cluster.exists(never_served, _SECRET)


def test_token_secret_selected_namespace_denied(refresher: Cluster, labelled: str) -> None:
    _guarded(_applied(refresher, labelled, _token_of("default")), _TYPE)


def _token_of(account: str) -> Manifest:
    secret = pull_secret(annotations={"kubernetes.io/service-account.name": account})
    return {**secret, "type": "kubernetes.io/service-account-token", "data": {}}


def test_secret_other_type_denied(refresher: Cluster, labelled: str) -> None:
    _guarded(_applied(refresher, labelled, {**pull_secret(), "type": "Opaque"}), _TYPE)
    untyped = {key: value for key, value in pull_secret().items() if key != "type"}
    _guarded(_applied(refresher, labelled, untyped), _TYPE)


def test_secret_excluded_namespace_create_denied(refresher: Cluster, never_served: str) -> None:
    _guarded(_applied(refresher, never_served, pull_secret()), _EVERYWHERE_ELSE)


def test_secret_excluded_namespace_only_delete_allowed(cluster: Cluster, refresher: Cluster, never_served: str) -> None:
    cluster.create(never_served, pull_secret())
    _guarded(_applied(refresher, never_served, pull_secret(labels={"changed": "yes"})), _EVERYWHERE_ELSE)
    # Somebody copied it there.
    refresher.kubectl("delete", _SECRET, "--namespace", never_served)


@pytest.mark.parametrize("labels", [{}, {ENABLED_LABEL: "false"}])
def test_secret_unselected_namespace_create_denied(
    cluster: Cluster, refresher: Cluster, labels: dict[str, str]
) -> None:
    namespace = cluster.make_namespace(labels)
    _guarded(_applied(refresher, namespace, pull_secret()), _LABEL, _NAMESPACES)


def test_secret_label_removed_update_and_delete_allowed(refresher: Cluster, left: str) -> None:
    _done(_applied(refresher, left, pull_secret(labels={"changed": "yes"})))
    refresher.kubectl("delete", _SECRET, "--namespace", left)
    _guarded(_applied(refresher, left, pull_secret()), _LABEL, _NAMESPACES)


def test_secret_label_added_create_allowed_soon(cluster: Cluster, refresher: Cluster) -> None:
    namespace = cluster.make_namespace({})
    cluster.kubectl("label", "namespace", namespace, f"{ENABLED_LABEL}=true")
    eventually("the label counts", lambda: not _applied(refresher, namespace, pull_secret()).status, deadline=5)


def test_secret_type_change_refused(refresher: Cluster, published: str) -> None:
    ran = _applied(refresher, published, {**pull_secret(), "type": "Opaque"})
    assert ran.status
    # The API server's own rule comes first.
    assert "type: Invalid value" in ran.stderr


def test_foreign_secret_other_type_untouched(cluster: Cluster, refresher: Cluster, labelled: str) -> None:
    cluster.create(labelled, {**pull_secret(), "type": "Opaque"})
    _guarded(_merged(refresher, labelled, '{"metadata": {"labels": {"changed": "yes"}}}'), _TYPE)
    _guarded(refresher.run("delete", _SECRET, "--namespace", labelled), _TYPE)
    assert "labels" not in cluster.get(labelled, _SECRET)["metadata"]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("finalizers", [_FINALIZER], "cannot add, change or remove finalizers of a Secret"),
        ("ownerReferences", [_OWNER], "cannot add, change or remove owners of a Secret"),
    ],
)
def test_secret_finalizer_or_owner_denied(
    refresher: Cluster, labelled: str, field: str, value: list[object], message: str
) -> None:
    manifest = pull_secret(**{field: value})
    # Tried dry: a finalizer that was let through would keep the namespace from being deleted.
    _guarded(_applied(refresher, labelled, manifest, "--dry-run=server"), message)
    _done(_applied(refresher, labelled, pull_secret()))
    _guarded(_applied(refresher, labelled, manifest, "--dry-run=server"), message)


def test_secret_foreign_finalizer_and_owner_kept(cluster: Cluster, refresher: Cluster, published: str) -> None:
    owner = {**_OWNER, "uid": cluster.get(published, "configmap/kube-root-ca.crt")["metadata"]["uid"]}
    theirs = {"finalizers": [_FINALIZER, f"{_FINALIZER}-too"], "ownerReferences": [owner]}
    # Applied, as others' fields are what an apply leaves alone.
    cluster.kubectl(
        "apply",
        "--server-side",
        "--namespace",
        published,
        "--filename=-",
        stdin={"apiVersion": "v1", "kind": "Secret", "metadata": {"name": PULL_SECRET, **theirs}},
    )
    try:
        _done(_applied(refresher, published, pull_secret(labels={"changed": "yes"})))
        for field in theirs:
            _guarded(_merged(refresher, published, f'{{"metadata": {{"{field}": null}}}}'), "cannot add, change")
        stored = cluster.get(published, _SECRET)["metadata"]
        assert {field: stored[field] for field in theirs} == theirs
        assert stored["labels"] == {"changed": "yes"}
        # It may still be told to go, and be changed on its way.
        refresher.kubectl("delete", _SECRET, "--namespace", published, "--wait=false")
        _done(_applied(refresher, published, pull_secret(labels={"changed": "again"})))
    finally:
        _merged(cluster, published, '{"metadata": {"finalizers": null}}')
    eventually("the Secret is gone", lambda: not cluster.exists(published, _SECRET))


# The certificate's Secret.


@pytest.fixture
def no_certificate(cluster: Cluster, account: Path) -> Iterator[None]:
    """Leave no certificate behind."""
    assert account.exists()
    yield
    cluster.kubectl("delete", _CERTIFICATE, "--namespace", DEFAULT_NAMESPACE, "--ignore-not-found")


@pytest.mark.usefixtures("no_certificate")
def test_certificate_secret_created_read_and_updated(refresher: Cluster) -> None:
    _done(_applied(refresher, DEFAULT_NAMESPACE, certificate()))
    _done(_applied(refresher, DEFAULT_NAMESPACE, certificate(annotations={"changed": "yes"})))
    patch = f"--patch={json.dumps({'metadata': {'annotations': {'changed': 'again'}}})}"
    refresher.kubectl("patch", _CERTIFICATE, "--namespace", DEFAULT_NAMESPACE, "--type=merge", patch)
    assert refresher.get(DEFAULT_NAMESPACE, _CERTIFICATE)["metadata"]["annotations"] == {"changed": "again"}
    address = f"/api/v1/namespaces/{DEFAULT_NAMESPACE}/secrets?fieldSelector=metadata.name%3D{CERTIFICATE}"
    assert len(refresher.kubectl("get", f"--raw={address}").manifest["items"]) == 1
    ran = refresher.kubectl("get", f"--raw={address}&watch=true&timeoutSeconds=1")
    assert CERTIFICATE in ran.stdout


@pytest.mark.usefixtures("no_certificate")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"type": "example.com/any"}, "registry-webhook-certificate only with the type Opaque"),
        (
            {"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": "e30="}},
            "only with the type Opaque",
        ),
        ({"metadata": {"finalizers": [_FINALIZER]}}, "remove finalizers of a Secret"),
        ({"metadata": {"ownerReferences": [_OWNER]}}, "remove owners of a Secret"),
    ],
)
def test_certificate_secret_other_type_or_metadata_denied(refresher: Cluster, changes: Manifest, message: str) -> None:
    metadata = changes.get("metadata", {})
    manifest = certificate(**metadata) | {key: value for key, value in changes.items() if key != "metadata"}
    _guarded(_applied(refresher, DEFAULT_NAMESPACE, manifest, "--dry-run=server"), message)


@pytest.mark.usefixtures("no_certificate")
def test_certificate_secret_token_type_denied(refresher: Cluster) -> None:
    token = {"type": "kubernetes.io/service-account-token", "data": {}}
    manifest = certificate(annotations={"kubernetes.io/service-account.name": PROGRAM}) | token
    _guarded(_applied(refresher, DEFAULT_NAMESPACE, manifest), "registry-webhook-certificate only with the type Opaque")


@pytest.mark.usefixtures("no_certificate")
def test_certificate_secret_foreign_untouched(cluster: Cluster, refresher: Cluster) -> None:
    cluster.create(DEFAULT_NAMESPACE, certificate() | {"type": "example.com/any"})
    patch = f"--patch={json.dumps({'metadata': {'labels': {'changed': 'yes'}}})}"
    ran = refresher.run("patch", _CERTIFICATE, "--namespace", DEFAULT_NAMESPACE, "--type=merge", patch)
    _guarded(ran, "registry-webhook-certificate only with the type Opaque")


@pytest.mark.usefixtures("no_certificate")
def test_certificate_secret_delete_refused(cluster: Cluster, refresher: Cluster) -> None:
    cluster.create(DEFAULT_NAMESPACE, certificate())
    _refused(refresher.run("delete", _CERTIFICATE, "--namespace", DEFAULT_NAMESPACE), "delete", "secrets")


def test_certificate_secret_other_namespace_refused(refresher: Cluster, labelled: str) -> None:
    manifest = certificate(namespace=labelled)
    _refused(_applied(refresher, labelled, manifest), "patch", "secrets")


# The webhook configuration.


@pytest.fixture(scope="module")
def called(cluster: Cluster, account: Path) -> Iterator[Manifest]:
    """Store the webhook configuration, and another, for requests that nobody makes."""
    assert account.exists()
    manifest = shipped()
    (webhook,) = manifest["webhooks"]
    nowhere = {"key": "registry-webhook-e2e", "operator": "In", "values": ["nowhere"]}
    webhook["namespaceSelector"]["matchExpressions"].append(nowhere)
    stored = cluster.create("default", manifest)
    cluster.create("default", manifest | {"metadata": {"name": _OTHER_CONFIGURATION}})
    try:
        yield stored
    finally:
        cluster.kubectl("delete", "mutatingwebhookconfiguration", PROGRAM, _OTHER_CONFIGURATION, "--ignore-not-found")


def _patched(who: Cluster, operations: list[Manifest], *options: str) -> Ran:
    return who.run("patch", _CONFIGURATION, "--type=json", f"--patch={json.dumps(operations)}", *options)


def _owner(cluster: Cluster, **changes: object) -> Manifest:
    uid = cluster.get("default", f"namespace/{DEFAULT_NAMESPACE}")["metadata"]["uid"]
    return {"apiVersion": "v1", "kind": "Namespace", "name": DEFAULT_NAMESPACE, "uid": uid, **changes}


def test_webhook_configuration_bundle_and_owner_updated(cluster: Cluster, refresher: Cluster, called: Manifest) -> None:
    (webhook,) = called["webhooks"]
    for bundle in ("Zmlyc3Q=", "c2Vjb25k"):
        applied = {
            "apiVersion": called["apiVersion"],
            "kind": called["kind"],
            "metadata": {"name": PROGRAM, "ownerReferences": [_owner(cluster)]},
            "webhooks": [{"name": webhook["name"], "clientConfig": {"caBundle": bundle}}],
        }
        _done(_applied(refresher, "default", applied, "--force-conflicts"))
        stored = refresher.get("default", _CONFIGURATION)
        assert stored["webhooks"][0]["clientConfig"]["caBundle"] == bundle
        assert stored["metadata"]["ownerReferences"] == [_owner(cluster)]


def test_webhook_configuration_only_own_listed_and_watched(refresher: Cluster, called: Manifest) -> None:
    address = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
    one = f"{address}?fieldSelector=metadata.name%3D{called['metadata']['name']}"
    assert len(refresher.kubectl("get", f"--raw={one}").manifest["items"]) == 1
    assert PROGRAM in refresher.kubectl("get", f"--raw={one}&watch=true&timeoutSeconds=1").stdout
    _refused(refresher.run("get", f"--raw={address}"), "list", "mutatingwebhookconfigurations")


_WEBHOOK = "/webhooks/0"
_METADATA = "cannot change labels, annotations and finalizers"
_NUMBER = "cannot add, remove or rename webhooks, and can change only their caBundle"
_WHO = "cannot change which server a webhook calls"
_WHEN = "cannot change the requests for which"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("/metadata/labels/any", "any", _METADATA),
        ("/metadata/annotations", {"any": "any"}, _METADATA),
        ("/metadata/finalizers", [_FINALIZER], _METADATA),
        (f"{_WEBHOOK}/name", "other.registry-webhook.internal", _NUMBER),
        (f"{_WEBHOOK}/admissionReviewVersions", ["v1", "v1beta1"], _NUMBER),
        (f"{_WEBHOOK}/sideEffects", "NoneOnDryRun", _NUMBER),
        (f"{_WEBHOOK}/failurePolicy", "Fail", _NUMBER),
        (f"{_WEBHOOK}/timeoutSeconds", 30, _NUMBER),
        (f"{_WEBHOOK}/reinvocationPolicy", "Never", _NUMBER),
        (f"{_WEBHOOK}/clientConfig", {"url": "https://example.com/"}, _WHO),
        (f"{_WEBHOOK}/clientConfig/service/name", "other", _WHO),
        (f"{_WEBHOOK}/clientConfig/service/namespace", "default", _WHO),
        (f"{_WEBHOOK}/clientConfig/service/path", "/other", _WHO),
        (f"{_WEBHOOK}/clientConfig/service/port", 8443, _WHO),
        (f"{_WEBHOOK}/rules/0/resources", ["secrets"], _WHEN),
        (f"{_WEBHOOK}/rules/0/operations", ["*"], _WHEN),
        (f"{_WEBHOOK}/matchPolicy", "Exact", _WHEN),
        (f"{_WEBHOOK}/matchConditions", [], _WHEN),
        (f"{_WEBHOOK}/matchConditions/0/expression", "true", _WHEN),
        (f"{_WEBHOOK}/namespaceSelector", {}, _WHEN),
        (f"{_WEBHOOK}/objectSelector", {}, _WHEN),
    ],
)
def test_webhook_configuration_other_fields_denied(
    refresher: Cluster, called: Manifest, path: str, value: object, message: str
) -> None:
    assert called
    ran = _patched(refresher, [{"op": "add", "path": path, "value": value}], "--dry-run=server")
    _guarded(ran, message, "registry-webhook-configurations")


def test_webhook_configuration_webhook_count_change_denied(refresher: Cluster, called: Manifest) -> None:
    another = called["webhooks"][0] | {"name": "other.registry-webhook.internal"}
    for operation in ({"op": "add", "path": "/webhooks/-", "value": another}, {"op": "remove", "path": _WEBHOOK}):
        _guarded(_patched(refresher, [operation], "--dry-run=server"), _NUMBER, "registry-webhook-configurations")


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "ConfigMap"},
        {"apiVersion": "example.com/v1"},
        {"name": "kube-system"},
        {"blockOwnerDeletion": True},
        {"controller": True},
        {"uid": "00000000-0000-0000-0000-000000000001"},
        {"kind": "namespace"},
        {"apiVersion": "V1"},
        {"name": DEFAULT_NAMESPACE.upper()},
    ],
)
def test_webhook_configuration_other_owner_denied(
    cluster: Cluster, refresher: Cluster, called: Manifest, changes: Manifest
) -> None:
    assert called
    operation = {"op": "add", "path": "/metadata/ownerReferences", "value": [_owner(cluster, **changes)]}
    ran = _patched(refresher, [operation], "--dry-run=server")
    _guarded(ran, "only its own Namespace", "registry-webhook-owners")


def test_webhook_configuration_owner_other_uid_denied(cluster: Cluster, refresher: Cluster, called: Manifest) -> None:
    assert called
    system = cluster.get("default", "namespace/kube-system")["metadata"]
    uid = system["uid"]
    for changes in ({"uid": uid}, {"uid": uid, "name": "kube-system"}, {"uid": uid.upper()}):
        operation = {"op": "add", "path": "/metadata/ownerReferences", "value": [_owner(cluster, **changes)]}
        ran = _patched(refresher, [operation], "--dry-run=server")
        _guarded(ran, "only its own Namespace", "registry-webhook-owners")


def test_webhook_configuration_own_owner_removed(cluster: Cluster, refresher: Cluster, called: Manifest) -> None:
    assert called
    path = "/metadata/ownerReferences"
    _done(_patched(refresher, [{"op": "add", "path": path, "value": [_owner(cluster)]}]))
    _done(_patched(refresher, [{"op": "remove", "path": path}]))


def test_webhook_configuration_foreign_owner_kept(cluster: Cluster, refresher: Cluster, called: Manifest) -> None:
    assert called
    namespace = cluster.get("default", "namespace/default")["metadata"]
    theirs = {"apiVersion": "v1", "kind": "Namespace", "name": "default", "uid": namespace["uid"]}
    path = "/metadata/ownerReferences"
    _done(_patched(cluster, [{"op": "add", "path": path, "value": [theirs]}]))
    try:
        both = [{"op": "add", "path": f"{path}/-", "value": _owner(cluster)}]
        _done(_patched(refresher, both, "--dry-run=server"))
        ran = _patched(refresher, [{"op": "add", "path": path, "value": [_owner(cluster)]}], "--dry-run=server")
        _guarded(ran, "only its own Namespace", "registry-webhook-owners")
    finally:
        _done(_patched(cluster, [{"op": "remove", "path": path}]))


def test_other_webhook_configuration_write_refused(refresher: Cluster, called: Manifest) -> None:
    resource = "mutatingwebhookconfigurations"
    new = {"apiVersion": called["apiVersion"], "kind": called["kind"], "webhooks": called["webhooks"]}
    _refused(_applied(refresher, "default", new | {"metadata": {"name": _OTHER_CONFIGURATION}}), "patch", resource)
    _refused(refresher.run("delete", _CONFIGURATION), "delete", resource)
    ran = refresher.run("create", "--filename=-", stdin=new | {"metadata": {"name": f"{PROGRAM}-new"}})
    _refused(ran, "create", resource)


def test_webhook_configuration_other_user_allowed(cluster: Cluster, called: Manifest) -> None:
    assert called
    operation = {"op": "add", "path": f"{_WEBHOOK}/failurePolicy", "value": "Fail"}
    _done(_patched(cluster, [operation], "--dry-run=server"))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("finalizers", [_FINALIZER], "remove finalizers of a Lease"),
        ("ownerReferences", [_OWNER], "remove owners of a Lease"),
    ],
)
def test_lease_finalizer_or_owner_denied(
    cluster: Cluster, refresher: Cluster, field: str, value: list[object], message: str
) -> None:
    free_lease(cluster)
    # Dry: a finalizer that was let through would keep the namespace from being deleted.
    replace = ("replace", f"--raw={_LEASES}/{REFRESHER}?dryRun=All", "--filename=-")
    lease = _lease(REFRESHER, "first")
    changed = {**lease, "metadata": {**lease["metadata"], field: value}}
    _guarded(refresher.run(*replace, stdin=changed), message, "registry-webhook-leases")
    refresher.kubectl("replace", f"--raw={_LEASES}/{REFRESHER}", "--filename=-", stdin=lease)
    stored = refresher.get(DEFAULT_NAMESPACE, f"lease/{REFRESHER}")
    stored["metadata"][field] = value
    _guarded(refresher.run(*replace, stdin=stored), message, "registry-webhook-leases")


def test_event_forged_controller_finalizer_or_owner_denied(refresher: Cluster, labelled: str) -> None:
    forged = event(labelled, reportingController="kubelet")
    spelled = event(labelled, reportingController=f"{PROGRAM}/Refresher")
    kept = event(labelled, metadata={"generateName": "kept-", "finalizers": [_FINALIZER]})
    owned = event(labelled, metadata={"generateName": "owned-", "ownerReferences": [_OWNER]})
    for manifest, message in (
        (forged, f"reportingController {CONTROLLER}"),
        (spelled, f"reportingController {CONTROLLER}"),
        (kept, "cannot create Events with finalizers"),
        (owned, "cannot create Events with owners"),
    ):
        dry = ("--dry-run=server", "--namespace", labelled, "--filename=-")
        _guarded(refresher.run("create", *dry, stdin=manifest), message, "registry-webhook-events")


def test_guard_other_accounts_unaffected(cluster: Cluster, account: Path, labelled: str) -> None:
    assert account.exists()
    cluster.create(labelled, {**pull_secret(finalizers=[]), "type": "Opaque"})
    cluster.create(labelled, event(labelled, reportingController="example.com/other"))


def test_guard_expressions_type_check(cluster: Cluster, account: Path) -> None:
    assert account.exists()
    for name in GUARDS:

        def checked(policy: str = f"validatingadmissionpolicy/{name}") -> Manifest | None:
            stored = cluster.get("default", policy)
            status: Manifest = stored.get("status", {})
            return status if status.get("observedGeneration") == stored["metadata"]["generation"] else None

        assert eventually("the expressions are checked", checked)["typeChecking"] == {}


# The Pods that have the account.


def test_deployment_accepted_without_warnings(cluster: Cluster, account: Path) -> None:
    assert account.exists()
    # Pod Security would warn.
    ran = cluster.kubectl("apply", "--dry-run=server", "--validate=strict", f"--filename={DEPLOYMENT}")
    assert not ran.warnings


def test_pod_unrestricted_refused(cluster: Cluster, account: Path) -> None:
    assert account.exists()
    ran = cluster.run(
        "create", "--dry-run=server", "--namespace", DEFAULT_NAMESPACE, "--filename=-", stdin=pod("any", app="any")
    )
    assert ran.status
    assert "restricted" in ran.stderr


def test_webhook_pod_without_token(cluster: Cluster, account: Path) -> None:
    assert account.exists()
    (deployment,) = (
        document for document in yaml.safe_load_all(DEPLOYMENT.read_text()) if document["kind"] == "Deployment"
    )
    template = deployment["spec"]["template"]
    manifest = {"apiVersion": "v1", "kind": "Pod", **template, "metadata": {"name": "any"}}
    arguments = ("create", "--dry-run=server", "--namespace", DEFAULT_NAMESPACE, "--filename=-", "--output=json")
    made = cluster.kubectl(*arguments, stdin=manifest).manifest["spec"]
    # Nothing was added to what the manifest says.
    assert [volume["name"] for volume in made["volumes"]] == [volume["name"] for volume in template["spec"]["volumes"]]
    for container, written in zip(made["containers"], template["spec"]["containers"], strict=True):
        assert container["volumeMounts"] == written["volumeMounts"]
