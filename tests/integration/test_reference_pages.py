"""The generated pages of docs/reference are current: dashboards, scripts and links depend on what they list."""

import pytest

from tests.support.reference_pages import FOLDER, PAGES

if not FOLDER.exists():
    pytest.skip("the documentation is in the checkout alone", allow_module_level=True)


@pytest.mark.parametrize("name", PAGES)
def test_reference_page_current(name: str) -> None:
    assert (FOLDER / name).read_text() == PAGES[name](), "generate the pages again: make reference"
