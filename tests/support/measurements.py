"""Measurements that are printed at the end of a test run. For a conftest to import in full."""

from collections.abc import Callable

import pytest

__all__ = ["figure", "pytest_terminal_summary"]

_FIGURES = pytest.StashKey[list[str]]()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for figure in config.stash.get(_FIGURES, []):
        terminalreporter.write_line(figure)


@pytest.fixture(scope="session")
def figure(pytestconfig: pytest.Config) -> Callable[[str, object], None]:
    """Return a function that records a measurement; numbers are seconds."""
    figures = pytestconfig.stash.setdefault(_FIGURES, [])

    def take(what: str, measured: object) -> None:
        figures.append(f"{what}: {measured:.1f} s" if isinstance(measured, float) else f"{what}: {measured}")

    return take
