from collections.abc import Iterator
from itertools import count

import pytest

from tests.support.fake_api_server import ApiServer
from tests.support.refresher_fixtures import pair, place
from tests.support.refresher_process import PASSWORD, Sidecar, make_place, refreshing, wait_until
from webhook.pki.ca import KeyPair

#: Offered to the tests of this folder.
__all__ = ["pair", "place"]

_NUMBERS = count(1)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, pair: tuple[KeyPair, bytes]) -> Iterator[Sidecar]:
    """A sidecar for all tests: whatever one does to it or to its API server, the next finds it well."""
    made = make_place(tmp_path_factory.mktemp("sidecar"), *pair)
    made.configure(namespaces={"deny": ["denied-*"]})
    with refreshing(made) as running:
        yield running
    made.api.stop()


@pytest.fixture
def sidecar(shared: Sidecar) -> Iterator[Sidecar]:
    """The sidecar for all tests, with nothing wrong and no namespace."""
    api = shared.place.api
    wait_until(lambda: shared.metric("leading") == 1)
    shared.place.set_password()
    api.label("before")
    wait_until(lambda: api.content("before") == PASSWORD)
    api.remove_namespace("before")
    api.asked.clear()
    api.events.clear()
    yield shared
    assert shared.process.poll() is None
    assert not api.faults
    api.deaf.clear()
    api.page = 500
    for name in list(api.namespaces):
        api.remove_namespace(name)
    for name in list(api.secrets):
        api.remove(name)


@pytest.fixture
def api(sidecar: Sidecar) -> ApiServer:
    """The API server of the sidecar for all tests."""
    return sidecar.place.api


@pytest.fixture
def team() -> str:
    """A namespace's name that no other test has."""
    return f"team-{next(_NUMBERS)}"
