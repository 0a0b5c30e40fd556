"""Codes are an interface: unique, of one form, used, and under a heading of the reference."""

import re
from pathlib import Path

import msgspec
import pytest

import webhook
from tests.support.findings_page import AREAS
from webhook.output.finding_codes import Code

_SOURCES = Path(webhook.__file__).parent / "diagnostics"


def test_codes_areas_have_headings() -> None:
    assert {code.split("-")[1] for code in Code} == AREAS.keys()


@pytest.mark.parametrize("code", Code)
def test_code_form_meaning_and_use(code: Code) -> None:
    assert re.fullmatch(r"RW(-[A-Z]+)+", code)
    assert code == f"RW-{code.name.replace('_', '-')}"
    assert code.meaning.endswith(".")
    assert msgspec.json.encode(code) == f'"{code}"'.encode()
    used = [path for path in _SOURCES.rglob("*.py") if re.search(rf"\bCode\.{code.name}\b", path.read_text())]
    assert used, f"nothing in {_SOURCES} gives a finding with this code"
