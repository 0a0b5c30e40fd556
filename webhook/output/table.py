"""Findings as aligned columns for people, and as JSON or YAML for programs."""

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import msgspec

from webhook.kube import manifests
from webhook.log.escaping import escape_ascii, escape_document, truncate
from webhook.output.findings import Finding
from webhook.output.terminal import BOLD, GREEN, RED, YELLOW, Screen, Styled, bold, join, styled

#: How findings can be written; `table` is for people.
Form = Literal["table", "json", "yaml"]

_GAP = "  "
#: Characters of a cell. A name has 253 at most, but an owner reference takes any text.
_CELL, _LAST = 320, 4096
#: Where less is left for the last column than this, it is not broken up.
_NARROWEST = 24
#: The words that stand out, wherever a cell is nothing else.
_COLOURS = {
    "ok": GREEN,
    "yes": GREEN,
    "fail": RED,
    "error": RED,
    "warning": YELLOW,
    "?": YELLOW,
}


def table(rows: Sequence[Sequence[str]], screen: Screen, headings: Sequence[str] = ()) -> Iterator[Styled]:
    """Give the lines of a table: columns aligned, the last one broken up where the screen ends.

    Cells are escaped to ASCII, so that no character is wider or narrower than its column, and cut where somebody has
    written more than any name is long.
    """
    if not rows:
        return
    printed = [_shown(row) for row in ([headings] if headings else []) + [*rows]]
    widths = [max(map(len, column)) for column in zip(*(row[:-1] for row in printed), strict=True)]
    indent = sum(widths) + len(_GAP) * len(widths)
    for number, (*cells, last) in enumerate(printed):
        is_heading = bool(headings) and number == 0
        first, *more = _broken(last, indent, screen.width)
        columns = [
            _painted(cell, screen, is_heading) + " " * (width - len(cell))
            for cell, width in zip(cells, widths, strict=True)
        ]
        yield Styled(_GAP.join([*columns, _painted(first, screen, is_heading)]).rstrip())
        for line in more:
            yield join(" " * indent, line)


def findings(found: Iterable[Finding], screen: Screen) -> Iterator[Styled]:
    """Give findings as a table, what is to be done on a line of its own below each."""
    rows: list[tuple[str, str, str]] = []
    for finding in found:
        rows.append((finding.mark, finding.subject, finding.message))
        if finding.hint:
            rows.append(("", "", f"-> {finding.hint}"))
    return table(rows, screen)


def paragraph(text: str, screen: Screen) -> Iterator[Styled]:
    """Give a text that stands out, in lines no longer than the screen."""
    return (bold(line, screen) for line in _broken(escape_ascii(text), 0, screen.width))


def structured(findings: Any, form: Form) -> str:
    """Write findings, frozen values or mappings and lists of them, as JSON or YAML.

    What is not shown as it is stands there as an escape of that format, so that the values are unchanged.
    """
    plain = msgspec.to_builtins(findings, str_keys=True)
    if form == "json":
        return escape_document(msgspec.json.format(msgspec.json.encode(plain)).decode(), form)
    return manifests.dump(plain).rstrip("\n")


def _shown(row: Sequence[str]) -> list[str]:
    *cells, last = row
    return [*(_cut(cell, _CELL) for cell in cells), _cut(last, _LAST)]


def _cut(cell: str, limit: int) -> str:
    # What is cut off needs no escapes, however much it is.
    return truncate(escape_ascii(cell[: limit + 1]), limit)


def _broken(text: str, indent: int, width: int | None) -> list[str]:
    room = None if width is None else width - indent
    if room is None or room < _NARROWEST:
        return [text]
    return textwrap.wrap(text, room, break_on_hyphens=False, break_long_words=False) or [""]


def _painted(cell: str, screen: Screen, is_heading: bool) -> str:  # noqa: FBT001 - of a row
    return styled(cell, BOLD if is_heading else _COLOURS.get(cell), screen)


def counted(number: int, what: str) -> str:
    """Write a number of things: `1 Pod`, `2,000 Pods`."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
