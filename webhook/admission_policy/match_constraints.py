"""For which requests a policy is asked: those that the webhook is called for and that its handler does not set aside.

The base's webhook configuration, `manifests/60-webhook.yaml`, says the same.
"""

from typing import Any

from webhook.admission_policy.cel_literals import one_of, text
from webhook.admission_policy.model import Condition
from webhook.constants import ENABLED_LABEL, MIRROR_ANNOTATION, SYSTEM_NAMESPACES
from webhook.settings import Configuration

#: Whether ephemeral containers are added. Of such a request's object the API server stores them and nothing else, and
#: only after webhooks and mutating policies: its metadata is what the client made up.
EPHEMERAL = "request.?subResource.orValue('') == 'ephemeralcontainers'"
#: Volumes that are compared. So many more can be stored that comparing them costs more than a condition may.
_VOLUMES = 10_000

_NAMESPACE_NAME = "kubernetes.io/metadata.name"


def constraints() -> dict[str, Any]:
    """Give the policy's matchConstraints: Pods that are made or changed, and `kubectl debug`."""
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
    """Give the binding's matchResources: namespaces that are served, and Pods that are not opted out."""
    asked = ("In", "true") if settings.webhook.namespaces.mode == "labelled" else ("NotIn", "false")
    named = sorted([*SYSTEM_NAMESPACES, settings.installation.namespace])
    selectors: dict[str, Any] = {
        "namespaceSelector": {
            "matchExpressions": [
                _expression(ENABLED_LABEL, asked[0], [asked[1]]),
                _expression(_NAMESPACE_NAME, "NotIn", named),
            ]
        }
    }
    if settings.webhook.pod_opt_out == "allow":
        selectors["objectSelector"] = {"matchExpressions": [_expression(ENABLED_LABEL, "NotIn", ["false"])]}
    return selectors


def _expression(key: str, operator: str, values: list[str]) -> dict[str, Any]:
    return {"key": key, "operator": operator, "values": values}


def conditions(settings: Configuration) -> list[Condition]:
    """Give the matchConditions."""
    found = [*SHIPPED_CONDITIONS]
    if settings.webhook.pod_opt_out == "allow":
        # The selector takes a Pod whose label was another before or is another now.
        out = f"({EPHEMERAL} ? oldObject : object).metadata\n.?labels[?{text(ENABLED_LABEL)}].orValue('') != 'false'"
        found.append(Condition("the-pod-is-not-opted-out", "by its label as it is now", out))
    if settings.webhook.namespaces.allow is not None:
        allowed = one_of(settings.webhook.namespaces.allow, "request.namespace")
        found.append(Condition("the-namespace-is-allowed", "webhook.namespaces.allow", allowed))
    if settings.webhook.namespaces.deny:
        denied = f"!({one_of(settings.webhook.namespaces.deny, 'request.namespace')})"
        found.append(Condition("the-namespace-is-not-denied", "webhook.namespaces.deny", denied))
    return found


def _an_image_differs() -> str:
    volumes = "spec.?volumes.orValue([])"
    containers = [
        f"spec.{field}.map(c, [c.name, c.?image.orValue('')])"
        for field in ("containers", "?initContainers.orValue([])", "?ephemeralContainers.orValue([])")
    ]
    listed = [*containers, f"{volumes}.map(v, [v.name, v.?image.?reference.orValue('')])"]
    parts = [f"object.{images}\n!= oldObject.{images}" for images in listed]
    many = f"object.{volumes}.size() > {_VOLUMES}"
    return "\n|| ".join(["request.operation != 'UPDATE'", EPHEMERAL, many, *parts])


#: The matchConditions of the webhook in manifests/60-webhook.yaml, which every policy has too.
SHIPPED_CONDITIONS = (
    Condition("an-image-differs", "most UPDATEs of a Pod leave its images as they are", _an_image_differs()),
    Condition(
        "the-pod-stays",
        "one that is on its way out pulls nothing more",
        "request.operation != 'UPDATE' || !has(oldObject.metadata.deletionTimestamp)",
    ),
    Condition(
        "the-pod-is-no-mirror",
        "a mirror Pod only shows what a kubelet runs from a file on its node",
        f"!({text(MIRROR_ANNOTATION)} in\n"
        "(request.operation == 'UPDATE' ? oldObject : object).metadata.?annotations.orValue({}))",
    ),
)
