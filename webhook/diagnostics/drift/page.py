"""The drift report as one self-contained HTML page, for any width, dark and light screens, and print.

`page.html.j2` and `page.css` define the page; this module computes the values.
"""

import math
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar

import jinja2

from webhook import __version__
from webhook.constants import PROGRAM
from webhook.diagnostics.drift.analysis import Counts, NamespaceDrift, Report
from webhook.diagnostics.drift.text import causes, commands, notes
from webhook.log import escaping
from webhook.output.phrases import counted

#: Limits of rows; the other output formats have all of them.
_NAMESPACES, _OWNERS, _REGISTRIES = 40, 200, 8
_LINES_PER_NAMESPACE = 50
#: The shortest visible part of a bar, in percent.
_SHORTEST = 0.8

_T = TypeVar("_T")


class _Part(NamedTuple):
    """A part of the ring or of a bar; its start and length are percentages."""

    label: str
    color: str
    size: int
    start: float
    length: float


class _Rows(NamedTuple, Generic[_T]):
    """The rows that are shown, and the number of those that are not."""

    shown: Sequence[_T]
    left: int


def page(found: Report, cluster: str, now: datetime) -> str:
    """Render the page. `cluster` is its displayed name, or empty; `now` is in UTC."""
    environment = jinja2.Environment(
        autoescape=True,
        finalize=_printable,
        keep_trailing_newline=True,
        loader=jinja2.PackageLoader(__package__, ""),
        lstrip_blocks=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(causes=causes, counted=counted, grouped="{:,}".format)
    return environment.get_template("page.html.j2").render(
        _view(found), cluster=cluster, time=f"{now.day} {now:%B %Y, %H:%M} UTC"
    )


def _printable(value: object) -> object:
    """Escape characters that are hidden or that reorder text. Jinja then escapes all but markup for HTML."""
    return value if hasattr(value, "__html__") else escaping.escape(str(value))


def _view(found: Report) -> dict[str, Any]:
    """Compute the variables of the template."""
    totals = found.totals
    selected = [one for one in found.namespaces if one.selected]
    others = [one for one in found.namespaces if not one.selected and one.counts.pods]
    examined = totals.pods - totals.not_selected
    if totals.drifted:
        headline = (
            f"{totals.drifted:,} of {counted(examined, 'Pod')} {'has' if totals.drifted == 1 else 'have'} drifted"
        )
    else:
        headline = "No Pods have drifted"
    return {
        "program": PROGRAM,
        "report": found,
        "totals": totals,
        "headline": headline,
        "examined": examined,
        "selected": len(selected),
        "ring": _parts(totals, examined),
        "share": _percent(totals.current + totals.left_alone, examined),
        "namespaces": _bars([one for one in selected if one.counts.pods]),
        "drifted": _drifted(found.namespaces),
        "not_selected": _first(others, _NAMESPACES),
        "registries": _registries(found),
        "facts": [
            ("Registry", found.server or "none"),
            ("Rewritten by", found.rewriter),
            ("Configuration", f"{found.configuration}, {found.hash}"),
            ("Created by", f"{PROGRAM} {__version__}"),
        ],
    }


def _first(rows: Sequence[_T], limit: int) -> _Rows[_T]:
    return _Rows(rows[:limit], len(rows) - limit)


def _parts(counts: Counts, whole: int, shortest: float = 0) -> list[_Part]:
    """Divide Pods by their state; states without Pods are left out."""
    start, parts = 0.0, []
    for label, color, size in (
        ("up to date", "current", counts.current),
        ("with an image that would be rewritten", "images", counts.images),
        ("lacking only the pull secret", "secret", counts.drifted - counts.images),
        ("opted out or static", "aside", counts.left_alone),
    ):
        if size:
            parts.append(_Part(label, color, size, start, max(100 * size / whole, shortest)))
            start += parts[-1].length
    return parts


def _percent(part: int, whole: int) -> str:
    """Format a share as a percentage; only exact ones are 0% or 100%."""
    if not whole:
        return "none"
    exact = 100 * part / whole
    if 0 < exact < 1 or 99 < exact < 100:  # noqa: PLR2004
        return f"{min(max(math.floor(10 * exact) / 10, 0.1), 99.9):.1f}%"
    return f"{exact:.0f}%"


def _bars(namespaces: Sequence[NamespaceDrift]) -> _Rows[tuple[NamespaceDrift, str, list[_Part]]]:
    """Return a bar for each namespace, whose length is proportional to the number of its Pods."""
    most = max((one.counts.pods for one in namespaces), default=0)
    rows = []
    for one in namespaces:
        parts = _parts(one.counts, most, _SHORTEST)
        meaning = ", ".join(f"{part.size:,} {part.label}" for part in parts)
        rows.append((one, f"{one.name}: {counted(one.counts.pods, 'Pod')}: {meaning}", parts))
    return _first(rows, _NAMESPACES)


def _drifted(namespaces: Iterable[NamespaceDrift]) -> _Rows[tuple[Any, ...]]:
    """Return namespaces with their owners, commands and notes, up to the limit of owners."""
    room, rows = _OWNERS, []
    for one in namespaces:
        if one.owners and room > 0:
            lines = (_first(rows_of(one), _LINES_PER_NAMESPACE) for rows_of in (commands, notes))
            rows.append((one, one.owners[:room], *lines))
        room -= len(one.owners)
    return _Rows(rows, -room)


def _registries(found: Report) -> list[_Part]:
    every = list(found.registries.items())
    rest = sum(number for _, number in every[_REGISTRIES:])
    shown = [*every[:_REGISTRIES], *([("others", rest)] if rest else [])]
    most = max((number for _, number in shown), default=0)
    own = (found.server or "").partition("/")[0]
    return [
        _Part(name, "current" if name == own else "other", number, 0, 100 * number / most) for name, number in shown
    ]
