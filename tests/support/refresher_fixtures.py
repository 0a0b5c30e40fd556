"""Fixtures: the folder that a refresher reads, with a fake API server that its kubeconfig names."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from webhook.pki.ca import KeyPair

from .refresher_process import Place, make_pair, make_place


@pytest.fixture(scope="session")
def pair() -> tuple[KeyPair, bytes]:
    """The API server's certificate, and the authority's."""
    return make_pair()


@pytest.fixture
def place(tmp_path: Path, pair: tuple[KeyPair, bytes]) -> Iterator[Place]:
    """A folder with all that a sidecar reads, and an API server of the test's own."""
    made = make_place(tmp_path, *pair)
    yield made
    made.api.stop()
