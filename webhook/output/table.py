"""Results as tables for a terminal, and as JSON or YAML for programs."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import msgspec

from webhook.log.escaping import escape_document
from webhook.output.paragraphs import NARROWEST, cut, wrapped
from webhook.output.terminal import GREEN, RED, YELLOW, Screen, Styled, join, styled

#: The output formats; `table` is for a terminal.
Form = Literal["table", "json", "yaml"]

_GAP, _BELOW = "  ", "    "
#: Limit of characters of a cell before the last one. Names have at most 253.
_CELL = 320
#: The colors of cells that hold only this word.
_COLORS = {
    "ok": GREEN,
    "fail": RED,
    "error": RED,
    "warning": YELLOW,
    "?": YELLOW,
}


def table(rows: Sequence[Sequence[str]], screen: Screen) -> Iterator[Styled]:
    """Yield the lines of a table: columns are aligned, and the last one is wrapped at the width of the screen.

    On a screen that is too narrow for the columns, the last one is below the others.
    """
    every = [([cut(cell, _CELL) for cell in cells], last) for *cells, last in rows]
    widths = [max(map(len, column)) for column in zip(*(cells for cells, _ in every), strict=True)]
    indent = " " * (sum(widths) + len(_GAP) * len(widths))
    is_narrow = screen.width is not None and screen.width - len(indent) < NARROWEST
    for cells, last in every:
        if is_narrow:
            head, *more = wrapped(_GAP.join(filter(None, cells)), screen, "")
            yield join(_colored(cells[0], screen), head[len(cells[0]) :])
            yield from (*more, *wrapped(last, screen, _BELOW))
        else:
            aligned = zip(cells, widths, strict=True)
            columns = [join(_colored(cell, screen), " " * (width - len(cell)), _GAP) for cell, width in aligned]
            yield from wrapped(last, screen, indent, first=join(*columns))


def _colored(cell: str, screen: Screen) -> Styled:
    return styled(cell, _COLORS.get(cell), screen)


def structured(findings: Any, form: Form) -> str:
    """Return a result, structs or containers of them, as JSON or YAML.

    Characters that a terminal does not show become escapes of that format, so that the values are unchanged.
    """
    plain = msgspec.to_builtins(findings, str_keys=True)
    if form == "json":
        return escape_document(msgspec.json.format(msgspec.json.encode(plain)).decode(), form)
    from webhook.kube import manifests  # noqa: PLC0415 - most results are tables

    return manifests.dump(plain).rstrip("\n")
