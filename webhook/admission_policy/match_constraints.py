"""The requests that a policy applies to: those that the webhook is called for and handles.

`manifests/base/60-webhook.yaml` has the same rules and conditions.
"""

from typing import Any

from webhook.admission_policy.cel_literals import one_of, string
from webhook.admission_policy.model import Condition
from webhook.constants import ENABLED_LABEL, MIRROR_ANNOTATION, NAMESPACE_NAME_LABEL, SYSTEM_NAMESPACES
from webhook.settings import Configuration

#: Whether ephemeral containers are added. Of such a request's object the API server stores only these, and does so
#: after webhooks and mutating policies: its metadata is whatever the client sent.
EPHEMERAL = "request.?subResource.orValue('') == 'ephemeralcontainers'"
#: The most volumes that are compared: comparing all that a Pod can have would exceed a condition's cost limit.
_VOLUMES = 10_000


def constraints() -> dict[str, Any]:
    """Return the policy's matchConstraints: creation and update of Pods, and `kubectl debug`."""
    return {
        "matchPolicy": "Equivalent",
        "resourceRules": [
            _rule(["CREATE", "UPDATE"], "pods"),
            _rule(["UPDATE"], "pods/ephemeralcontainers"),
        ],
    }


def _rule(operations: list[str], resource: str) -> dict[str, Any]:
    return {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": operations,
        "resources": [resource],
        "scope": "Namespaced",
    }


def resources(settings: Configuration) -> dict[str, Any]:
    """Return the binding's matchResources: selected namespaces, and Pods that are not opted out."""
    selected = ("In", "true") if settings.webhook.namespaces.mode == "labelled" else ("NotIn", "false")
    excluded = [*SYSTEM_NAMESPACES, settings.installation.namespace]
    selectors = {"namespaceSelector": _selector((ENABLED_LABEL, *selected), (NAMESPACE_NAME_LABEL, "NotIn", *excluded))}
    if settings.webhook.pod_opt_out == "allow":
        selectors["objectSelector"] = _selector((ENABLED_LABEL, "NotIn", "false"))
    return selectors


def _selector(*expressions: tuple[str, ...]) -> dict[str, Any]:
    return {
        "matchExpressions": [
            {"key": key, "operator": operator, "values": sorted(values)} for key, operator, *values in expressions
        ]
    }


def conditions(settings: Configuration) -> list[Condition]:
    """Return the policy's matchConditions."""
    result = [*SHIPPED_CONDITIONS]
    if settings.webhook.pod_opt_out == "allow":
        # The objectSelector matches if either the old or the new labels do.
        label = f"({EPHEMERAL} ? oldObject : object).metadata\n.?labels[?{string(ENABLED_LABEL)}]"
        in_effect = f"{label}.orValue('') != 'false'"
        result.append(Condition("the-pod-is-not-opted-out", "by its current label", in_effect))
    if settings.webhook.namespaces.allow is not None:
        allowed = one_of(settings.webhook.namespaces.allow, "request.namespace")
        result.append(Condition("the-namespace-is-allowed", "webhook.namespaces.allow", allowed))
    if settings.webhook.namespaces.deny:
        denied = f"!({one_of(settings.webhook.namespaces.deny, 'request.namespace')})"
        result.append(Condition("the-namespace-is-not-denied", "webhook.namespaces.deny", denied))
    return result


def _image_changes() -> str:
    volumes = "spec.?volumes.orValue([])"
    containers = [
        f"spec.{field}.map(c, [c.name, c.?image.orValue('')])"
        for field in ("containers", "?initContainers.orValue([])", "?ephemeralContainers.orValue([])")
    ]
    images = [*containers, f"{volumes}.map(v, [v.name, v.?image.?reference.orValue('')])"]
    differ = [f"object.{part}\n!= oldObject.{part}" for part in images]
    too_many = f"object.{volumes}.size() > {_VOLUMES}"
    return "\n|| ".join(["request.operation != 'UPDATE'", EPHEMERAL, too_many, *differ])


#: The matchConditions of the webhook in manifests/base/60-webhook.yaml, which every policy has too.
SHIPPED_CONDITIONS = (
    Condition("an-image-differs", "most UPDATEs of a Pod do not change its images", _image_changes()),
    Condition(
        "the-pod-stays",
        "a Pod that is being deleted pulls nothing more",
        "request.operation != 'UPDATE' || !has(oldObject.metadata.deletionTimestamp)",
    ),
    Condition(
        "the-pod-is-no-mirror",
        "a mirror Pod is the copy of a static Pod, which the kubelet runs from a file on its node",
        f"!({string(MIRROR_ANNOTATION)} in\n"
        "(request.operation == 'UPDATE' ? oldObject : object).metadata.?annotations.orValue({}))",
    ),
)
