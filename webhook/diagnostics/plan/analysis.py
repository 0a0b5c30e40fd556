"""Plan what opting namespaces in would change: workloads, their images, and the commands that do it.

A workload is the topmost owner: an object without a controller, or a controller of a kind that is not read, such as an
operator's custom resource, with everything that it controls.
"""

from collections.abc import Container, Iterable, Iterator, Mapping
from typing import NamedTuple

from msgspec import Struct

from webhook.admission.mutator import Mutator
from webhook.config.effective import EffectiveConfig
from webhook.diagnostics import restart_commands, webhook_match
from webhook.diagnostics.evaluate import Change, NamespaceStatus, evaluate
from webhook.diagnostics.restart_commands import WorkloadName
from webhook.diagnostics.running_pods import FINISHED, Metadata
from webhook.diagnostics.running_pods import controller as controller_of
from webhook.kube.objects import PodSpec
from webhook.registry.image_lookup import ImageStatus

#: The kinds that are read, with their API groups.
GROUPS = {
    "Deployment": "apps",
    "StatefulSet": "apps",
    "DaemonSet": "apps",
    "ReplicaSet": "apps",
    "ReplicationController": "",
    "CronJob": "batch",
    "Job": "batch",
    "Pod": "",
}
#: Kinds that controllers create: their controller is listed instead. Kinds with a restart or a schedule of their own
#: are listed whatever controls them.
_CREATED = frozenset({"Pod", "ReplicaSet", "ReplicationController", "Job"})


class Strategy(Struct, frozen=True, gc=False):
    """An update strategy."""

    type: str = ""


class WorkloadSpec(PodSpec, frozen=True, gc=False, rename="camel"):
    """The spec of a Pod, or of any kind that creates Pods."""

    template: "Workload | None" = None
    job_template: "Workload | None" = None
    paused: bool = False
    replicas: int | None = None
    update_strategy: Strategy = Strategy()


class Condition(Struct, frozen=True, gc=False):
    """A condition of a Job."""

    type: str = ""
    status: str = ""


class WorkloadStatus(Struct, frozen=True, gc=False):
    """The status of a workload."""

    phase: str = ""
    conditions: tuple[Condition, ...] = ()


class Workload(Struct, frozen=True, gc=False):
    """The fields that are read of a Pod, of an object that creates Pods, or of a template."""

    metadata: Metadata = Metadata()
    spec: WorkloadSpec = WorkloadSpec()
    status: WorkloadStatus = WorkloadStatus()

    @property
    def pod(self) -> "Workload":
        """The Pod template; the object itself if it is a Pod."""
        template = self.spec.job_template or self.spec.template
        return template.pod if template else self


class WorkloadChange(WorkloadName, frozen=True, kw_only=True):
    """A workload that would be changed."""

    changes: tuple[Change, ...]
    gets_secret: bool
    command: str | None
    """The command line that recreates its Pods."""
    note: str = ""
    """Further steps or information."""


class UnchangedWorkload(WorkloadName, frozen=True, kw_only=True):
    """A workload that would not be changed."""

    why: str


class NamespacePlan(Struct, frozen=True):
    """The planned changes of a namespace."""

    name: str
    selected: bool
    """Whether it is opted in already."""
    selectable: bool
    """Whether it can be opted in."""
    why: str
    command: str | None
    """The command line that opts it in."""
    workloads: int
    left_alone: tuple[UnchangedWorkload, ...]
    steps: tuple[WorkloadChange, ...]


class Plan(Struct, frozen=True):
    """The planned changes of all namespaces."""

    server: str | None
    configuration: str
    hash: str
    asked: str
    """Whether registries were asked for the images, in a clause."""
    notes: tuple[str, ...]
    namespaces: tuple[NamespacePlan, ...]
    images: tuple["PlannedImage", ...]
    """Every image that workloads would have, missing ones first."""


class PlannedImage(Struct, frozen=True):
    """An image that a workload would have."""

    image: str
    written: tuple[str, ...]
    """The images that become this one."""
    workloads: tuple[str, ...]
    """Its users: `team-a Deployment/web`."""
    status: ImageStatus = ImageStatus.NOT_ASKED
    detail: str = ""
    """The answer in a clause."""
    copy_command: str | None = None
    """The command line that copies a missing image to its registry."""
    hint: str = ""
    """What to do about the answer."""


def namespaces(
    settings: EffectiveConfig,
    statuses: Mapping[str, NamespaceStatus],
    workloads: Iterable[tuple[str, Workload]],
) -> tuple[NamespacePlan, ...]:
    """Plan each namespace, from the workloads with their kinds.

    Namespaces that can be opted in come first, then those with most changes. Objects that have finished, and those that
    a listed workload creates, are left out.
    """
    results: dict[str, list[WorkloadChange | UnchangedWorkload]] = {name: [] for name in statuses}
    for top, members in _by_top(statuses, workloads).items():
        results[top.namespace].append(_evaluate(settings.mutator, top, members))
    plans = [_plan(name, status, results[name], settings) for name, status in statuses.items()]
    return tuple(sorted(plans, key=lambda plan: (not plan.selectable, -len(plan.steps), plan.name)))


def planned_images(plans: Iterable[NamespacePlan]) -> tuple[PlannedImage, ...]:
    """Return every image that workloads would have, once, sorted."""
    used: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
    for plan in plans:
        for step in plan.steps:
            for change in step.changes:
                written, places = used.setdefault(change.resolved, ({}, {}))
                written[change.written] = None
                places[f"{plan.name} {step}"] = None
    return tuple(
        PlannedImage(image, tuple(written), tuple(places)) for image, (written, places) in sorted(used.items())
    )


def most_urgent_first(images: Iterable[PlannedImage]) -> tuple[PlannedImage, ...]:
    """Sort images by the answers of their registries."""
    order = list(ImageStatus)
    return tuple(sorted(images, key=lambda one: (order.index(one.status), one.image)))


class _Top(NamedTuple):
    """The topmost owner of some workloads."""

    namespace: str
    workload: WorkloadName


def _by_top(
    statuses: Mapping[str, NamespaceStatus], workloads: Iterable[tuple[str, Workload]]
) -> dict[_Top, list[Workload]]:
    """Group the workloads of namespaces that can be opted in by their topmost owner."""
    every = [
        (kind, one)
        for kind, one in workloads
        if (status := statuses.get(one.metadata.namespace)) is not None and status.selectable
    ]
    read = {one.metadata.uid for _, one in every if one.metadata.uid}
    tops: dict[_Top, list[Workload]] = {}
    for kind, workload in every:
        top = None if _is_over(kind, workload) else _top(kind, workload, read)
        if top is not None:
            tops.setdefault(top, []).append(workload)
    return tops


def _is_over(kind: str, workload: Workload) -> bool:
    """Return whether a workload creates no more Pods."""
    status = workload.status
    ended = kind == "Job" and any(
        one.type in {"Complete", "Failed"} and one.status == "True" for one in status.conditions
    )
    return ended or status.phase in FINISHED or workload.metadata.deletion_timestamp is not None


def _top(kind: str, workload: Workload, read: Container[str]) -> _Top | None:
    """Return the topmost owner; None if the controller is read as well, and so is listed itself."""
    controller = controller_of(workload.metadata.owner_references) if kind in _CREATED else None
    if controller is not None:
        if controller.uid in read:
            return None
        # A controller of a known kind that does not exist or could not be read is ignored.
        if GROUPS.get(controller.kind) != controller.group:
            return _Top(workload.metadata.namespace, WorkloadName.of(controller))
    return _Top(workload.metadata.namespace, WorkloadName(kind, workload.metadata.name, GROUPS[kind]))


def _evaluate(mutator: Mutator, top: _Top, members: list[Workload]) -> WorkloadChange | UnchangedWorkload:
    # Of the ReplicaSets of an operator, those that are scaled to zero are its history.
    current = [one for one in members if one.spec.replicas != 0] or members
    pods = [{"metadata": one.pod.metadata, "spec": one.pod.spec} for one in current]
    evaluations = [evaluate(mutator, pod, top.namespace) for pod in pods]
    differing = [evaluation for evaluation in evaluations if evaluation.differs]
    name = (top.workload.kind, top.workload.name, top.workload.group)
    if not differing:
        return UnchangedWorkload(*name, why=evaluations[0].why)
    command = restart_commands.command(top.namespace, top.workload)
    return WorkloadChange(
        *name,
        changes=tuple(dict.fromkeys(change for evaluation in differing for change in evaluation.changes)),
        gets_secret=any(evaluation.lacks_secret for evaluation in differing),
        command=command,
        note=". ".join(_notes(top.workload, current[0], command)),
    )


def _notes(name: WorkloadName, workload: Workload, command: str | None) -> Iterator[str]:
    if command is None:
        yield restart_commands.description(name)
        return
    if workload.spec.paused:
        yield "it is paused, and kubectl refuses to restart it until it is resumed"
    elif workload.spec.update_strategy.type == "OnDelete":
        yield "its update strategy is OnDelete, so delete each of its Pods after that"
    controller = controller_of(workload.metadata.owner_references)
    if controller is not None:
        yield f"it is controlled by {WorkloadName.of(controller)}, whose operator may revert images that it did not set"


def _plan(
    name: str,
    status: NamespaceStatus,
    workloads: list[WorkloadChange | UnchangedWorkload],
    settings: EffectiveConfig,
) -> NamespacePlan:
    opt_in = webhook_match.opt_in if settings.mode == "labelled" else webhook_match.remove_opt_out
    commands = opt_in(name).commands if status.selectable and not status.selected else ()
    changed = [one for one in workloads if isinstance(one, WorkloadChange)]
    return NamespacePlan(
        name=name,
        selected=status.selected,
        selectable=status.selectable,
        why=status.why,
        command=next(iter(commands), None),
        workloads=len(workloads),
        left_alone=tuple(one for one in workloads if isinstance(one, UnchangedWorkload)),
        steps=tuple(sorted(changed, key=lambda one: (one.kind, one.name))),
    )
