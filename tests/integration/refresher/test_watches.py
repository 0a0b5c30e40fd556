"""Changes are noticed through failures of watches and of the API server."""

import time
from collections.abc import Callable

import pytest

from tests.support import fake_api_server
from tests.support.fake_api_server import BROKEN, BUSY, FOREIGN, GONE, HTML, Answer, ApiServer, Kind, status
from tests.support.refresher_process import PASSWORD, PATIENCE, Place, Sidecar, refreshing, wait_until
from webhook.constants import DESELECTED_ANNOTATION

from .test_pull_secrets import SOON, publish, published, settle, writing

KINDS: list[Kind] = ["namespaces", "secrets"]
_ORDERS = [
    fake_api_server.end,
    fake_api_server.cut,
    fake_api_server.expire,
    fake_api_server.fail,
    fake_api_server.babble,
]


def notice(api: ApiServer, kind: Kind, team: str) -> None:
    """See that a change of a kind is noticed soon."""
    if kind == "namespaces":
        api.label(f"{team}-noticed")
        wait_until(published(api, f"{team}-noticed"), SOON)
    else:
        api.edit(team)
        wait_until(published(api, team), SOON)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", _ORDERS, ids=lambda order: order.__name__)
def test_watch_ended_resumed(
    api: ApiServer, team: str, kind: Kind, order: Callable[[fake_api_server.Handler], bool]
) -> None:
    publish(api, team)
    before = len(api.watches(kind))
    assert api.order(kind, order) == 1
    notice(api, kind, team)
    wait_until(lambda: len(api.watches(kind)) > before)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("told", ["by its status", "by an event"])
def test_watch_expired_list_finds_missed_changes(api: ApiServer, team: str, kind: Kind, told: str) -> None:
    publish(api, team)
    if kind == "namespaces":
        api.label(f"{team}-missed", quiet=True)
    else:
        api.edit(team, quiet=True)
    lists = len(api.lists(kind))
    if told == "by its status":
        with api.changed:
            api.compact()
            api.order(kind, fake_api_server.end)
    else:
        api.order(kind, fake_api_server.expire)
    wait_until(published(api, f"{team}-missed" if kind == "namespaces" else team))
    assert len(api.lists(kind)) == lists + 1
    notice(api, kind, team)


@pytest.mark.parametrize("kind", KINDS)
def test_watch_bookmark_resumed_from(api: ApiServer, team: str, kind: Kind) -> None:
    publish(api, team)
    settle(api)
    api.order(kind, fake_api_server.say(api.bookmark(kind, 90_000_000)))
    api.order(kind, fake_api_server.end)
    wait_until(lambda: api.watches(kind))
    assert api.watches(kind)[-1].query["resourceVersion"] == "90000000"
    # From so far in the future nothing would be told for long.
    api.order(kind, fake_api_server.expire)
    notice(api, kind, team)


def test_watch_event_split_read_whole(api: ApiServer, team: str) -> None:
    api.label(team, quiet=True)
    text = fake_api_server.line("MODIFIED", api.namespaces[team])
    for piece in (text[:10], text[10:50], text[50:-1], text[-1:] + text[:20]):
        api.order("namespaces", fake_api_server.say(piece))
    wait_until(published(api, team), SOON)
    api.order("namespaces", fake_api_server.cut)
    notice(api, "namespaces", team)


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("namespaces", BROKEN),
        ("namespaces", status(403, "Forbidden", "no right")),
        ("namespaces", Answer(404, b"gone")),
        ("secrets", BUSY),
        ("secrets", HTML),
        ("secrets", status(401, "Unauthorized", "")),
    ],
    ids=["500", "403", "404", "429", "HTML", "401"],
)
def test_watch_refused_retried_until_open(
    sidecar: Sidecar, api: ApiServer, team: str, kind: Kind, answer: Answer
) -> None:
    publish(api, team)
    with api.failing(lambda asked: asked.watches and asked.path.endswith(kind), answer) as fault:
        api.order(kind, fake_api_server.end)
        wait_until(lambda: fault.met >= 2)
        assert sidecar.probe("/healthz")[0] == 200
    notice(api, kind, team)


@pytest.mark.parametrize("answer", [Answer(200, b""), BROKEN], ids=["that end at once", "that are refused"])
def test_watch_ending_at_once_rate_limited(api: ApiServer, answer: Answer) -> None:
    settle(api)
    with api.failing(lambda asked: asked.watches, answer) as fault:
        began = time.monotonic()
        api.order("secrets", fake_api_server.end)
        wait_until(lambda: fault.met >= 3)
        # At most four a second.
        assert fault.met <= 2 + 4 * (time.monotonic() - began)
    wait_until(lambda: {stream.kind for stream in api.streams} >= set(KINDS))


@pytest.mark.parametrize("kind", KINDS)
def test_list_pages_all_read(api: ApiServer, team: str, kind: Kind) -> None:
    names = [f"{team}-{number}" for number in range(5)]
    for name in names:
        publish(api, name)
    api.page = 2
    for name in names:
        api.edit(name, quiet=True)
        api.label(f"{name}-missed", quiet=True)
    api.order(kind, fake_api_server.expire)
    for name in names:
        wait_until(published(api, name if kind == "secrets" else f"{name}-missed"))
    assert [("continue" in asked.query) for asked in api.lists(kind)][:3] == [False, True, True]


@pytest.mark.parametrize(
    ("kind", "answer"),
    [("namespaces", GONE), ("secrets", GONE), ("namespaces", BROKEN), ("secrets", HTML)],
    ids=["410 for namespaces", "410 for Secrets", "500", "HTML"],
)
def test_list_failing_between_pages_restarted(api: ApiServer, team: str, kind: Kind, answer: Answer) -> None:
    publish(api, team)
    publish(api, f"{team}-other")
    api.page = 1
    api.edit(team, quiet=True)
    api.edit(f"{team}-other", quiet=True)
    api.label(f"{team}-missed", quiet=True)
    with api.failing(lambda asked: "continue" in asked.query, answer) as fault:
        api.order(kind, fake_api_server.expire)
        wait_until(lambda: fault.met)
        # A part of a list is none: nothing that it does not have is taken for gone.
        assert all(asked.method == "PATCH" for asked in api.writes())
    if kind == "secrets":
        wait_until(published(api, team))
        wait_until(published(api, f"{team}-other"))
    else:
        wait_until(published(api, f"{team}-missed"))


def test_api_server_outage_changes_caught_up_once(sidecar: Sidecar, api: ApiServer, team: str) -> None:
    names = [f"{team}-{number}" for number in range(5)]
    for name in names:
        publish(api, name)
    settled = {name: api.secrets[name]["metadata"]["resourceVersion"] for name in names}
    api.asked.clear()
    requests = sidecar.metric("api_requests_total", "GET", "none")
    api.close()
    api.label(f"{team}-new")
    api.edit(names[0])
    api.remove(names[1])
    wait_until(lambda: sidecar.metric("api_requests_total", "GET", "none") >= requests + 5)
    assert sidecar.probe("/healthz")[0] == 200
    assert sidecar.probe("/readyz")[0] == 200  # the credential is as good as before
    api.open()
    for name in (*names, f"{team}-new"):
        wait_until(published(api, name))
    wait_until(lambda: {stream.kind for stream in api.streams} >= set(KINDS))
    settle(api)
    written = [asked.namespace for asked in api.writes() if asked.namespace.startswith(team)]
    assert sorted(written) == sorted([names[0], names[1], f"{team}-new"])
    assert all(api.secrets[name]["metadata"]["resourceVersion"] == settled[name] for name in names[2:])
    notice(api, "namespaces", team)


def test_password_changed_during_outage_published_after(sidecar: Sidecar, api: ApiServer, team: str) -> None:
    names = [f"{team}-{number}" for number in range(5)]
    for name in names:
        publish(api, name)
    passes = sidecar.metric("refreshes_total", "published")
    api.asked.clear()
    api.close()
    sidecar.place.set_password(f"{PASSWORD}-new")
    wait_until(lambda: sidecar.metric("refreshes_total", "published") > passes)
    api.open()
    for name in names:
        wait_until(published(api, name, f"{PASSWORD}-new"))
    settle(api)
    assert sorted(asked.namespace for asked in api.writes() if asked.namespace in names) == names


def test_write_failing_backs_off(api: ApiServer, team: str) -> None:
    publish(api, team)
    with api.failing(lambda asked: asked.method == "PATCH", BROKEN) as fault:
        began = time.monotonic()
        api.edit(team)
        wait_until(lambda: fault.met >= 3)
        assert fault.met <= 3 + (time.monotonic() - began)
        assert api.secrets[team]["data"] == {".dockerconfigjson": FOREIGN}
    wait_until(published(api, team))
    assert [asked.method for asked in api.writes(team) if writing(team)(asked)][-1] == "PATCH"


def test_resync_finds_unwatched_changes(place: Place) -> None:
    place.configure(registry={"token_ttl": 10})
    api = place.api
    with refreshing(place):
        for name in ("edited", "deleted", "unlabelled", "left"):
            publish(api, name)
        began = time.monotonic()
        # The watches are open, and say nothing for ever.
        api.deaf |= {"namespaces", "secrets"}
        api.edit("edited")
        api.remove("deleted")
        api.label("unlabelled", None)
        api.label("labelled")
        for name in ("edited", "deleted", "labelled"):
            wait_until(published(api, name))
        wait_until(lambda: api.annotation("unlabelled", DESELECTED_ANNOTATION))
        assert time.monotonic() - began < PATIENCE
        written = {name: len(api.writes(name)) for name in api.namespaces}
        assert written == {"edited": 2, "deleted": 2, "unlabelled": 2, "left": 1, "labelled": 1}
