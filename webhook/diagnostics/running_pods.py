"""Running Pods, with the fields that a report on all of them reads, and their owners."""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from msgspec import Struct

from webhook.admission import pod
from webhook.admission.mutator import PodRequest
from webhook.diagnostics.restart_commands import WorkloadName
from webhook.kube.objects import Owner, PodSpec

#: The phases of Pods that have ended.
FINISHED = frozenset({"Succeeded", "Failed"})
#: The longest chain of owners that is followed. Those of Kubernetes are shorter; owner references can form a circle.
_DEPTH = 5


class Metadata(Struct, frozen=True, gc=False, rename="camel"):
    """The metadata that is read."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    labels: pod.Labels | None = None
    annotations: pod.Annotations | None = None
    owner_references: tuple[Owner, ...] = ()


class Status(Struct, frozen=True, gc=False):
    """A Pod's status."""

    phase: str = ""


class Pod(Struct, frozen=True, gc=False):
    """The part of a Pod that is read: 10,000 of them are in memory at once."""

    metadata: Metadata = Metadata()
    spec: PodSpec = PodSpec()
    status: Status = Status()

    @property
    def runs(self) -> bool:
        """Whether it runs or will run."""
        return self.status.phase not in FINISHED and self.metadata.deletion_timestamp is None


class Cause(StrEnum):
    """Why a Pod has drifted, as far as that is known."""

    OLDER = "older"
    MISSED = "not-rewritten"
    CHANGED = "changed"

    @property
    def meaning(self) -> str:
        """The description. It claims no more than is known: the configuration of that time is not recorded."""
        return _MEANINGS[self]


_MEANINGS = {
    Cause.OLDER: "created before the webhook was installed",
    Cause.MISSED: "not rewritten when created",
    Cause.CHANGED: "rewritten with an earlier configuration, or copied from such a Pod",
}


def to_request(one: Pod) -> PodRequest:
    """Return the request that would create the Pod again."""
    return PodRequest.to_create({"metadata": one.metadata, "spec": one.spec}, one.metadata.namespace)


def cause(one: Pod, since: str | None) -> Cause:
    """Return why a Pod has drifted. `since` is when the webhook was installed (RFC 3339), None if that is not known."""
    annotations = one.metadata.annotations
    if annotations is not None and annotations.originals is not None:
        return Cause.CHANGED
    created = one.metadata.creation_timestamp
    return Cause.OLDER if since is not None and created is not None and created < since else Cause.MISSED


def controller(owners: Iterable[Owner]) -> Owner | None:
    """Return the owner that manages the object, of which there is at most one."""
    return next((owner for owner in owners if owner.controller), None)


def topmost_owner(one: Pod, parents: Mapping[str, Owner]) -> WorkloadName:
    """Return a Pod's topmost controller, or the Pod itself; `parents` has the controllers of controllers, by uid."""
    owner = controller(one.metadata.owner_references)
    if owner is None:
        return WorkloadName("Pod", one.metadata.name)
    for _ in range(_DEPTH):
        above = parents.get(owner.uid)
        if above is None:
            break
        owner = above
    return WorkloadName.of(owner)
