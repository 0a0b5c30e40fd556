"""Fixtures: the folder of a refresher, with a fake API server named in its kubeconfig."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from webhook.pki.ca import KeyPair

from .refresher_process import Place, make_pair, make_place


@pytest.fixture(scope="session")
def pair() -> tuple[KeyPair, bytes]:
    """The API server's certificate and its CA's."""
    return make_pair()


@pytest.fixture
def place(tmp_path: Path, pair: tuple[KeyPair, bytes]) -> Iterator[Place]:
    """A folder with all files of a refresher, and a fake API server."""
    made = make_place(tmp_path, *pair)
    yield made
    made.api.stop()
