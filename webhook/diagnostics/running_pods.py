"""Pods that run, as far as a report on all of them reads them, and where they come from."""

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum

from msgspec import Struct

from webhook.admission import pod
from webhook.admission.mutator import Mutator
from webhook.diagnostics.evaluate import Evaluation, evaluate
from webhook.kube.objects import Owner, PodSpec

_FINISHED = frozenset({"Succeeded", "Failed"})
#: How many owners may stand above each other: none of Kubernetes' own go deeper, and nobody is led in a circle.
_DEPTH = 5


class Metadata(Struct, frozen=True, gc=False, rename="camel"):
    """As much of a Pod's metadata as is needed here."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    labels: pod.Labels | None = None
    annotations: pod.Annotations | None = None
    owner_references: tuple[Owner, ...] = ()


class Status(Struct, frozen=True, gc=False):
    """What became of a Pod."""

    phase: str = ""


class Pod(Struct, frozen=True, gc=False):
    """As much of a Pod as is needed here: 10,000 of them are held at once."""

    metadata: Metadata = Metadata()
    spec: PodSpec = PodSpec()
    status: Status = Status()

    @property
    def runs(self) -> bool:
        """Whether it runs, or is to."""
        return self.status.phase not in _FINISHED and self.metadata.deletion_timestamp is None


class Cause(StrEnum):
    """What can be told of how a Pod came to differ from what it would be if it were created now."""

    OLDER = "older"
    MISSED = "not-rewritten"
    CHANGED = "changed"

    @property
    def meaning(self) -> str:
        """Describe it, claiming no more than is known: what was configured then is not recorded."""
        return _MEANINGS[self]


_MEANINGS = {
    Cause.OLDER: "created before the webhook was installed",
    Cause.MISSED: "not rewritten when created",
    Cause.CHANGED: "rewritten earlier, or a copy of a Pod that was",
}


def evaluate_pod(mutator: Mutator, one: Pod) -> Evaluation:
    """Decide what the webhook would make of a Pod."""
    return evaluate(mutator, {"metadata": one.metadata, "spec": one.spec}, one.metadata.namespace)


def images(one: Pod) -> Iterator[str]:
    """Give each image that a Pod names, of containers of every kind and of volumes."""
    spec = one.spec
    for container in (*spec.containers, *spec.init_containers, *spec.ephemeral_containers):
        if container.image is not None:
            yield container.image
    for volume in spec.volumes:
        if volume.image is not None and volume.image.reference is not None:
            yield volume.image.reference


def cause(one: Pod, since: str | None) -> Cause:
    """Find out how a Pod that has drifted came to; `since` is when the webhook was installed, None if not known."""
    annotations = one.metadata.annotations
    if annotations is not None and annotations.originals is not None:
        return Cause.CHANGED
    made = one.metadata.creation_timestamp
    return Cause.OLDER if since is not None and made is not None and made < since else Cause.MISSED


def controller(owners: Iterable[Owner]) -> Owner | None:
    """Return the owner that manages the object, of which there is at most one."""
    return next((owner for owner in owners if owner.controller), None)


def owner(one: Pod, parents: Mapping[str, Owner]) -> Owner:
    """Give the controller above all others, the Pod itself where it has none; `parents` has an owner's own, by uid."""
    found = controller(one.metadata.owner_references)
    if found is None:
        return Owner(kind="Pod", name=one.metadata.name, api_version="v1")
    for _ in range(_DEPTH):
        above = parents.get(found.uid)
        if above is None:
            break
        found = above
    return found
