"""Compare running Pods with what the webhook would change now, by namespace and owner, with totals.

A Pod has drifted when its namespace is selected and the webhook would change it if it were created now. Pods that have
finished or are being deleted are not running.
"""

import functools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec
from msgspec import Struct, field

from webhook.admission.decision import Outcome
from webhook.config.effective import EffectiveConfig
from webhook.diagnostics import restart_commands
from webhook.diagnostics.evaluate import Change, Evaluation, NamespaceStatus, Rewriter
from webhook.diagnostics.restart_commands import WorkloadName
from webhook.diagnostics.running_pods import Cause, Pod, cause, evaluate_pod, owner
from webhook.errors import InvalidReference
from webhook.images import reference
from webhook.kube.objects import Owner

_LEFT_ALONE = frozenset({Outcome.OPTED_OUT, Outcome.MIRROR})
#: The number of Pods, and of changed images, of one owner that are named.
_NAMED = 5


class Observed(NamedTuple):
    """What was read of a cluster."""

    pods: Iterable[Pod]
    statuses: Mapping[str, NamespaceStatus]
    """Pods of other namespaces are ignored."""
    parents: Mapping[str, Owner]
    """The controllers of what controls Pods, by the uid of the controlled."""
    rewriter: Rewriter
    notes: Sequence[str] = ()
    """What could not be read, one line each."""


class Counts(Struct, frozen=True):
    """Numbers of Pods."""

    pods: int = 0
    current: int = 0
    """Unchanged by the webhook if they were created now."""
    drifted: int = 0
    """In selected namespaces, and changed by the webhook if they were created now."""
    images: int = 0
    """Drifted Pods with an image that would be rewritten."""
    lacking_secret: int = 0
    """Drifted Pods without the pull secret."""
    missed: int = 0
    """Drifted Pods that the webhook did not see: it was unavailable, or the namespace was opted in later."""
    left_alone: int = 0
    """Opted out, or mirrors of static Pods."""
    not_selected: int = 0
    """In namespaces that are not selected."""
    would_change: int = 0
    """Pods in such namespaces that would be changed if their namespace were opted in."""


class OwnerDrift(WorkloadName, frozen=True, kw_only=True):
    """Pods of one owner that have drifted."""

    pods: int
    """All that run."""
    drifted: int
    lacking_secret: int
    causes: dict[Cause, int]
    changes: tuple[Change, ...]
    """The first few images that would change, each once."""
    names: tuple[str, ...]
    """The first few Pods that have drifted."""
    command: str | None = None
    """The command line that recreates its Pods."""
    note: str = ""
    """How they are recreated where no command line does it."""


class NamespaceDrift(Struct, frozen=True):
    """The Pods of a namespace."""

    name: str
    selected: bool
    why: str
    counts: Counts
    owners: tuple[OwnerDrift, ...]
    """Only owners of Pods that have drifted."""


class Report(Struct, frozen=True):
    """The result of the comparison."""

    server: str | None
    configuration: str
    """Where the configuration was read."""
    hash: str
    rewriter: str
    notes: tuple[str, ...]
    totals: Counts
    namespaces: tuple[NamespaceDrift, ...]
    """In the order of their drift, the most first."""
    registries: dict[str, int]
    """The number of images from each registry, the most first."""


def report(settings: EffectiveConfig, observed: Observed) -> Report:
    """Evaluate every running Pod and sum up the results."""
    namespaces = {name: _Namespace(name, found) for name, found in observed.statuses.items()}
    registries: Counter[str] = Counter()
    registry_of = functools.cache(_registry)
    for one in observed.pods:
        namespace = namespaces.get(one.metadata.namespace)
        if namespace is None or not one.runs:
            continue
        evaluation = evaluate_pod(settings.mutator, one)
        registries.update(map(registry_of, evaluation.images))
        namespace.add(one, evaluation, owner(one, observed.parents), observed.rewriter.since)
    found = sorted((one.drift() for one in namespaces.values()), key=_most_first)
    return Report(
        server=settings.server,
        configuration=settings.origin,
        hash=settings.digest,
        rewriter=str(observed.rewriter),
        notes=(*observed.rewriter.notes(settings.digest), *observed.notes),
        totals=_sum(one.counts for one in found),
        namespaces=tuple(found),
        registries=dict(registries.most_common()),
    )


def _most_first(found: NamespaceDrift) -> tuple[bool, int, int, str]:
    return not found.selected, -found.counts.drifted, -found.counts.would_change, found.name


def _sum(every: Iterable[Counts]) -> Counts:
    columns = zip(*(msgspec.structs.astuple(counts) for counts in (Counts(), *every)), strict=True)
    return Counts(*map(sum, columns))


def _registry(image: str) -> str:
    try:
        return reference.parse(image).domain
    except InvalidReference:
        return "no valid name"


class _Namespace(Struct):
    """A namespace whose Pods are being counted."""

    name: str
    status: NamespaceStatus
    counts: Counter[str] = field(default_factory=Counter)
    owners: dict[tuple[str, str, str], "_Owner"] = field(default_factory=dict)

    def add(self, one: Pod, evaluation: Evaluation, owned_by: Owner, since: str | None) -> None:
        key = (owned_by.group, owned_by.kind, owned_by.name)
        owned = self.owners.get(key) or self.owners.setdefault(key, _Owner(owned_by))
        owned.pods += 1
        self.counts["pods"] += 1
        if not self.status.selected:
            self.counts.update(not_selected=1, would_change=int(evaluation.differs))
        elif evaluation.outcome in _LEFT_ALONE:
            self.counts["left_alone"] += 1
        elif evaluation.differs:
            came_by = cause(one, since)
            owned.add(one, evaluation, came_by)
            self.counts.update(
                drifted=1,
                images=int(bool(evaluation.changes)),
                lacking_secret=int(evaluation.lacks_secret),
                missed=int(came_by is Cause.MISSED),
            )
        else:
            self.counts["current"] += 1

    def drift(self) -> NamespaceDrift:
        owners = [owned.drift(self.name) for owned in self.owners.values() if owned.drifted]
        return NamespaceDrift(
            name=self.name,
            selected=self.status.selected,
            why=self.status.why,
            counts=Counts(**self.counts),
            owners=tuple(sorted(owners, key=lambda found: (-found.drifted, found.kind, found.name))),
        )


class _Owner(Struct):
    """An owner whose Pods are being counted."""

    owner: Owner
    pods: int = 0
    drifted: int = 0
    lacking_secret: int = 0
    causes: Counter[Cause] = field(default_factory=Counter)
    changes: dict[Change, None] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)

    def add(self, one: Pod, evaluation: Evaluation, came_by: Cause) -> None:
        self.drifted += 1
        self.lacking_secret += evaluation.lacks_secret
        self.causes[came_by] += 1
        if len(self.changes) < _NAMED:
            self.changes.update(dict.fromkeys(evaluation.changes))
        if len(self.names) < _NAMED:
            self.names.append(one.metadata.name)

    def drift(self, namespace: str) -> OwnerDrift:
        command = restart_commands.command(namespace, self.owner)
        return OwnerDrift(
            self.owner.kind,
            self.owner.name,
            self.owner.group,
            pods=self.pods,
            drifted=self.drifted,
            lacking_secret=self.lacking_secret,
            causes=dict(self.causes.most_common()),
            changes=tuple(self.changes)[:_NAMED],
            names=tuple(self.names),
            command=command,
            note="" if command else restart_commands.description(self.owner),
        )
