"""Whether the webhook configuration is as in the manifests and selects what the settings select."""

from collections.abc import Iterator

from webhook.admission_policy.match_constraints import SHIPPED_CONDITIONS
from webhook.config.effective import EffectiveConfig
from webhook.constants import (
    ENABLED_LABEL,
    MUTATE_POLICY,
    NAMESPACE_NAME_LABEL,
    SYSTEM_NAMESPACES,
    WEBHOOK_NAME,
)
from webhook.diagnostics.doctor import wording
from webhook.diagnostics.doctor.check import check
from webhook.diagnostics.doctor.snapshot import InstallationSnapshot
from webhook.diagnostics.webhook_match import denies, find_webhook, is_never_called, is_shipped, rule_covers, selects
from webhook.errors import NotReadable
from webhook.kube.objects import Namespace, Webhook
from webhook.kube.partial import known
from webhook.kubernetes_version import POLICY_MUTATE
from webhook.output.finding_codes import Code
from webhook.output.findings import Finding, Mark
from webhook.output.phrases import counted, join_names

_WHAT = "webhook configuration"
_SELECTION = "namespace selection"
_OTHERS = "other installations"
_CONDITIONS = {one.name for one in SHIPPED_CONDITIONS}
#: Operations for which the API server must call the webhook.
_CALLS = (("CREATE", "pods"), ("UPDATE", "pods"), ("UPDATE", "pods/ephemeralcontainers"))
#: Timeout in seconds in the manifests.
TIMEOUT = 5


@check(_WHAT, Code.WEBHOOK_UNKNOWN)
def check_configuration(snapshot: InstallationSnapshot) -> Iterator[Finding]:
    """Check that the webhook configuration is as in the manifests."""
    known(snapshot.webhook_configuration)
    webhook = snapshot.webhook
    if webhook is None:
        yield _missing(snapshot)
        return
    found = [*_errors(snapshot, webhook), *_differences(snapshot, webhook), *_check_service(snapshot, webhook)]
    yield from found
    if snapshot.is_rewritten_by_policy:
        yield _by_policy(snapshot)
    elif not found:
        policy = webhook.failure_policy
        yield wording.ok(
            Code.WEBHOOK_OK, _WHAT, f"{_configuration(snapshot)} is as in the manifests ({policy} on failure)"
        )


def _configuration(snapshot: InstallationSnapshot) -> str:
    return f"MutatingWebhookConfiguration {snapshot.names.configuration}"


def _missing(snapshot: InstallationSnapshot) -> Finding:
    missing = (
        f"{_configuration(snapshot)} does not exist"
        if snapshot.webhook_configuration is None
        else f"{_configuration(snapshot)} has no webhook {WEBHOOK_NAME}"
    )
    hint, lines = wording.reinstall(snapshot)
    if snapshot.is_rewritten_by_policy:
        why = f"{missing}. {_policy(snapshot)} rewrites Pods instead"
        hint = "apply the manifests of your installation again, with the component policy-alone"
        by_value = wording.change(snapshot, hint, "policies.callWebhook=false")
        return wording.warning(Code.WEBHOOK_MISSING, _WHAT, why, *by_value)
    return wording.error(Code.WEBHOOK_MISSING, _WHAT, f"{missing}, so no Pod is rewritten", hint, lines)


def _by_policy(snapshot: InstallationSnapshot) -> Finding:
    """Check the policy that replaces the webhook."""
    policy = _policy(snapshot)
    if isinstance(snapshot.policies, NotReadable):
        return Finding(Mark.UNKNOWN, Code.POLICY_UNKNOWN, _WHAT, str(snapshot.policies))
    if not snapshot.has_policy:
        why = f"the webhook is switched off in favor of {policy}, which does not exist, so no Pod is rewritten"
        hint = "add the component policy-mutate, or remove the component policy-alone, and apply the manifests again"
        if snapshot.kubernetes and snapshot.kubernetes < POLICY_MUTATE:
            why += f": it requires Kubernetes {POLICY_MUTATE} or newer, and the cluster has {snapshot.kubernetes}"
            hint = "remove the component policy-alone and apply the manifests again"
        return wording.error(
            Code.POLICY_MISSING, _WHAT, why, *wording.change(snapshot, hint, "policies.callWebhook=true")
        )
    return wording.ok(Code.POLICY_INSTEAD, _WHAT, f"{policy} rewrites Pods instead of the webhook")


def _policy(snapshot: InstallationSnapshot) -> str:
    return f"MutatingAdmissionPolicy {snapshot.names.renamed(MUTATE_POLICY)}"


def _errors(snapshot: InstallationSnapshot, webhook: Webhook) -> Iterator[Finding]:
    """Report settings with which the webhook does not work."""
    remedy = wording.reinstall(snapshot)
    for operation, resource in _CALLS:
        if not any(rule_covers(rule, operation, resource) for rule in webhook.rules):
            why = f"no rule of {_configuration(snapshot)} covers {operation} of {resource}"
            yield wording.error(Code.WEBHOOK_RULES, _WHAT, why, *remedy)
    if webhook.side_effects not in {"None", "NoneOnDryRun"}:
        why = f"sideEffects is {webhook.side_effects}, so every dry run of a Pod in a selected namespace is refused"
        yield wording.error(Code.WEBHOOK_SIDE_EFFECTS, _WHAT, why, *remedy)


def _differences(snapshot: InstallationSnapshot, webhook: Webhook) -> Iterator[Finding]:
    """Report differences from the manifests, and their effect."""
    remedy = wording.reinstall(snapshot)
    if webhook.timeout_seconds != TIMEOUT:
        why = (
            f"timeoutSeconds is {webhook.timeout_seconds} instead of {TIMEOUT}: "
            "the time that each new Pod waits for a webhook that does not answer"
        )
        yield wording.warning(Code.WEBHOOK_TIMEOUT, _WHAT, why, *remedy)
    if webhook.reinvocation_policy != "IfNeeded":
        why = (
            f"reinvocationPolicy is {webhook.reinvocation_policy or 'Never'} instead of IfNeeded: "
            "images that later webhooks add to a Pod are not rewritten"
        )
        yield wording.warning(Code.WEBHOOK_REINVOCATION, _WHAT, why, *remedy)
    if webhook.match_policy != "Equivalent":
        why = f"matchPolicy is {webhook.match_policy} instead of Equivalent"
        yield wording.warning(Code.WEBHOOK_MATCH_POLICY, _WHAT, why, *remedy)
    by_name = {one.name: one.expression for one in webhook.match_conditions}
    for name in sorted(_CONDITIONS - by_name.keys()):
        why = f"match condition {name} is missing, so the webhook is called for Pods that it never changes"
        yield wording.warning(Code.WEBHOOK_CONDITION_MISSING, _WHAT, why, *remedy)
    for name, expression in by_name.items():
        if not is_shipped(expression):
            why = f"match condition {name} is not in the manifests, and may prevent Pods from being rewritten"
            yield wording.warning(Code.WEBHOOK_CONDITION_FOREIGN, _WHAT, why, *remedy)


def _check_service(snapshot: InstallationSnapshot, webhook: Webhook) -> Iterator[Finding]:
    """Check that the API server calls our Service."""
    names, service = snapshot.names, webhook.client_config.service
    ours = f"Service {names.namespace}/{names.service}"
    if service is None:
        why = f"the API server calls {webhook.client_config.url or 'no address'} instead of {ours}"
        hint, lines = wording.reinstall(snapshot)
        yield wording.warning(Code.WEBHOOK_URL, _WHAT, why, f"unless you intended this, {hint}", lines)
    elif (service.namespace, service.name, service.path) != (names.namespace, names.service, "/mutate"):
        called = f"{service.path or '/'} of Service {service.namespace}/{service.name}"
        why = f"the API server calls {called} instead of /mutate of {ours}"
        yield wording.error(Code.WEBHOOK_SERVICE, _WHAT, why, *wording.reinstall(snapshot))


@check(_SELECTION, Code.SELECT_UNKNOWN)
def check_selectors(snapshot: InstallationSnapshot) -> Iterator[Finding]:
    """Check that the webhook's selectors agree with the configuration."""
    webhook, settings = snapshot.webhook, snapshot.configuration
    if webhook is None or not isinstance(settings, EffectiveConfig):
        return
    found = [
        *_mode(snapshot, webhook, settings),
        *_system(snapshot, webhook),
        *_opting_out(snapshot, webhook, settings),
        *_pods(snapshot, webhook),
    ]
    yield from found
    namespaces = known(snapshot.namespaces)
    missed = [*_namespaces(snapshot, webhook, settings, namespaces)]
    yield from missed
    if not found and not missed:
        selected = sum(_is_selected(one, settings) for one in namespaces)
        why = f"the webhook is called for {counted(selected, 'selected namespace')} (mode {settings.mode})"
        yield wording.ok(Code.SELECT_OK, _SELECTION, why)


@check(_OTHERS, Code.SELECT_UNKNOWN)
def check_overlap(snapshot: InstallationSnapshot) -> Iterator[Finding]:
    """Check that no other installation selects the same namespaces."""
    for other in known(snapshot.other_configurations):
        webhook = find_webhook(other)
        if webhook is None or is_never_called(webhook):
            continue
        selector = webhook.namespace_selector
        both = [one.metadata.name for one in snapshot.selected_namespaces if selects(selector, one.metadata.labels)]
        if both:
            why = (
                f"MutatingWebhookConfiguration {other.metadata.name} also selects "
                f"{counted(len(both), 'selected namespace')}: {join_names(both)}. Both rewrite Pods there, and the "
                "installation that created the pull secret maintains it"
            )
            hint = (
                "deny these namespaces in one of the two installations, or opt them out. Ignore this if the other one "
                "denies them in its configuration, which is not read here"
            )
            yield wording.warning(Code.SELECT_OVERLAP, _OTHERS, why, hint)


def _mode(snapshot: InstallationSnapshot, webhook: Webhook, settings: EffectiveConfig) -> Iterator[Finding]:
    """Compare the selection of a namespace without the label with the configured mode."""
    selected = "all" if _selects(webhook, "any", None) else "labelled"
    if selected != settings.mode:
        why = f"the webhook is called for {selected} namespaces, and webhook.namespaces.mode is {settings.mode}"
        hint = "apply the overlay for that mode (manifests/overlays/cluster-wide for all), or change the configuration"
        value = f"clusterWide.enabled={'true' if settings.mode == 'all' else 'false'}"
        yield wording.error(Code.SELECT_MODE, _SELECTION, why, *wording.change(snapshot, hint, value))


def _system(snapshot: InstallationSnapshot, webhook: Webhook) -> Iterator[Finding]:
    """Check that neither the cluster nor the webhook itself needs the webhook to start."""
    never = sorted({*SYSTEM_NAMESPACES, snapshot.names.namespace})
    selected = [name for name in never if _selects(webhook, name, "true")]
    if selected:
        effect = f"while it does not answer, {snapshot.outage_effect}"
        why = f"the webhook configuration does not exclude {', '.join(selected)}: {effect}"
        kind = wording.error if webhook.failure_policy == "Fail" else wording.warning
        yield kind(Code.SELECT_SYSTEM, _SELECTION, why, *wording.reinstall(snapshot))


def _opting_out(snapshot: InstallationSnapshot, webhook: Webhook, settings: EffectiveConfig) -> Iterator[Finding]:
    """Compare the selection of Pods with the label that opts out with the configuration."""
    excluded = not selects(webhook.object_selector, {ENABLED_LABEL: "false"})
    if excluded and not settings.mutator.pods_opt_out:
        why = f"Pods can opt out with the label {ENABLED_LABEL}=false, although webhook.pod_opt_out is ignore"
        hint = "add the component pods-cannot-opt-out, which changes both, and apply the manifests again"
        yield wording.error(
            Code.SELECT_OPT_OUT, _SELECTION, why, *wording.change(snapshot, hint, "podOptOut.enabled=false")
        )


def _pods(snapshot: InstallationSnapshot, webhook: Webhook) -> Iterator[Finding]:
    if not selects(webhook.object_selector, {}):
        why = "the objectSelector of the webhook configuration excludes Pods without labels"
        yield wording.error(Code.SELECT_PODS, _SELECTION, why, *wording.reinstall(snapshot))


def _namespaces(
    snapshot: InstallationSnapshot, webhook: Webhook, settings: EffectiveConfig, namespaces: tuple[Namespace, ...]
) -> Iterator[Finding]:
    """Compare the selection of every namespace with the configuration, if the mode is the same."""
    if any(_mode(snapshot, webhook, settings)):
        return
    missed = [
        one.metadata.name
        for one in namespaces
        if _is_selected(one, settings)
        and (not selects(webhook.namespace_selector, one.metadata.labels) or denies(webhook, one.metadata.name))
    ]
    if missed:
        why = f"the webhook is not called for {counted(len(missed), 'selected namespace')}: {join_names(missed)}"
        yield wording.error(Code.SELECT_NAMESPACES, _SELECTION, why, *wording.reinstall(snapshot))


def _is_selected(namespace: Namespace, settings: EffectiveConfig) -> bool:
    return settings.mutator.namespace_filter.is_selected(namespace.metadata.name, namespace.metadata.labels)


def _selects(webhook: Webhook, name: str, label: str | None) -> bool:
    labels = {NAMESPACE_NAME_LABEL: name} | ({} if label is None else {ENABLED_LABEL: label})
    return selects(webhook.namespace_selector, labels)
