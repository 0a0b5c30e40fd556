"""Pods that run, against what the webhook would make of them now: by namespace and owner, with totals.

A Pod has drifted when its namespace is served and the webhook would change it if it were made now. What has finished,
and what is being deleted, is no running Pod.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec
from msgspec import Struct

from webhook.admission.decision import Outcome
from webhook.config.effective import EffectiveConfig
from webhook.diagnostics import restart_commands
from webhook.diagnostics.evaluate import Change, Evaluation, NamespaceStatus, Rewriter
from webhook.diagnostics.running_pods import Cause, Pod, cause, evaluate_pod, images, owner
from webhook.errors import InvalidReference
from webhook.images import reference
from webhook.kube.objects import Owner

_LEFT_ALONE = frozenset({Outcome.OPTED_OUT, Outcome.MIRROR})
#: How many Pods, and how many changed images, of one owner are named.
_NAMED = 5
_SHOWN = 40


class Observed(NamedTuple):
    """What was read of a cluster."""

    pods: Iterable[Pod]
    statuses: Mapping[str, NamespaceStatus]
    """What each namespace is to the webhook; Pods of others are passed over."""
    parents: Mapping[str, Owner]
    """The owner of what owns Pods, by uid."""
    rewriter: Rewriter
    notes: Sequence[str] = ()
    """What could not be read, a line each."""


class Counts(Struct, frozen=True):
    """Numbers of Pods."""

    pods: int = 0
    current: int = 0
    """As the webhook would make them now."""
    drifted: int = 0
    """In served namespaces, and the webhook would change them now."""
    images: int = 0
    """Those of the drifted that have an image to be rewritten."""
    lacking_secret: int = 0
    """Those of the drifted that lack the pull secret."""
    missed: int = 0
    """Those of the drifted that the webhook did not see: it was away, or the namespace was opted in later."""
    left_alone: int = 0
    """Opted out, or the mirrors of static Pods."""
    not_selected: int = 0
    """In namespaces that are not served."""
    would_change: int = 0
    """Those of the not served that would be changed if their namespace were opted in."""


class OwnerDrift(Struct, frozen=True):
    """Pods of one owner that have drifted."""

    kind: str
    name: str
    pods: int
    """All of them that run."""
    drifted: int
    lacking_secret: int
    causes: dict[Cause, int]
    changes: tuple[Change, ...]
    """The images that would change, each once, the first few."""
    names: tuple[str, ...]
    """The first few of those that drifted."""
    group: str = ""
    """The kind's API group, empty for the core one."""
    command: str | None = None
    """The command line that recreates its Pods."""
    note: str = ""
    """How they are recreated where there is none."""

    def __str__(self) -> str:
        """Name the owner as kubectl does."""
        return restart_commands.titled(self.group, self.kind, self.name)


class NamespaceDrift(Struct, frozen=True):
    """The Pods of a namespace."""

    name: str
    selected: bool
    why: str
    counts: Counts
    owners: tuple[OwnerDrift, ...]
    """Those with Pods that have drifted."""


class Report(Struct, frozen=True):
    """All that was found."""

    server: str | None
    configuration: str
    """Where the configuration was read that was compared with."""
    hash: str
    rewriter: str
    notes: tuple[str, ...]
    totals: Counts
    namespaces: tuple[NamespaceDrift, ...]
    """The most drift first."""
    registries: dict[str, int]
    """How many containers and volumes have their image from which registry, the most first."""


def report(settings: EffectiveConfig, observed: Observed) -> Report:
    """Compare Pods with what the webhook would make of them."""
    handler = settings.handler
    namespaces = {name: _Namespace(name, found) for name, found in observed.statuses.items()}
    registries = _Registries()
    for one in observed.pods:
        namespace = namespaces.get(one.metadata.namespace)
        if namespace is None or not one.runs:
            continue
        registries.add(one)
        namespace.add(one, evaluate_pod(handler, one), owner(one, observed.parents), observed.rewriter.since)
    found = sorted((one.drift() for one in namespaces.values()), key=_most_first)
    return Report(
        server=settings.server,
        configuration=settings.origin,
        hash=settings.hash,
        rewriter=str(observed.rewriter),
        notes=(*observed.rewriter.notes(settings.hash), *observed.notes),
        totals=_sum(one.counts for one in found),
        namespaces=tuple(found),
        registries=dict(registries.counts.most_common()),
    )


def _most_first(found: NamespaceDrift) -> tuple[bool, int, int, str]:
    return not found.selected, -found.counts.drifted, -found.counts.would_change, found.name


def _sum(every: Iterable[Counts]) -> Counts:
    columns = zip(*(msgspec.structs.astuple(counts) for counts in (Counts(), *every)), strict=True)
    return Counts(*map(sum, columns))


class _Registries:
    """Counts where images come from."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._known: dict[str, str] = {}

    def add(self, one: Pod) -> None:
        """Count a Pod's images."""
        for place in images(one):
            known = self._known.get(place)
            if known is None:
                known = self._known[place] = _registry(place)
            self.counts[known] += 1


def _registry(image: str) -> str:
    try:
        return reference.parse(image).domain
    except InvalidReference:
        return "no valid name"


class _Namespace:
    """A namespace's Pods, being counted."""

    def __init__(self, name: str, status: NamespaceStatus) -> None:
        self._name = name
        self._status = status
        self._counts: Counter[str] = Counter()
        self._owners: dict[tuple[str, str, str], _Owner] = {}

    def add(self, one: Pod, evaluation: Evaluation, owned_by: Owner, since: str | None) -> None:
        """Count a Pod."""
        key = (owned_by.group, owned_by.kind, owned_by.name)
        owned = self._owners.get(key) or self._owners.setdefault(key, _Owner(self._name, owned_by))
        owned.pods += 1
        self._counts["pods"] += 1
        if not self._status.selected:
            self._counts.update(not_selected=1, would_change=int(evaluation.differs))
        elif evaluation.outcome in _LEFT_ALONE:
            self._counts["left_alone"] += 1
        elif evaluation.differs:
            came_by = cause(one, since)
            owned.add(one, evaluation, came_by)
            self._counts.update(
                drifted=1,
                images=int(bool(evaluation.changes)),
                lacking_secret=int(evaluation.lacks_secret),
                missed=int(came_by is Cause.MISSED),
            )
        else:
            self._counts["current"] += 1

    def drift(self) -> NamespaceDrift:
        """Give what was counted."""
        owners = [owned.drift() for owned in self._owners.values() if owned.drifted]
        return NamespaceDrift(
            name=self._name,
            selected=self._status.selected,
            why=self._status.why,
            counts=Counts(**self._counts),
            owners=tuple(sorted(owners, key=lambda found: (-found.drifted, found.kind, found.name))),
        )


class _Owner:
    """An owner's Pods, being counted."""

    __slots__ = ("_namespace", "_owner", "causes", "changes", "drifted", "lacking_secret", "names", "pods")

    def __init__(self, namespace: str, owner: Owner) -> None:
        self._namespace, self._owner = namespace, owner
        self.pods = 0
        self.drifted = 0
        self.lacking_secret = 0
        self.causes: Counter[Cause] = Counter()
        self.changes: dict[Change, None] = {}
        self.names: list[str] = []

    def add(self, one: Pod, evaluation: Evaluation, came_by: Cause) -> None:
        """Count a Pod that has drifted."""
        self.drifted += 1
        self.lacking_secret += evaluation.lacks_secret
        self.causes[came_by] += 1
        if len(self.changes) < _NAMED:
            self.changes.update(dict.fromkeys(evaluation.changes))
        if len(self.names) < _NAMED:
            self.names.append(one.metadata.name)

    def drift(self) -> OwnerDrift:
        """Give what was counted."""
        command = restart_commands.command(self._namespace, self._owner)
        return OwnerDrift(
            kind=self._owner.kind,
            name=self._owner.name,
            pods=self.pods,
            drifted=self.drifted,
            lacking_secret=self.lacking_secret,
            causes=dict(self.causes.most_common()),
            changes=tuple(self.changes)[:_NAMED],
            names=tuple(self.names),
            group=self._owner.group,
            command=command,
            note="" if command else restart_commands.description(self._owner),
        )
