"""Commands that recreate the Pods of a workload, because running Pods are not changed."""

from typing import Self

from msgspec import Struct

from webhook.diagnostics.remedy import Remedy, remedy
from webhook.kube.object_names import is_name, is_namespace
from webhook.kube.objects import Owner
from webhook.output import kubectl

_APPS, _BATCH = "apps", "batch"
_RESTARTED = frozenset({(_APPS, "Deployment"), (_APPS, "StatefulSet"), (_APPS, "DaemonSet")})
_IN_WORDS = {
    (_BATCH, "CronJob"): "the next run creates changed Pods",
    (_BATCH, "Job"): "recreate the Job, or wait: Pods that it creates later are changed",
    ("", "Pod"): "delete the Pod and create it again",
}
#: The path of the Pod template's labels in a JSON patch, by kind.
_LABELS = dict.fromkeys(_RESTARTED, "/spec/template/metadata/labels") | {
    (_BATCH, "CronJob"): "/spec/jobTemplate/spec/template/metadata/labels",
}
_DELETE_PODS = "delete its Pods, which it then recreates"
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

    None for kinds that kubectl cannot restart and for invalid names: an owner reference can hold any string.
    https://kubernetes.io/docs/reference/kubectl/generated/kubectl_rollout/kubectl_rollout_restart/
    """
    if (workload.group, workload.kind) not in _RESTARTED:
        return None
    return kubectl.line("rollout", "restart", namespace=namespace, kind=workload.kind.lower(), name=workload.name)


def description(workload: WorkloadName) -> str:
    """Describe how to recreate Pods if no command line does."""
    if (workload.group, workload.kind) not in RESTARTABLE_KINDS:
        return "see the documentation of its operator, which may revert images that it did not set"
    if not is_name(workload.name):
        return "find the controller of its Pods, because this name is not valid"
    return _IN_WORDS.get((workload.group, workload.kind), _DELETE_PODS)


def of_pod(namespace: str, pod: str, owner: WorkloadName | None, *, ready: bool = True) -> Remedy:
    """Return how to recreate one Pod, given its topmost owner; without an owner, from its own manifest.

    A rolling update of a StatefulSet waits for a Pod that is not ready, and never replaces it:
    https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#forced-rollback
    """
    if owner is None:
        return Remedy("create the Pod again")
    key = (owner.group, owner.kind)
    restart = command(namespace, owner)
    deletion = kubectl.line("delete", "pod", pod, namespace=namespace) if is_name(pod) else None
    if restart is not None and key == (_APPS, "StatefulSet") and not ready:
        return remedy("recreate the Pods, and delete this one, for which the rollout would wait", restart, deletion)
    if restart is not None:
        return Remedy("recreate the Pods", (restart,))
    if key == ("", "Pod"):
        manifest = kubectl.line("get", "pod", pod, "-o", "yaml", namespace=namespace) if is_name(pod) else None
        again = f"{manifest} | kubectl replace --force -f -" if manifest else None
        return remedy("recreate the Pod, which has no owner that would do so", again)
    if key == (_BATCH, "CronJob"):
        run = (
            kubectl.line("create", "job", f"{owner.name}-now", f"--from=cronjob/{owner.name}", namespace=namespace)
            if is_name(owner.name)
            else None
        )
        return remedy("wait for the next run, or start one now", run)
    if key == (_BATCH, "Job"):
        return remedy("delete the Pod, and its Job creates another one (this counts as a failure of the Pod)", deletion)
    if key in RESTARTABLE_KINDS:
        return remedy(f"delete the Pod, and its {owner.kind} creates another one", deletion)
    return remedy("delete the Pod, and its operator creates another one", deletion)


def without_label(namespace: str, pod: str, owner: WorkloadName | None, label: str) -> Remedy:
    """Return how to remove a label from the template of a Pod, or from the Pod itself if it has no owner."""
    if owner is not None and (owner.group, owner.kind) == ("", "Pod"):
        return remedy(
            "remove that label from the Pod",
            kubectl.line("label", "pod", pod, f"{label}-", namespace=namespace) if is_name(pod) else None,
        )
    hint = "remove that label from the Pod template"
    path = None if owner is None else _LABELS.get((owner.group, owner.kind))
    if owner is None or path is None or not is_name(owner.name) or not is_namespace(namespace):
        return Remedy(hint)
    key = label.replace("~", "~0").replace("/", "~1")
    patch = f'[{{"op":"remove","path":"{path}/{key}"}}]'
    workload = f"{owner.kind.lower()}/{owner.name}"
    return remedy(hint, kubectl.line("patch", workload, "--type=json", "-p", patch, namespace=namespace))
