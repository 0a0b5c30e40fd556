"""Figures that tests measure and print at the end of a run. For a conftest to import whole."""

from collections.abc import Callable

import pytest

__all__ = ["figure", "pytest_terminal_summary"]

_FIGURES = pytest.StashKey[list[str]]()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what was measured."""
    for figure in config.stash.get(_FIGURES, []):
        terminalreporter.write_line(figure)


@pytest.fixture(scope="session")
def figure(pytestconfig: pytest.Config) -> Callable[[str, object], None]:
    """Give what takes a measurement for the end of the run: a number is one of seconds."""
    figures = pytestconfig.stash.setdefault(_FIGURES, [])

    def take(what: str, measured: object) -> None:
        figures.append(f"{what}: {measured:.1f} s" if isinstance(measured, float) else f"{what}: {measured}")

    return take
