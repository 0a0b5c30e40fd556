"""The Helm chart renders the same objects as the kustomize folders."""

import pytest

from tests.support.chart_files import CHART, FILES


@pytest.mark.parametrize("name", FILES)
def test_made_file_current(name: str) -> None:
    """`make chart` writes it."""
    assert (CHART / name).read_text() == FILES[name]()
