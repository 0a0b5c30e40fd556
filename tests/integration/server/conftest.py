from collections.abc import Iterator

import pytest

from tests.support.properties import CONFIGURATION
from tests.support.server_fixtures import place
from tests.support.server_process import Server, make_place, serving, serving_wsgi

#: Offered to the tests of this folder.
__all__ = ["place"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Our own server, for all tests of a module: whatever one does to it, the next must still be answered."""
    made = make_place(tmp_path_factory.mktemp("server"))
    made.write_pair()
    with serving(made) as running:
        yield running
        assert running.process.poll() is None
        assert "Traceback" not in running.log


@pytest.fixture(scope="module", params=[serving, serving_wsgi], ids=["our server", "another WSGI server"])
def door(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Each of the two doors, for all tests of a module: what goes wrong in one must not harm the next."""
    made = make_place(tmp_path_factory.mktemp("door"))
    made.write_pair()
    made.configure(CONFIGURATION)
    with request.param(made) as running:
        yield running
        assert running.process.poll() is None
        assert "Traceback" not in running.log
