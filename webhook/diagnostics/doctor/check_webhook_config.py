"""Whether the webhook configuration is as it ships, and selects the same namespaces and Pods as the configuration."""

from collections.abc import Iterator

from webhook.admission_policy.match_constraints import SHIPPED_CONDITIONS
from webhook.config.effective import EffectiveConfig
from webhook.constants import (
    ENABLED_LABEL,
    MUTATE_POLICY,
    NAMESPACE_NAME_LABEL,
    SYSTEM_NAMESPACES,
    WEBHOOK_NAME,
    InstallationNames,
)
from webhook.diagnostics.doctor import wording
from webhook.diagnostics.doctor.check import check
from webhook.diagnostics.doctor.snapshot import InstallationSnapshot
from webhook.diagnostics.webhook_match import is_shipped, rule_covers, selects
from webhook.errors import NotReadable
from webhook.kube.objects import Namespace, Webhook
from webhook.kube.partial import known
from webhook.output.finding_codes import Code
from webhook.output.findings import Finding, Mark

_WHAT = "webhook configuration"
_SHIPPED = "as it ships"
_CONDITIONS = {one.name for one in SHIPPED_CONDITIONS}
#: Operations for which the webhook has to be called.
_CALLS = (("CREATE", "pods"), ("UPDATE", "pods"), ("UPDATE", "pods/ephemeralcontainers"))
#: Timeout in seconds, as it ships.
TIMEOUT = 5


@check(_WHAT, Code.WEBHOOK_UNKNOWN)
def check_configuration(snapshot: InstallationSnapshot) -> Iterator[Finding]:
    """Check that the webhook configuration is as it ships."""
    known(snapshot.webhook_configuration)
    webhook = snapshot.webhook
    if webhook is None:
        lacking = f"MutatingWebhookConfiguration {snapshot.names.configuration}" + (
            "" if snapshot.webhook_configuration is None else f" with {WEBHOOK_NAME}"
        )
        if snapshot.is_rewritten_by_policy:
            why = f"there is no {lacking}; {_policy(snapshot)} rewrites Pods in its place"
            yield wording.warning(Code.WEBHOOK_MISSING, _WHAT, why, f"{wording.INSTALL}, with policy-alone")
            return
        why = f"there is no {lacking}: no webhook rewrites Pods"
        yield wording.error(Code.WEBHOOK_MISSING, _WHAT, why, wording.INSTALL)
        return
    found = [*_errors(webhook), *_differences(webhook), *_check_service(webhook, snapshot.names)]
    yield from found
    if snapshot.is_rewritten_by_policy:
        yield _by_policy(snapshot)
    elif not found:
        closed = "closed" if webhook.failure_policy == "Fail" else "open"
        yield wording.ok(Code.WEBHOOK_OK, _WHAT, f"it is {_SHIPPED}, failing {closed}")


def _by_policy(snapshot: InstallationSnapshot) -> Finding:
    """Check the policy that replaces the webhook."""
    policy = _policy(snapshot)
    if isinstance(snapshot.policies, NotReadable):
        return Finding(Mark.UNKNOWN, Code.POLICY_UNKNOWN, _WHAT, str(snapshot.policies))
    if not snapshot.has_policy:
        why = f"it keeps the webhook from being called, and there is no {policy}: no Pod is rewritten"
        return wording.error(
            Code.POLICY_MISSING, _WHAT, why, "put on the component policy-mutate, or take policy-alone off"
        )
    return wording.ok(Code.POLICY_INSTEAD, _WHAT, f"the webhook is not called, for {policy} rewrites")


def _policy(snapshot: InstallationSnapshot) -> str:
    return f"MutatingAdmissionPolicy {snapshot.names.renamed(MUTATE_POLICY)}"


def _errors(webhook: Webhook) -> Iterator[Finding]:
    """Report settings with which the webhook does not work."""
    for operation, resource in _CALLS:
        if not any(rule_covers(rule, operation, resource) for rule in webhook.rules):
            yield wording.error(
                Code.WEBHOOK_RULES,
                _WHAT,
                f"it does not call the webhook for {operation} of {resource}",
                wording.INSTALL,
            )
    if webhook.side_effects not in {"None", "NoneOnDryRun"}:
        why = f"sideEffects is {webhook.side_effects}: every dry run of a Pod in a served namespace is refused"
        yield wording.error(Code.WEBHOOK_SIDE_EFFECTS, _WHAT, why, wording.INSTALL)


def _differences(webhook: Webhook) -> Iterator[Finding]:
    """Report differences from the manifests, and their effect."""
    if webhook.timeout_seconds != TIMEOUT:
        seconds = webhook.timeout_seconds
        why = f"timeoutSeconds is {seconds}, and ships as {TIMEOUT}: so long a Pod waits for a webhook that is dead"
        yield wording.warning(Code.WEBHOOK_TIMEOUT, _WHAT, why, wording.INSTALL)
    if webhook.reinvocation_policy != "IfNeeded":
        why = "reinvocationPolicy is not IfNeeded: what webhooks after this one put into a Pod stays as it is written"
        yield wording.warning(Code.WEBHOOK_REINVOCATION, _WHAT, why, wording.INSTALL)
    if webhook.match_policy != "Equivalent":
        yield wording.warning(
            Code.WEBHOOK_MATCH_POLICY,
            _WHAT,
            f"matchPolicy is {webhook.match_policy}, and ships as Equivalent",
            wording.INSTALL,
        )
    by_name = {one.name: one.expression for one in webhook.match_conditions}
    for name in sorted(_CONDITIONS - by_name.keys()):
        why = f"its match condition {name} is gone: the webhook is called for what it never changes"
        yield wording.warning(Code.WEBHOOK_CONDITION_MISSING, _WHAT, why, wording.INSTALL)
    for name, expression in by_name.items():
        if not is_shipped(expression):
            why = f"its match condition {name} is none that ships, and may keep Pods from being rewritten"
            yield wording.warning(Code.WEBHOOK_CONDITION_FOREIGN, _WHAT, why, wording.INSTALL)


def _check_service(webhook: Webhook, names: InstallationNames) -> Iterator[Finding]:
    """Check that the API server calls our Service."""
    service = webhook.client_config.service
    if service is None:
        why = f"it calls {webhook.client_config.url or 'nobody'}, and not the Service {names.namespace}/{names.service}"
        yield wording.warning(Code.WEBHOOK_URL, _WHAT, why, "unless that is meant, " + wording.INSTALL)
    elif (service.namespace, service.name, service.path) != (names.namespace, names.service, "/mutate"):
        why = f"it calls {service.path or '/'} of the Service {service.namespace}/{service.name}, which is not ours"
        yield wording.error(Code.WEBHOOK_SERVICE, _WHAT, why, wording.INSTALL)


@check("selected", Code.SELECT_UNKNOWN)
def check_selectors(snapshot: InstallationSnapshot) -> Iterator[Finding]:
    """Check that the webhook's selectors agree with the configuration."""
    what = "selected"
    webhook, settings = snapshot.webhook, snapshot.configuration
    if webhook is None or not isinstance(settings, EffectiveConfig):
        return
    found = [*_mode(webhook, settings), *_system(snapshot, webhook), *_opting_out(webhook, settings)]
    yield from found
    namespaces = known(snapshot.namespaces)
    missed = [*_namespaces(webhook, settings, namespaces)]
    yield from missed
    if not found and not missed:
        served = [one for one in namespaces if _is_selected(one, settings)]
        predicate = "namespace is served and selected" if len(served) == 1 else "namespaces are served and selected"
        yield wording.ok(Code.SELECT_OK, what, f"{len(served)} {predicate} (mode {settings.mode})")


def _mode(webhook: Webhook, settings: EffectiveConfig) -> Iterator[Finding]:
    """Compare the selection of a namespace without the label with the configured mode."""
    selected = "all" if _selects(webhook, "any", None) else "labelled"
    if selected != settings.mode:
        why = f"it selects {selected} namespaces, and webhook.namespaces.mode is {settings.mode}"
        remedy = "apply the kustomization for that mode (overlays/cluster-wide for all), or change the configuration"
        yield wording.error(Code.SELECT_MODE, "selected", why, remedy)


def _system(snapshot: InstallationSnapshot, webhook: Webhook) -> Iterator[Finding]:
    """Check that neither the cluster nor the webhook itself needs the webhook to start."""
    never = sorted({*SYSTEM_NAMESPACES, snapshot.names.namespace})
    selected = [name for name in never if _selects(webhook, name, "true")]
    if selected:
        why = f"it does not keep out {', '.join(selected)}; without the webhook {snapshot.outage_effect}"
        kind = wording.error if webhook.failure_policy == "Fail" else wording.warning
        yield kind(Code.SELECT_SYSTEM, "selected", why, wording.INSTALL)


def _opting_out(webhook: Webhook, settings: EffectiveConfig) -> Iterator[Finding]:
    """Compare the selection of Pods, with and without the label that opts out, with the configuration."""
    kept_out = not selects(webhook.object_selector, {ENABLED_LABEL: "false"})
    if kept_out and not settings.mutator.pods_opt_out:
        why = "Pods opt themselves out by a label, and webhook.pod_opt_out is ignore"
        yield wording.error(
            Code.SELECT_OPT_OUT, "selected", why, "put on the component pods-cannot-opt-out, which changes both"
        )
    if not selects(webhook.object_selector, {}):
        why = "its objectSelector keeps Pods out that have no label"
        yield wording.error(Code.SELECT_PODS, "selected", why, wording.INSTALL)


def _namespaces(webhook: Webhook, settings: EffectiveConfig, namespaces: tuple[Namespace, ...]) -> Iterator[Finding]:
    """Compare the selection of every namespace with the configuration, if the mode is the same."""
    if any(_mode(webhook, settings)):
        return
    missed = [
        one.metadata.name
        for one in namespaces
        if _is_selected(one, settings) and not selects(webhook.namespace_selector, one.metadata.labels)
    ]
    if missed:
        counted = wording.count_of(missed, "namespace that is selected", "namespaces that are selected")
        why = f"not called for {counted}: {wording.join_names(missed)}"
        yield wording.error(Code.SELECT_NAMESPACES, "selected", why, wording.INSTALL)


def _is_selected(namespace: Namespace, settings: EffectiveConfig) -> bool:
    return settings.mutator.namespace_filter.is_selected(namespace.metadata.name, namespace.metadata.labels)


def _selects(webhook: Webhook, name: str, label: str | None) -> bool:
    labels = {NAMESPACE_NAME_LABEL: name} | ({} if label is None else {ENABLED_LABEL: label})
    return selects(webhook.namespace_selector, labels)
