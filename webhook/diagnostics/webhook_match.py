"""Whether the API server calls the webhook for a request. No other module matches rules, selectors or conditions.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#matching-requests-rules
"""

import re
from collections.abc import Iterator, Mapping

from webhook.admission_policy.match_constraints import SHIPPED_CONDITIONS
from webhook.constants import ENABLED_LABEL, MIRROR_ANNOTATION, NAMESPACE_NAME_LABEL, WEBHOOK_NAME
from webhook.errors import NotReadable
from webhook.kube.objects import Namespace, Requirement, Rule, Selector, Webhook, WebhookConfiguration
from webhook.output import kubectl
from webhook.output.finding_codes import Code
from webhook.output.findings import Finding, Mark

#: The match condition of an installation in which a policy replaces the webhook.
_NEVER = "false"
DRY_RUN_HINT = "ask the API server itself: --dry-run"


def opt_in_command(namespace: str) -> str:
    """Return the command that opts a namespace in."""
    return kubectl.of_namespace(namespace, "label", f"{ENABLED_LABEL}=true", "--overwrite")


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
        yield Finding(Mark.OK, Code.WEBHOOK_OK, "operation", "the webhook is called when Pods are made")
    else:
        why = "the webhook configuration has no rule for the creation of Pods"
        yield Finding(Mark.FAIL, Code.WEBHOOK_RULES, "operation", why, "apply the installation's manifests again")
    for condition in webhook.match_conditions:
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
    return _plain(expression) in {*_ABOUT, _NEVER}


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
        return Finding(
            Mark.FAIL,
            Code.NAMESPACE_EXCLUDED,
            what,
            f"the webhook configuration keeps namespace {name} out by its name",
        )
    return Finding(Mark.FAIL, Code.NAMESPACE_NOT_SELECTED, what, *_unlabelled(missing, name, labels))


def _unlabelled(missing: Requirement, name: str, labels: Mapping[str, str]) -> tuple[str, str]:
    """Return which label a namespace lacks, and how to add it."""
    if missing.key != ENABLED_LABEL:
        return f"the labels of namespace {name} do not fit its webhook configuration: {_in_words(missing)}", ""
    if missing.operator == "NotIn":
        return (
            f"its namespace has the label {ENABLED_LABEL}={labels[ENABLED_LABEL]}",
            f"{kubectl.of_namespace(name, 'label', f'{ENABLED_LABEL}-')}; then recreate the Pod",
        )
    value = labels.get(ENABLED_LABEL)
    other = "" if value is None else f", but {value}" if value else ", but an empty one"
    return (
        f"its namespace has no label {ENABLED_LABEL}=true{other}",
        f"{opt_in_command(name)}; then recreate the Pod",
    )


def _of_pod(selector: Selector, labels: Mapping[str, str]) -> Finding:
    what = "Pod's labels"
    missing = _first_unmet(selector, labels)
    if missing is None:
        return Finding(Mark.OK, Code.POD_OK, what, "they do not keep the webhook from being called")
    if missing.key == ENABLED_LABEL:
        why = f"its own label {ENABLED_LABEL}={labels.get(ENABLED_LABEL)} opts it out"
        return Finding(Mark.FAIL, Code.POD_OPTED_OUT, what, why, "take that label off the Pod's template")
    return Finding(Mark.FAIL, Code.POD_LABELS, what, f"they do not fit the webhook configuration: {_in_words(missing)}")


def _in_words(requirement: Requirement) -> str:
    values = f" ({', '.join(requirement.values)})" if requirement.values else ""
    return f"{requirement.key} {requirement.operator}{values}"


def _of_condition(name: str, expression: str, annotations: Mapping[str, str]) -> Finding:
    what = f"condition {name}"
    if _plain(expression) == _NEVER:
        return Finding(Mark.FAIL, Code.WEBHOOK_NEVER_CALLED, what, "it is false: the webhook is never called")
    about = _ABOUT.get(_plain(expression))
    if about is None:
        why = "it is none of ours, and is not evaluated"
        return Finding(Mark.UNKNOWN, Code.WEBHOOK_CONDITION_FOREIGN, what, why, DRY_RUN_HINT)
    if about == _UPDATES:
        return Finding(Mark.OK, Code.WEBHOOK_CONDITION_OK, what, "it holds whenever a Pod is made")
    if MIRROR_ANNOTATION in annotations:
        return Finding(Mark.FAIL, Code.POD_MIRROR, what, "it is a mirror Pod: it stands for a static one of its node")
    return Finding(Mark.OK, Code.WEBHOOK_CONDITION_OK, what, "it is no mirror Pod")


def _plain(expression: str) -> str:
    """Collapse whitespace, which YAML folds in more than one way."""
    return re.sub(r"\s+", " ", expression).strip()


_UPDATES, _MIRRORS = "updates", "mirror Pods"
#: The subject of each shipped condition, by its expression.
_ABOUT = {
    _plain(one.expression): _MIRRORS if one.name == "the-pod-is-no-mirror" else _UPDATES for one in SHIPPED_CONDITIONS
} | {"true": _UPDATES}
