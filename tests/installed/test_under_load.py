"""Every change that an installation goes through, with the policy fail-closed and Pods made all along.

Fifty a second, through two API servers on one store, three replicas, and certificates that live a minute: what is
checked here goes on while certificates are renewed and an authority is changed. The tests come in the order in which it
all happens; what a test is about is the answers that came while it ran, and the last one looks at all of them.
"""

import base64
import itertools
import time
from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.e2e.cluster import eventually
from webhook.constants import DEFAULT_NAMESPACE
from webhook.pki import ca

from .conftest import FAIL_CLOSED, SHORT_LIVES
from .handshakes import Handshakes
from .history import History
from .installation import CERTIFICATE_SECRET, DEPLOYMENT, REPAIR, Installation
from .load import Load

_Figure = Callable[[str, object], None]

_USER = 1234567890
#: Seconds until both the third renewal and the change of authority are over; where the machine is busy, later.
_CHANGED = 240.0
#: Breaks the pair for some seconds, however often it is put back.
_BREAKING = """
import pathlib, time
end = time.monotonic() + 4
while time.monotonic() < end:
    for name in ("tls.crt", "tls.key"):
        pathlib.Path("/etc/registry-webhook/tls", name).write_text("broken")
    time.sleep(0.02)
"""
_READING = """
import base64, ssl
held = open("/etc/registry-webhook/tls/tls.crt").read()
served = ssl.get_server_certificate(("127.0.0.1", 8443))
print(held.split()[2:4] == served.split()[2:4], base64.b64encode(held.encode()).decode())
"""


def test_certificate_deleted_recreated_no_pod_missed(
    short_lived: Installation, history: History, load: Load, figure: _Figure
) -> None:
    began = time.monotonic()
    with load.around():
        eventually("it is back", lambda: short_lived.cluster.exists(DEFAULT_NAMESPACE, CERTIFICATE_SECRET), REPAIR)
        figure("Certificate deleted to back", time.monotonic() - began)
        eventually("a new authority signs", lambda: len(history.authorities()) > 1)
    load.taken().all_rewritten()


def test_rolling_restart_no_pod_missed(short_lived: Installation, load: Load, figure: _Figure) -> None:
    before_it = set(short_lived.pods())
    with load.around() as before:
        short_lived.cluster.kubectl("rollout", "restart", DEPLOYMENT, "--namespace", DEFAULT_NAMESPACE)
        short_lived.wait()
    assert not before_it & set(short_lived.pods())
    figure("Rolling restart of three replicas, fail-closed", load.taken(before).all_rewritten())


def test_upgrade_other_user_id_no_pod_missed(short_lived: Installation, load: Load, figure: _Figure) -> None:
    """The number that the cluster may choose, and an annotation: a Pod template that differs."""
    changes = (
        {"op": "add", "path": "/spec/template/spec/securityContext/runAsUser", "value": _USER},
        {"op": "add", "path": "/spec/template/metadata/annotations", "value": {"registry-webhook-e2e": "upgraded"}},
    )
    short_lived.write(FAIL_CLOSED._replace(patches=changes))
    with load.around() as before:
        short_lived.apply()
        short_lived.wait()
    for pod in short_lived.pods():
        for container in ("webhook", "refresher"):
            assert short_lived.run(pod, container, "import os; print(os.getuid())").stdout.strip() == str(_USER)
    figure("Upgrade of three replicas, fail-closed", load.taken(before).all_rewritten())


def test_rollback_no_pod_missed(short_lived: Installation, load: Load, figure: _Figure) -> None:
    with load.around() as before:
        short_lived.cluster.kubectl("rollout", "undo", DEPLOYMENT, "--namespace", DEFAULT_NAMESPACE)
        short_lived.wait()
    template = short_lived.cluster.get(DEFAULT_NAMESPACE, DEPLOYMENT)["spec"]["template"]
    assert "registry-webhook-e2e" not in template["metadata"].get("annotations", {})
    assert "runAsUser" not in template["spec"]["securityContext"]
    short_lived.write(FAIL_CLOSED)
    figure("Rollback of three replicas, fail-closed", load.taken(before).all_rewritten())


def test_served_files_broken_restored_no_pod_missed(short_lived: Installation, load: Load, figure: _Figure) -> None:
    pod = short_lived.pods()[0]
    log = ("logs", pod, "--namespace", DEFAULT_NAMESPACE, "--container=webhook")
    with load.around() as before:
        ran = short_lived.run(pod, "refresher", _BREAKING)
        assert ran.status == 0, ran.stderr
        began = time.monotonic()

        def put_back() -> bool:
            ran = short_lived.run(pod, "webhook", _READING)
            held = ran.stdout.partition(" ")[2]
            stored = short_lived.cluster.get(DEFAULT_NAMESPACE, CERTIFICATE_SECRET)["data"]["tls.crt"]
            return base64.b64decode(held or "") == base64.b64decode(stored) and ran.stdout.startswith("True")

        eventually("the good pair is put back and served", put_back, REPAIR)
        figure("Broken pair put back and served", time.monotonic() - began)
    assert "certificate reload failed, keeping previous certificate" in short_lived.cluster.kubectl(*log).stdout
    load.taken(before).all_rewritten()


def test_renewals_and_new_ca_no_pod_missed(
    short_lived: Installation, history: History, load: Load, figure: _Figure
) -> None:
    """With the deletion that began it, that is two authorities more; the second came when it was due."""
    pod_names = set(short_lived.pods())
    before = short_lived.renewals()
    known = len(history.authorities())

    def over() -> bool:
        last = history.kept[-1].state
        return (
            len(history.authorities()) >= 3
            and len(history.pairs()) >= 5
            and not last.next
            and not last.retired
            and ca.certificates_in(short_lived.bundle()) == last.cas
        )

    eventually("the certificate is renewed three times, and the authority changed", over, _CHANGED)
    time.sleep(2)
    taken = load.taken().all_rewritten()
    assert {answer.server for answer in taken.answers} == {0, 1}
    figure("Three renewals and a change of authority, two API servers, fail-closed", taken)
    if known < 3:
        assert set(short_lived.pods()) == pod_names
        assert short_lived.renewals() > before


@pytest.mark.usefixtures("load")
def test_new_connections_certificate_trusted(
    short_lived: Installation, history: History, handshakes: Handshakes, figure: _Figure
) -> None:
    if not handshakes.number:
        pytest.skip("the Pods' addresses cannot be reached from here")
    figure("New connections meanwhile, each to one replica and verified", handshakes.number)

    def served() -> bool:
        last = ca.fingerprint(history.kept[-1].state.serving.certificate)
        return all(handshakes.served.get(pod) == last for pod in short_lived.pods())

    # One that was renewed a moment ago is about to be.
    eventually("every replica serves the last certificate", served)
    assert handshakes.faults == {}


@pytest.mark.usefixtures("short_lived", "load")
def test_new_ca_signs_only_after_overlap(history: History) -> None:
    overlap = timedelta(seconds=SHORT_LIVES["certificate"]["overlap"] - 1)  # times are kept in whole seconds
    signers = history.authorities()
    assert len(signers) >= 3
    for certificate in signers[1:]:
        first = next(kept for kept in history.kept if kept.state.active.certificate == certificate)
        trusting = [trusted for trusted in history.trusted_at(first.version) if certificate in trusted.authorities]
        assert trusting, "an authority signed before it was in caBundle"
        assert first.at - trusting[0].at >= overlap


@pytest.mark.usefixtures("short_lived", "load")
def test_bundle_always_has_ca_of_stored_certificate(history: History) -> None:
    for kept in history.kept:
        known = history.trusted_at(kept.version)
        if known:
            assert kept.state.active.certificate in known[-1].authorities


@pytest.mark.usefixtures("short_lived", "load")
def test_bundle_finally_only_newest_ca(short_lived: Installation, history: History) -> None:
    def only_newest() -> bool:
        *older, newest = history.authorities()
        trusted = ca.certificates_in(short_lived.bundle())
        return newest in trusted and not {*older} & {*trusted}

    # The next change may have begun.
    eventually("only the newest authority is trusted", only_newest)


@pytest.mark.usefixtures("short_lived", "load")
def test_certificates_one_minute_renewed_before_expiry(history: History) -> None:
    first, *lives = [ca.validity(state.serving.certificate) for state in history.pairs()]
    assert first.ends - first.issued > timedelta(days=1)
    # One that is signed late in its authority's life ends with it.
    assert max(life.ends - life.issued for life in lives) == timedelta(minutes=1)
    assert all(later.issued < sooner.ends for sooner, later in itertools.pairwise(lives))
