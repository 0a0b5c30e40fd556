"""The drift report on a terminal."""

from collections.abc import Iterator

from webhook.diagnostics.drift.analysis import Counts, NamespaceDrift, OwnerDrift, Report
from webhook.output.paragraphs import heading, wrapped
from webhook.output.phrases import counted
from webhook.output.terminal import Screen, join

_CHANGE_INDENT = "    "


def lines(found: Report, screen: Screen) -> Iterator[str]:
    """Yield the summary, each owner of drifted Pods, the commands that recreate them, and namespaces not selected."""
    yield from heading(headline(found), screen)
    for what, count in breakdown(found.totals):
        yield from wrapped(f"{count:,} {what}", screen)
    yield from wrapped(f"configuration: {found.configuration} ({found.hash})", screen)
    yield from wrapped(f"rewritten by: {found.rewriter}", screen)
    for note in found.notes:
        yield from wrapped(f"note: {note}", screen)
    yield from _drifted(found, screen)
    others = [one for one in found.namespaces if not one.selected]
    if others:
        yield ""
        yield "Namespaces that are not selected:"
        for one in others:
            counts = f"{one.counts.would_change:,} of {counted(one.counts.pods, 'Pod')} would change"
            yield from wrapped(f"{one.name}: {counts} ({one.why})", screen)


def headline(found: Report) -> str:
    """Return the summary in one line."""
    selected = sum(one.selected for one in found.namespaces)
    examined = found.totals.pods - found.totals.not_selected
    where = f"{counted(examined, 'Pod')} in {counted(selected, 'selected namespace')}"
    if not found.totals.drifted:
        return f"No drift: {where}, unchanged if created now"
    return f"Drift: {found.totals.drifted:,} of {where} would be changed if created now"


def breakdown(totals: Counts) -> list[tuple[str, int]]:
    """Return why Pods have drifted or are left alone, with the number of Pods if it is not 0."""
    every = [
        ("has an image that would be rewritten", "have an image that would be rewritten", totals.images),
        ("lacks the pull secret", "lack the pull secret", totals.lacking_secret),
        (f"was {_MISSED}", f"were {_MISSED}", totals.missed),
        (f"is {_LEFT_ALONE}", f"are {_LEFT_ALONE}", totals.left_alone),
        (f"is {_NOT_SELECTED}", f"are {_NOT_SELECTED}", totals.not_selected),
    ]
    return [(one if count == 1 else several, count) for one, several, count in every if count]


_MISSED = "not rewritten when created: the webhook was unavailable, or the Pod was not selected"
_LEFT_ALONE = "not rewritten: opted out, or the mirror of a static Pod"
_NOT_SELECTED = "in a namespace that is not selected"


def causes(owner: OwnerDrift) -> list[str]:
    """Describe why an owner's Pods have drifted, with their numbers if there are several causes."""
    if len(owner.causes) == 1:
        return [cause.meaning for cause in owner.causes]
    return [f"{count:,} {cause.meaning}" for cause, count in owner.causes.items()]


def changed(owner: OwnerDrift) -> Iterator[str]:
    """Describe what would change in an owner's Pods, and why they have drifted."""
    yield from map(str, owner.changes)
    yield ", ".join([*(["lacks the pull secret"] if owner.lacking_secret else []), *causes(owner)])


def commands(namespace: NamespaceDrift) -> list[str]:
    """Return the command lines that recreate a namespace's drifted Pods."""
    return [owner.command for owner in namespace.owners if owner.command is not None]


def notes(namespace: NamespaceDrift) -> list[tuple[str, str]]:
    """Return the owners without a command line, each with how its Pods are recreated."""
    return [(str(owner), owner.note) for owner in namespace.owners if owner.command is None]


def _drifted(found: Report, screen: Screen) -> Iterator[str]:
    """Yield the owners of drifted Pods by namespace, and how to recreate these Pods."""
    drifted = [namespace for namespace in found.namespaces if namespace.owners]
    for namespace in drifted:
        yield ""
        counts = namespace.counts
        yield from heading(f"{namespace.name}: {counts.drifted:,} of {counted(counts.pods, 'Pod')}", screen)
        for owner in namespace.owners:
            yield from wrapped(f"{owner}: {owner.drifted:,} of {counted(owner.pods, 'Pod')}", screen)
            for line in changed(owner):
                yield from wrapped(line, screen, _CHANGE_INDENT)
    lines = [line for namespace in drifted for line in commands(namespace)]
    if lines:
        yield ""
        yield "To recreate these Pods:"
        yield from (join("  ", line) for line in lines)
    others = [(namespace.name, *note) for namespace in drifted for note in notes(namespace)]
    if others:
        yield ""
        yield "To recreate other Pods:"
        for name, workload, note in others:
            yield from wrapped(f"{name} {workload}: {note}", screen)
