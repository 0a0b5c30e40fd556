"""Compare running Pods with what the webhook would change now, by namespace and owner, with totals.

A Pod has drifted when its namespace is selected and the webhook would change it if it were created now. Pods that have
finished or are being deleted are not running.
"""

import functools
import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec
from msgspec import Struct

from webhook.admission.decision import Outcome
from webhook.config.effective import EffectiveConfig
from webhook.diagnostics import restart_commands
from webhook.diagnostics.evaluate import Change, Evaluation, NamespaceStatus, Rewriter, evaluate_request
from webhook.diagnostics.namespaces import unread_notes
from webhook.diagnostics.restart_commands import WorkloadName
from webhook.diagnostics.running_pods import Cause, Pod, cause, to_request, topmost_owner
from webhook.errors import InvalidReference, NotReadable
from webhook.images import reference
from webhook.kube.objects import Owner

_LEFT_ALONE = frozenset({Outcome.OPTED_OUT, Outcome.MIRROR})
#: Limit of cached evaluations. Most Pods differ from another one only in their names.
_CACHED = 1024
#: Limit of Pods, and of changed images, that are named for one owner.
_NAMED = 5


class Observed(NamedTuple):
    """The objects read from a cluster."""

    pods: Iterable[Pod]
    statuses: Mapping[str, NamespaceStatus]
    """Pods of other namespaces are ignored."""
    parents: Mapping[str, Owner]
    """The controllers of Pods' controllers, by the uid of the controlled object."""
    rewriter: Rewriter
    notes: Sequence[str] = ()
    """What is assumed or left out, one line each."""
    unread: Sequence[NotReadable] = ()
    """What could not be read."""


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
    """All that are running."""
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
    """How to recreate them if no command line does."""


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
    """Selected ones first, then those with most drifted Pods."""
    registries: dict[str, int]
    """The number of images from each registry, the most first."""


def report(settings: EffectiveConfig, observed: Observed) -> Report:
    """Evaluate every running Pod and sum up the results."""
    running: dict[str, _Pods] = {name: {} for name in observed.statuses}
    registries: Counter[str] = Counter()
    registry_of = functools.cache(_registry)
    evaluate = functools.lru_cache(_CACHED)(functools.partial(evaluate_request, settings.mutator))
    for pod in observed.pods:
        status = observed.statuses.get(pod.metadata.namespace)
        if status is not None and pod.runs:
            evaluation = evaluate(to_request(pod))
            registries.update(map(registry_of, evaluation.images))
            reason = cause(pod, observed.rewriter.since)
            owner = topmost_owner(pod, observed.parents)
            result = _Result(owner, evaluation.changes, reason, _counts(status, evaluation, reason))
            running[pod.metadata.namespace].setdefault(result, []).append(pod.metadata.name)
    found = [_namespace(name, observed.statuses[name], pods) for name, pods in running.items()]
    return Report(
        server=settings.server,
        configuration=settings.origin,
        hash=settings.digest,
        rewriter=str(observed.rewriter),
        notes=(
            *observed.notes,
            *observed.rewriter.notes(settings.digest),
            *unread_notes((*observed.unread, *observed.rewriter.unread)),
        ),
        totals=_sum((one.counts, 1) for one in found),
        namespaces=tuple(sorted(found, key=_most_first)),
        registries=dict(registries.most_common()),
    )


class _Result(NamedTuple):
    """The result for a Pod, stored once for all Pods of an owner that have the same."""

    owner: WorkloadName
    changes: tuple[Change, ...]
    cause: Cause
    """Meaningless unless the Pod has drifted."""
    counts: Counts


#: The names of Pods by their result.
_Pods = dict[_Result, list[str]]


def _counts(status: NamespaceStatus, evaluation: Evaluation, reason: Cause) -> Counts:
    if not status.selected:
        return Counts(pods=1, not_selected=1, would_change=int(evaluation.differs))
    if evaluation.outcome in _LEFT_ALONE:
        return Counts(pods=1, left_alone=1)
    if not evaluation.differs:
        return Counts(pods=1, current=1)
    return Counts(
        pods=1,
        drifted=1,
        images=int(bool(evaluation.changes)),
        lacking_secret=int(evaluation.lacks_secret),
        missed=int(reason is Cause.MISSED),
    )


def _sum(every: Iterable[tuple[Counts, int]]) -> Counts:
    """Add up counts, each multiplied by its number."""
    rows = ([value * number for value in msgspec.structs.astuple(counts)] for counts, number in every)
    return Counts(*map(sum, zip(*rows, strict=True)))


def _registry(image: str) -> str:
    try:
        return reference.parse(image).domain
    except InvalidReference:
        return "invalid names"


def _most_first(found: NamespaceDrift) -> tuple[bool, int, int, str]:
    return not found.selected, -found.counts.drifted, -found.counts.would_change, found.name


def _namespace(name: str, status: NamespaceStatus, pods: _Pods) -> NamespaceDrift:
    sizes: Counter[WorkloadName] = Counter()
    drifted: dict[WorkloadName, _Pods] = {}
    for result, names in pods.items():
        sizes[result.owner] += len(names)
        if result.counts.drifted:
            drifted.setdefault(result.owner, {})[result] = names
    owners = [_owner(name, owner, sizes[owner], those) for owner, those in drifted.items()]
    return NamespaceDrift(
        name=name,
        selected=status.selected,
        why=status.why,
        counts=_sum((result.counts, len(names)) for result, names in pods.items()),
        owners=tuple(sorted(owners, key=lambda one: (-one.drifted, one.kind, one.name))),
    )


def _owner(namespace: str, owner: WorkloadName, pods: int, drifted: _Pods) -> OwnerDrift:
    command = restart_commands.command(namespace, owner)
    counts = _sum((result.counts, len(names)) for result, names in drifted.items())
    causes: Counter[Cause] = Counter()
    for result, names in drifted.items():
        causes[result.cause] += len(names)
    return OwnerDrift(
        owner.kind,
        owner.name,
        owner.group,
        pods=pods,
        drifted=counts.drifted,
        lacking_secret=counts.lacking_secret,
        causes=dict(causes.most_common()),
        changes=tuple(dict.fromkeys(change for result in drifted for change in result.changes))[:_NAMED],
        names=tuple(itertools.chain.from_iterable(drifted.values()))[:_NAMED],
        command=command,
        note="" if command else restart_commands.description(owner),
    )
