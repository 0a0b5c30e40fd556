"""cert-manager's kinds, on a cluster without cert-manager."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .cluster import Cluster

_FILE = f"--filename={Path(__file__).with_name('cert-manager.yaml')}"


@contextmanager
def certificate_kinds(cluster: Cluster) -> Iterator[None]:
    """Have the API server know the kinds; nothing acts on them."""
    if cluster.exists("default", "customresourcedefinition/certificates.cert-manager.io"):
        yield
        return
    try:
        cluster.kubectl("apply", _FILE)
        cluster.kubectl("wait", "--for=condition=Established", "--timeout=20s", _FILE)
        yield
    finally:
        cluster.kubectl("delete", "--ignore-not-found", "--timeout=50s", _FILE)
