"""The tests that the threat model names exist."""

import ast
import re
from pathlib import Path

import pytest

_CHECKOUT = Path(__file__).parents[2]
_PAGE = _CHECKOUT / "docs" / "explanation" / "threat-model.md"
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")

if not _PAGE.exists():
    pytest.skip("the documentation is in the checkout alone", allow_module_level=True)


@pytest.mark.parametrize(("file", "name"), sorted(set(_TEST.findall(_PAGE.read_text()))))
def test_threat_model_names_existing_test(file: str, name: str) -> None:
    path = _CHECKOUT / file
    assert path.is_file()
    # One that stands in a text is none.
    assert name in {one.name for one in ast.parse(path.read_text()).body if isinstance(one, ast.FunctionDef)}


def test_threat_model_cannot_rows_name_test() -> None:
    rows = [line for line in _PAGE.read_text().splitlines() if line.startswith("|")]
    tables = "\n".join(rows).split("| Cannot | Test |\n|---|---|\n")[1:]
    cannot = [line for table in tables for line in table.splitlines()]
    assert len(cannot) > len(tables)
    assert [line for line in cannot if not _TEST.search(line)] == []


def test_readme_links_security_policy_and_threat_model() -> None:
    readme = (_CHECKOUT / "README.md").read_text()
    for target in ("SECURITY.md", "docs/explanation/threat-model.md"):
        assert f"({target})" in readme
        assert (_CHECKOUT / target).is_file()
