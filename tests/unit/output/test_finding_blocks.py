"""Findings as blocks, for screens of any width."""

import pytest

from webhook.output import finding_blocks
from webhook.output.finding_codes import Code
from webhook.output.findings import Finding, Mark
from webhook.output.terminal import Screen

_COMMAND = f"kubectl -n {'n' * 60} delete secret registry-webhook-pull"
_FOUND = Finding(
    *(Mark.ERROR, Code.SECRET_FOREIGN, "pull secrets"),
    "Secret registry-webhook-pull exists but is not managed by registry-webhook in team-a",
    "delete or rename it",
    (_COMMAND,),
)


@pytest.mark.parametrize("width", [30, 60, 80, 120])
def test_problems_text_wrapped_and_commands_whole(width: int) -> None:
    lines = list(finding_blocks.problems([_FOUND], Screen(width)))
    assert f"    {_COMMAND}" in lines
    assert max(len(line) for line in lines if _COMMAND not in line) <= max(width, len(lines[1]))
    assert " ".join(line.strip() for line in lines if _COMMAND not in line).split() == [
        *("error:", "pull", "secrets", f"({_FOUND.code})"),
        *_FOUND.message.split(),
        *("hint:", *_FOUND.hint.split()),
    ]


def test_problems_severity_colored() -> None:
    (head,) = [line for line in finding_blocks.problems([_FOUND], Screen(colored=True)) if "RW-" in line]
    assert head.startswith("\x1b[31merror:\x1b[0m pull secrets")


def test_problems_foreign_text_escaped_and_truncated() -> None:
    hostile = Finding(Mark.WARNING, Code.POD_UNKNOWN, "Pod", "a\x1b[2J\n" + "y" * 1_000_000, "\u202e", ("x\x07",))
    lines = list(finding_blocks.problems([hostile], Screen(80)))
    assert sum(map(len, lines)) < 5_000
    assert not {"\x1b", "\n", "\u202e", "\x07"} & set("".join(lines))


def test_rows_of_mark_and_problems_divided() -> None:
    ok = Finding(Mark.OK, Code.CONFIG_OK, "configuration", "it is valid")
    unknown = Finding(Mark.UNKNOWN, Code.CONFIG_UNKNOWN, "configuration", "not known")
    found = [_FOUND, ok, unknown]
    assert list(finding_blocks.rows(found, Mark.OK, Screen())) == ["", "ok  RW-CONFIG-OK  it is valid"]
    assert list(finding_blocks.rows(found, Mark.UNKNOWN, Screen())) == ["", "?  RW-CONFIG-UNKNOWN  not known"]
    assert list(finding_blocks.rows([_FOUND], Mark.OK, Screen())) == []
    assert list(finding_blocks.problems([ok, unknown], Screen())) == []
