"""Findings in columns, for screens of any width, for files and for programs."""

import json

import pytest
import yaml

from webhook.output import table
from webhook.output.finding_codes import Code
from webhook.output.findings import Finding, Mark
from webhook.output.table import Form
from webhook.output.terminal import Screen

FOUND = [
    Finding(Mark.OK, Code.NAMESPACE_OK, "namespace", "it is selected"),
    Finding(
        *(Mark.FAIL, Code.SECRET_MISSING, "pull secret", "there is no Secret team-a/registry-webhook-pull"),
        "look at the sidecar's log",
    ),
]


ROWS = [(one.mark, one.subject, one.message) for one in FOUND]


def test_table_columns_aligned() -> None:
    assert list(table.table(ROWS, Screen())) == [
        "ok    namespace    it is selected",
        "fail  pull secret  there is no Secret team-a/registry-webhook-pull",
    ]


def test_table_last_column_wrapped_at_width() -> None:
    lines = list(table.table(ROWS, Screen(width=48)))
    assert lines[1:] == ["fail  pull secret  there is no Secret", " " * 19 + "team-a/registry-webhook-pull"]


@pytest.mark.parametrize("colored", [False, True])
def test_table_narrow_screen_last_column_below(*, colored: bool) -> None:
    lines = list(table.table(ROWS, Screen(width=40, colored=colored)))
    ok, fail = ("\x1b[32mok\x1b[0m", "\x1b[31mfail\x1b[0m") if colored else ("ok", "fail")
    assert lines == [
        f"{ok}  namespace",
        "    it is selected",
        f"{fail}  pull secret",
        "    there is no Secret",
        "    team-a/registry-webhook-pull",
    ]


@pytest.mark.parametrize("width", [40, 60, 80, 120])
@pytest.mark.parametrize("cell", ["short", "registry.example.com/" + "long/" * 30 + "image:1.27", "\u4e2d\u6587" * 20])
def test_table_lines_fit_screen(width: int, cell: str) -> None:
    rows = [("Deployment/web", cell, f"{cell} -> {cell}"), ("Pod/x", "", "text " * 30)]
    lines = list(table.table(rows, Screen(width=width)))
    assert max(map(len, lines)) <= width
    assert all(line.isascii() for line in lines)


def test_marks_are_colored_on_a_screen_that_is_and_take_no_width_by_it() -> None:
    plain = list(table.table(ROWS, Screen()))
    colored = list(table.table(ROWS, Screen(colored=True)))
    assert colored[0] == plain[0].replace("ok", "\x1b[32mok\x1b[0m")
    assert colored[1] == plain[1].replace("fail", "\x1b[31mfail\x1b[0m", 1)


def test_table_escapes_control_characters() -> None:
    assert list(table.table([("\x1b[2J", "a\nb")], Screen())) == [r"\x1b[2J  a\x0ab"]


def test_table_long_cell_truncated() -> None:
    (line,) = table.table([("\u202e" * 1_000_000, "y" * 1_000_000)], Screen())
    assert len(line) < 5_000


def test_table_empty_no_lines() -> None:
    assert list(table.table([], Screen())) == []


@pytest.mark.parametrize(("form", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_structured_json_and_yaml_equal(form: Form, read: type) -> None:
    assert read(table.structured(FOUND[1:], form)) == [
        {
            "mark": "fail",
            "code": "RW-SECRET-MISSING",
            "subject": "pull secret",
            "message": FOUND[1].message,
            "hint": FOUND[1].hint,
            "commands": [],
            "documentation": FOUND[1].code.url,
        }
    ]
