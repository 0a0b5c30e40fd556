"""How the Pods of a workload are recreated: running ones stay as they are until then."""

from webhook.kube.objects import Owner
from webhook.output import kubectl

_APPS, _BATCH = "apps", "batch"
_RESTARTED = frozenset({(_APPS, "Deployment"), (_APPS, "StatefulSet"), (_APPS, "DaemonSet")})
_IN_WORDS = {
    (_BATCH, "CronJob"): "its next run",
    (_BATCH, "Job"): "Pods that it creates from now on are changed; to change running ones, recreate the Job",
    ("", "Pod"): "delete it and create it again",
}
_DELETED = "delete its Pods: it recreates them"
#: Kinds whose controllers are part of Kubernetes; all others are an operator's.
RESTARTABLE_KINDS = _RESTARTED | _IN_WORDS.keys() | {(_APPS, "ReplicaSet"), ("", "ReplicationController")}


def titled(group: str, kind: str, name: str) -> str:
    """Name a workload as kubectl does, with the group where the kind is not one of Kubernetes itself."""
    return f"{kind}/{name}" if (group, kind) in RESTARTABLE_KINDS or not group else f"{kind}.{group}/{name}"


def command(namespace: str, owner: Owner) -> str | None:
    """Give the command line that recreates a workload's Pods, None where there is none.

    There is one for kinds that kubectl can restart and for valid names only: an owner reference can hold any text.
    https://kubernetes.io/docs/reference/kubectl/generated/kubectl_rollout/kubectl_rollout_restart/
    """
    if (owner.group, owner.kind) not in _RESTARTED:
        return None
    return kubectl.line("rollout", "restart", namespace=namespace, kind=owner.kind.lower(), name=owner.name)


def description(owner: Owner) -> str:
    """Describe how Pods are recreated for which there is no command line."""
    if (owner.group, owner.kind) not in RESTARTABLE_KINDS:
        return "see its operator's documentation; it may compare the images of its Pods with its own"
    if not kubectl.is_name(owner.name):
        return "find out what controls its Pods: this is not a valid name"
    return _IN_WORDS.get((owner.group, owner.kind), _DELETED)
