"""The credential changes or becomes invalid while the refresher runs."""

import time
from collections.abc import Callable

import pytest

from webhook.constants import DEFAULT_NAMESPACE, ENABLED_LABEL

from .cluster import Cluster, eventually
from .node import runs, written
from .refresher import Sidecar, has_password, is_told, new_password, password_in, published, version
from .registry import Registry

pytestmark = pytest.mark.usefixtures("discreet")

_ON = {ENABLED_LABEL: "true"}


@pytest.fixture(scope="module")
def namespace(cluster: Cluster, sidecar: Sidecar) -> str:
    """Make a namespace that is opted in and has the pull secret."""
    namespace = cluster.make_namespace(_ON)
    has_password(cluster, namespace, sidecar.password)
    return namespace


@pytest.mark.usefixtures("registry")
def test_password_changed_everywhere_secret_patched(
    cluster: Cluster, namespace: str, change_password: Callable[[], str]
) -> None:
    runs(cluster, namespace, written("before", secret=True))
    uid, _ = version(cluster, namespace)
    password = change_password()
    has_password(cluster, namespace, password)
    assert version(cluster, namespace)[0] == uid
    runs(cluster, namespace, written("after", secret=True))


def test_password_changed_at_registry_reported_retried_rarely(
    cluster: Cluster, registry: Registry, sidecar: Sidecar, namespace: str
) -> None:
    before, password = version(cluster, namespace), sidecar.password
    registry.admit(sidecar.username, newer := new_password())
    # What it has accepted, the registry is not asked about again for a minute.
    eventually("the registry refuses it", lambda: sidecar.metric("refreshes_total:refused") == 1, deadline=90)
    began = time.monotonic()
    assert sidecar.metric("credential_refused") == 1
    eventually("the log says so", lambda: "reason=CredentialRefused" in sidecar.log())
    event = is_told(cluster, DEFAULT_NAMESPACE, "CredentialRefused", "It is the published credential")
    assert event["type"] == "Warning"
    status, text = sidecar.ask("/readyz")
    assert status == 200
    assert "credential-refused" in text
    # A namespace that comes meanwhile gets it all the same.
    late = cluster.start_namespace(_ON)
    has_password(cluster, late, password)
    assert version(cluster, namespace) == before
    # No quick tries, for they lock accounts: ten seconds at the least lie between two passes.
    eventually("it is asked again", lambda: sidecar.metric("refreshes_total:refused") == 2)
    assert time.monotonic() - began > 8
    assert sidecar.metric("refreshes_total:source") == sidecar.metric("refreshes_total:registry") == 0

    # The source follows.
    sidecar.set_password(newer)
    has_password(cluster, namespace, newer)
    assert version(cluster, namespace)[0] == before[0]
    assert sidecar.metric("credential_refused") == 0
    runs(cluster, namespace, written("again", secret=True))


def test_password_file_empty_or_removed_previous_kept(
    cluster: Cluster, sidecar: Sidecar, namespace: str, change_password: Callable[[], str]
) -> None:
    password = change_password()
    has_password(cluster, namespace, password)
    before = version(cluster, namespace)
    for spoil, fault in ((_empty, "the file is empty"), (_remove, "no such file")):
        spoil(sidecar)
        eventually(f"it says that {fault}", lambda fault=fault: fault in sidecar.ask("/readyz")[1])  # type: ignore[misc]
        assert sidecar.ask("/readyz")[0] == 200
        # A namespace that comes meanwhile gets the last good one.
        late = cluster.start_namespace(_ON)
        has_password(cluster, late, password)
        assert version(cluster, namespace) == before
        is_told(cluster, DEFAULT_NAMESPACE, "ProviderFailed", fault)
        sidecar.set_password(password)
        eventually("it is well again", lambda: "provider-failed" not in sidecar.ask("/readyz")[1])
    assert version(cluster, namespace) == before
    assert password_in(published(cluster, namespace)) == password


def _empty(sidecar: Sidecar) -> None:
    sidecar.password_file.write_text("")


def _remove(sidecar: Sidecar) -> None:
    sidecar.password_file.unlink()
