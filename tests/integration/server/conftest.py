from collections.abc import Iterator

import pytest

from tests.support.properties import CONFIGURATION
from tests.support.server_fixtures import place
from tests.support.server_process import Server, make_place, serving, serving_wsgi

#: Offered to the tests of this folder.
__all__ = ["place"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Our own server, shared by the tests of a module: none of them may break it."""
    made = make_place(tmp_path_factory.mktemp("server"))
    made.write_pair()
    with serving(made) as running:
        yield running
        assert running.process.poll() is None
        assert "Traceback" not in running.log


@pytest.fixture(scope="module", params=[serving, serving_wsgi], ids=["our server", "another WSGI server"])
def any_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Our own server, and another WSGI server, each shared by the tests of a module."""
    made = make_place(tmp_path_factory.mktemp("server"))
    made.write_pair()
    made.configure(CONFIGURATION)
    with request.param(made) as running:
        yield running
        assert running.process.poll() is None
        assert "Traceback" not in running.log
