"""The cluster and the webhook in it, for all tests of this folder.

KUBECONFIG names the cluster. E2E_ADDRESS is the address at which its API server reaches this machine, 127.0.0.1 if it
is not set. E2E_AUDIT_LOG names the API server's audit log, where it can be read.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from webhook.names import PROGRAM

from .account import granted
from .cluster import Cluster, find_kubectl
from .installation import Installation, installed


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
