"""The certificate controller's reconcile, with a fake clock and a fake API server."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from tests.support.fake_api_server import BROKEN, SECRET, ApiServer, Asked, Kind, status
from tests.support.fakes import WALL, Clock
from tests.support.refresher_process import Place, wait_until
from tests.support.tls_server import OWNER, Server, said, serving
from webhook.config.listen_address import Address
from webhook.constants import DEFAULT_NAMESPACE, InstallationNames
from webhook.kube.access import Access
from webhook.kube.api import Cluster
from webhook.kube.client import connect
from webhook.kube.install import InstallationClient
from webhook.pki import ca, rotation
from webhook.pki.rotation import CertificateSpec
from webhook.refresher.certificates.controller import CertificateController, Replica
from webhook.refresher.certificates.keypair_dir import KeyPairDir
from webhook.refresher.runtime.event_recorder import EventRecorder
from webhook.refresher.runtime.metrics import Metrics
from webhook.refresher.runtime.thread_group import Loop, ThreadGroup
from webhook.settings import CertificateSettings

OVERLAP = 120.0
_HOUR = timedelta(hours=1)
_YEAR = 365 * 24 * 3600.0
_SPEC = CertificateSpec(
    InstallationNames().hosts, CertificateSettings(life=90 * 3600, authority_life=900 * 3600, overlap=int(OVERLAP))
)
_METRICS = "registry_webhook_refresher_"
_NAME = "registry-webhook-certificate"
_REFUSED = status(403, "Forbidden", "no right")
_CONFLICT = status(409, "Conflict", "the object has been modified")


class Replicated:
    """A replica whose watches run, and whose rounds a test makes."""

    def __init__(self, place: Place, clock: Clock, server: Server | None, name: str, *, leading: bool) -> None:
        self.api = place.api
        self.clock = clock
        self.server = server
        self.leading = leading
        self.metrics = Metrics()
        client = connect(Access(place.folder / "kubeconfig"), self.metrics.count_request)
        served = None
        if server:
            host, _, port = server.address.rpartition(":")
            served = KeyPairDir(server.folder, Address(host, int(port)))
        self.duty = CertificateController(
            installation=InstallationClient(client, InstallationNames()),
            key_pair_dir=served,
            spec=lambda: _SPEC,
            replica=Replica(name, lambda: self.leading),
            events=EventRecorder(Cluster(client, SECRET, DEFAULT_NAMESPACE), "", name, lambda: self.leading, clock),
            metrics=self.metrics,
            clocks=clock.clocks(),
        )
        self._stop = threading.Event()
        self.duty.start(cast("ThreadGroup", self))

    def start(self, name: str, _limit: float, loop: Loop) -> None:
        """Start a loop, unless it is the one that the test goes through."""
        if name != "certificates":
            threading.Thread(target=loop, args=(self._stop, lambda: None), daemon=True).start()

    def until(self, holds: Callable[[], object]) -> None:
        """Make rounds until something holds."""
        wait_until(lambda: (self.duty.reconcile(), holds())[1])

    def passes(self, seconds: float) -> None:
        """Look at what is there, and let time pass."""
        self.duty.reconcile()
        self.clock.now += seconds

    def run(self, seconds: float) -> None:
        """Make rounds as the sidecar does, for some seconds of everybody's time, and leave."""
        stop = threading.Event()
        timer = threading.Timer(seconds, stop.set)
        timer.start()
        self.duty.run(stop, lambda: None)
        timer.join()

    def metric(self, name: str) -> float:
        """Give the value of a metric that has no labels."""
        values = [
            line.split()[1]
            for line in self.metrics.exposition().decode().splitlines()
            if line.startswith(f"{_METRICS}{name} ")
        ]
        return float(values[0])

    def leave(self) -> None:
        """Be told to stop."""
        stop = threading.Event()
        stop.set()
        self.duty.run(stop, lambda: None)

    def close(self) -> None:
        self._stop.set()
        self.duty.close()


Start = Callable[..., Replicated]


@pytest.fixture
def clock() -> Clock:
    """The time, not at a full second."""
    clock = Clock()
    clock.now += 0.4
    return clock


@pytest.fixture
def start(place: Place, clock: Clock) -> Iterator[Start]:
    """Give a function that starts a replica, of a name, beside a server that serves its pair."""
    with ExitStack() as stack:

        def start(name: str = "one", *, leading: bool = True, served: bool = True, clock: Clock = clock) -> Replicated:
            server = stack.enter_context(serving(place, name)) if served else None
            made = Replicated(place, clock, server, name, leading=leading)
            stack.callback(made.close)
            return made

        yield start


@pytest.fixture
def replica(place: Place, start: Start) -> Replicated:
    """A replica that writes, and has come to rest."""
    place.api.call()
    made = start()
    made.until(lambda: at_rest(made))
    return made


def at_rest(*replicas: Replicated) -> bool:
    """Tell whether all is written, served, said, and known to everybody."""
    api = replicas[0].api
    served = api.certificate("tls.crt")
    return (
        bool(served)
        and api.certificate("ca.crt") in api.bundle
        and trusted(api) is not None
        and all(one.server and one.server.certificate == served for one in replicas)
        and said(api, "one") == ca.fingerprint(served)
    )


def trusted(api: ApiServer) -> datetime | None:
    """Say since when the bundle stands in its place, as the Secret has it."""
    annotations = api.certificates.get(_NAME, {"metadata": {}})["metadata"].get("annotations", {})
    since = annotations.get("registry-webhook/trusted-since")
    return datetime.fromisoformat(since) if since else None


def writes(api: ApiServer, to: str = "") -> list[Asked]:
    """Give what was written of what is installed."""
    paths = ("secrets/" + _NAME, "mutatingwebhookconfigurations/registry-webhook")
    return [one for one in list(api.asked) if one.method == "PATCH" and one.path.endswith(paths) and to in one.path]


def reads(api: ApiServer) -> list[Asked]:
    """Give the times that the Secret was read by itself."""
    return [one for one in list(api.asked) if one.method == "GET" and one.path.endswith(f"secrets/{_NAME}")]


# What is written, and when it is not.


def test_writes_use_two_field_managers_and_preconditions(replica: Replicated) -> None:
    api = replica.api
    applied = {"fieldManager": _NAME, "force": "true"}
    by_hand = {"fieldManager": "registry-webhook-replica"}
    made, *others = writes(api, _NAME)
    # The first one was made, and would have been over nothing of somebody else's.
    assert made.query == applied | {"force": "false"}
    stored, told = ([one for one in others if (one.query == query)] for query in (applied, by_hand))
    assert len(stored) + len(told) == len(others)
    assert stored
    assert told
    assert {one.body["metadata"]["labels"]["app.kubernetes.io/name"] for one in stored if one.body} == {
        "registry-webhook"
    }
    seen: list[bool] = []

    def written_over(asked: Asked) -> bool:
        if asked.method == "PATCH" and asked.query == applied and asked.body:
            kept = api.certificates if _NAME in asked.path else api.configurations
            (found,) = kept.values()
            seen.append(asked.body["metadata"].get("resourceVersion") == found["metadata"]["resourceVersion"])
        return False

    with api.failing(written_over, None):
        pair = api.certificate("tls.crt")
        replica.clock.now += 60 * 3600
        replica.until(lambda: at_rest(replica) and api.certificate("tls.crt") != pair)
        api.call()
        replica.until(lambda: at_rest(replica))
    assert len(seen) >= 3
    assert all(seen)


def test_follower_writes_only_its_report(replica: Replicated, start: Start) -> None:
    api = replica.api
    follower = start("two", leading=False)
    api.asked.clear()
    follower.until(lambda: said(api, "two"))
    api.call()
    for _ in range(3):
        follower.duty.reconcile()
    assert {one.query["fieldManager"] for one in writes(api)} == {"registry-webhook-replica"}
    assert api.bundle == b""


@pytest.mark.parametrize("kind", ["certificates", "configurations"])
def test_reconcile_state_incomplete_writes_nothing(place: Place, start: Start, kind: Kind) -> None:
    api = place.api
    api.call()
    path = "/secrets" if kind == "certificates" else "/mutatingwebhookconfigurations"
    with api.failing(lambda asked: asked.path.endswith(path) and not asked.watches, BROKEN) as fault:
        made = start()
        wait_until(lambda: fault.met >= 1)
        wait_until(lambda: len(api.streams) == 1)
        for _ in range(3):
            made.duty.reconcile()
        assert writes(api) == []
    made.until(lambda: at_rest(made))


def test_bundle_trusted_since_last_write(replica: Replicated) -> None:
    api = replica.api
    before = trusted(api)
    assert before == datetime.fromtimestamp(int(WALL), UTC)
    replica.clock.now += 50
    replica.until(lambda: True)
    assert trusted(api) == before
    api.call()
    replica.until(lambda: api.bundle and trusted(api) != before)
    assert trusted(api) == before + timedelta(seconds=50)
    # Once that is noted nothing is left to write.
    api.asked.clear()
    replica.clock.now += 50
    for _ in range(3):
        replica.duty.reconcile()
    assert writes(api) == []


def test_bundle_no_webhooks_counts_as_trusted(place: Place, start: Start) -> None:
    made = start()
    made.until(lambda: trusted(place.api))


def test_new_ca_served_after_overlap(replica: Replicated) -> None:
    api, server = replica.api, replica.server
    assert server
    before = api.certificate("ca.crt"), server.certificate
    replica.passes(OVERLAP)
    api.lose_certificate()
    replica.until(lambda: api.certificate("next-ca.crt") and api.bundle.count(b"BEGIN") == 2 and trusted(api))
    coming = api.certificate("next-ca.crt")
    assert api.bundle == before[0] + coming
    assert server.certificate == before[1]
    replica.passes(OVERLAP - 5)
    for _ in range(3):
        replica.duty.reconcile()
    assert api.certificate("ca.crt") == before[0]
    replica.clock.now += 5
    replica.until(lambda: server.certificate == api.certificate("tls.crt") != before[1])
    assert api.certificate("ca.crt") == coming
    assert api.bundle == before[0] + coming
    replica.passes(OVERLAP + 1)
    replica.until(lambda: api.bundle == coming)
    assert api.certificate("retired-ca.crt") == b""
    assert replica.metric("certificate_renewals_total") == 4
    ends = ca.validity(server.certificate).ends.timestamp()
    assert replica.metric("certificate_expiry_timestamp_seconds") == ends


def test_certificate_adopted_reported_in_same_reconcile(replica: Replicated) -> None:
    api, server = replica.api, replica.server
    assert server
    before = server.certificate
    replica.clock.now += 60 * 3600
    replica.until(lambda: server.certificate != before)
    assert said(api, "one") == ca.fingerprint(server.certificate)


def test_new_leader_secret_missing_keeps_bundle(replica: Replicated, start: Start) -> None:
    api = replica.api
    before = api.bundle
    replica.leading = False
    api.lose_certificate()
    follower = start("two")
    follower.until(lambda: trusted(api) and api.certificate("ca.crt") in api.bundle)
    assert api.bundle == before + api.certificate("ca.crt")


def test_new_leader_secret_invalid_replaced(replica: Replicated, start: Start) -> None:
    api = replica.api
    before = api.bundle
    replica.leading = False
    api.change_certificate("ca.key", b"kept-secret")
    follower = start("two")
    follower.until(lambda: trusted(api) and api.certificate("ca.crt") in api.bundle and api.bundle != before)
    assert api.bundle == before + api.certificate("ca.crt")


# What somebody else changes.


def test_bundle_emptied_or_changed_restored(replica: Replicated) -> None:
    api = replica.api
    assert replica.metric("ca_bundle_repairs_total") == 0
    for other in (b"", b"something else"):
        api.call(other)
        replica.until(lambda: at_rest(replica))
    assert replica.metric("ca_bundle_repairs_total") == 2


def test_owner_reference_removed_restored(replica: Replicated) -> None:
    api = replica.api
    with api.changed:
        api.configurations["registry-webhook"]["metadata"].pop("ownerReferences")
        api.call(api.bundle)
    replica.until(lambda: api.configurations["registry-webhook"]["metadata"].get("ownerReferences") == [OWNER])


def test_bundle_conflicting_updates_back_off(replica: Replicated) -> None:
    api = replica.api
    for _ in range(3):
        api.call(b"something else")
        replica.until(lambda: at_rest(replica))
    api.call(b"something else")
    replica.until(lambda: "WebhookConfigurationContended" in api.reasons("registry-webhook"))
    replica.clock.now += 9
    replica.duty.reconcile()
    assert api.bundle == b"something else"
    assert replica.metric("ca_bundle_repairs_total") == 3
    replica.clock.now += 1
    replica.until(lambda: at_rest(replica))
    # A change of our own waits for nobody.
    pair = api.certificate("ca.crt")
    replica.passes(OVERLAP)
    api.lose_certificate()
    replica.until(lambda: api.bundle == pair + api.certificate("next-ca.crt") != pair)
    assert replica.metric("ca_bundle_repairs_total") == 4


def test_secret_deleted_recreated_with_same_key_pair(replica: Replicated) -> None:
    api = replica.api
    before = api.certificate("tls.crt")
    api.lose_certificate()
    replica.until(lambda: at_rest(replica))
    assert api.certificate("tls.crt") == before


@pytest.mark.parametrize("key", ["tls.crt", "tls.key", "ca.key"])
def test_secret_invalid_restored_not_served(replica: Replicated, key: str) -> None:
    api = replica.api
    before, content = at_rest(replica), api.certificate(key)
    api.change_certificate(key, b"broken")
    replica.until(lambda: api.certificate(key) == content)
    replica.until(lambda: at_rest(replica) == before)
    assert "CertificateBroken" in api.reasons("registry-webhook")


def test_served_files_invalid_restored(replica: Replicated) -> None:
    api, server = replica.api, replica.server
    assert server
    for pair in ((b"broken", b"broken"), (api.certificate("tls.crt"), b"")):
        for name, content in zip(("tls.crt", "tls.key"), pair, strict=True):
            (server.folder / name).write_bytes(content)
        replica.clock.now += OVERLAP
        replica.until(lambda: server.certificate == api.certificate("tls.crt"))
        replica.until(lambda: (server.folder / "tls.key").read_bytes() == api.certificate("tls.key"))
    (server.folder / "tls.key").unlink()
    replica.until((server.folder / "tls.key").exists)


def test_served_folder_unwritable_bundle_still_updated(replica: Replicated) -> None:
    assert replica.server is not None
    (replica.server.folder / "tls.crt").unlink()
    (replica.server.folder / "tls.crt").mkdir()
    replica.api.call()
    replica.until(lambda: replica.api.bundle == replica.api.certificate("ca.crt"))
    assert replica.duty.error is not None
    assert "tls.crt" in replica.duty.error


def test_api_server_unreachable_served_files_restored(replica: Replicated) -> None:
    api, server = replica.api, replica.server
    assert server
    before = server.certificate
    api.close()
    (server.folder / "tls.crt").unlink()
    replica.until(lambda: server.certificate == before)
    api.open()
    api.call()
    replica.until(lambda: at_rest(replica))


# A watch that lags behind.


def another_writes(replica: Replicated, start: Start) -> bytes:
    """Have another replica change the authority while the first hears nothing; give the bundle from before."""
    api = replica.api
    before = api.bundle
    api.deaf.add("certificates")
    other = start("two")
    other.until(lambda: said(api, "two"))
    replica.passes(600 * 3600)
    other.until(lambda: api.bundle != before and trusted(api))
    return before


def test_bundle_stale_not_written_over_newer(replica: Replicated, start: Start) -> None:
    api = replica.api
    before = another_writes(replica, start)
    newer = api.bundle
    with api.changed:
        api.configurations["registry-webhook"]["metadata"].pop("ownerReferences")
        api.call()
    replica.until(lambda: api.bundle)
    assert api.bundle == newer != before
    # What is applied without its bundle is applied to be without one.
    assert all("webhooks" in one.body for one in writes(api, "mutating") if one.body)


def test_secret_read_again_before_write(replica: Replicated, start: Start) -> None:
    api = replica.api
    another_writes(replica, start)
    coming = api.certificate("next-ca.crt")
    server = replica.server
    assert server
    before = server.certificate
    replica.until(lambda: server.certificate == api.certificate("tls.crt") != before)
    assert api.certificate("next-ca.crt") == coming


def test_bundle_missed_watch_event_stored_ca_included(replica: Replicated) -> None:
    api = replica.api
    older = ca.create_ca("older", datetime.fromtimestamp(WALL, UTC), _HOUR).certificate
    api.deaf.add("certificates")
    api.change_certificate("retired-ca.crt", older)
    api.call()
    replica.until(lambda: api.bundle)
    assert api.bundle == older + api.certificate("ca.crt")


def test_secret_changed_during_bundle_write_kept(replica: Replicated) -> None:
    api = replica.api
    older = ca.create_ca("older", datetime.fromtimestamp(WALL, UTC), _HOUR).certificate

    def meanwhile(asked: Asked) -> bool:
        if asked.method == "PATCH" and "mutating" in asked.path and not api.certificate("retired-ca.crt"):
            api.change_certificate("retired-ca.crt", older)
            time.sleep(0.2)  # the watch tells of it before the write is answered
        return False

    with api.failing(meanwhile, None):
        api.call()
        wait_until(lambda: (replica.duty.reconcile(), api.bundle == older + api.certificate("ca.crt"))[1])
    assert api.certificate("retired-ca.crt") == older


def test_secret_deleted_watch_silent_reads_limited(replica: Replicated) -> None:
    api = replica.api
    api.deaf.add("certificates")
    api.lose_certificate()
    api.call()
    api.asked.clear()
    replica.run(1.5)
    assert 1 <= len(reads(api)) <= 4
    assert api.bundle == b""


# The wall clock is set.


def serves_what_is_valid(replica: Replicated) -> bool:
    """Tell whether the server serves what is valid by its replica's clock."""
    assert replica.server
    return ca.validity(replica.server.certificate).holds(datetime.fromtimestamp(replica.clock.wall(), UTC))


@pytest.mark.parametrize("years", [2, -2])
def test_clock_jump_and_back_renews_once_each(replica: Replicated, years: int) -> None:
    api = replica.api
    for ahead in (years * _YEAR, 0.0):
        before = api.certificate("ca.crt")
        replica.passes(1)
        replica.clock.ahead = ahead
        replica.until(lambda: at_rest(replica) and serves_what_is_valid(replica))
        # Who serves what was signed before goes on being trusted, until everybody has said that it does not.
        assert before in api.bundle
        replica.passes(OVERLAP)
        replica.until(lambda: api.bundle == api.certificate("ca.crt"))
        api.asked.clear()
        for _ in range(5):
            replica.passes(OVERLAP)
        assert writes(api) == []
    # Each time all was made anew, once, and the old authority went.
    assert replica.metric("certificate_renewals_total") == 1 + 2 * 2


@pytest.mark.parametrize("seconds", [24 * 3600, -240])
def test_clock_small_change_writes_nothing(replica: Replicated, seconds: float) -> None:
    replica.passes(1)
    replica.api.asked.clear()
    replica.clock.ahead = seconds
    for _ in range(3):
        replica.passes(1)
    assert writes(replica.api) == []


@pytest.mark.parametrize("years", [2, -2])
def test_clock_wrong_on_leader_follower_keeps_certificate(replica: Replicated, start: Start, years: int) -> None:
    api = replica.api
    other = Clock()
    other.now = replica.clock.now
    follower = start("two", leading=False, clock=other)
    follower.until(lambda: at_rest(replica, follower) and said(api, "two"))
    issuer, served = api.certificate("ca.crt"), api.certificate("tls.crt")
    replica.clock.ahead = years * _YEAR
    replica.until(lambda: at_rest(replica) and api.certificate("tls.crt") != served)
    for _ in range(5):
        replica.passes(OVERLAP)
        follower.passes(OVERLAP)
    assert follower.server
    assert follower.server.certificate == served
    assert issuer in api.bundle
    # The one whose clock is right takes over; nothing that the other wrote has to be waited for.
    replica.leading, follower.leading = False, True
    replica.clock.ahead = 0.0

    def go_on() -> bool:
        for one in (follower, replica):
            one.passes(OVERLAP)
        return at_rest(follower, replica)

    wait_until(go_on)
    assert api.certificate("tls.crt") != served
    assert serves_what_is_valid(follower)


# What goes wrong.


def test_reconcile_failing_backs_off_reported_once(replica: Replicated, caplog: pytest.LogCaptureFixture) -> None:
    api = replica.api
    for times in (1, 2):
        api.call()
        with api.failing(lambda asked: asked.method == "PATCH", _REFUSED):
            wait_until(lambda: replica.duty.reconcile() > 1)
            waits = [replica.duty.reconcile() for _ in range(6)]
            assert waits == [4, 8, 16, 30, 30, 30]
            assert replica.duty.error == "cannot update MutatingWebhookConfiguration registry-webhook: no right (403)"
        wait_until(lambda: replica.duty.reconcile() == 1)
        assert replica.duty.error is None
        assert api.reasons("registry-webhook") == ["CertificateFailed"] * times
    assert caplog.text.count("reason=CertificateFailed") == 2


def test_event_api_server_failing_not_created(replica: Replicated, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    api = replica.api
    api.call()
    with api.failing(lambda asked: asked.method == "PATCH", BROKEN):
        wait_until(lambda: replica.duty.reconcile() > 1)
    assert "CertificateFailed" in caplog.text
    assert api.events == []


def test_write_conflict_not_error(replica: Replicated) -> None:
    api = replica.api
    api.call()
    with api.failing(lambda asked: asked.method == "PATCH", _CONFLICT):
        wait_until(lambda: replica.duty.reconcile() == pytest.approx(0.2))
        assert replica.duty.error is None
    replica.until(lambda: at_rest(replica))


def test_back_off_reconcile_now_not_shortened(replica: Replicated) -> None:
    api = replica.api
    api.call()
    api.asked.clear()
    with api.failing(lambda asked: asked.method == "PATCH", _REFUSED) as fault:
        over = threading.Event()

        def look() -> None:
            while not over.wait(0.02):
                replica.duty.reconcile_now()

        looking = threading.Thread(target=look)
        looking.start()
        replica.run(0.9)
        over.set()
        looking.join()
    assert 1 <= fault.met <= 3


# What a replica says.


def test_report_repeated_after_interval(replica: Replicated) -> None:
    api = replica.api
    api.asked.clear()
    api.deaf.add("certificates")  # what it has said it knows without being told
    replica.clock.now += rotation.REPORT_INTERVAL.total_seconds() - 1
    for _ in range(3):
        replica.duty.reconcile()
    assert writes(api) == []
    replica.clock.now += 2
    replica.until(lambda: writes(api))
    for _ in range(3):
        replica.duty.reconcile()
    (again,) = writes(api)
    assert again.query == {"fieldManager": "registry-webhook-replica"}
    assert rotation.REPORT_INTERVAL * 2 < rotation.REPLICA_TIMEOUT


def test_report_names_served_certificate_not_stored(replica: Replicated) -> None:
    api, server = replica.api, replica.server
    assert server
    before = said(api, "one")
    folder, server.folder = server.folder, server.folder.with_name("as-it-was")
    server.folder.mkdir()
    for name in ("tls.crt", "tls.key"):
        (server.folder / name).write_bytes((folder / name).read_bytes())
    api.asked.clear()
    replica.clock.now += 60 * 3600
    replica.until(lambda: (folder / "tls.crt").read_bytes() == api.certificate("tls.crt") != server.certificate)
    for _ in range(3):
        replica.duty.reconcile()
    assert said(api, "one") == before
    # It is asked for as long as it takes, and the same is not said again each time.
    assert len([one for one in writes(api) if one.query["fieldManager"] == "registry-webhook-replica"]) == 1
    api.asked.clear()
    replica.clock.now += rotation.REPORT_INTERVAL.total_seconds()
    replica.until(lambda: writes(api))
    assert said(api, "one") == before
    server.folder = folder
    replica.until(lambda: said(api, "one") != before)
    assert said(api, "one") == ca.fingerprint(server.certificate)


def test_server_known_certificate_not_queried_again(replica: Replicated) -> None:
    assert replica.server
    asked = replica.server.connections
    for _ in range(3):
        replica.duty.reconcile()
    assert replica.server.connections == asked > 0


def test_report_server_unreachable_empty(place: Place, start: Start) -> None:
    made = start()
    assert made.server
    made.server.close()
    made.until(lambda: made.server and made.server.certificate)
    made.duty.reconcile()
    assert said(place.api, "one") == ""
    assert made.duty.error is None


def test_leave_slow_api_server_not_waited_for(replica: Replicated) -> None:
    api = replica.api
    with api.failing(lambda asked: asked.method == "PATCH", None, delay=30):
        began = time.monotonic()
        replica.leave()
        assert time.monotonic() - began < 15
    with api.failing(lambda asked: asked.method == "PATCH", _REFUSED):
        replica.leave()
    replica.leave()
    assert said(api, "one") == ""


def test_leave_nothing_reported_writes_nothing(replica: Replicated, start: Start) -> None:
    api = replica.api
    follower = start("two", leading=False)
    wait_until(lambda: len(api.streams) == 4)
    api.asked.clear()
    follower.leave()
    assert writes(api) == []


# The owner.


def test_own_namespace_read_once(replica: Replicated) -> None:
    api = replica.api
    for _ in range(3):
        replica.duty.reconcile()
    assert [one.path for one in api.asked].count("/api/v1/namespaces/registry-webhook") == 1


def test_no_certificate_only_owner_reference_written(place: Place, start: Start) -> None:
    api = place.api
    api.call(b"somebody else's")
    made = start(served=False)
    made.until(lambda: api.configurations["registry-webhook"]["metadata"].get("ownerReferences") == [OWNER])
    (written,) = writes(api)
    assert written.body
    assert "webhooks" not in written.body
    made.duty.reconcile()
    assert reads(api) == []
