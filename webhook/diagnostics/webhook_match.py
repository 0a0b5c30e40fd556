"""Whether the API server calls the webhook for a request. No other module matches rules, selectors or conditions.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#matching-requests-rules
"""

import re
from collections.abc import Iterator, Mapping

from webhook.admission_policy.match_constraints import SHIPPED_CONDITIONS
from webhook.constants import ENABLED_LABEL, MIRROR_ANNOTATION, NAMESPACE_NAME_LABEL, PROGRAM, WEBHOOK_NAME
from webhook.diagnostics import limits
from webhook.diagnostics.remedy import Remedy, remedy
from webhook.errors import NotReadable
from webhook.kube.object_names import is_namespace
from webhook.kube.objects import Namespace, Requirement, Rule, Selector, Webhook, WebhookConfiguration
from webhook.log.escaping import truncate
from webhook.output import kubectl
from webhook.output.finding_codes import Code
from webhook.output.findings import Finding, Mark

#: The match condition of an installation in which a policy replaces the webhook.
_NEVER = "false"
MIRROR = "the Pod is the mirror of a static Pod, whose images are never changed"
MIRROR_HINT = "change the images in the manifest of the static Pod on its node"
DRY_RUN_HINT = "add --dry-run to let the API server decide, which needs permission to create Pods"


def opt_in(namespace: str) -> Remedy:
    """Return how to opt a namespace in."""
    command = kubectl.line("label", "namespace", namespace, f"{ENABLED_LABEL}=true", "--overwrite")
    return remedy("label the namespace", command if is_namespace(namespace) else None)


def remove_opt_out(namespace: str) -> Remedy:
    """Return how to remove the label that opts a namespace out, where all others are selected."""
    command = kubectl.line("label", "namespace", namespace, f"{ENABLED_LABEL}-")
    return remedy("remove the label from the namespace", command if is_namespace(namespace) else None)


def steps(
    webhook: Webhook, namespace: Namespace | NotReadable, labels: Mapping[str, str], annotations: Mapping[str, str]
) -> Iterator[Finding]:
    """Check the namespace, the labels of a Pod, the creation of Pods and each match condition.

    The webhook is called for the Pod if all of them are OK.
    """
    if isinstance(namespace, NotReadable):
        yield Finding(Mark.UNKNOWN, Code.NAMESPACE_UNKNOWN, "namespace", str(namespace))
    else:
        yield _of_namespace(webhook.namespace_selector, namespace)
    yield _of_pod(webhook.object_selector, labels)
    if any(rule_covers(rule, "CREATE", "pods") for rule in webhook.rules):
        yield Finding(Mark.OK, Code.WEBHOOK_OK, "operation", "the webhook is called when Pods are created")
    else:
        why = "the webhook configuration has no rule for the creation of Pods"
        yield Finding(Mark.FAIL, Code.WEBHOOK_RULES, "operation", why, "apply the manifests of the installation again")
    for condition in webhook.match_conditions:
        if prefixes := denied_prefixes(condition.expression):
            yield _of_name(condition.name, prefixes, namespace)
        else:
            yield _of_condition(condition.name, condition.expression, annotations)


def selects(selector: Selector, labels: Mapping[str, str]) -> bool:
    """Return whether a label selector matches.

    https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors
    """
    return _first_unmet(selector, labels) is None


def _first_unmet(selector: Selector, labels: Mapping[str, str]) -> Requirement | None:
    exact = (Requirement(key, "In", (value,)) for key, value in selector.match_labels.items())
    return next((one for one in (*exact, *selector.match_expressions) if not _is_met(one, labels)), None)


def find_webhook(configuration: WebhookConfiguration | NotReadable | None) -> Webhook | None:
    """Return our webhook; other users may have added webhooks of their own to the configuration."""
    if not isinstance(configuration, WebhookConfiguration):
        return None
    return next((one for one in configuration.webhooks if one.name == WEBHOOK_NAME), None)


def rule_covers(rule: Rule, operation: str, resource: str) -> bool:
    """Return whether a rule covers an operation on `pods` or a subresource such as `pods/ephemeralcontainers`.

    `matchPolicy` makes no difference: Pods have one group and version, so no other resource is equivalent.
    https://kubernetes.io/docs/reference/kubernetes-api/extend-resources/mutating-webhook-configuration-v1/
    """
    name, subresource = _split(resource)
    return (
        not {"", "*"}.isdisjoint(rule.api_groups)
        and not {"v1", "*"}.isdisjoint(rule.api_versions)
        and not {operation, "*"}.isdisjoint(rule.operations)
        and rule.scope in ("Namespaced", "*")
        and any(named in (name, "*") and below in (subresource, "*") for named, below in map(_split, rule.resources))
    )


def _split(resource: str) -> tuple[str, str]:
    """Split off the subresource. `*` is every resource without one, `pods/*` is Pods with any or none."""
    named, _, below = resource.partition("/")
    return named, below


def is_never_called(webhook: Webhook) -> bool:
    """Return whether a match condition is `false`."""
    return any(_plain(one.expression) == _NEVER for one in webhook.match_conditions)


def is_shipped(expression: str) -> bool:
    """Return whether a match condition is one of the manifests, or a constant."""
    return _plain(expression) in {*_ABOUT, _NEVER} or bool(denied_prefixes(expression))


def denied_prefixes(expression: str) -> tuple[str, ...]:
    """Return the prefixes of names of namespaces that a match condition denies, empty if it is another condition."""
    inner = _DENYING.fullmatch(_plain(expression))
    parts = [_PREFIX.fullmatch(part) for part in inner[1].split(" || ")] if inner else []
    prefixes = tuple(part[1] for part in parts if part)
    return prefixes if len(prefixes) == len(parts) else ()


def denies(webhook: Webhook, namespace: str) -> bool:
    """Return whether a match condition denies a namespace by its name."""
    return any(namespace.startswith(denied_prefixes(one.expression)) for one in webhook.match_conditions)


def _is_met(requirement: Requirement, labels: Mapping[str, str]) -> bool:
    value = labels.get(requirement.key)
    match requirement.operator:
        case "In":
            return value in requirement.values
        case "NotIn":
            return value not in requirement.values
        case "Exists":
            return value is not None
        case _:
            return value is None


def _of_namespace(selector: Selector, namespace: Namespace) -> Finding:
    what = "namespace"
    name, labels = namespace.metadata.name, namespace.metadata.labels
    missing = _first_unmet(selector, labels)
    if missing is None:
        label = labels.get(ENABLED_LABEL)
        cause = f"its label {ENABLED_LABEL}={label}" if label else "its labels"
        return Finding(
            Mark.OK, Code.NAMESPACE_OK, what, f"the webhook configuration selects namespace {name} by {cause}"
        )
    if missing.key == NAMESPACE_NAME_LABEL:
        return Finding(Mark.FAIL, Code.NAMESPACE_EXCLUDED, what, _excluded(name))
    return Finding(Mark.FAIL, Code.NAMESPACE_NOT_SELECTED, what, *_unlabelled(missing, name, labels))


def _excluded(namespace: str) -> str:
    return f"the webhook configuration excludes namespace {namespace} by its name"


def _of_name(condition: str, prefixes: tuple[str, ...], namespace: Namespace | NotReadable) -> Finding:
    what = f"condition {condition}"
    if isinstance(namespace, NotReadable):
        return Finding(Mark.UNKNOWN, Code.NAMESPACE_UNKNOWN, what, str(namespace))
    name = namespace.metadata.name
    if name.startswith(prefixes):
        return Finding(Mark.FAIL, Code.NAMESPACE_EXCLUDED, what, _excluded(name))
    why = f"true, because namespace {name} does not begin with {', '.join(prefixes)}"
    return Finding(Mark.OK, Code.WEBHOOK_CONDITION_OK, what, why)


def _unlabelled(missing: Requirement, name: str, labels: Mapping[str, str]) -> tuple[str, str, tuple[str, ...]]:
    """Return which label a namespace lacks, and how to add it: the end of a finding."""
    if missing.key != ENABLED_LABEL:
        why = (
            f"namespace {name} does not match the namespaceSelector of the webhook configuration: {_in_words(missing)}"
        )
        return (why, "change the labels of the namespace, or the selector", ())
    if missing.operator == "NotIn":
        return (opted_out(name, labels), *remove_opt_out(name))
    return (not_opted_in(name, labels), *opt_in(name))


def not_opted_in(namespace: str, labels: Mapping[str, str]) -> str:
    """Return why a namespace without the label that opts it in is not selected."""
    value = labels.get(ENABLED_LABEL)
    wanted = f"{ENABLED_LABEL}=true"
    if value is None:
        return f"namespace {namespace} does not have the label {wanted}"
    return f'the label {ENABLED_LABEL} of namespace {namespace} is "{truncate(value, limits.NAME)}", and must be "true"'


def opted_out(namespace: str, labels: Mapping[str, str]) -> str:
    """Return why a namespace with a label against it is not selected."""
    return f"namespace {namespace} is opted out by its label {ENABLED_LABEL}={labels.get(ENABLED_LABEL, '')}"


def pod_opted_out(labels: Mapping[str, str]) -> str:
    """Return why a Pod with a label against it is not rewritten. `restart_commands.without_label` has the remedy."""
    return f"the Pod is opted out by its label {ENABLED_LABEL}={truncate(labels.get(ENABLED_LABEL, ''), limits.NAME)}"


def _of_pod(selector: Selector, labels: Mapping[str, str]) -> Finding:
    what = "Pod's labels"
    missing = _first_unmet(selector, labels)
    if missing is None:
        return Finding(Mark.OK, Code.POD_OK, what, "the webhook is called for Pods with these labels")
    if missing.key == ENABLED_LABEL:
        return Finding(Mark.FAIL, Code.POD_OPTED_OUT, what, pod_opted_out(labels))
    why = f"the Pod does not match the objectSelector of the webhook configuration: {_in_words(missing)}"
    return Finding(Mark.FAIL, Code.POD_LABELS, what, why, "change the labels of the Pod, or the selector")


def _in_words(requirement: Requirement) -> str:
    values = f" ({', '.join(requirement.values)})" if requirement.values else ""
    return f"{requirement.key} {requirement.operator}{values}"


def _of_condition(name: str, expression: str, annotations: Mapping[str, str]) -> Finding:
    what = f"condition {name}"
    if _plain(expression) == _NEVER:
        return Finding(
            Mark.FAIL, Code.WEBHOOK_NEVER_CALLED, what, "the condition is false, so the webhook is never called"
        )
    about = _ABOUT.get(_plain(expression))
    if about is None:
        why = f"{PROGRAM} did not install this condition and cannot evaluate it"
        return Finding(Mark.UNKNOWN, Code.WEBHOOK_CONDITION_FOREIGN, what, why, DRY_RUN_HINT)
    if about == _UPDATES:
        return Finding(Mark.OK, Code.WEBHOOK_CONDITION_OK, what, "true for every Pod that is created")
    if MIRROR_ANNOTATION in annotations:
        return Finding(Mark.FAIL, Code.POD_MIRROR, what, MIRROR, MIRROR_HINT)
    return Finding(Mark.OK, Code.WEBHOOK_CONDITION_OK, what, "true, because the Pod is not a mirror Pod")


def _plain(expression: str) -> str:
    """Collapse whitespace, which YAML folds in more than one way."""
    return re.sub(r"\s+", " ", expression).strip()


#: The match condition of cluster-wide installations, which lists prefixes.
_DENYING = re.compile(r"!\((.*)\)")
_PREFIX = re.compile(r"request\.namespace\.startsWith\('([a-z0-9-]+)'\)")
_UPDATES, _MIRRORS = "updates", "mirror Pods"
#: The subject of each shipped condition, by its expression.
_ABOUT = {
    _plain(one.expression): _MIRRORS if one.name == "the-pod-is-no-mirror" else _UPDATES for one in SHIPPED_CONDITIONS
} | {"true": _UPDATES}
