"""What opting namespaces in would change: which workloads, which of their images, and what brings it about."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct

from webhook.admission.handler import Handler
from webhook.inspection import remaking
from webhook.inspection.judging import Change, Standing, judge
from webhook.inspection.objects import Owner, PodSpec
from webhook.inspection.running import Metadata
from webhook.inspection.snapshot import Settings
from webhook.names import ENABLED_LABEL

#: What other workloads make: of these only those are planned for that nobody makes.
_MADE = frozenset({"Pod", "ReplicaSet", "Job"})
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


class Presence(StrEnum):
    """What a registry says of an image, what needs doing most first."""

    MISSING = "missing"
    REFUSED = "refused"
    UNCLEAR = "unclear"
    NOT_ASKED = "not asked"
    THERE = "there"


class Step(Struct, frozen=True):
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

    def __str__(self) -> str:
        """Name the workload as kubectl does."""
        return f"{self.kind}/{self.name}"


class LeftAlone(Struct, frozen=True):
    """A workload that would stay as it is."""

    kind: str
    name: str
    why: str


class NamespacePlan(Struct, frozen=True):
    """A namespace, and what would change in it."""

    name: str
    served: bool
    """Whether it is opted in already."""
    may_be: bool
    """Whether it can be opted in."""
    why: str
    command: str | None
    """The line for a shell that opts it in."""
    workloads: int
    """How many there are."""
    left_alone: tuple[LeftAlone, ...]
    steps: tuple[Step, ...]
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
    images: tuple["Resulting", ...]
    """Every image that there would be, and what the registry says of it: what is not there first."""


class Resulting(Struct, frozen=True):
    """An image that a workload would have."""

    image: str
    written: tuple[str, ...]
    """What it was made of."""
    workloads: tuple[str, ...]
    """Where it would be used: `team-a Deployment/web`."""
    presence: Presence = Presence.NOT_ASKED
    detail: str = ""
    """The answer in words."""


class Found(NamedTuple):
    """What was read of a cluster."""

    standings: Mapping[str, Standing]
    workloads: Iterable[tuple[str, Workload]]
    """Whatever makes Pods, and Pods, each with its kind."""


class Answer(NamedTuple):
    """What a registry said of an image."""

    presence: Presence
    detail: str
    """In words."""


def namespaces(settings: Settings, found: Found) -> tuple[NamespacePlan, ...]:
    """Find out what would change where; namespaces that can be opted in come first, those with most to change first.

    What somebody else makes, such as a Deployment's ReplicaSet, is passed over, and so is what has finished.
    """
    handler = settings.handler
    drafts = {name: _Draft([], []) for name in found.standings}
    for kind, workload in found.workloads:
        namespace = workload.metadata.namespace
        if namespace in drafts and found.standings[namespace].may_be and not _passed_over(kind, workload):
            _add(drafts[namespace], handler, kind, workload)
    plans = [_plan(name, standing, drafts[name], settings) for name, standing in found.standings.items()]
    return tuple(sorted(plans, key=lambda plan: (not plan.may_be, -len(plan.steps), plan.name)))


def resulting(plans: Iterable[NamespacePlan]) -> tuple[Resulting, ...]:
    """Give every image that there would be, once, in the order of their names."""
    used: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
    for plan in plans:
        for step in plan.steps:
            for change in step.changes:
                written, places = used.setdefault(change.becomes, ({}, {}))
                written[change.written] = None
                places[f"{plan.name} {step}"] = None
    return tuple(Resulting(image, tuple(written), tuple(places)) for image, (written, places) in sorted(used.items()))


def answered(images: Iterable[Resulting], answers: Mapping[str, Answer]) -> tuple[Resulting, ...]:
    """Put what the registry said beside the images, what is not there first."""
    order = list(Presence)
    known = [
        Resulting(one.image, one.written, one.workloads, *answers.get(one.image, (one.presence, one.detail)))
        for one in images
    ]
    return tuple(sorted(known, key=lambda one: (order.index(one.presence), one.image)))


class _Draft(NamedTuple):
    """A namespace's plan in the making."""

    steps: list[Step]
    left_alone: list[LeftAlone]


def _passed_over(kind: str, workload: Workload) -> bool:
    metadata, status = workload.metadata, workload.status
    made = kind in _MADE and any(owner.controller for owner in metadata.owner_references)
    ended = kind == "Job" and any(
        one.type in {"Complete", "Failed"} and one.status == "True" for one in status.conditions
    )
    return made or ended or status.phase in _FINISHED or metadata.deletion_timestamp is not None


def _add(draft: _Draft, handler: Handler, kind: str, workload: Workload) -> None:
    namespace, name = workload.metadata.namespace, workload.metadata.name
    pod = workload.pod
    judgement = judge(handler, {"metadata": pod.metadata, "spec": pod.spec}, namespace)
    if not judgement.differs:
        draft.left_alone.append(LeftAlone(kind, name, judgement.why))
        return
    owner = Owner(kind=kind, name=name)
    command = remaking.command(namespace, owner)
    note = _note(owner, workload.spec, command)
    draft.steps.append(Step(kind, name, judgement.changes, judgement.lacks_secret, command, note))


def _note(owner: Owner, spec: WorkloadSpec, command: str | None) -> str:
    if command is None:
        return remaking.in_words(owner)
    if spec.paused:
        return "it is paused: kubectl refuses to restart it until it is resumed"
    if spec.update_strategy.type == "OnDelete":
        return "its update strategy is OnDelete: delete each of its Pods after that"
    return ""


def _plan(name: str, standing: Standing, draft: _Draft, settings: Settings) -> NamespacePlan:
    value = "true" if settings.mode == "labelled" else None
    wanted = f"{ENABLED_LABEL}={value}" if value else f"{ENABLED_LABEL}-"
    overwrite = " --overwrite" if value else ""
    opted = standing.served or not standing.may_be
    return NamespacePlan(
        name=name,
        served=standing.served,
        may_be=standing.may_be,
        why=standing.why,
        command=None if opted else f"kubectl label namespace {name} {wanted}{overwrite}",
        workloads=len(draft.steps) + len(draft.left_alone),
        left_alone=tuple(draft.left_alone),
        steps=tuple(sorted(draft.steps, key=lambda step: (step.kind, step.name))),
    )
