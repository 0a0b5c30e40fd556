"""The plan on a terminal."""

from collections.abc import Iterator

from webhook.constants import PROGRAM
from webhook.diagnostics.plan.analysis import NamespacePlan, Plan, PlannedImage, WorkloadChange
from webhook.output import finding_blocks
from webhook.output.phrases import counted
from webhook.output.table import table
from webhook.output.terminal import Screen, bold, join
from webhook.registry.image_lookup import ImageStatus

_HEADINGS = ("WORKLOAD", "CHANGES")
_NOTE_HEADINGS = ("WORKLOAD", "NOTE")
_IMAGE_HEADINGS = ("IMAGE", "USED BY")
_OBSTACLES = frozenset({ImageStatus.MISSING, ImageStatus.REFUSED})
#: The heading of each group of images.
_GROUPS = {
    ImageStatus.MISSING: "missing from the registry",
    ImageStatus.REFUSED: "refused by the registry",
    ImageStatus.UNCLEAR: "with an unclear answer of the registry",
}
#: The number of workloads that are named as users of an image.
_NAMED = 3


def lines(plan: Plan, screen: Screen) -> Iterator[str]:
    """Yield a summary with the problems of images, then the changes and commands of each namespace."""
    yield from _summary(plan, screen)
    for found in plan.namespaces:
        if found.selectable and found.workloads:
            yield ""
            yield from _namespace(found, screen)
    cannot = [(found.name, found.why) for found in plan.namespaces if not found.selectable]
    if cannot:
        yield ""
        yield "Namespaces that cannot be opted in:"
        yield from table(cannot, screen, ("NAMESPACE", "REASON"))
    empty = [found.name for found in plan.namespaces if found.selectable and not found.workloads]
    if empty:
        yield ""
        yield f"Namespaces without workloads: {', '.join(empty)}"


def obstacles(plan: Plan, *, whole: bool) -> bool:
    """Return whether images are missing or refused or, for a single namespace, whether it cannot be opted in."""
    cannot = not whole and not all(found.selectable for found in plan.namespaces)
    return cannot or any(one.status in _OBSTACLES for one in plan.images)


def _summary(plan: Plan, screen: Screen) -> Iterator[str]:
    workloads = sum(found.workloads for found in plan.namespaces)
    changed = sum(len(found.steps) for found in plan.namespaces)
    images = f", and use {counted(len(plan.images), 'image')} of the registry" if plan.images else ""
    yield bold(f"{changed:,} of {counted(workloads, 'workload')} would change{images}", screen)
    yield f"  configuration: {plan.configuration} ({plan.hash})"
    asked = plan.asked if not plan.asked.startswith("asked") else f"{plan.asked}: {_tally(plan)}"
    yield from finding_blocks.wrapped(f"registry: {asked}", screen)
    for note in plan.notes:
        yield from finding_blocks.wrapped(f"note: {note}", screen)
    for status in _GROUPS:
        yield from _images(status, [one for one in plan.images if one.status is status], screen)


def _tally(plan: Plan) -> str:
    counts = [(status, sum(one.status is status for one in plan.images)) for status in ImageStatus]
    return ", ".join(f"{count:,} {status}" for status, count in counts if count) or "no images"


def _images(status: ImageStatus, images: list[PlannedImage], screen: Screen) -> Iterator[str]:
    """Yield the images with a status, why they have it, and the commands that copy missing ones."""
    if not images:
        return
    yield ""
    yield bold(f"{counted(len(images), 'image')} {_GROUPS[status]}", screen)
    yield from table([(one.image, _users(one)) for one in images], screen, _IMAGE_HEADINGS)
    if status is not ImageStatus.MISSING:
        for detail in dict.fromkeys(one.detail for one in images if one.detail):
            yield from finding_blocks.wrapped(detail, screen)
    commands = [one.copy_command for one in images if one.copy_command is not None]
    if commands:
        yield "To copy these images:"
        yield from (join("  ", command) for command in commands)


def _users(one: PlannedImage) -> str:
    """Name the workloads that use an image."""
    named = ", ".join(one.workloads[:_NAMED])
    return named + (f" and {len(one.workloads) - _NAMED:,} more" if len(one.workloads) > _NAMED else "")


def _namespace(found: NamespacePlan, screen: Screen) -> Iterator[str]:
    if found.selected:
        state = f"{found.why}. `{PROGRAM} report` shows which Pods are rewritten already"
    else:
        state = f"{len(found.steps):,} of {counted(found.workloads, 'workload')} would change"
    yield bold(f"{found.name}: {state}", screen)
    rows = [row for step in found.steps for row in _step(step)]
    rows += [(str(one), f"unchanged: {one.why}") for one in found.left_alone]
    yield from table(rows, screen, _HEADINGS)
    commands = [*([found.command] if found.command else []), *(step.command for step in found.steps if step.command)]
    if commands:
        yield "Commands:"
        yield from (join("  ", line) for line in commands)
    notes = [(str(step), step.note) for step in found.steps if step.note]
    yield from table(notes, screen, _NOTE_HEADINGS)


def _step(step: WorkloadChange) -> Iterator[tuple[str, str]]:
    lines = [*map(str, step.changes), *(["adds the pull secret"] if step.gets_secret else [])]
    for number, line in enumerate(lines):
        yield (str(step) if number == 0 else "", line)
