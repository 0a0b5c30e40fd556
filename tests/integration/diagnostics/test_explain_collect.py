"""Reading the context of a Pod from an API server that has all of it, or denies all but the Pod."""

import pytest

from tests.integration.diagnostics.test_doctor_collect import Giving, giving, reader
from tests.support.fake_api_server import status
from tests.support.installation_factory import PULL_SECRET, settings
from tests.support.refresher_process import Place
from webhook.constants import InstallationNames
from webhook.diagnostics.explain.collect import Collector
from webhook.diagnostics.explain.verdict import explain
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
POD = {"metadata": {"name": "web", "namespace": "team-a", "uid": "1"}, "spec": _SPEC}
DEPLOYMENT = {"kind": "Deployment", "metadata": {"name": "web"}, "spec": {"template": {"spec": _SPEC}}}


def collector(reader: Reader, *, dry_run: bool = False) -> Collector:
    objects = installed_config.read_objects(reader, InstallationNames())
    return Collector(reader, objects, settings(), dry_run=dry_run)


def test_collect_existing_pod_reads_all_around_it(place: Place, reader: Reader, giving: Giving) -> None:
    giving[_TEAM] = {"metadata": {"name": "team-a"}}
    giving[f"{_TEAM}/pods/web"] = POD
    giving[f"{_TEAM}/secrets/{PULL_SECRET}"] = {"metadata": {"name": PULL_SECRET}, "type": "Opaque"}
    giving[f"{_TEAM}/events"] = {"metadata": {}, "items": [{"reason": "Failed"}]}
    context = collector(reader).collect("web", "team-a")
    assert (context.subject, context.exists, context.manifest, context.dry_run) == ("team-a/web", True, POD, None)
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
    context = collector(reader).collect("web", "team-a")
    assert isinstance(context.namespace_object, NotReadable)
    assert isinstance(context.secret, NotReadable)
    assert context.events == ()
    unknown = [step.message for step in explain(context).steps if step.mark is Mark.UNKNOWN]
    assert f"not known: no right to read Secrets team-a/{PULL_SECRET}" in unknown


def test_collect_missing_pod_is_an_error(reader: Reader) -> None:
    with pytest.raises(ClusterError, match="Pod team-a/web"):
        collector(reader).collect("web", "team-a")


def test_collect_workload_tries_its_pod(place: Place, reader: Reader, giving: Giving) -> None:
    giving[f"{_TEAM}/pods"] = POD
    (workload,) = workloads(DEPLOYMENT)
    context = collector(reader, dry_run=True).collect(workload, "team-a")
    assert (context.subject, context.exists) == ("team-a/web", False)
    assert isinstance(context.namespace_object, NotReadable)
    assert "team-a" in context.namespace_object.reason
    assert context.dry_run == DryRunResult(POD)
    sent = [one for one in place.api.asked if one.method == "POST"]
    assert [one.query for one in sent] == [{"dryRun": "All"}]
    assert [one.body and one.body["spec"] for one in sent] == [_SPEC]
