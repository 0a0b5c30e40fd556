"""How Pods of a workload are made anew: what runs stays as it is until then."""

from webhook.inspection.objects import Owner

_RESTARTED = frozenset({"Deployment", "StatefulSet", "DaemonSet"})
_IN_WORDS = {
    "CronJob": "its next run",
    "Job": "Pods that it makes from now on are changed; for those that run, make the Job anew",
    "Pod": "delete it and create it again",
}


def command(namespace: str, owner: Owner) -> str | None:
    """Give the line for a shell that has a workload's Pods made anew, None where there is no such line.

    https://kubernetes.io/docs/reference/kubectl/generated/kubectl_rollout/kubectl_rollout_restart/
    """
    if owner.kind not in _RESTARTED:
        return None
    return f"kubectl -n {namespace} rollout restart {owner.kind.lower()}/{owner.name}"


def in_words(owner: Owner) -> str:
    """Say what has Pods made anew for which there is no such line."""
    return _IN_WORDS.get(owner.kind, "delete its Pods: it makes them anew")
