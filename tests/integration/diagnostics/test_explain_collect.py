"""Reading the context of a Pod from an API server that has all of it, or denies all but the Pod."""

from typing import Any

import pytest

from tests.integration.diagnostics.test_doctor_collect import Giving, giving, reader
from tests.support.fake_api_server import status
from tests.support.installation_factory import PULL_SECRET, settings
from tests.support.refresher_process import Place
from webhook.constants import InstallationNames
from webhook.diagnostics.explain import subjects
from webhook.diagnostics.explain.collect import Collector
from webhook.diagnostics.explain.subjects import Subject
from webhook.diagnostics.explain.verdict import explain
from webhook.diagnostics.restart_commands import WorkloadName
from webhook.errors import ClusterError, NotReadable
from webhook.kube import installed_config
from webhook.kube.objects import DryRunResult, Namespace, Secret
from webhook.kube.pod_templates import workloads
from webhook.kube.reader import Reader
from webhook.output.findings import Mark

#: The fixtures that are the same there.
__all__ = ["giving", "reader"]

_TEAM = "/api/v1/namespaces/team-a"
_SPEC = {"containers": [{"name": "app", "image": "nginx"}]}
POD: dict[str, Any] = {"metadata": {"name": "web", "namespace": "team-a", "uid": "1"}, "spec": _SPEC}
DEPLOYMENT = {"kind": "Deployment", "metadata": {"name": "web"}, "spec": {"template": {"spec": _SPEC}}}


def collector(reader: Reader, *, dry_run: bool = False) -> Collector:
    objects = installed_config.read_objects(reader, InstallationNames())
    return Collector(reader, objects, settings(), dry_run=dry_run)


def test_collect_existing_pod_reads_all_around_it(place: Place, reader: Reader, giving: Giving) -> None:
    giving[_TEAM] = {"metadata": {"name": "team-a"}}
    giving[f"{_TEAM}/pods/web"] = POD
    giving[f"{_TEAM}/secrets/{PULL_SECRET}"] = {"metadata": {"name": PULL_SECRET}, "type": "Opaque"}
    giving[f"{_TEAM}/events"] = {"metadata": {}, "items": [{"reason": "Failed"}]}
    (context,) = collector(reader).collect(Subject(subjects.POD, "web"), "team-a")
    assert (context.subject, context.exists, context.manifest, context.dry_run) == ("Pod team-a/web", True, POD, None)
    assert context.owner == WorkloadName("Pod", "web")
    assert isinstance(context.namespace_object, Namespace)
    assert isinstance(context.secret, Secret)
    assert [event.reason for event in context.events] == ["Failed"]
    asked = [one for one in place.api.asked if one.path == f"{_TEAM}/events"]
    assert [one.query["fieldSelector"] for one in asked] == ["involvedObject.kind=Pod,involvedObject.uid=1"]


def test_collect_unreadable_parts_are_kept_as_errors(reader: Reader, giving: Giving) -> None:
    others = [f"{_TEAM}/secrets/{PULL_SECRET}", f"{_TEAM}/events", _TEAM]
    for path in others:
        giving[path] = status(403, "Forbidden", "no")
    giving[f"{_TEAM}/pods/web"] = POD
    (context,) = collector(reader).collect(Subject(subjects.POD, "web"), "team-a")
    assert isinstance(context.namespace_object, NotReadable)
    assert isinstance(context.secret, NotReadable)
    assert context.events == ()
    unknown = [step.message for step in explain(context).steps if step.mark is Mark.UNKNOWN]
    assert f"no permission to read Secrets team-a/{PULL_SECRET}" in unknown
    unchecked = explain(context).unchecked
    assert "the labels of namespace team-a and the pull secret" in unchecked
    assert "registry-webhook-reader" in unchecked


def test_collect_missing_pod_is_an_error(reader: Reader) -> None:
    with pytest.raises(ClusterError, match="Pod team-a/web"):
        collector(reader).collect(Subject(subjects.POD, "web"), "team-a")


@pytest.mark.parametrize("answer", [{"kind": "List", "items": []}, {"metadata": {"labels": 3}}])
def test_collect_pod_without_metadata_is_an_error(reader: Reader, giving: Giving, answer: dict[str, Any]) -> None:
    giving[f"{_TEAM}/pods/web"] = answer
    with pytest.raises(ClusterError, match="unexpected response"):
        collector(reader).collect(Subject(subjects.POD, "web"), "team-a")


def test_collect_workload_tries_its_pod(place: Place, reader: Reader, giving: Giving) -> None:
    giving[f"{_TEAM}/pods"] = POD
    (workload,) = workloads(DEPLOYMENT)
    context = collector(reader, dry_run=True).plan(workload, "team-a")
    assert (context.subject, context.exists) == ("Deployment team-a/web", False)
    assert isinstance(context.namespace_object, NotReadable)
    assert "team-a" in context.namespace_object.reason
    assert context.dry_run == DryRunResult(POD)
    sent = [one for one in place.api.asked if one.method == "POST"]
    assert [one.query for one in sent] == [{"dryRun": "All"}]
    assert [one.body and one.body["spec"] for one in sent] == [_SPEC]


def _owned(kind: str, group: str, name: str, uid: str) -> list[dict[str, Any]]:
    return [{"kind": kind, "apiVersion": group, "name": name, "uid": uid, "controller": True}]


_REPLICA_SET = {
    "metadata": {
        "name": "web-1",
        "namespace": "team-a",
        "uid": "rs",
        "ownerReferences": _owned("Deployment", "apps/v1", "web", "deploy"),
    }
}
_SETS = "/apis/apps/v1/namespaces/team-a/replicasets"


@pytest.mark.parametrize(
    ("uid", "owner"),
    [("rs", WorkloadName("Deployment", "web", "apps")), ("other", WorkloadName("ReplicaSet", "web-1", "apps"))],
)
def test_collect_owner_followed_by_uid(reader: Reader, giving: Giving, uid: str, owner: WorkloadName) -> None:
    metadata = {**POD["metadata"], "ownerReferences": _owned("ReplicaSet", "apps/v1", "web-1", uid)}
    giving[f"{_TEAM}/pods/web"] = {**POD, "metadata": metadata}
    giving[f"{_SETS}/web-1"] = _REPLICA_SET
    (context,) = collector(reader).collect(Subject(subjects.POD, "web"), "team-a")
    assert context.owner == owner


def test_collect_deployment_has_template_and_newest_pod(place: Place, reader: Reader, giving: Giving) -> None:
    selector = {"matchLabels": {"app": "web"}}
    giving["/apis/apps/v1/namespaces/team-a/deployments/web"] = {
        "metadata": {"name": "web", "namespace": "team-a", "uid": "deploy"},
        "spec": {"selector": selector, "template": {"spec": _SPEC}},
    }
    giving[_SETS] = {"metadata": {}, "items": [_REPLICA_SET]}
    giving[f"{_SETS}/web-1"] = _REPLICA_SET
    of_set = {"namespace": "team-a", "ownerReferences": _owned("ReplicaSet", "apps/v1", "web-1", "rs")}
    pods = [
        {"metadata": {**of_set, "name": "old", "uid": "1", "creationTimestamp": "2026-11-01T00:00:00Z"}, "spec": _SPEC},
        {"metadata": {**of_set, "name": "new", "uid": "2", "creationTimestamp": "2026-11-02T00:00:00Z"}, "spec": _SPEC},
        {"metadata": {**of_set, "name": "leaving", "deletionTimestamp": "2026-11-04T00:00:00Z"}, "spec": _SPEC},
        {
            "metadata": {"name": "foreign", "namespace": "team-a", "creationTimestamp": "2026-11-03T00:00:00Z"},
            "spec": _SPEC,
        },
    ]
    giving[f"{_TEAM}/pods"] = {"metadata": {}, "items": pods}
    (subject,) = subjects.parse(["deploy/web"])
    planned, newest = collector(reader).collect(subject, "team-a")
    owner = WorkloadName("Deployment", "web", "apps")
    assert (planned.subject, planned.exists, planned.owner) == ("Deployment team-a/web", False, owner)
    assert (newest.subject, newest.exists, newest.owner) == ("Pod team-a/new", True, owner)
    assert [one.query.get("labelSelector") for one in place.api.asked if one.path == f"{_TEAM}/pods"] == ["app=web"]


def test_collect_deployment_without_readable_pods_has_template(reader: Reader, giving: Giving) -> None:
    giving["/apis/apps/v1/namespaces/team-a/deployments/web"] = {
        "metadata": {"name": "web", "namespace": "team-a", "uid": "deploy"},
        "spec": {"template": {"spec": _SPEC}},
    }
    giving[_SETS] = status(403, "Forbidden", "no")
    (context,) = collector(reader).collect(subjects.parse(["deploy/web"])[0], "team-a")
    assert not context.exists
