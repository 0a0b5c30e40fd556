"""Responses of the API server become errors of one line, and no request hangs."""

import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator

import pytest

from tests.support import fake_api_server
from tests.support.fake_api_server import SECRET, TOKEN, Answer, status
from tests.support.refresher_process import PATIENCE, Place, wait_until
from webhook.constants import DEFAULT_NAMESPACE, REFRESHED_ANNOTATION
from webhook.errors import (
    ClusterError,
    Conflict,
    Expired,
    Forbidden,
    Invalid,
    NotFound,
    RegistryWebhookError,
    TooLarge,
    Unreachable,
)
from webhook.kube.access import Access
from webhook.kube.api import Cluster, Watch
from webhook.kube.client import Client, Request, connect
from webhook.kube.codec import namespace
from webhook.pull_secret.reconcile import Namespace, Secret
from webhook.settings import PullSecretSettings


class Counted:
    """A client, and the requests that it counted."""

    def __init__(self, place: Place) -> None:
        self.requests: list[tuple[str, str]] = []
        self.client: Client = connect(
            Access(place.folder / "kubeconfig"), lambda *request: self.requests.append(request)
        )
        self.cluster = Cluster(self.client, SECRET, DEFAULT_NAMESPACE)


@pytest.fixture
def counted(place: Place) -> Iterator[Counted]:
    made = Counted(place)
    yield made
    made.cluster.close()


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (400, ClusterError),
        (401, Forbidden),
        (403, Forbidden),
        (404, NotFound),
        (409, Conflict),
        (410, Expired),
        (422, Invalid),
        (429, Unreachable),
        (500, Unreachable),
        (503, Unreachable),
        (504, Unreachable),
        (302, ClusterError),
    ],
)
def test_list_error_status_mapped(place: Place, counted: Counted, code: int, kind: type[ClusterError]) -> None:
    with (
        place.api.failing(lambda _: True, status(code, "Any", "for a reason")),
        pytest.raises(RegistryWebhookError) as caught,
    ):
        counted.cluster.namespaces.list()
    assert type(caught.value) is kind
    reason = "the API server rejected the credentials" if code == 401 else "for a reason"
    assert str(caught.value).endswith(f": {reason} ({code})")
    assert counted.requests == [("GET", str(code))]


@pytest.mark.parametrize(
    "answer",
    [
        fake_api_server.HTML,
        Answer(200, b""),
        Answer(200, b"{}"),
        Answer(200, b"[]"),
        Answer(200, b'{"metadata":{"resourceVersion":"1"},"items":[{}]}'),
        Answer(200, b'{"metadata":{"resourceVersion":"1"},"items":[{"metadata":{"resourceVersion":"none"}}]}'),
        Answer(200, b'{"metadata":{"resourceVersion":"1"},"items":[' + b"[" * 5000),
        Answer(200, b'{"metadata":{"resourceVersion":"\xff"}}'),
    ],
    ids=range(8),
)
def test_list_invalid_response_unreachable(place: Place, counted: Counted, answer: Answer) -> None:
    with (
        place.api.failing(lambda _: True, answer),
        pytest.raises(Unreachable, match="namespaces"),
    ):
        counted.cluster.namespaces.list()


def test_list_redirected_reason_and_hint(place: Place, counted: Counted) -> None:
    with place.api.failing(lambda _: True, Answer(302, b"")), pytest.raises(ClusterError) as caught:
        counted.cluster.namespaces.list()
    assert "is a redirect" in str(caught.value)
    assert "kubectl config view" in caught.value.hint


@pytest.mark.parametrize(
    "body",
    [b"<html>" * 100_000, b'{"message": 5}', b'{"message": "\xff"}', b'{"other":' + b"[" * 5000, b"\xff", b""],
    ids=range(6),
)
def test_list_refused_without_reason_error(place: Place, counted: Counted, body: bytes) -> None:
    with (
        place.api.failing(lambda _: True, Answer(403, body)),
        pytest.raises(Forbidden, match=r"namespaces: .* \(403\)$"),
    ):
        counted.cluster.namespaces.list()
    assert counted.cluster.namespaces.list().items == []  # over a connection that is as good as before


@pytest.mark.parametrize(("name", "told"), [("my-pull", True), (PullSecretSettings().name, False)])
def test_list_renamed_secret_forbidden_names_cluster_role(
    place: Place, counted: Counted, name: str, told: bool
) -> None:
    cluster = Cluster(counted.client, name, DEFAULT_NAMESPACE)
    with place.api.failing(lambda _: True, status(403, "Forbidden", "no")), pytest.raises(Forbidden) as caught:
        cluster.secrets.list()
    for value in ("webhook.pull_secret.name", "resourceNames"):
        assert (value in str(caught.value)) == told


def test_error_server_message_escaped_and_truncated(place: Place, counted: Counted) -> None:
    said = "no\n2026-01-01T00:00:00Z INFO forged \x1b[31m пароль " + "x" * 5000
    with place.api.failing(lambda _: True, status(403, "Forbidden", said)), pytest.raises(Forbidden) as caught:
        counted.cluster.namespaces.list()
    text = str(caught.value)
    assert text.isascii()
    assert text.isprintable()
    assert r"namespaces: no\n2026" in text
    assert len(text) < 400


@pytest.mark.parametrize("change", ["no listener", "another authority", "no answer"])
def test_lease_unreachable_token_not_in_error(place: Place, counted: Counted, change: str) -> None:
    api = place.api
    if change == "no listener":
        api.close()
    elif change == "another authority":
        kubeconfig = (place.folder / "kubeconfig").read_text()
        place.write("kubeconfig", kubeconfig.replace("certificate-authority-data", "ignored"))
        counted = Counted(place)
    with api.failing(lambda _: change == "no answer", None, delay=PATIENCE), pytest.raises(Unreachable) as caught:
        counted.cluster.lease(0.3)
    assert "Lease " in str(caught.value)
    assert ("TLS" in str(caught.value)) == (change == "another authority")
    assert TOKEN not in str(caught.value)
    assert counted.requests == [("GET", "none")]
    counted.cluster.close()


@pytest.mark.parametrize("text", ["", "{", "apiVersion: v1\nkind: Config\n", "[1, 2]", "current-context: none"])
def test_kubeconfig_invalid_one_line(place: Place, text: str) -> None:
    place.write("kubeconfig", text)
    with pytest.raises(ClusterError) as caught:
        Counted(place)
    assert "\n" not in str(caught.value)


def watch(place: Place, counted: Counted, silence: float) -> Watch[Namespace]:
    """Open a watch that takes a silence of so many seconds for a dead connection."""
    query = (("watch", "true"), ("resourceVersion", "0"), ("allowWatchBookmarks", "true"))
    request = Request("watch namespaces", "GET", "/api/v1/namespaces", query, timeout=silence)
    opened = counted.client.stream(request)
    wait_until(lambda: place.api.streams)
    return Watch("watch namespaces", opened, namespace)


def test_watch_silent_too_long_unreachable(place: Place, counted: Counted) -> None:
    began = time.monotonic()
    with pytest.raises(Unreachable, match=r"namespaces: .*\(ReadTimeoutError\)$"):
        list(watch(place, counted, 0.5))
    assert time.monotonic() - began < PATIENCE / 2


def test_watch_closed_from_other_thread_ends(place: Place, counted: Counted) -> None:
    opened = watch(place, counted, 2 * PATIENCE)
    began = time.monotonic()
    threading.Timer(0.2, opened.close).start()
    with pytest.raises(Unreachable):
        list(opened)
    assert time.monotonic() - began < PATIENCE / 2


def test_watch_cut_off_earlier_changes_yielded(place: Place, counted: Counted) -> None:
    opened = watch(place, counted, PATIENCE)
    place.api.label("team")
    place.api.label("other", None)
    place.api.order("namespaces", fake_api_server.cut)
    told: list[Namespace | None] = []
    with pytest.raises(Unreachable, match="namespaces: "):
        told.extend(change.item for change in opened)
    assert [item and item.name for item in told] == ["team", "other"]


@pytest.mark.parametrize("order", [fake_api_server.babble, fake_api_server.fail])
def test_watch_invalid_event_unreachable(
    place: Place, counted: Counted, order: Callable[[fake_api_server.Handler], bool]
) -> None:
    opened = watch(place, counted, PATIENCE)
    place.api.order("namespaces", order)
    with pytest.raises(Unreachable):
        list(opened)


_MIB = 1024 * 1024


def test_list_objects_large_pages_small_and_nothing_kept(place: Place, counted: Counted) -> None:
    """Metadata can be written by whoever may create a Secret."""
    for number in range(40):
        place.api.put(f"team-{number}", ours=number % 2 == 0, other="x" * _MIB)
    counted.cluster.secrets.list()  # what is imported and connected once does not count
    tracemalloc.start()
    try:
        found = counted.cluster.secrets.list().items
        # The fake API server, in the same process, frees its last response a moment later.
        wait_until(lambda: tracemalloc.get_traced_memory()[0] < _MIB)
    finally:
        tracemalloc.stop()
    assert {secret.namespace for secret in found} == {f"team-{number}" for number in range(40)}
    # A page has 4 MiB at most, but for the first ones, of which no more is read.
    limits = [int(asked.query["limit"]) for asked in place.api.lists("secrets")]
    assert limits[0] == 500
    assert max(limits[len(limits) // 2 + 3 :]) < 8


def test_list_pages_grow_again_after_large_objects(place: Place, counted: Counted) -> None:
    for number in range(300):
        place.api.put(f"team-{number:03}", ours=False, other="x" * (_MIB if number < 5 else 10))
    assert len(counted.cluster.secrets.list().items) == 300
    assert len(place.api.lists("secrets")) < 15


def test_list_object_too_large_error(place: Place, counted: Counted) -> None:
    place.api.put("team", ours=False, other="x" * (17 * _MIB))
    with pytest.raises(TooLarge, match=r"the-pull-secret: .* 16384 KiB$"):
        counted.cluster.secrets.list()


def test_watch_change_too_large_error(place: Place, counted: Counted) -> None:
    opened = counted.cluster.secrets.watch("0")
    place.api.put("team", ours=False, other="x" * 5 * _MIB)
    place.api.put("other", ours=False, other="x" * 17 * _MIB)
    told: list[Secret | None] = []
    with pytest.raises(TooLarge):
        told.extend(change.item for change in opened)
    assert [item and item.namespace for item in told] == ["team"]


def test_list_and_watch_request_metadata_only(place: Place, counted: Counted) -> None:
    place.api.put("team", ours=True)
    for kind in (counted.cluster.namespaces, counted.cluster.secrets):
        kind.watch(kind.list().version)
    assert {"as=PartialObjectMetadata" in asked.accept for asked in place.api.asked} == {True}


def test_secret_annotations_too_long_truncated(place: Place, counted: Counted) -> None:
    """They are kept for as long as the Secret is there, and so not as long as somebody likes."""
    place.api.put("team", ours=True, **{REFRESHED_ANNOTATION: "x" * 200_000})
    place.api.put("other", ours=False, **{REFRESHED_ANNOTATION: "x"})
    ours, foreign = counted.cluster.secrets.list().items
    assert len(ours.refreshed or "") < 200
    assert foreign.refreshed is None


def test_secret_too_large_not_read(place: Place, counted: Counted) -> None:
    place.api.put("team", ours=True, other="x" * 5 * _MIB)
    with pytest.raises(TooLarge):
        counted.cluster.secret("team")
    assert counted.cluster.secret("none") is None


def test_list_and_watch_nested_managed_fields_read(place: Place, counted: Counted) -> None:
    """Whoever may create a Secret writes what they like there, and must not hide all others."""
    nested = b'{"f:a":' * 9_000 + rb'{"f:\ud800":{}}' + b"}" * 9_000
    fields = (
        b'"managedFields":[{"manager":"registry-webhook-refresher","operation":"Apply","fieldsV1":' + nested + b"}]"
    )
    hidden = b'{"metadata":{"name":"s","namespace":"team","uid":"1","resourceVersion":"5",' + fields + b"}}"
    listed = b'{"metadata":{"resourceVersion":"7"},"items":[' + hidden + b"]}"
    with place.api.failing(lambda asked: not asked.watches, Answer(200, listed)):
        (secret,) = counted.cluster.secrets.list().items
    assert (secret.namespace, secret.version, secret.managed) == ("team", 5, True)
    watch = counted.cluster.secrets.watch("0")
    place.api.order("secrets", fake_api_server.say(b'{"type":"ADDED","object":' + hidden + b"}\n"))
    assert next(iter(watch)).item == secret
