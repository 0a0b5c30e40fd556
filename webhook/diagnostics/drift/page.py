"""A report on running Pods as one page that needs nothing else: for a screen of any width, dark or light, and paper."""

import math
from collections.abc import Iterator, Sequence
from datetime import datetime
from importlib import resources
from typing import NamedTuple

from webhook import __version__
from webhook.constants import PROGRAM
from webhook.diagnostics.drift.analysis import Counts, NamespaceDrift, OwnerDrift, Report
from webhook.diagnostics.drift.markup import Markup, join, tag
from webhook.diagnostics.drift.text import commands, notes
from webhook.output.table import counted

#: So many rows a person looks through; the rest is in the other forms of output.
_NAMESPACES, _OWNERS, _REGISTRIES = 40, 200, 8
#: Of one namespace.
_LINES = 50
_RADIUS = 15.915494309189533
"""Of a circle whose circumference is 100: an arc's length is its percentage."""


class _Share(NamedTuple):
    """A part of a whole, with its colour's class."""

    what: str
    colour: str
    pods: int


def page(found: Report, cluster: str, now: datetime) -> str:
    """Write the page; `cluster` is what the reader calls it, empty if nothing, and `now` is in UTC."""
    title = f"Drift report{f' of {cluster}' if cluster else ''}"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        # An element whose text is not escaped: it is ours.
        tag("style", Markup(resources.files(__package__).joinpath("report.css").read_text())),
    )
    body = tag("main", _top(found, cluster, now), *_sections(found), _foot(found))
    return f"<!doctype html>\n{tag('html', head, tag('body', body), lang='en')}\n"


def _top(found: Report, cluster: str, now: datetime) -> Markup:
    totals = found.totals
    served = [one for one in found.namespaces if one.selected]
    looked_at = totals.pods - totals.not_selected
    if totals.drifted:
        headline = (
            f"{totals.drifted:,} of {counted(looked_at, 'Pod')} {'has' if totals.drifted == 1 else 'have'} drifted"
        )
    else:
        headline = "No Pod has drifted"
    under = (
        f"{counted(looked_at, 'running Pod')} in {counted(len(served), 'served namespace')}, compared with what "
        f"{PROGRAM} would make of them now."
    )
    when = f"{now.day} {now:%B %Y, %H:%M} UTC"
    return tag(
        "header",
        tag("p", "Drift report", tag("span", f"{cluster} · {when}" if cluster else when), class_="over"),
        tag("h1", headline, class_="bad" if totals.drifted else "good"),
        tag("p", under, class_="under"),
    )


def _sections(found: Report) -> Iterator[Markup]:
    yield _overview(found)
    if found.notes:
        yield tag("section", *(tag("p", note) for note in found.notes), class_="notes")
    served = [one for one in found.namespaces if one.selected and one.counts.pods]
    if served:
        yield _namespaces(served)
    yield from _drifted(found)
    others = [one for one in found.namespaces if not one.selected and one.counts.pods]
    if others:
        yield _not_selected(others)
    if found.registries:
        yield _registries(found)


def _shares(counts: Counts) -> list[_Share]:
    return [
        _Share("as they would be made now", "current", counts.current),
        _Share("have an image to be rewritten", "images", counts.images),
        _Share("lack the pull secret alone", "secret", counts.drifted - counts.images),
        _Share("are left alone", "aside", counts.left_alone),
    ]


def _overview(found: Report) -> Markup:
    totals = found.totals
    shares = _shares(totals)
    whole = sum(share.pods for share in shares)
    legend = [
        tag("li", tag("i", class_=f"swatch {share.colour}"), tag("b", f"{share.pods:,}"), tag("span", share.what))
        for share in shares
        if share.pods
    ]
    tiles = [
        _tile(totals.images, "to rewrite", "Pods with an image that does not come from where it should"),
        _tile(
            totals.lacking_secret, "without the secret", "Pods that cannot pull from the registry with our credential"
        ),
        _tile(totals.missed, "not rewritten", "when created: the webhook was unavailable, or they were not selected"),
    ]
    return tag(
        "section",
        tag("div", _ring(shares, whole), tag("ul", *legend, class_="legend"), class_="card ring"),
        tag("div", *tiles, class_="tiles"),
        class_="overview",
    )


def _tile(number: int, what: str, words: str) -> Markup:
    kind = "tile" if number else "tile none"
    return tag("div", tag("b", f"{number:,}"), tag("span", what), tag("small", words), class_=f"card {kind}")


def _ring(shares: Sequence[_Share], whole: int) -> Markup:
    current = sum(share.pods for share in shares if share.colour in {"current", "aside"})
    percent = _percent(current, whole)
    arcs, before = [], 0.0
    for share in shares:
        length = 100 * share.pods / whole if whole else 0
        if length:
            dashes = f"{length:.3f} {100 - length:.3f}"
            arcs.append(_arc(share.colour, stroke_dasharray=dashes, stroke_dashoffset=f"{25 - before:.3f}"))
        before += length
    said = tag("text", percent, x=21, y=21.6, class_="percent")
    under = tag("text", "as it should be", x=21, y=25.6, class_="caption")
    title = tag("title", f"{percent} of the Pods are as they should be")
    return tag("svg", title, _arc("track"), *arcs, said, under, viewBox="0 0 42 42", role="img")


def _arc(colour: str, **attributes: str) -> Markup:
    return tag("circle", cx=21, cy=21, r=f"{_RADIUS:.4f}", class_=f"arc {colour}", **attributes)


def _percent(part: int, whole: int) -> str:
    """Write a share so that neither all nor nothing is said of what is not quite that."""
    if not whole:
        return "none"
    exact = 100 * part / whole
    if 0 < exact < 1 or 99 < exact < 100:  # noqa: PLR2004
        return f"{min(max(math.floor(10 * exact) / 10, 0.1), 99.9):.1f}%"
    return f"{exact:.0f}%"


def _namespaces(served: Sequence[NamespaceDrift]) -> Markup:
    most = max(one.counts.pods for one in served)
    rows = []
    for one in served[:_NAMESPACES]:
        said = f"{one.counts.drifted:,} of {one.counts.pods:,}" if one.counts.drifted else f"{one.counts.pods:,}"
        rows.append(
            tag(
                "li",
                tag("span", one.name, class_="name"),
                _bar(_shares(one.counts), one.counts.pods, most, one.name),
                tag("span", said, class_="bad count" if one.counts.drifted else "count"),
            )
        )
    more = _more(len(served) - _NAMESPACES, "namespace")
    return tag("section", tag("h2", "Namespaces"), tag("ul", *rows, class_="bars card"), *more)


def _bar(shares: Sequence[_Share], pods: int, most: int, name: str) -> Markup:
    """Draw a bar as long as its Pods are many, in parts; what is there at all can be seen."""
    parts, x = [], 0.0
    for share in shares:
        if share.pods:
            width = max(100 * share.pods / most, 0.8)
            parts.append(tag("rect", x=f"{x:.2f}", y=0, width=f"{width:.2f}", height=10, class_=share.colour))
            x += width
    said = ", ".join(f"{share.pods:,} {share.what}" for share in shares if share.pods)
    title = tag("title", f"{name}: {counted(pods, 'Pod')}: {said}")
    return tag("svg", title, *parts, viewBox="0 0 102 10", preserveAspectRatio="none", role="img")


def _drifted(found: Report) -> Iterator[Markup]:
    room = _OWNERS
    blocks = []
    for namespace in found.namespaces:
        if namespace.owners and room > 0:
            shown = namespace.owners[:room]
            room -= len(shown)
            blocks.append(_drifted_in(namespace, shown))
    if blocks:
        left = sum(len(one.owners) for one in found.namespaces) - _OWNERS
        yield tag("section", tag("h2", "What has drifted"), *blocks, *_more(left, "owner"))


def _drifted_in(namespace: NamespaceDrift, shown: Sequence[OwnerDrift]) -> Markup:
    lines, others = commands(namespace), notes(namespace)
    # Line by line, so that no line feed but these is one.
    text = Markup("\n".join(map(join, lines[:_LINES])))
    remedy = [tag("pre", tag("code", text))] if lines else []
    remedy += _more(len(lines) - _LINES, "command")
    remedy += [tag("p", tag("b", owner), ": ", note) for owner, note in others[:_LINES]]
    remedy += _more(len(others) - _LINES, "owner")
    how = tag("div", tag("h4", "To recreate these Pods"), *remedy, class_="remedy")
    head = tag("h3", namespace.name, tag("span", f"{counted(namespace.counts.drifted, 'Pod')}"))
    return tag("article", head, *map(_owner, shown), how, class_="card")


def _owner(owner: OwnerDrift) -> Markup:
    images = [
        tag(
            "li",
            tag("span", change.place, class_="place"),
            _image(change.written, "old"),
            _image(change.resolved, "new"),
        )
        for change in owner.changes
    ]
    lacking = [tag("span", "lacks the pull secret", class_="chip secret")] if owner.lacking_secret else []
    causes = [
        tag("span", cause.meaning if len(owner.causes) == 1 else f"{count:,} {cause.meaning}", class_="chip")
        for cause, count in owner.causes.items()
    ]
    number = f"{owner.drifted:,} of {counted(owner.pods, 'Pod')}"
    kind = tag("span", str(owner).removesuffix(f"/{owner.name}"), class_="kind")
    head = tag("div", kind, tag("b", owner.name), *lacking, *causes, tag("span", number, class_="count"))
    return tag("div", head, tag("ul", *images, class_="images"), class_="owner")


def _image(text: str, kind: str) -> Markup:
    """Write an image so that a narrow screen can break it where a reader would."""
    pieces = text.split("/")
    broken = [piece for part in pieces[:-1] for piece in (f"{part}/", Markup("<wbr>"))]
    return tag("code", *broken, pieces[-1], class_=kind)


def _not_selected(others: Sequence[NamespaceDrift]) -> Markup:
    head = tag("tr", tag("th", "Namespace"), tag("th", "Pods"), tag("th", "Would change"), tag("th", "Why not"))
    rows = [
        tag(
            "tr",
            tag("td", one.name),
            tag("td", f"{one.counts.pods:,}", class_="number"),
            tag("td", f"{one.counts.would_change:,}", class_="number"),
            tag("td", one.why, class_="why"),
        )
        for one in others[:_NAMESPACES]
    ]
    body = tag("table", tag("thead", head), tag("tbody", *rows))
    more = _more(len(others) - _NAMESPACES, "namespace")
    return tag("section", tag("h2", "Not served"), tag("div", body, class_="card wide"), *more)


def _registries(found: Report) -> Markup:
    every = list(found.registries.items())
    rest = sum(count for _, count in every[_REGISTRIES:])
    shown = [*every[:_REGISTRIES], *([("others", rest)] if rest else [])]
    most = max(count for _, count in shown)
    own = (found.server or "").partition("/")[0]
    rows = [
        tag(
            "li",
            tag("span", name, class_="name"),
            tag(
                "svg",
                tag("title", f"{name}: {counted(count, 'image')}"),
                tag("rect", x=0, y=0, width=f"{100 * count / most:.2f}", height=10, class_=_of(name, own)),
                viewBox="0 0 102 10",
                preserveAspectRatio="none",
                role="img",
            ),
            tag("span", f"{count:,}", class_="count"),
        )
        for name, count in shown
    ]
    words = "By the containers and volumes of running Pods; an image that names no registry is Docker Hub's, docker.io."
    return tag(
        "section",
        tag("h2", "Where images come from"),
        tag("ul", *rows, class_="bars card"),
        tag("p", words, class_="more"),
    )


def _of(name: str, own: str) -> str:
    return "current" if name == own else "other"


def _more(number: int, what: str) -> list[Markup]:
    return [tag("p", f"and {counted(number, what)} more: --output json has all", class_="more")] if number > 0 else []


def _foot(found: Report) -> Markup:
    facts = [
        ("Registry", found.server or "none"),
        ("Configured", found.rewriter),
        ("Configuration", f"{found.configuration}, {found.hash}"),
        ("Made by", f"{PROGRAM} {__version__}"),
    ]
    every = join(*(tag("div", tag("dt", what), tag("dd", said)) for what, said in facts))
    return tag("footer", tag("dl", every))
