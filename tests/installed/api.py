"""Connections to API servers, as the refresher makes them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from webhook.kube import client
from webhook.kube.access import Access
from webhook.kube.client import Client


@contextmanager
def connected(kubeconfig: Path | None = None) -> Iterator[Client]:
    """Connect to the API server of a kubeconfig, or of KUBECONFIG."""
    connection = client.connect(Access(kubeconfig), lambda _method, _status: None)
    try:
        yield connection
    finally:
        connection.close()
