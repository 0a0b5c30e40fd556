"""The plan on a terminal."""

from collections.abc import Iterator

from webhook.diagnostics.plan.analysis import ImageStatus, NamespacePlan, Plan, PlannedImage, WorkloadChange
from webhook.output.phrases import counted
from webhook.output.table import table
from webhook.output.terminal import Screen, bold, join

_HEADINGS = ("WORKLOAD", "WHAT WOULD CHANGE")
_NOTE_HEADINGS = ("WORKLOAD", "NOTE")
_IMAGE_HEADINGS = ("REGISTRY SAYS", "IMAGE", "WHERE")
_AGAINST = frozenset({ImageStatus.MISSING, ImageStatus.REFUSED})
#: The number of workloads that are named as users of an image.
_NAMED = 3


def lines(plan: Plan, screen: Screen) -> Iterator[str]:
    """Yield a summary with the obstacles, then the changes and commands of each namespace."""
    yield from _summary(plan, screen)
    for found in plan.namespaces:
        if found.selectable and found.workloads:
            yield ""
            yield from _namespace(found, screen)
    cannot = [(found.name, found.why) for found in plan.namespaces if not found.selectable]
    if cannot:
        yield ""
        yield from table(cannot, screen, ("CANNOT BE OPTED IN", "WHY"))
    empty = [found.name for found in plan.namespaces if found.selectable and not found.workloads]
    if empty:
        yield ""
        yield f"Without a workload: {', '.join(empty)}"


def obstacles(plan: Plan, *, whole: bool) -> bool:
    """Return whether images are missing or refused or, for a single namespace, whether it cannot be opted in."""
    cannot = not whole and not all(found.selectable for found in plan.namespaces)
    return cannot or any(one.status in _AGAINST for one in plan.images)


def _summary(plan: Plan, screen: Screen) -> Iterator[str]:
    workloads = sum(found.workloads for found in plan.namespaces)
    changed = sum(len(found.steps) for found in plan.namespaces)
    yield bold(
        f"{changed:,} of {counted(workloads, 'workload')} would change, to {counted(len(plan.images), 'image')}", screen
    )
    yield f"  by {plan.configuration} ({plan.hash})"
    yield f"  registry: {plan.asked}" + ("" if not plan.asked.startswith("asked") else f": {_tally(plan)}")
    for note in plan.notes:
        yield f"  note: {note}"
    against = [(one.status, one.image, _where(one)) for one in plan.images if one.status in _AGAINST]
    unclear = [(one.status, one.image, one.detail) for one in plan.images if one.status is ImageStatus.UNCLEAR]
    if against or unclear:
        yield ""
        yield from table([*against, *unclear], screen, _IMAGE_HEADINGS)


def _tally(plan: Plan) -> str:
    counts = [(presence, sum(one.status is presence for one in plan.images)) for presence in ImageStatus]
    return ", ".join(f"{count:,} {presence}" for presence, count in counts if count) or "nothing to ask for"


def _where(one: PlannedImage) -> str:
    """Name an image's users and, if the registry refuses it, the reason."""
    named = ", ".join(one.workloads[:_NAMED])
    more = f" and {len(one.workloads) - _NAMED} more" if len(one.workloads) > _NAMED else ""
    return f"{named}{more}" + (f": {one.detail}" if one.status is ImageStatus.REFUSED else "")


def _namespace(found: NamespacePlan, screen: Screen) -> Iterator[str]:
    if found.selected:
        state = f"{found.why}: `report` says what of it runs so already"
    else:
        state = f"{len(found.steps):,} of {counted(found.workloads, 'workload')} would change"
    yield bold(f"{found.name}: {state}", screen)
    rows = [row for step in found.steps for row in _step(step)]
    rows += [(str(one), f"stays: {one.why}") for one in found.left_alone]
    yield from (join("  ", line) for line in table(rows, screen, _HEADINGS))
    commands = [*([found.command] if found.command else []), *(step.command for step in found.steps if step.command)]
    if commands:
        yield "  Commands:"
        yield from (join("    ", line) for line in commands)
    notes = [(str(step), step.note) for step in found.steps if step.note]
    yield from (join("  ", line) for line in table(notes, screen, _NOTE_HEADINGS))


def _step(step: WorkloadChange) -> Iterator[tuple[str, str]]:
    lines = [*map(str, step.changes), *(["the pull secret is added"] if step.gets_secret else [])]
    for number, line in enumerate(lines):
        yield (str(step) if number == 0 else "", line)
