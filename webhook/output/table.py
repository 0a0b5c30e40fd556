"""Results as tables for a terminal, and as JSON or YAML for programs."""

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import msgspec

from webhook.kube import manifests
from webhook.log.escaping import escape_ascii, escape_document, truncate
from webhook.output.findings import Finding
from webhook.output.terminal import BOLD, GREEN, RED, YELLOW, Screen, Styled, bold, join, styled

#: The output formats; `table` is for a terminal.
Form = Literal["table", "json", "yaml"]

_GAP = "  "
#: Limits of characters of a cell, and of a cell in the last column. Names have at most 253, but an owner reference can
#: hold any string.
_CELL, _LAST = 320, 4096
#: If fewer characters than these are left for the last column, it is below the others, with this indent.
_NARROWEST, _BELOW = 24, 4
#: The colors of cells that hold only this word.
_COLORS = {
    "ok": GREEN,
    "yes": GREEN,
    "fail": RED,
    "error": RED,
    "warning": YELLOW,
    "?": YELLOW,
}


def table(rows: Sequence[Sequence[str]], screen: Screen, headings: Sequence[str] = ()) -> Iterator[Styled]:
    """Return the lines of a table: columns are aligned, and the last one is wrapped at the width of the screen.

    On a screen that is too narrow for the columns, the last one is below the others.
    Cells are escaped to ASCII, so that every character is one column wide, and truncated.
    """
    if not rows:
        return
    printed = [_escaped(row) for row in ([headings] if headings else []) + [*rows]]
    widths = [max(map(len, column)) for column in zip(*(row[:-1] for row in printed), strict=True)]
    indent = sum(widths) + len(_GAP) * len(widths)
    if screen.width is not None and widths and screen.width - indent < _NARROWEST:
        yield from _stacked(printed, screen, has_headings=bool(headings))
        return
    for number, (*cells, last) in enumerate(printed):
        is_heading = bool(headings) and number == 0
        first, *more = _wrapped(last, indent, screen.width)
        columns = [
            _styled(cell, screen, is_heading) + " " * (width - len(cell))
            for cell, width in zip(cells, widths, strict=True)
        ]
        yield Styled(_GAP.join([*columns, _styled(first, screen, is_heading)]).rstrip())
        for line in more:
            yield join(" " * indent, line)


def _stacked(printed: Sequence[Sequence[str]], screen: Screen, *, has_headings: bool) -> Iterator[Styled]:
    """Return the lines of a table with each row's last cell below its other cells."""
    for number, (*cells, last) in enumerate(printed):
        is_heading = has_headings and number == 0
        labels = [cell for cell in cells if cell]
        if len(_GAP.join(labels)) <= (screen.width or 0):
            labels = [_GAP.join(_styled(cell, screen, is_heading) for cell in labels)] if labels else []
            yield from map(Styled, labels)
        else:
            yield from (join(line) for line in _wrapped(_GAP.join(labels), 0, screen.width))
        for line in _wrapped(last, _BELOW, screen.width) if last else ():
            yield join(" " * _BELOW, _styled(line, screen, is_heading))


def findings(found: Iterable[Finding], screen: Screen) -> Iterator[Styled]:
    """Return findings as a table, each hint on a line of its own below its finding."""
    rows: list[tuple[str, str, str]] = []
    for finding in found:
        rows.append((finding.mark, finding.subject, finding.message))
        if finding.hint:
            rows.append(("", "", f"-> {finding.hint}"))
    return table(rows, screen)


def paragraph(text: str, screen: Screen) -> Iterator[Styled]:
    """Return a string in bold, wrapped at the width of the screen."""
    return (bold(line, screen) for line in _wrapped(escape_ascii(text), 0, screen.width))


def structured(findings: Any, form: Form) -> str:
    """Return a result, structs or containers of them, as JSON or YAML.

    Characters that a terminal does not show become escapes of that format, so that the values are unchanged.
    """
    plain = msgspec.to_builtins(findings, str_keys=True)
    if form == "json":
        return escape_document(msgspec.json.format(msgspec.json.encode(plain)).decode(), form)
    return manifests.dump(plain).rstrip("\n")


def _escaped(row: Sequence[str]) -> list[str]:
    *cells, last = row
    return [*(_cut(cell, _CELL) for cell in cells), _cut(last, _LAST)]


def _cut(cell: str, limit: int) -> str:
    # Cut before escaping, because the rest may be long.
    return truncate(escape_ascii(cell[: limit + 1]), limit)


def _wrapped(text: str, indent: int, width: int | None) -> list[str]:
    room = None if width is None else width - indent
    if room is None or room < _NARROWEST:
        return [text]
    # A hint may be a command, which could not be pasted if its words were broken.
    is_breakable = not text.startswith("-> ")
    return textwrap.wrap(text, room, break_on_hyphens=False, break_long_words=is_breakable) or [""]


def _styled(cell: str, screen: Screen, is_heading: bool) -> str:  # noqa: FBT001 - a property of the row
    return styled(cell, BOLD if is_heading else _COLORS.get(cell), screen)
