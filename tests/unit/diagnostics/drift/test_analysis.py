"""Running Pods compared with what the webhook would do now."""

import pytest

from tests.support.pod_factory import SECRET, SERVER, owned_by, owner, pod, settings
from webhook.constants import ENABLED_LABEL, MIRROR_ANNOTATION, ORIGINALS_ANNOTATION
from webhook.diagnostics.drift.analysis import Counts, Observed, Report, report
from webhook.diagnostics.evaluate import NONE, Rewriter, namespace_status
from webhook.diagnostics.running_pods import Cause, Pod
from webhook.errors import NotReadable
from webhook.kube.objects import Owner

INSTALLED = "2026-11-10T00:00:00Z"
WEBHOOK = Rewriter(webhook=True, policy=False, since=INSTALLED)
ORIGINALS = {ORIGINALS_ANNOTATION: '{"c0":"nginx"}'}
GOOD = f"{SERVER}/nginx"


def reported(*pods: Pod, parents: dict[str, Owner] | None = None, rewriter: Rewriter = WEBHOOK) -> Report:
    labels = {"team-a": {ENABLED_LABEL: "true"}, "team-b": {ENABLED_LABEL: "true"}, "other": {}, "kube-system": {}}
    decided = settings()
    statuses = {name: namespace_status(decided, name, found) for name, found in labels.items()}
    return report(decided, Observed(pods, statuses, parents or {}, rewriter))


@pytest.mark.parametrize(
    ("one", "counts"),
    [
        (pod(images=(GOOD,), secrets=(SECRET,), annotations=ORIGINALS), Counts(pods=1, current=1)),
        (pod(images=("registry.k8s.io/pause:3.10",)), Counts(pods=1, current=1)),
        (pod(images=("ghcr.io/org/app:2",)), Counts(pods=1, current=1)),
        (pod(), Counts(pods=1, drifted=1, images=1, lacking_secret=1, missed=1)),
        (pod(secrets=(SECRET,)), Counts(pods=1, drifted=1, images=1, missed=1)),
        (pod(images=(GOOD,)), Counts(pods=1, drifted=1, lacking_secret=1, missed=1)),
        (pod(images=("quay.io/a/b",)), Counts(pods=1, drifted=1, images=1, lacking_secret=1, missed=1)),
        (pod(labels={ENABLED_LABEL: "false"}), Counts(pods=1, left_alone=1)),
        (pod(annotations={MIRROR_ANNOTATION: ""}), Counts(pods=1, left_alone=1)),
        (pod(namespace="other"), Counts(pods=1, not_selected=1, would_change=1)),
        (pod(namespace="other", images=("ghcr.io/a/b",)), Counts(pods=1, not_selected=1)),
        (pod(namespace="kube-system"), Counts(pods=1, not_selected=1)),
        (pod(phase="Succeeded"), Counts()),
        (pod(phase="Failed"), Counts()),
        (pod(phase="Pending"), Counts(pods=1, drifted=1, images=1, lacking_secret=1, missed=1)),
        (pod(deletionTimestamp="2026-11-20T00:00:00Z"), Counts()),
        (pod(namespace="not-asked-about"), Counts()),
    ],
)
def test_drift_pods_counted_by_result(one: Pod, counts: Counts) -> None:
    assert reported(one).totals == counts


@pytest.mark.parametrize(
    ("one", "cause"),
    [
        (pod(creationTimestamp="2026-11-09T23:59:59Z"), Cause.OLDER),
        (pod(creationTimestamp=INSTALLED), Cause.MISSED),
        (pod(annotations=ORIGINALS), Cause.CHANGED),
    ],
)
def test_drift_cause(one: Pod, cause: Cause) -> None:
    (owner,) = reported(one).namespaces[0].owners
    assert owner.causes == {cause: 1}


def test_drift_pods_grouped_by_top_owner() -> None:
    parents = {"uid-web-5d8": owner("Deployment", "web"), "uid-run-1": owner("CronJob", "run")}
    pods = [
        pod("web-5d8-a", ownerReferences=owned_by("ReplicaSet", "web-5d8")),
        pod("web-5d8-b", ownerReferences=owned_by("ReplicaSet", "web-5d8")),
        pod("run-1-a", ownerReferences=owned_by("Job", "run-1")),
        pod("db-0", ownerReferences=owned_by("StatefulSet", "db")),
        pod("bare"),
        pod("lost", ownerReferences=owned_by("ReplicaSet", "unknown")),
    ]
    owners = reported(*pods, parents=parents).namespaces[0].owners
    assert [(str(one), one.pods) for one in owners] == [
        ("Deployment/web", 2),
        ("CronJob/run", 1),
        ("Pod/bare", 1),
        ("ReplicaSet/unknown", 1),
        ("StatefulSet/db", 1),
    ]


def test_drift_circular_owners_terminate() -> None:
    parents = {"uid-a": owner("ReplicaSet", "b"), "uid-b": owner("ReplicaSet", "a")}
    assert reported(pod(ownerReferences=owned_by("ReplicaSet", "a")), parents=parents).totals.drifted == 1


def test_drift_owner_unique_changes_and_pod_count() -> None:
    controlled = owned_by("StatefulSet", "db")
    pods = [pod(f"db-{number}", ("nginx", "redis:7"), ownerReferences=controlled) for number in range(9)]
    pods.append(pod("db-9", (GOOD,), secrets=(SECRET,), ownerReferences=controlled))
    (owner,) = reported(*pods).namespaces[0].owners
    assert (owner.pods, owner.drifted, owner.lacking_secret) == (10, 9, 9)
    assert list(map(str, owner.changes)) == [
        f"container c0: nginx -> {SERVER}/nginx",
        f"container c1: redis:7 -> {SERVER}/redis:7",
    ]
    assert owner.names == ("db-0", "db-1", "db-2", "db-3", "db-4")


def test_drift_namespaces_sorted_by_drift() -> None:
    pods = [pod("a", (GOOD,), secrets=(SECRET,)), pod("b", namespace="team-b"), pod("c", namespace="other")]
    assert [one.name for one in reported(*pods).namespaces] == ["team-b", "team-a", "other", "kube-system"]


def test_drift_unselected_namespace_no_owners() -> None:
    found = reported(pod(namespace="other"))
    assert all(one.owners == () for one in found.namespaces)


def test_drift_images_counted_by_registry() -> None:
    found = reported(pod(images=(GOOD, "nginx", "redis")), pod("b", images=("quay.io/a/b", "Not/An Image")))
    assert found.registries == {"docker.io": 2, SERVER: 1, "quay.io": 1, "invalid names": 1}


@pytest.mark.parametrize(
    ("rewriter", "name", "values"),
    [
        (WEBHOOK, "webhook", None),
        (Rewriter(webhook=False, policy=False), NONE, ()),
        (
            Rewriter(webhook=False, policy=False, hidden=True),
            "a policy that the API does not show",
            ("dry run",),
        ),
        (Rewriter(webhook=True, policy=False, has_bundle=False), "webhook", ("caBundle",)),
        (Rewriter(webhook=False, policy=True, policy_hash=settings().digest), "policy", ("MutatingAdmissionPolicy",)),
        (
            Rewriter(webhook=True, policy=True, policy_hash=settings().digest),
            "webhook and policy",
            ("MutatingAdmissionPolicy",),
        ),
        (Rewriter(webhook=False, policy=True, policy_hash="0" * 12), "policy", ("000000000000", settings().digest)),
        (Rewriter(webhook=False, policy=True), "policy", (settings().digest,)),
        (
            Rewriter(webhook=NotReadable("no right to read it"), policy=False),
            "not known",
            ("no right to read it",),
        ),
    ],
)
def test_drift_rewriter_named(rewriter: Rewriter, name: str, values: tuple[str, ...] | None) -> None:
    found = reported(rewriter=rewriter)
    assert found.rewriter == name
    assert bool(found.notes) == (values is not None)
    assert all(value in " ".join(found.notes) for value in values or ())


@pytest.mark.parametrize(
    ("name", "labels", "served", "may_be", "values"),
    [
        ("team-a", {ENABLED_LABEL: "true"}, True, True, ()),
        ("team-a", {}, False, True, (f"{ENABLED_LABEL}=true",)),
        ("team-a", {ENABLED_LABEL: "yes"}, False, True, (f"{ENABLED_LABEL}=yes",)),
        ("kube-system", {ENABLED_LABEL: "true"}, False, False, ("kube-system",)),
        ("registry-webhook", {}, False, False, ("registry-webhook",)),
        ("denied-1", {}, False, False, ("denied-1", "denied-*", "webhook.namespaces.deny")),
    ],
)
def test_namespace_status_with_reason(
    name: str, labels: dict[str, str], served: bool, may_be: bool, values: tuple[str, ...]
) -> None:
    status = namespace_status(settings(), name, labels)
    assert (status.selected, status.selectable) == (served, may_be)
    assert status.why
    assert all(value in status.why for value in values)
