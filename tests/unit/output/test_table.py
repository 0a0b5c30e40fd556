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


def test_columns_are_aligned_and_a_remedy_stands_below() -> None:
    assert list(table.findings(FOUND, Screen())) == [
        "ok    namespace    it is selected",
        "fail  pull secret  there is no Secret team-a/registry-webhook-pull",
        "                   -> look at the sidecar's log",
    ]


def test_the_last_column_is_broken_up_where_the_screen_ends() -> None:
    lines = list(table.findings(FOUND, Screen(width=48)))
    assert lines[1:3] == ["fail  pull secret  there is no Secret", " " * 19 + "team-a/registry-webhook-pull"]
    assert max(map(len, lines)) <= 48


def test_on_a_screen_too_narrow_for_it_no_line_is_broken_up() -> None:
    assert list(table.findings(FOUND, Screen(width=30))) == list(table.findings(FOUND, Screen()))


def test_headings_stand_above_the_columns() -> None:
    lines = list(table.table([("team-a", "3")], Screen(), ("NAMESPACE", "PODS")))
    assert lines == ["NAMESPACE  PODS", "team-a     3"]


def test_marks_are_colored_on_a_screen_that_is_and_take_no_width_by_it() -> None:
    plain = list(table.findings(FOUND, Screen()))
    colored = list(table.findings(FOUND, Screen(colored=True)))
    assert colored[0] == plain[0].replace("ok", "\x1b[32mok\x1b[0m")
    assert colored[1] == plain[1].replace("fail", "\x1b[31mfail\x1b[0m", 1)


def test_what_could_forge_a_line_or_drive_a_terminal_is_escaped() -> None:
    lines = list(table.table([("\x1b[2J", "a\nb")], Screen())) + list(table.paragraph("c\rd", Screen()))
    assert lines == [r"\x1b[2J  a\x0ab", r"c\x0dd"]


def test_table_endless_cell_is_cut() -> None:
    (line,) = table.table([("\u202e" * 1_000_000, "y" * 1_000_000)], Screen())
    assert len(line) < 5_000


def test_of_nothing_there_is_no_line() -> None:
    assert list(table.findings([], Screen())) == []


@pytest.mark.parametrize(("form", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_programs_read_the_same_in_either_form(form: Form, read: type) -> None:
    assert read(table.structured(FOUND[1:], form)) == [
        {
            "mark": "fail",
            "code": "RW-SECRET-MISSING",
            "subject": "pull secret",
            "message": FOUND[1].message,
            "hint": FOUND[1].hint,
        }
    ]
