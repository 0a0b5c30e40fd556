"""Stress tests of the server: `make endure`.

`--form` sets the duration: `short` is for CI, `usual` ends within 15 minutes, `long` takes more than half an hour.
"""

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.support.measurements import figure, pytest_terminal_summary
from tests.support.server_fixtures import place
from tests.support.server_process import Place, Server, serving

#: The fixtures and the hook that are the same there.
__all__ = ["figure", "place", "pytest_terminal_summary"]


class Form(NamedTuple):
    """How much of each thing is done."""

    soak: float
    """Seconds of mixed traffic and faults, after which memory and descriptors must be what they were."""
    flood: float
    """Seconds of more than it can do."""
    replacements: int
    """Processes that are replaced by others while there is load."""
    certificates: int
    """Pairs that are replaced under load."""
    pods: int
    """Pods that are drawn, plausible and not."""


_FORMS = {
    "short": Form(soak=300, flood=10, replacements=4, certificates=20, pods=20_000),
    "usual": Form(soak=300, flood=60, replacements=10, certificates=100, pods=200_000),
    "long": Form(soak=1800, flood=60, replacements=10, certificates=100, pods=1_000_000),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take the form."""
    parser.addoption("--form", choices=tuple(_FORMS), default="usual", help="how long all takes")


@pytest.fixture(scope="session")
def form(pytestconfig: pytest.Config) -> Form:
    """Give the form that was asked for."""
    return _FORMS[pytestconfig.getoption("--form")]


@pytest.fixture
def server(place: Place) -> Iterator[Server]:
    """The real server; whatever a test does to it, it must not have fallen over."""
    with serving(place) as running:
        workers = running.workers()
        yield running
        assert running.workers() == workers
        assert "Traceback" not in running.log
