"""What the sidecar's account may do, and what it is refused by its rights or, where these cannot say it, by the guard.

Everything is tried with a real token of the account.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from webhook.names import ENABLED_LABEL, OWN_NAMESPACE, PROGRAM, REFRESHER, SYSTEM_NAMESPACES

from .account import CONTROLLER, DEPLOYMENT, acting, event, pull_secret
from .cluster import Cluster, Manifest, Ran, eventually
from .pods import PULL_SECRET, pod

_SECRET = f"secret/{PULL_SECRET}"
_ONLY_IT = f"--field-selector=metadata.name={PULL_SECRET}"
_NEVER_SERVED = sorted(SYSTEM_NAMESPACES | {OWN_NAMESPACE})
_TYPE = "the only type of Secret that this account may write is kubernetes.io/dockerconfigjson"
_EVERYWHERE_ELSE = f"in any namespace but kube-system, kube-public, kube-node-lease and {OWN_NAMESPACE}"
_LABEL = f'only in a namespace with the label {ENABLED_LABEL}: "true"'
_FINALIZER = "registry-webhook-e2e/kept"
_OWNER = {"apiVersion": "v1", "kind": "ConfigMap", "name": "kube-root-ca.crt", "uid": "no-such"}
_LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{OWN_NAMESPACE}/leases"

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
    assert f'User "system:serviceaccount:{OWN_NAMESPACE}:{PROGRAM}" cannot {verb} resource "{resource}"' in ran.stderr


def _guarded(ran: Ran, message: str, policy: str = "registry-webhook-secrets") -> None:
    """Expect that the rights allow it and the guard refuses it."""
    assert ran.status
    assert f"ValidatingAdmissionPolicy '{policy}' with binding '{policy}' denied request: " in ran.stderr
    assert message in ran.stderr
    assert "(Forbidden)" in ran.stderr


@pytest.mark.parametrize("own", [True, False])
def test_the_account_has_these_rights_and_no_others(
    cluster: Cluster, refresher: Cluster, labelled: str, own: bool
) -> None:
    namespace = OWN_NAMESPACE if own else labelled
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
        (frozenset({"create"}), "events.k8s.io", "events", frozenset()),
    }
    if own:
        leases = (frozenset({"get", "create", "update"}), "coordination.k8s.io", "leases", frozenset({REFRESHER}))
        expected.add(leases)
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


def test_it_reads_every_pull_secret_in_one_request(refresher: Cluster, published: str) -> None:
    ran = refresher.kubectl("get", "secrets", "--all-namespaces", _ONLY_IT, "--output=json")
    found = {(item["metadata"]["namespace"], item["metadata"]["name"]) for item in ran.manifest["items"]}
    assert (published, PULL_SECRET) in found
    assert {name for _, name in found} == {PULL_SECRET}


def test_it_watches_every_pull_secret_in_one_request(refresher: Cluster, published: str) -> None:
    fields = f"fieldSelector=metadata.name%3D{PULL_SECRET}"
    ran = refresher.kubectl("get", f"--raw=/api/v1/secrets?watch=true&timeoutSeconds=1&{fields}")
    assert f'"namespace":"{published}"' in ran.stdout


def test_it_reads_the_namespaces(refresher: Cluster, labelled: str) -> None:
    ran = refresher.kubectl("get", "namespaces", f"--selector={ENABLED_LABEL}=true", "--output=name")
    assert f"namespace/{labelled}" in ran.stdout.split()


def test_it_makes_changes_and_deletes_the_pull_secret_of_a_served_namespace(
    cluster: Cluster, refresher: Cluster, labelled: str
) -> None:
    _done(_applied(refresher, labelled, pull_secret()))
    _done(_applied(refresher, labelled, pull_secret(labels={"changed": "by-apply"})))
    assert refresher.get(labelled, _SECRET)["metadata"]["labels"] == {"changed": "by-apply"}
    _done(_merged(refresher, labelled, '{"metadata": {"labels": {"changed": "by-patch"}}}'))
    assert cluster.get(labelled, _SECRET)["metadata"]["labels"] == {"changed": "by-patch"}
    refresher.kubectl("delete", _SECRET, "--namespace", labelled)
    assert not cluster.exists(labelled, _SECRET)


def test_it_makes_its_lease_by_a_put_to_its_name_and_holds_it(refresher: Cluster) -> None:
    replace = ("replace", f"--raw={_LEASES}/{REFRESHER}", "--filename=-")
    refresher.kubectl(*replace, stdin=_lease(REFRESHER, "first"))
    made = refresher.get(OWN_NAMESPACE, f"lease/{REFRESHER}")
    # What makes it takes it from nobody.
    assert "resourceVersion: Invalid value" in refresher.run(*replace, stdin=_lease(REFRESHER, "thief")).stderr
    made["spec"]["holderIdentity"] = "second"
    refresher.kubectl(*replace, stdin=made)
    assert refresher.get(OWN_NAMESPACE, f"lease/{REFRESHER}")["spec"]["holderIdentity"] == "second"


def _lease(name: str, holder: str) -> Manifest:
    kind = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}
    return {**kind, "metadata": {"name": name}, "spec": {"holderIdentity": holder}}


def test_it_makes_events(cluster: Cluster, refresher: Cluster, labelled: str) -> None:
    refresher.kubectl("create", "--namespace", labelled, "--filename=-", stdin=event(labelled))
    assert CONTROLLER in {made["reportingController"] for made in cluster.items(labelled, "events.events.k8s.io")}


# What its rights refuse.


@pytest.mark.parametrize("scope", ["--all-namespaces", f"--namespace={OWN_NAMESPACE}"])
def test_it_lists_no_other_secrets(refresher: Cluster, scope: str) -> None:
    _refused(refresher.run("get", "secrets", scope), "list", "secrets")


def test_it_reads_no_other_secret(cluster: Cluster, refresher: Cluster, labelled: str) -> None:
    cluster.kubectl("create", "secret", "generic", "other", "--namespace", labelled)
    _refused(refresher.run("get", "secret/other", "--namespace", labelled), "get", "secrets")


def test_it_makes_no_secret_of_another_name(refresher: Cluster, labelled: str) -> None:
    _refused(_applied(refresher, labelled, pull_secret(name="other")), "patch", "secrets")


def test_it_posts_no_secret(refresher: Cluster, labelled: str) -> None:
    ran = refresher.run("create", "--namespace", labelled, "--filename=-", stdin=pull_secret())
    _refused(ran, "create", "secrets")


def test_it_puts_no_secret(refresher: Cluster, published: str) -> None:
    ran = refresher.run("replace", "--namespace", published, "--filename=-", stdin=pull_secret())
    _refused(ran, "update", "secrets")


@pytest.mark.parametrize("name", [PULL_SECRET, "other"])
def test_it_deletes_no_collection_of_secrets(refresher: Cluster, published: str, name: str) -> None:
    address = f"/api/v1/namespaces/{published}/secrets?fieldSelector=metadata.name%3D{name}"
    _refused(refresher.run("delete", f"--raw={address}"), "deletecollection", "secrets")


@pytest.mark.parametrize("resource", ["pods", "configmaps", "serviceaccounts", "leases", "events"])
def test_it_reads_nothing_else(refresher: Cluster, resource: str) -> None:
    _refused(refresher.run("get", resource, "--namespace", OWN_NAMESPACE), "list", resource)


def test_it_changes_no_namespace(refresher: Cluster, labelled: str) -> None:
    _refused(refresher.run("label", "namespace", labelled, "team=search"), "patch", "namespaces")
    _refused(refresher.run("delete", "namespace", labelled), "delete", "namespaces")


def test_it_holds_no_other_lease(refresher: Cluster, labelled: str) -> None:
    elsewhere = _LEASES.replace(OWN_NAMESPACE, labelled)
    for address, name in ((_LEASES, "other"), (elsewhere, REFRESHER)):
        lease = _lease(name, "thief")
        ran = refresher.run("replace", f"--raw={address}/{name}", "--filename=-", stdin=lease)
        _refused(ran, "update", "leases")


def test_it_makes_no_token_for_an_account(refresher: Cluster) -> None:
    ran = refresher.run("create", "token", "default", "--namespace=kube-system")
    _refused(ran, "create", "serviceaccounts/token")


# What the guard refuses.


def test_the_account_cannot_have_itself_given_another_accounts_token(
    cluster: Cluster, refresher: Cluster, never_served: str
) -> None:
    # A controller of kube-system that may do much, where there is one.
    _guarded(_applied(refresher, never_served, _token_of("generic-garbage-collector")), _TYPE)
    assert not cluster.exists(never_served, _SECRET)


def test_the_account_cannot_have_itself_given_a_token_in_a_served_namespace(refresher: Cluster, labelled: str) -> None:
    _guarded(_applied(refresher, labelled, _token_of("default")), _TYPE)


def _token_of(account: str) -> Manifest:
    secret = pull_secret(annotations={"kubernetes.io/service-account.name": account})
    return {**secret, "type": "kubernetes.io/service-account-token", "data": {}}


def test_a_secret_of_any_other_type_is_not_made(refresher: Cluster, labelled: str) -> None:
    _guarded(_applied(refresher, labelled, {**pull_secret(), "type": "Opaque"}), _TYPE)
    untyped = {key: value for key, value in pull_secret().items() if key != "type"}
    _guarded(_applied(refresher, labelled, untyped), _TYPE)


def test_no_secret_is_made_in_a_namespace_that_is_never_served(refresher: Cluster, never_served: str) -> None:
    _guarded(_applied(refresher, never_served, pull_secret()), _EVERYWHERE_ELSE)


def test_a_secret_in_a_namespace_that_is_never_served_is_not_changed_and_may_go(
    cluster: Cluster, refresher: Cluster, never_served: str
) -> None:
    cluster.create(never_served, pull_secret())
    _guarded(_applied(refresher, never_served, pull_secret(labels={"changed": "yes"})), _EVERYWHERE_ELSE)
    # Somebody copied it there.
    refresher.kubectl("delete", _SECRET, "--namespace", never_served)


@pytest.mark.parametrize("labels", [{}, {ENABLED_LABEL: "false"}])
def test_no_secret_is_made_in_a_namespace_that_is_not_opted_in(
    cluster: Cluster, refresher: Cluster, labels: dict[str, str]
) -> None:
    namespace = cluster.make_namespace(labels)
    _guarded(_applied(refresher, namespace, pull_secret()), _LABEL)


def test_a_secret_stays_current_and_goes_where_the_label_was_taken_away(refresher: Cluster, left: str) -> None:
    _done(_applied(refresher, left, pull_secret(labels={"changed": "yes"})))
    refresher.kubectl("delete", _SECRET, "--namespace", left)
    _guarded(_applied(refresher, left, pull_secret()), _LABEL)


def test_a_label_that_is_put_on_soon_counts(cluster: Cluster, refresher: Cluster) -> None:
    namespace = cluster.make_namespace({})
    cluster.kubectl("label", "namespace", namespace, f"{ENABLED_LABEL}=true")
    eventually("the label counts", lambda: not _applied(refresher, namespace, pull_secret()).status, deadline=5)


def test_the_type_of_a_secret_is_not_changed(refresher: Cluster, published: str) -> None:
    ran = _applied(refresher, published, {**pull_secret(), "type": "Opaque"})
    assert ran.status
    # The API server's own rule comes first.
    assert "type: Invalid value" in ran.stderr


def test_somebody_elses_secret_of_our_name_and_another_type_is_left_alone(
    cluster: Cluster, refresher: Cluster, labelled: str
) -> None:
    cluster.create(labelled, {**pull_secret(), "type": "Opaque"})
    _guarded(_merged(refresher, labelled, '{"metadata": {"labels": {"changed": "yes"}}}'), _TYPE)
    _guarded(refresher.run("delete", _SECRET, "--namespace", labelled), _TYPE)
    assert "labels" not in cluster.get(labelled, _SECRET)["metadata"]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("finalizers", [_FINALIZER], "only without finalizers, and may change none"),
        ("ownerReferences", [_OWNER], "only without owners, and may change none"),
    ],
)
def test_it_puts_no_finalizer_and_no_owner_on_a_secret(
    refresher: Cluster, labelled: str, field: str, value: list[object], message: str
) -> None:
    manifest = pull_secret(**{field: value})
    # Tried dry: a finalizer that was let through would keep the namespace from being deleted.
    _guarded(_applied(refresher, labelled, manifest, "--dry-run=server"), message)
    _done(_applied(refresher, labelled, pull_secret()))
    _guarded(_applied(refresher, labelled, manifest, "--dry-run=server"), message)


def test_somebody_elses_finalizer_and_owner_hinder_no_change_and_stay(
    cluster: Cluster, refresher: Cluster, published: str
) -> None:
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
            _guarded(_merged(refresher, published, f'{{"metadata": {{"{field}": null}}}}'), "and may change none")
        stored = cluster.get(published, _SECRET)["metadata"]
        assert {field: stored[field] for field in theirs} == theirs
        assert stored["labels"] == {"changed": "yes"}
        # It may still be told to go, and be changed on its way.
        refresher.kubectl("delete", _SECRET, "--namespace", published, "--wait=false")
        _done(_applied(refresher, published, pull_secret(labels={"changed": "again"})))
    finally:
        _merged(cluster, published, '{"metadata": {"finalizers": null}}')
    eventually("the Secret is gone", lambda: not cluster.exists(published, _SECRET))


def test_its_events_say_who_speaks_and_have_no_finalizer(refresher: Cluster, labelled: str) -> None:
    forged = event(labelled, reportingController="kubelet")
    kept = event(labelled, metadata={"generateName": "kept-", "finalizers": [_FINALIZER]})
    for manifest, message in ((forged, f"is {CONTROLLER}"), (kept, "only without finalizers")):
        dry = ("--dry-run=server", "--namespace", labelled, "--filename=-")
        _guarded(refresher.run("create", *dry, stdin=manifest), message, "registry-webhook-events")


def test_nobody_elses_secrets_and_events_are_looked_at(cluster: Cluster, account: Path, labelled: str) -> None:
    assert account.exists()
    cluster.create(labelled, {**pull_secret(finalizers=[]), "type": "Opaque"})
    cluster.create(labelled, event(labelled, reportingController="example.com/other"))


def test_the_api_server_finds_nothing_wrong_with_the_guards_expressions(cluster: Cluster, account: Path) -> None:
    assert account.exists()
    for name in ("registry-webhook-secrets", "registry-webhook-events"):

        def checked(policy: str = f"validatingadmissionpolicy/{name}") -> Manifest | None:
            stored = cluster.get("default", policy)
            status: Manifest = stored.get("status", {})
            return status if status.get("observedGeneration") == stored["metadata"]["generation"] else None

        assert eventually("the expressions are checked", checked)["typeChecking"] == {}


# The Pods that have the account.


def test_the_deployment_is_accepted_without_a_warning(cluster: Cluster, account: Path) -> None:
    assert account.exists()
    # Pod Security would warn.
    ran = cluster.kubectl("apply", "--dry-run=server", "--validate=strict", f"--filename={DEPLOYMENT}")
    assert not ran.warnings


def test_a_pod_that_asks_for_more_is_refused(cluster: Cluster, account: Path) -> None:
    assert account.exists()
    ran = cluster.run(
        "create", "--dry-run=server", "--namespace", OWN_NAMESPACE, "--filename=-", stdin=pod("any", app="any")
    )
    assert ran.status
    assert "restricted" in ran.stderr


def test_the_api_server_gives_the_webhook_no_token(cluster: Cluster, account: Path) -> None:
    assert account.exists()
    (deployment,) = (
        document for document in yaml.safe_load_all(DEPLOYMENT.read_text()) if document["kind"] == "Deployment"
    )
    template = deployment["spec"]["template"]
    manifest = {"apiVersion": "v1", "kind": "Pod", **template, "metadata": {"name": "any"}}
    arguments = ("create", "--dry-run=server", "--namespace", OWN_NAMESPACE, "--filename=-", "--output=json")
    made = cluster.kubectl(*arguments, stdin=manifest).manifest["spec"]
    # Nothing was added to what the manifest says.
    assert [volume["name"] for volume in made["volumes"]] == [volume["name"] for volume in template["spec"]["volumes"]]
    for container, written in zip(made["containers"], template["spec"]["containers"], strict=True):
        assert container["volumeMounts"] == written["volumeMounts"]
