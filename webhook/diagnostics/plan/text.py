"""The plan on a terminal."""

from collections.abc import Iterator

from webhook.diagnostics.plan.analysis import NamespacePlan, Plan, PlannedImage
from webhook.output import invocation
from webhook.output.paragraphs import heading, wrapped
from webhook.output.phrases import counted
from webhook.output.terminal import Screen, join
from webhook.registry.image_lookup import ImageStatus

#: The indentation of what belongs to a workload or an image.
_BELOW = "    "
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
        for name, why in cannot:
            yield from wrapped(f"{name}: {why}", screen)
    empty = [found.name for found in plan.namespaces if found.selectable and not found.workloads]
    if empty:
        yield ""
        yield from wrapped(f"Namespaces without workloads: {', '.join(empty)}", screen, "")


def obstacles(plan: Plan, *, whole: bool) -> bool:
    """Return whether images are missing or refused or, for a single namespace, whether it cannot be opted in."""
    cannot = not whole and not all(found.selectable for found in plan.namespaces)
    return cannot or any(one.status in _OBSTACLES for one in plan.images)


def _summary(plan: Plan, screen: Screen) -> Iterator[str]:
    yield from heading(_headline(plan), screen)
    yield from wrapped(f"configuration: {plan.configuration} ({plan.hash})", screen)
    asked = plan.asked if not plan.asked.startswith("asked") else f"{plan.asked}: {_tally(plan)}"
    yield from wrapped(f"registry: {asked}", screen)
    for note in plan.notes:
        yield from wrapped(f"note: {note}", screen)
    for status in _GROUPS:
        yield from _images(status, [one for one in plan.images if one.status is status], screen)


def _headline(plan: Plan) -> str:
    """Count workloads. Those of opted-in namespaces may be rewritten already, so no change is claimed for them."""
    images = f"{counted(len(plan.images), 'image')} of the registry" if plan.images else ""
    workloads = sum(found.workloads for found in plan.namespaces if not found.selected)
    opted_in = sum(found.workloads for found in plan.namespaces if found.selected)
    there = f"{counted(opted_in, 'workload')} in namespaces that are opted in already"
    if opted_in and not workloads:
        return there + (f", with {images}" if images else "")
    changed = sum(len(found.steps) for found in plan.namespaces if not found.selected)
    more = f", and {there}" if opted_in else ""
    return f"{changed:,} of {counted(workloads, 'workload')} would change{more}" + (
        f", and use {images}" if images else ""
    )


def _tally(plan: Plan) -> str:
    counts = [(status, sum(one.status is status for one in plan.images)) for status in ImageStatus]
    return ", ".join(f"{count:,} {status}" for status, count in counts if count) or "no images"


def _images(status: ImageStatus, images: list[PlannedImage], screen: Screen) -> Iterator[str]:
    """Yield the images with a status, why they have it, and the commands that copy missing ones."""
    if not images:
        return
    yield ""
    yield from heading(f"{counted(len(images), 'image')} {_GROUPS[status]}", screen)
    for one in images:
        yield from wrapped(one.image, screen)
        yield from wrapped(f"used by {_users(one)}", screen, _BELOW)
    if status is not ImageStatus.MISSING:
        for detail, hint in dict.fromkeys((one.detail, one.hint) for one in images if one.detail):
            yield from wrapped(detail, screen)
            if hint:
                yield from wrapped(f"hint: {hint}", screen)
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
        shown = invocation.command("report", "--namespace", found.name)
        state = f"{found.why}. To show the Pods that are not rewritten yet, and how to recreate them, run `{shown}`"
    else:
        state = f"{len(found.steps):,} of {counted(found.workloads, 'workload')} would change"
    yield from heading(f"{found.name}: {state}", screen)
    for step in found.steps:
        yield from wrapped(str(step), screen)
        for line in [*map(str, step.changes), *(["adds the pull secret"] if step.gets_secret else [])]:
            yield from wrapped(line, screen, _BELOW)
    for one in found.left_alone:
        yield from wrapped(f"{one}: unchanged, {one.why}", screen)
    # Only the Pods that run show which workloads still need a restart.
    restarts = [] if found.selected else [step.command for step in found.steps if step.command]
    commands = [*([found.command] if found.command else []), *restarts]
    if commands:
        yield "Commands:"
        yield from (join("  ", line) for line in commands)
    notes = [] if found.selected else [f"{step}: {step.note}" for step in found.steps if step.note]
    if notes:
        yield "Notes:"
        for note in notes:
            yield from wrapped(note, screen)
