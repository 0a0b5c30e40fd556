"""The cluster, the webhook and the sidecar in it, for all tests of this folder.

KUBECONFIG names the cluster. What else is known of it is said by variables, each of which may be left out:

E2E_ADDRESS             the address at which its API server reaches this machine, 127.0.0.1 if it is not set
E2E_AUDIT_LOG           the API server's audit log, where it can be read
E2E_REGISTRY_HTPASSWD   the file with the users of registry.example.com, which has opencti/connector-example:1.0.0 and
                        from which the cluster's nodes pull; users are added to it (with htpasswd, which must be on
                        PATH), and removed at the end
E2E_REGISTRY_CA         the authority that the registry's certificate is signed by, PEM
E2E_APISERVER_PID       the file with the API server's process number: another one is started as it was
E2E_APISERVER_START     the command that starts it again when it has died: so it is killed

A test that needs what is not known is skipped.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.measurements import figure, pytest_terminal_summary
from webhook.constants import DEFAULT_NAMESPACE, PROGRAM

from .apiserver import ApiServer
from .audit import AuditLog
from .cluster import Cluster, find_kubectl
from .installation import Installation, installed
from .refresher import Confidential, Settings, Sidecar, forget_refused_logins, free_lease, new_password
from .registry import Registry
from .service_account import granted

#: The fixture and the hook that are the same there.
__all__ = ["figure", "pytest_terminal_summary"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have first what puts whole installations in place and takes them away, before others put in parts that they keep.

    The API server is killed last: the cluster's own controllers take a while to find their way back.
    """

    def turn(item: pytest.Item) -> tuple[bool, bool]:
        names = getattr(item, "fixturenames", ())
        return "apiserver" in names, "uninstalled" not in names

    items.sort(key=turn)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Reach the cluster, and at the end remove every namespace that was made in it."""
    kubectl = find_kubectl()
    if not os.environ.get("KUBECONFIG"):
        pytest.exit("KUBECONFIG must name the kubeconfig of a cluster to test in", returncode=2)
    if kubectl is None:
        pytest.exit("kubectl must be on PATH", returncode=2)
    cluster = Cluster(kubectl)
    answer = cluster.run("get", "mutatingwebhookconfiguration", PROGRAM, "--ignore-not-found", "--output=name")
    if answer.status:
        pytest.exit(f"the cluster cannot be used: {answer.stderr.strip().splitlines()[-1]}", returncode=2)
    if answer.stdout:
        pytest.exit(f"the cluster has a webhook {PROGRAM} already: tests need one that has none", returncode=2)
    try:
        yield cluster
    finally:
        cluster.remove_namespaces()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what the cluster is too old for, before any fixture: `kubernetes(MINOR)` says which version has it first."""
    marker = item.get_closest_marker("kubernetes")
    kubectl = find_kubectl()
    if marker is not None and kubectl is not None and Cluster(kubectl).minor_version() < marker.args[0]:
        pytest.skip(f"it takes Kubernetes 1.{marker.args[0]}")


@pytest.fixture(scope="session")
def uninstalled(cluster: Cluster) -> Cluster:
    """Give the cluster as long as nothing of ours is in it."""
    cluster.expect_no_namespace(DEFAULT_NAMESPACE)
    return cluster


@pytest.fixture(scope="session")
def address() -> str:
    """Give the address at which the API server reaches this machine."""
    return os.environ.get("E2E_ADDRESS") or "127.0.0.1"


@pytest.fixture(scope="session")
def installation(cluster: Cluster, address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Put the webhook in force as it ships."""
    with installed(cluster, address, tmp_path_factory.mktemp("server")) as installation:
        yield installation


@pytest.fixture(scope="session")
def served(installation: Installation) -> str:
    """Make a namespace that is opted in."""
    return installation.namespace(labelled=True)


@pytest.fixture(scope="session")
def unserved(installation: Installation) -> str:
    """Make a namespace that nobody opted in."""
    return installation.namespace(labelled=False)


@pytest.fixture(scope="session")
def account(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Put the sidecar's account, guard and rights in force as they ship, and give a kubeconfig of the account."""
    with granted(cluster, tmp_path_factory.mktemp("account")) as kubeconfig:
        yield kubeconfig


@pytest.fixture(scope="session")
def audit() -> AuditLog | None:
    """Give the API server's audit log, where it can be read."""
    name = os.environ.get("E2E_AUDIT_LOG")
    return AuditLog(Path(name)) if name else None


@pytest.fixture(scope="session")
def registry_if_any() -> Iterator[Registry | None]:
    """Give the registry that nodes pull from, where a test may say who its users are."""
    htpasswd, authority = (os.environ.get(f"E2E_REGISTRY_{name}") for name in ("HTPASSWD", "CA"))
    if not htpasswd or not authority:
        yield None
        return
    registry = Registry(Path(htpasswd), Path(authority))
    try:
        yield registry
    finally:
        registry.restore()


@pytest.fixture(scope="session")
def registry(registry_if_any: Registry | None) -> Registry:
    """Give the registry that nodes pull from."""
    if registry_if_any is None:
        pytest.skip("E2E_REGISTRY_HTPASSWD and E2E_REGISTRY_CA do not say where the registry's users and authority are")
    return registry_if_any


@pytest.fixture(scope="session")
def apiserver() -> ApiServer:
    """Give the API server as a process that may be killed."""
    pid_file, command = (os.environ.get(f"E2E_APISERVER_{name}") for name in ("PID", "START"))
    if not pid_file or not command:
        pytest.skip("E2E_APISERVER_PID and E2E_APISERVER_START do not say which process it is and how it is started")
    return ApiServer(Path(pid_file), command)


@pytest.fixture(scope="session")
def confidential() -> Confidential:
    """Collect what no output may hold."""
    return Confidential()


@pytest.fixture
def discreet(cluster: Cluster, confidential: Confidential) -> Iterator[None]:
    """Search, when the test is over, all that any sidecar has said, and remove the test's own namespaces."""
    forget_refused_logins(cluster)
    with cluster.short_lived():
        yield
        confidential.check(cluster)


@pytest.fixture(scope="session")
def make_sidecar(
    cluster: Cluster, account: Path, tmp_path_factory: pytest.TempPathFactory, confidential: Confidential
) -> Callable[[Settings], Sidecar]:
    """Give what makes a sidecar with these settings."""
    free_lease(cluster)
    return lambda settings: Sidecar(account, tmp_path_factory.mktemp("sidecar"), confidential, settings)


@pytest.fixture(scope="module")
def sidecar(
    cluster: Cluster, make_sidecar: Callable[[Settings], Sidecar], registry_if_any: Registry | None
) -> Iterator[Sidecar]:
    """Run a sidecar with a good password, which asks the registry where there is one."""
    sidecar = make_sidecar(registry_if_any.settings if registry_if_any else {})
    sidecar.set_password()
    if registry_if_any:
        registry_if_any.admit(sidecar.username, sidecar.password)
    forget_refused_logins(cluster)
    with sidecar.running():
        sidecar.wait_until_leading()
        yield sidecar


@pytest.fixture(scope="module")
def change_password(sidecar: Sidecar, registry_if_any: Registry | None) -> Callable[[], str]:
    """Give what changes the password at the registry and at the source, and says what it is now."""

    def change() -> str:
        password = new_password()
        if registry_if_any:
            registry_if_any.admit(sidecar.username, password)
        return sidecar.set_password(password)

    return change
