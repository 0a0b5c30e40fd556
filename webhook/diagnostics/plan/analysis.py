"""What opting namespaces in would change: which workloads, which of their images, and what brings it about.

A workload is what is at the top of its owners: what nothing controls, or a controller of a kind that is not read here,
such as an operator's custom resource, with all that it controls.
"""

from collections.abc import Container, Iterable, Iterator, Mapping
from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct

from webhook.admission.mutator import Mutator
from webhook.config.effective import EffectiveConfig
from webhook.constants import ENABLED_LABEL
from webhook.diagnostics import restart_commands
from webhook.diagnostics.evaluate import Change, NamespaceStatus, evaluate
from webhook.diagnostics.running_pods import Metadata
from webhook.diagnostics.running_pods import controller as controller_of
from webhook.kube.objects import Owner, PodSpec
from webhook.output import kubectl

#: Where the kinds are that are read here.
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
#: What controllers create: it is its controller that is planned for. What has a restart or a schedule of its own is
#: planned for itself, whatever controls it.
_CREATED = frozenset({"Pod", "ReplicaSet", "ReplicationController", "Job"})
_FINISHED = frozenset({"Succeeded", "Failed"})


class Template(Struct, frozen=True, gc=False):
    """What Pods are made from."""

    metadata: Metadata = Metadata()
    spec: PodSpec = PodSpec()


class JobSpec(Struct, frozen=True, gc=False):
    """What a CronJob's Jobs are to do."""

    template: Template = Template()


class JobTemplate(Struct, frozen=True, gc=False):
    """What a CronJob's Jobs are made from."""

    spec: JobSpec = JobSpec()


class Strategy(Struct, frozen=True, gc=False):
    """How Pods are brought up to date."""

    type: str = ""


class WorkloadSpec(PodSpec, frozen=True, gc=False, rename="camel"):
    """A Pod's own fields, and where the template stands in whatever makes Pods."""

    template: Template | None = None
    job_template: JobTemplate | None = None
    paused: bool = False
    replicas: int | None = None
    update_strategy: Strategy = Strategy()


class Condition(Struct, frozen=True, gc=False):
    """How far something has come."""

    type: str = ""
    status: str = ""


class WorkloadStatus(Struct, frozen=True, gc=False):
    """What became of a workload."""

    phase: str = ""
    conditions: tuple[Condition, ...] = ()


class Workload(Struct, frozen=True, gc=False):
    """Whatever makes Pods, or a Pod: as much of it as is needed here."""

    metadata: Metadata = Metadata()
    spec: WorkloadSpec = WorkloadSpec()
    status: WorkloadStatus = WorkloadStatus()

    @property
    def pod(self) -> Template:
        """What Pods are made from here; a Pod is made from itself."""
        if self.spec.job_template is not None:
            return self.spec.job_template.spec.template
        return self.spec.template or Template(self.metadata, self.spec)


class ImageStatus(StrEnum):
    """What a registry says of an image, what needs doing most first."""

    MISSING = "missing"
    REFUSED = "refused"
    UNCLEAR = "unclear"
    NOT_ASKED = "not asked"
    FOUND = "found"


class WorkloadChange(Struct, frozen=True):
    """A workload that would be changed."""

    kind: str
    name: str
    changes: tuple[Change, ...]
    """The images, and what they would be."""
    gets_secret: bool
    command: str | None
    """The line for a shell that brings it about."""
    note: str = ""
    """What else is to be known or done, in words."""
    group: str = ""
    """The kind's API group, empty for the core one."""

    def __str__(self) -> str:
        """Name the workload as kubectl does."""
        return restart_commands.titled(self.group, self.kind, self.name)


class UnchangedWorkload(Struct, frozen=True):
    """A workload that would stay as it is."""

    kind: str
    name: str
    why: str
    group: str = ""

    def __str__(self) -> str:
        """Name the workload as kubectl does."""
        return restart_commands.titled(self.group, self.kind, self.name)


class NamespacePlan(Struct, frozen=True):
    """A namespace, and what would change in it."""

    name: str
    selected: bool
    """Whether it is opted in already."""
    selectable: bool
    """Whether it can be opted in."""
    why: str
    command: str | None
    """The line for a shell that opts it in."""
    workloads: int
    """How many there are."""
    left_alone: tuple[UnchangedWorkload, ...]
    steps: tuple[WorkloadChange, ...]
    """Those that would be changed."""


class Plan(Struct, frozen=True):
    """All that would change."""

    server: str | None
    configuration: str
    hash: str
    asked: str
    """Whether the registry was asked for the images, in words."""
    notes: tuple[str, ...]
    namespaces: tuple[NamespacePlan, ...]
    images: tuple["PlannedImage", ...]
    """Every image that there would be, and what the registry says of it: what is not there first."""


class PlannedImage(Struct, frozen=True):
    """An image that a workload would have."""

    image: str
    written: tuple[str, ...]
    """What it was made of."""
    workloads: tuple[str, ...]
    """Where it would be used: `team-a Deployment/web`."""
    status: ImageStatus = ImageStatus.NOT_ASKED
    detail: str = ""
    """The answer in words."""


class ClusterState(NamedTuple):
    """What was read of a cluster."""

    statuses: Mapping[str, NamespaceStatus]
    workloads: Iterable[tuple[str, Workload]]
    """Whatever makes Pods, and Pods, each with its kind."""


class ImageAnswer(NamedTuple):
    """What a registry said of an image."""

    status: ImageStatus
    detail: str
    """In words."""


def namespaces(settings: EffectiveConfig, found: ClusterState) -> tuple[NamespacePlan, ...]:
    """Find out what would change where; namespaces that can be opted in come first, those with most to change first.

    What has finished, and what is created by a workload that is read too, is not listed for itself.
    """
    handler = settings.handler
    drafts = {name: _Draft([], []) for name in found.statuses}
    for top, members in _by_top(found).items():
        _add(drafts[top.namespace], handler, top, members)
    plans = [_plan(name, standing, drafts[name], settings) for name, standing in found.statuses.items()]
    return tuple(sorted(plans, key=lambda plan: (not plan.selectable, -len(plan.steps), plan.name)))


def planned_images(plans: Iterable[NamespacePlan]) -> tuple[PlannedImage, ...]:
    """Give every image that there would be, once, in the order of their names."""
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


def with_statuses(images: Iterable[PlannedImage], answers: Mapping[str, ImageAnswer]) -> tuple[PlannedImage, ...]:
    """Put what the registry said beside the images, what is not there first."""
    order = list(ImageStatus)
    known = [
        PlannedImage(one.image, one.written, one.workloads, *answers.get(one.image, (one.status, one.detail)))
        for one in images
    ]
    return tuple(sorted(known, key=lambda one: (order.index(one.status), one.image)))


class _Draft(NamedTuple):
    """A namespace's plan in the making."""

    steps: list[WorkloadChange]
    left_alone: list[UnchangedWorkload]


class _Top(NamedTuple):
    """What is at the top of some workloads."""

    namespace: str
    group: str
    kind: str
    name: str

    @property
    def owner(self) -> Owner:
        """Give it as an owner."""
        return Owner(kind=self.kind, name=self.name, api_version=f"{self.group}/v1" if self.group else "v1")


def _by_top(found: ClusterState) -> dict[_Top, list[Workload]]:
    """Put the workloads of namespaces that can be opted in together by what is at their top."""
    every = [
        (kind, one)
        for kind, one in found.workloads
        if (standing := found.statuses.get(one.metadata.namespace)) is not None and standing.selectable
    ]
    read = {one.metadata.uid for _, one in every if one.metadata.uid}
    tops: dict[_Top, list[Workload]] = {}
    for kind, workload in every:
        top = None if _is_over(kind, workload) else _top(kind, workload, read)
        if top is not None:
            tops.setdefault(top, []).append(workload)
    return tops


def _is_over(kind: str, workload: Workload) -> bool:
    """Tell whether nothing more comes of it."""
    status = workload.status
    ended = kind == "Job" and any(
        one.type in {"Complete", "Failed"} and one.status == "True" for one in status.conditions
    )
    return ended or status.phase in _FINISHED or workload.metadata.deletion_timestamp is not None


def _top(kind: str, workload: Workload, read: Container[str]) -> _Top | None:
    """Give what is at its top, None where that is listed for itself."""
    metadata = workload.metadata
    controller = controller_of(workload.metadata.owner_references) if kind in _CREATED else None
    if controller is not None and controller.uid in read:
        return None
    if controller is None or GROUPS.get(controller.kind) == controller.group:
        # A controller of a known kind that is not there, or could not be read, says nothing.
        return _Top(metadata.namespace, GROUPS[kind], kind, metadata.name)
    return _Top(metadata.namespace, controller.group, controller.kind, controller.name)


def _add(draft: _Draft, mutator: Mutator, top: _Top, members: list[Workload]) -> None:
    # Of the ReplicaSets of an operator, those that are scaled to zero are its history.
    current = [one for one in members if one.spec.replicas != 0] or members
    judged = [evaluate(mutator, {"metadata": one.pod.metadata, "spec": one.pod.spec}, top.namespace) for one in current]
    differing = [judgement for judgement in judged if judgement.differs]
    if not differing:
        draft.left_alone.append(UnchangedWorkload(top.kind, top.name, judged[0].why, top.group))
        return
    changes = dict.fromkeys(change for judgement in differing for change in judgement.changes)
    gets_secret = any(judgement.lacks_secret for judgement in differing)
    command = restart_commands.command(top.namespace, top.owner)
    notes = "; ".join(_notes(top, current, command))
    draft.steps.append(WorkloadChange(top.kind, top.name, tuple(changes), gets_secret, command, notes, top.group))


def _notes(top: _Top, members: list[Workload], command: str | None) -> Iterator[str]:
    spec, controller = members[0].spec, controller_of(members[0].metadata.owner_references)
    if command is None:
        yield restart_commands.description(top.owner)
    elif spec.paused:
        yield "it is paused: kubectl refuses to restart it until it is resumed"
    elif spec.update_strategy.type == "OnDelete":
        yield "its update strategy is OnDelete: delete each of its Pods after that"
    if command is not None and controller is not None:
        above = restart_commands.titled(controller.group, controller.kind, controller.name)
        yield f"it is controlled by {above}, whose operator may compare images with its own"


def _plan(name: str, status: NamespaceStatus, draft: _Draft, settings: EffectiveConfig) -> NamespacePlan:
    wanted = (f"{ENABLED_LABEL}=true", "--overwrite") if settings.mode == "labelled" else (f"{ENABLED_LABEL}-",)
    opted = status.selected or not status.selectable or not kubectl.is_namespace(name)
    command = None if opted else kubectl.of_namespace(name, "label", *wanted)
    return NamespacePlan(
        name=name,
        selected=status.selected,
        selectable=status.selectable,
        why=status.why,
        command=command,
        workloads=len(draft.steps) + len(draft.left_alone),
        left_alone=tuple(draft.left_alone),
        steps=tuple(sorted(draft.steps, key=lambda step: (step.kind, step.name))),
    )
