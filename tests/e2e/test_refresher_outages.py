"""Failures of the refresher or its dependencies stop no Pod, and it catches up afterwards."""

import json
import ssl
import time
import urllib.request
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import NamedTuple

import pytest

from webhook.constants import ENABLED_LABEL

from .apiserver import ApiServer
from .audit import AuditLog
from .cluster import Cluster, eventually
from .installation import Installation, Server, installed
from .pods import IMAGE, PULL_SECRET, REWRITTEN, images, pod, pull_secrets
from .refresher import (
    Settings,
    Sidecar,
    give_rights,
    has_password,
    new_password,
    password_in,
    published,
    remove_pull_secrets,
    take_rights,
    version,
)
from .registry import Registry

pytestmark = pytest.mark.usefixtures("discreet")

_MakeSidecar = Callable[[Settings], Sidecar]
_Figure = Callable[[str, float], None]
_ON = {ENABLED_LABEL: "true"}


class _Trouble(NamedTuple):
    """Something that goes wrong."""

    begin: Callable[[Cluster, Sidecar], object]
    end: Callable[[Cluster, Sidecar, str], object]
    """Put it right, the password being this one."""
    sign: str
    """What the sidecar's log says of it."""
    publishes: str
    """What a namespace gets meanwhile: `nothing`, `the good one` if there was one, or at the start `what is there`."""


def _good_again(_cluster: Cluster, sidecar: Sidecar, password: str) -> None:
    sidecar.set_password(password)


_TROUBLES = {
    "wrong-password": _Trouble(
        lambda _cluster, sidecar: sidecar.set_password(new_password()),
        _good_again,
        "reason=CredentialRefused",
        "what is there",
    ),
    "no-role": _Trouble(
        lambda cluster, _: take_rights(cluster),
        lambda cluster, _sidecar, _password: give_rights(cluster),
        "is forbidden",
        "nothing",
    ),
    "no-source": _Trouble(
        lambda _cluster, sidecar: sidecar.password_file.unlink(), _good_again, "reason=ProviderFailed", "the good one"
    ),
}


@pytest.fixture(scope="module")
def fail_closed(
    cluster: Cluster, address: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Installation, str]]:
    """Put a second webhook in force without which no Pod is made, and make a namespace that it serves."""
    folder = tmp_path_factory.mktemp("server")
    with installed(cluster, address, folder, failurePolicy="Fail") as installation:
        yield installation, installation.namespace(labelled=True)


@pytest.fixture(params=_TROUBLES)
def trouble(request: pytest.FixtureRequest) -> _Trouble:
    """Give one thing after the other that goes wrong."""
    if request.param == "wrong-password":
        request.getfixturevalue("registry")
    return _TROUBLES[request.param]


@pytest.fixture
def sidecar(cluster: Cluster, make_sidecar: _MakeSidecar, registry_if_any: Registry | None) -> Sidecar:
    """Make a sidecar with a good password, in a cluster in which no namespace has a pull secret."""
    remove_pull_secrets(cluster)
    sidecar = make_sidecar(registry_if_any.settings if registry_if_any else {})
    sidecar.set_password()
    if registry_if_any:
        registry_if_any.admit(sidecar.username, sidecar.password)
    return sidecar


def _pods_are_rewritten(cluster: Cluster, *namespaces: str) -> None:
    for namespace in namespaces:
        arguments = ("create", "--namespace", namespace, "--dry-run=server", "--filename=-", "--output=json")
        made = cluster.kubectl(*arguments, stdin=pod("any", app=IMAGE)).manifest
        assert images(made) == {"app": REWRITTEN}
        assert pull_secrets(made) == [PULL_SECRET]


def _is_well(sidecar: Sidecar) -> None:
    assert sidecar.is_running()
    assert sidecar.ask("/healthz") == (200, "ok\n")


def test_fault_at_start_pods_created_then_recovers(
    cluster: Cluster, fail_closed: tuple[Installation, str], served: str, sidecar: Sidecar, trouble: _Trouble
) -> None:
    _, closed = fail_closed
    namespace, good = cluster.start_namespace(_ON), sidecar.password
    with ExitStack() as right_again:
        right_again.callback(trouble.end, cluster, sidecar, good)
        trouble.begin(cluster, sidecar)
        right_again.enter_context(sidecar.running())
        eventually(f"the log says {trouble.sign}", lambda: trouble.sign in sidecar.log())
        _pods_are_rewritten(cluster, served, closed)
        _is_well(sidecar)
        if trouble.publishes == "what is there":
            has_password(cluster, namespace, sidecar.password)
        else:
            assert published(cluster, namespace) is None
        trouble.end(cluster, sidecar, good)
        has_password(cluster, namespace, good)
        eventually("it is ready", lambda: sidecar.ask("/readyz")[0] == 200)


def test_fault_later_pods_created_then_recovers(
    cluster: Cluster, fail_closed: tuple[Installation, str], served: str, sidecar: Sidecar, trouble: _Trouble
) -> None:
    _, closed = fail_closed
    namespace, late, good = cluster.start_namespace(_ON), cluster.start_namespace({}), sidecar.password
    with ExitStack() as right_again:
        right_again.enter_context(sidecar.running())
        has_password(cluster, namespace, good)
        before = version(cluster, namespace)
        right_again.callback(trouble.end, cluster, sidecar, good)
        trouble.begin(cluster, sidecar)
        cluster.kubectl("label", "namespace", late, f"{ENABLED_LABEL}=true")
        eventually(f"the log says {trouble.sign}", lambda: trouble.sign in sidecar.log())
        _pods_are_rewritten(cluster, served, closed)
        _is_well(sidecar)
        if trouble.publishes == "nothing":
            assert published(cluster, late) is None
        else:
            has_password(cluster, late, good)
        trouble.end(cluster, sidecar, good)
        has_password(cluster, late, good)
        assert version(cluster, namespace) == before


def test_start_wrong_password_previous_kept(cluster: Cluster, registry: Registry, sidecar: Sidecar) -> None:
    assert registry is not None
    namespace, good = cluster.start_namespace(_ON), sidecar.password
    with sidecar.running():
        has_password(cluster, namespace, good)
    before = version(cluster, namespace)
    sidecar.set_password(new_password())
    with sidecar.running():
        sidecar.wait_until_leading()
        eventually("the registry refuses it", lambda: sidecar.metric("credential_refused") == 1)
        sidecar.pass_again()
        assert version(cluster, namespace) == before


def test_registry_unreachable_secret_published(cluster: Cluster, make_sidecar: _MakeSidecar) -> None:
    server = "registry.invalid"
    sidecar = make_sidecar({"opencti.daemon.registry.server": server, "webhook.verify": "warn"})
    password, namespace = sidecar.set_password(), cluster.start_namespace(_ON)
    with sidecar.running():
        eventually("it is published", lambda: password_in(published(cluster, namespace), server) == password)
        eventually("it says so", lambda: "reason=RegistryUnclear" in sidecar.log())
        eventually("it is ready", lambda: sidecar.ask("/readyz")[0] == 200)


# The API server is killed.

_OUTAGE = 15.0


def test_api_server_outage_changes_caught_up_once(  # noqa: PLR0913, PLR0917 - all take part
    cluster: Cluster,
    apiserver: ApiServer,
    installation: Installation,
    sidecar: Sidecar,
    audit: AuditLog | None,
    figure: _Figure,
) -> None:
    namespaces = [cluster.start_namespace(_ON) for _ in range(3)]
    with sidecar.running():
        for namespace in namespaces:
            has_password(cluster, namespace, sidecar.password)
        before = [version(cluster, namespace) for namespace in namespaces]
        start = audit.end() if audit else 0
        with apiserver.killed():
            began = time.monotonic()
            while time.monotonic() < began + _OUTAGE:
                assert _rewritten(installation.server) == REWRITTEN
                time.sleep(1)
            assert sidecar.ask("/readyz")[0] == 200
            assert sidecar.metric("leading") == 0
            _is_well(sidecar)
        # The cluster's controllers may take longer to come back, so this waits for none of their work.
        began = time.monotonic()
        late = cluster.start_namespace(_ON)
        has_password(cluster, late, sidecar.password)
        figure("API server back to the pull secret of a new namespace", time.monotonic() - began)
        sidecar.pass_again(2)
        _is_well(sidecar)
        assert [version(cluster, namespace) for namespace in namespaces] == before
        if audit:
            # An answer may come before the log has the request.
            eventually("the audit log has the write", lambda: audit.secrets_written(start))
            assert audit.secrets_written(start) == [("patch", late)]
        # What is done at the end of the run needs them.
        eventually("the cluster's controllers are back", lambda: cluster.exists(late, "serviceaccount/default"), 90)


def _rewritten(server: Server) -> str:
    """Ask the server itself what it makes of a Pod, as the API server asks it, and give the image."""
    request = {
        "uid": "any",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "namespace": "any",
        "operation": "CREATE",
        "object": pod("any", app=IMAGE),
        "oldObject": None,
        "dryRun": False,
    }
    review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    question = urllib.request.Request(  # noqa: S310 - https, to our own server
        f"{server.url}/mutate", json.dumps(review).encode(), {"Content-Type": "application/json"}
    )
    trust = ssl.create_default_context(cadata=server.bundle.decode())
    with urllib.request.urlopen(question, timeout=5, context=trust) as answer:  # noqa: S310
        response = json.load(answer)["response"]
    assert response["allowed"]
    changes = {change["path"]: change["value"] for change in json.loads(b64decode(response["patch"]))}
    return str(changes["/spec/containers/0/image"])
