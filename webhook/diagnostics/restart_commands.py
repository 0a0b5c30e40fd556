"""Commands that recreate the Pods of a workload, because running Pods are not changed."""

from typing import Self

from msgspec import Struct

from webhook.kube.object_names import is_name
from webhook.kube.objects import Owner
from webhook.output import kubectl

_APPS, _BATCH = "apps", "batch"
_RESTARTED = frozenset({(_APPS, "Deployment"), (_APPS, "StatefulSet"), (_APPS, "DaemonSet")})
_IN_WORDS = {
    (_BATCH, "CronJob"): "its next run",
    (_BATCH, "Job"): "Pods that it creates from now on are changed; to change running ones, recreate the Job",
    ("", "Pod"): "delete it and create it again",
}
_DELETE_PODS = "delete its Pods: it recreates them"
#: Kinds whose controllers are part of Kubernetes; all others are an operator's.
RESTARTABLE_KINDS = _RESTARTED | _IN_WORDS.keys() | {(_APPS, "ReplicaSet"), ("", "ReplicationController")}


class WorkloadName(Struct, frozen=True):
    """A workload's name as kubectl writes it, with the group only if the kind is not part of Kubernetes."""

    kind: str
    name: str
    group: str = ""
    """The kind's API group, empty for the core one."""

    @classmethod
    def of(cls, owner: Owner) -> Self:
        return cls(owner.kind, owner.name, owner.group)

    def __str__(self) -> str:
        is_short = not self.group or (self.group, self.kind) in RESTARTABLE_KINDS
        return f"{self.kind}/{self.name}" if is_short else f"{self.kind}.{self.group}/{self.name}"


def command(namespace: str, workload: WorkloadName) -> str | None:
    """Return the command line that recreates a workload's Pods.

    None for kinds that kubectl cannot restart and for invalid names: an owner reference can hold any text.
    https://kubernetes.io/docs/reference/kubectl/generated/kubectl_rollout/kubectl_rollout_restart/
    """
    if (workload.group, workload.kind) not in _RESTARTED:
        return None
    return kubectl.line("rollout", "restart", namespace=namespace, kind=workload.kind.lower(), name=workload.name)


def description(workload: WorkloadName) -> str:
    """Describe how to recreate Pods if no command line does."""
    if (workload.group, workload.kind) not in RESTARTABLE_KINDS:
        return "see its operator's documentation; it may compare the images of its Pods with its own"
    if not is_name(workload.name):
        return "find out what controls its Pods: this is not a valid name"
    return _IN_WORDS.get((workload.group, workload.kind), _DELETE_PODS)
