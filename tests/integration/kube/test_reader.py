"""Reading a cluster as far as possible, from an API server that fails on demand."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from tests.support.fake_api_server import BROKEN, GONE, HTML, METADATA, TOKEN, Answer, Asked, status
from tests.support.refresher_process import Place
from webhook.errors import NotPermitted, NotReadable, Unreachable
from webhook.kube import client
from webhook.kube import reader as kube_reader
from webhook.kube.access import Access
from webhook.kube.client import connect, current_namespace
from webhook.kube.objects import is_managed_by_us
from webhook.kube.partial import attempt
from webhook.kube.reader import Reader, Resource

LIST_FORBIDDEN = status(403, "Forbidden", 'User "eve" cannot list resource "namespaces" in API group ""')
POD = {"metadata": {"name": "web", "namespace": "team-a"}}


@pytest.fixture
def reader(place: Place) -> Iterator[Reader]:
    made = Reader(connect(Access(place.folder / "kubeconfig"), lambda _method, _status: None))
    yield made
    made.close()


def at(path: str) -> Callable[[Asked], bool]:
    return lambda asked: asked.path == path


def answer(body: Any) -> Answer:
    return Answer(200, json.dumps(body).encode())


def test_list_pages_read_with_progress(place: Place, reader: Reader) -> None:
    place.api.page = 2
    for number in range(5):
        place.api.label(f"team-{number}")
    told: list[tuple[int, int | None]] = []
    found = reader.list(kube_reader.NAMESPACES, progress=lambda *far: told.append(far))
    assert [one.metadata.name for one in found] == [f"team-{number}" for number in range(5)]
    assert told == [(2, None), (4, None), (5, 5)]
    assert len(place.api.lists("namespaces")) == 3


def test_list_progress_total_from_remaining_count(place: Place, reader: Reader) -> None:
    first = answer({"metadata": {"continue": "c", "remainingItemCount": 41}, "items": [POD]})
    told: list[tuple[int, int | None]] = []
    with place.api.failing(lambda asked: "continue" not in asked.query and asked.path == "/api/v1/pods", first):
        found = reader.list(kube_reader.PODS, progress=lambda *far: told.append(far))
    assert told == [(1, 42)]
    assert found == ()  # the second page is of a kind that this server does not know


def test_list_secrets_metadata_only(place: Place, reader: Reader) -> None:
    place.api.put("team-a", ours=True)
    found = reader.list(kube_reader.SECRETS, fields="type=kubernetes.io/dockerconfigjson")
    assert [one.metadata.namespace for one in found] == ["team-a"]
    assert all(asked.accept.startswith(METADATA) for asked in place.api.asked if asked.path == "/api/v1/secrets")


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (LIST_FORBIDDEN, ""),
        (status(401, "Unauthorized", "Unauthorized"), "rejected the credentials (401)"),
        (BROKEN, ": etcdserver: leader changed (500)"),
        (HTML, ""),
        (GONE, ""),
    ],
)
def test_list_failing_reason_in_one_line(place: Place, reader: Reader, fault: Answer, why: str) -> None:
    with place.api.failing(at("/api/v1/namespaces"), fault), pytest.raises(NotReadable) as raised:
        reader.list(kube_reader.NAMESPACES)
    assert "Namespaces" in raised.value.reason
    assert raised.value.reason.endswith(why)
    assert "\n" not in raised.value.reason


def test_list_expired_restarted(place: Place, reader: Reader) -> None:
    place.api.label("team-a")
    met: list[Asked] = []

    def first(asked: Asked) -> bool:
        met.append(asked)
        return len(met) == 1

    with place.api.failing(first, GONE):
        found = reader.list(kube_reader.NAMESPACES)
    assert len(found) == 1


def test_list_kind_not_served_empty(reader: Reader) -> None:
    assert reader.list(kube_reader.MUTATING_POLICIES) == ()
    assert reader.list(Resource("Things", "/apis/example.com/v1", "things", dict[str, Any]), "team-a") == ()


@pytest.mark.parametrize(
    ("read", "command"),
    [
        (lambda reader: reader.list(kube_reader.PODS), "list pods --all-namespaces"),
        (lambda reader: reader.list(kube_reader.PODS, "team-a"), "list pods -n team-a"),
        (lambda reader: reader.list(kube_reader.NAMESPACES), "list namespaces"),
        (lambda reader: reader.get(kube_reader.DEPLOYMENTS, "web", "a"), "get deployments.apps/web -n a"),
        (lambda reader: reader.get(kube_reader.PODS, "$(x)", "a"), "get 'pods/$(x)' -n a"),
        (
            lambda reader: reader.get(kube_reader.WEBHOOKS, "registry-webhook"),
            "get mutatingwebhookconfigurations.admissionregistration.k8s.io/registry-webhook",
        ),
    ],
)
def test_read_forbidden_hint_checks_the_permission(
    place: Place, reader: Reader, read: Callable[[Reader], object], command: str
) -> None:
    with place.api.failing(lambda _asked: True, LIST_FORBIDDEN), pytest.raises(NotPermitted) as raised:
        read(reader)
    assert raised.value.hint.endswith(f" `kubectl auth can-i {command}`")


def test_get_object_found_missing_or_forbidden(place: Place, reader: Reader) -> None:
    path = "/api/v1/namespaces/team-a/pods/web"
    assert reader.get(kube_reader.PODS, "web", "team-a") is None
    with place.api.failing(at(path), answer(POD)):
        assert reader.get(kube_reader.POD_MANIFESTS, "web", "team-a") == POD
    with place.api.failing(at(path), LIST_FORBIDDEN), pytest.raises(NotReadable, match="Pods team-a/web"):
        reader.get(kube_reader.PODS, "web", "team-a")


def test_get_name_escaped_in_path(place: Place, reader: Reader) -> None:
    reader.get(kube_reader.PODS, "../secrets/x?a", "team/a")
    assert place.api.asked[-1].path == "/api/v1/namespaces/team%2Fa/pods/..%2Fsecrets%2Fx%3Fa"


def test_get_from_pod_through_api_server_proxy(place: Place, reader: Reader) -> None:
    path = "/api/v1/namespaces/registry-webhook/pods/web:8080/proxy/metrics"
    with place.api.failing(at(path), Answer(200, b"a 1\n", "text/plain")):
        assert reader.get_from_pod("registry-webhook", "web", 8080, "/metrics") == b"a 1\n"
    unavailable = status(503, "ServiceUnavailable", "no endpoints")
    with place.api.failing(at(path), unavailable), pytest.raises(NotReadable) as raised:
        reader.get_from_pod("registry-webhook", "web", 8080, "/metrics")
    assert "/metrics of Pod registry-webhook/web: no endpoints (503)" in str(raised.value)


def test_get_from_pod_not_ready_body_returned(place: Place, reader: Reader) -> None:
    path = "/api/v1/namespaces/registry-webhook/pods/web:8081/proxy/readyz"
    with place.api.failing(at(path), Answer(503, b"not ready: the first pass is not over\n", "text/plain")):
        said = reader.get_from_pod("registry-webhook", "web", 8081, "/readyz")
    assert said == b"not ready: the first pass is not over\n"
    state = b'{"ready":false,"code":500}'
    with place.api.failing(at(path), Answer(503, state)):
        assert reader.get_from_pod("registry-webhook", "web", 8081, "/readyz", accept="application/json") == state
    assert place.api.asked[-1].accept == "application/json"
    refused = pytest.raises(NotReadable, match="/readyz of Pod registry-webhook/web")
    with place.api.failing(at(path), LIST_FORBIDDEN), refused:
        reader.get_from_pod("registry-webhook", "web", 8081, "/readyz")
    with place.api.failing(at(path), Answer(503, b"{")), pytest.raises(NotReadable):
        reader.get_from_pod("registry-webhook", "web", 8081, "/readyz")


PODS = "/api/v1/namespaces/team-a/pods"
_CALLING = 'Internal error occurred: failed calling webhook "pods.registry-webhook.internal": no endpoints'


def test_dry_run_create_returns_stored_object(place: Place, reader: Reader) -> None:
    with place.api.failing(at(PODS), answer(POD)):
        tried = reader.dry_run_create(POD, "team-a")
    assert (tried.stored, tried.refusal) == (POD, "")
    asked = place.api.asked[-1]
    assert (asked.method, asked.query, asked.body) == ("POST", {"dryRun": "All"}, POD)


@pytest.mark.parametrize(
    ("fault", "refusal"),
    [
        (status(403, "Forbidden", "exceeded quota: small"), "exceeded quota: small (403)"),
        (status(422, "Invalid", "spec: Required value"), "spec: Required value (422)"),
        (status(500, "InternalError", _CALLING), f"{_CALLING} (500)"),
    ],
)
def test_dry_run_create_refused_reason_returned(place: Place, reader: Reader, fault: Answer, refusal: str) -> None:
    with place.api.failing(at(PODS), fault):
        tried = reader.dry_run_create(POD, "team-a")
    assert (tried.stored, tried.refusal) == (None, refusal)


def test_dry_run_create_failing_unknown(place: Place, reader: Reader) -> None:
    with place.api.failing(at(PODS), BROKEN), pytest.raises(NotReadable):
        reader.dry_run_create(POD, "team-a")


def test_version_api_server_gone_unreachable(place: Place, reader: Reader) -> None:
    place.api.stop()
    with pytest.raises(Unreachable):
        reader.version()
    with pytest.raises(NotReadable, match="Pods in team-a"):
        reader.list(kube_reader.PODS, "team-a")


def test_list_and_get_errors_without_token(place: Place, reader: Reader) -> None:
    with place.api.failing(lambda _asked: True, LIST_FORBIDDEN):
        found = (attempt(reader.list, kube_reader.PODS), attempt(reader.get, kube_reader.PODS, "a", "b"))
    assert all(isinstance(one, NotReadable) for one in found)
    assert TOKEN not in repr(found)


@pytest.mark.parametrize(
    ("text", "context", "namespace"),
    [
        ("contexts: [{name: a, context: {cluster: c, user: u, namespace: team-a}}]", None, "team-a"),
        ("contexts: [{name: a, context: {cluster: c, user: u}}]", None, "default"),
        ("contexts: [{name: a, context: {cluster: c, user: u, namespace: x}}]", "a", "x"),
        ("contexts: [{name: a, context: {cluster: c, user: u}}]", "unheard-of", "default"),
        ("no kubeconfig", None, "default"),
    ],
)
def test_current_namespace_from_kubeconfig(place: Place, text: str, context: str | None, namespace: str) -> None:
    named = "clusters: [{name: c, cluster: {server: x}}]\nusers: [{name: u, user: {}}]\ncurrent-context: a\n"
    place.write("other", f"{named}{text}\n" if ":" in text else text)
    assert current_namespace(Access(place.folder / "other", context)) == namespace


def test_current_namespace_in_pod_of_service_account(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setattr(client, "_SERVICE_ACCOUNT_NAMESPACE", place.folder / "namespace")
    assert current_namespace(Access()) == "default"
    place.write("namespace", "team-b\n")
    assert current_namespace(Access()) == "team-b"


@pytest.mark.parametrize(
    "kind", [kube_reader.SECRETS, kube_reader.EVENTS, kube_reader.JOBS], ids=lambda kind: kind.plural
)
def test_list_tenant_annotations_large_not_kept(place: Place, reader: Reader, kind: Resource[Any]) -> None:
    """Anybody may create many of them, with a MiB of text in each."""
    notes = {"a": "x" * 500_000, "registry-webhook/content-hash": "y" * 500_000, "registry-webhook/refreshed-at": "z"}
    managed = [{"manager": f"m{number}", "operation": "Apply", "fieldsV1": {"f:a": {}}} for number in range(1000)]
    managed.append({"manager": "registry-webhook-refresher", "operation": "Apply", "fieldsV1": {"f:a": {}}})
    ours = {"app.kubernetes.io/managed-by": "registry-webhook", "registry-webhook/installation": "acme"}
    labels = {f"label-{number}": "x" for number in range(2000)} | ours
    metadata = {"name": "one", "annotations": notes, "labels": labels, "managedFields": managed}
    body = answer({"metadata": {}, "items": [{"metadata": metadata, "message": "x" * 500_000}]})
    with place.api.failing(at(kind.path(None)), body):
        found = reader.list(kind)
    assert len(msgspec.json.encode(found)) < 3000
    assert found[0].metadata.annotations == {"registry-webhook/refreshed-at": "z"}
    assert found[0].metadata.labels == ours
    if kind is kube_reader.SECRETS:
        assert is_managed_by_us(found[0].metadata)
