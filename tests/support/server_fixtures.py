"""Fixtures: the folder of a server."""

from pathlib import Path

import pytest

from .server_process import Place, make_place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A folder with a configuration and a certificate."""
    made = make_place(tmp_path)
    made.write_pair()
    return made
