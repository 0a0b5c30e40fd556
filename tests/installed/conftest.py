"""The installation as it ships, on the cluster that KUBECONFIG names; its state goes from one test to the next.

What is said of the cluster by variables is in tests/e2e/conftest.py, and here some more:

E2E_IMAGE         the image that the cluster's nodes have, such as registry-webhook:0.1.0
E2E_NODE2_PIDS    the files with the process numbers of the kubelet and the container runtime of the node `node2`, whose
                  containers run on this machine: they are killed
E2E_NODE2_START   the command that starts them again

Without the first, or without the registry of those variables, all of these tests are skipped.

There is one installation, since its namespace is one: it is made from nothing, put under load with every change that an
installation goes through, and removed in one order after the other. Every test can be run alone: what comes before it
is then done by its fixtures.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.e2e.apiserver import second
from tests.e2e.cluster import Cluster, eventually
from tests.e2e.conftest import cluster, registry, registry_if_any
from tests.e2e.installation import cleanup
from tests.e2e.refresher import selected_namespace
from tests.e2e.registry import Registry
from tests.support.measurements import figure, pytest_terminal_summary
from webhook.constants import DEFAULT_NAMESPACE, PROGRAM
from webhook.kube.client import Client

from .api import connected
from .handshakes import Handshakes, made
from .history import History, watched
from .installation import CERTIFICATE_SECRET, CONFIGURATION, DEPLOYMENT, LEAVING, Installation, Variant
from .load import Load, making_pods

#: The fixtures that are the same there.
__all__ = ["cluster", "figure", "pytest_terminal_summary", "registry", "registry_if_any"]

#: What can only come after what is before it.
_ORDER = (
    "docs",
    "versions",
    "elsewhere",
    "side_by_side",
    "helm",
    "from_nothing",
    "doctor",
    "explain",
    "gitops",
    "containers",
    "fail_closed",
    "under_load",
    "all_gone",
    "nodes",
    "removal",
    "cluster_wide",
    "restrictions",
)

#: A certificate that lives a minute and an authority that lives three: they are renewed and changed while one looks.
SHORT_LIVES = {"certificate": {"life": 60, "authority_life": 180, "overlap": 6}}
FAIL_CLOSED = Variant(components=("fail-closed",), settings=SHORT_LIVES, replicas=3)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests into the order of an installation's life."""
    items.sort(key=lambda item: next(at for at, name in enumerate(_ORDER) if item.path.stem == f"test_{name}"))


@pytest.fixture(scope="session")
def image() -> str:
    """Give the image that the nodes have."""
    name = os.environ.get("E2E_IMAGE")
    if not name:
        pytest.skip("E2E_IMAGE does not say which image of registry-webhook the cluster's nodes have")
    return name


@pytest.fixture(scope="session")
def from_nothing(
    image: str, registry: Registry, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """Give an installation that is written as it ships and not applied, on a cluster that has none; it goes at the end.

    The registry knows its credential.
    """
    with written(cluster, registry, tmp_path_factory.mktemp("installation"), image, Variant()) as installation:
        yield installation


@contextmanager
def written(cluster: Cluster, registry: Registry, folder: Path, image: str, variant: Variant) -> Iterator[Installation]:
    """Write an installation into a folder, let it in at the registry, and remove at the end what was applied."""
    cluster.expect_no_namespace(DEFAULT_NAMESPACE)
    installation = Installation(cluster, folder, image, registry.admit_new(PROGRAM))
    installation.write(variant)
    try:
        yield installation
    finally:
        # In the order in which nothing is ever refused, and fast: no request waits for these Pods any more.
        cluster.run("delete", CONFIGURATION, "--ignore-not-found")
        cluster.run("delete", DEPLOYMENT, "--namespace", DEFAULT_NAMESPACE, "--ignore-not-found")
        gone_at_once(installation)
        installation.delete("--wait=false")
        eventually("nothing is left", lambda: not installation.left(), LEAVING)
        cleanup()


def gone_at_once(installation: Installation) -> None:
    """Delete all Pods without any grace."""
    words = ("--all", "--force", "--grace-period=0", "--ignore-not-found")
    installation.cluster.run("delete", "pods", "--namespace", DEFAULT_NAMESPACE, *words)


@pytest.fixture(scope="session")
def installed(from_nothing: Installation, figure: Callable[[str, object], None]) -> Installation:
    """Apply the installation as it ships, and wait until it is rolled out."""
    began = time.monotonic()
    from_nothing.apply()
    applied = time.monotonic()
    from_nothing.wait()
    figure("From nothing: applied", applied - began)
    figure("From nothing: apply to rolled out", time.monotonic() - began)
    return from_nothing


@pytest.fixture(scope="session")
def served(installed: Installation) -> str:
    """Make a namespace that is opted in, and wait for its pull secret."""
    return selected_namespace(installed.cluster)


@pytest.fixture(scope="session")
def unserved(cluster: Cluster) -> str:
    """Make a namespace that nobody opted in."""
    return cluster.make_namespace({})


@pytest.fixture(scope="session")
def api() -> Iterator[Client]:
    """Connect to the API server."""
    with connected() as client:
        yield client


@pytest.fixture(scope="session")
def fail_closed(
    installed: Installation, served: str, api: Client, figure: Callable[[str, object], None]
) -> Installation:
    """Put the policy of failing closed on the installation that works, with a third replica, while Pods are made."""
    installed.write(FAIL_CLOSED)
    with making_pods([api], served) as load:
        began = time.monotonic()
        installed.apply()
        installed.wait()
        seconds = time.monotonic() - began
    figure(f"From fail-open to fail-closed, {seconds:.0f} s", load.taken().all_rewritten())
    return installed


@pytest.fixture(scope="module")
def api_servers(api: Client, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Client]]:
    """Give connections to two API servers, the second of which is started for this."""
    pid_file = os.environ.get("E2E_APISERVER_PID")
    if not pid_file:
        pytest.skip("E2E_APISERVER_PID does not say which process the API server is")
    with ExitStack() as stack:
        kubeconfig = stack.enter_context(second(cluster, Path(pid_file), tmp_path_factory.mktemp("apiserver")))
        yield [api, stack.enter_context(connected(kubeconfig))]


@pytest.fixture(scope="module")
def history(api: Client) -> Iterator[History]:
    """Watch the certificate's Secret and the webhook configuration."""
    with watched(api) as history:
        eventually("both are known", lambda: history.kept and history.trusted)
        yield history


@pytest.fixture(scope="module")
def load(served: str, api_servers: list[Client]) -> Iterator[Load]:
    """Have Pods made all along, through both API servers, and the policy fail-closed."""
    with making_pods(api_servers, served) as load:
        yield load


@pytest.fixture(scope="module")
def handshakes(api: Client, history: History) -> Iterator[Handshakes]:
    """Have new connections made to every replica all along."""
    with made(api, history) as handshakes:
        yield handshakes


@pytest.fixture(scope="module")
def short_lived(request: pytest.FixtureRequest, fail_closed: Installation) -> Installation:
    """Have certificates of short lives from now on: with the certificate gone, all is made anew and as it is set now.

    That is watched, and Pods and connections are made meanwhile.
    """
    for needed in ("history", "handshakes", "load"):
        request.getfixturevalue(needed)
    fail_closed.cluster.kubectl("delete", CERTIFICATE_SECRET, "--namespace", DEFAULT_NAMESPACE)
    return fail_closed
