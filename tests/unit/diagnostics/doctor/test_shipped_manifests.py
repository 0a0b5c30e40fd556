"""The doctor finds nothing wrong with the shipped manifests."""

from typing import Any

import pytest

from tests.support.installation_factory import PULL_SECRET, SERVER, namespace, read, sound
from tests.support.manifest_variants import VARIANTS, Objects, Variant
from webhook.config.effective import EffectiveConfig
from webhook.config.load import load
from webhook.constants import DEFAULT_NAMESPACE, WEBHOOK_NAME
from webhook.diagnostics.doctor import check_webhook_config
from webhook.diagnostics.doctor.check_certificates import TLS_SECRET
from webhook.diagnostics.doctor.check_rbac import GUARDS, required_permissions
from webhook.diagnostics.doctor.snapshot import Permission
from webhook.kube.objects import Deployment, Object, WebhookConfiguration
from webhook.output.findings import Mark

_SELF_MANAGED = Objects(Variant("certs/self-managed"))


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_shipped_variant_passes_webhook_checks(variant: Variant) -> None:
    objects = Objects(variant)
    loaded = load(
        f"opencti: {{daemon: {{registry: {{server: {SERVER}}}}}}}".encode(), "x", objects.variables("webhook")
    )
    called = read(WebhookConfiguration, objects.only("MutatingWebhookConfiguration"))
    everything = tuple(namespace(name, label) for name in ("a", "traefik", "kube-system") for label in (None, "true"))
    seen = sound(
        webhook_configuration=called,
        configuration=EffectiveConfig(loaded.configuration, "x"),
        deployment=read(Deployment, objects.deployment),
        namespaces=everything,
        policies=tuple(read(Object, policy) for policy in objects.all_of("MutatingAdmissionPolicy")),
    )
    found = [*check_webhook_config.check_configuration(seen), *check_webhook_config.check_selectors(seen)]
    # What keeps the webhook from being called is nothing without the policy that rewrites.
    lacking = seen.is_rewritten_by_policy and not seen.policies
    assert {finding.mark for finding in found} == ({Mark.ERROR, Mark.OK} if lacking else {Mark.OK}), found


def test_webhook_name_and_timeout_as_shipped() -> None:
    webhook = _SELF_MANAGED.webhook
    assert webhook["name"] == WEBHOOK_NAME
    assert webhook["timeoutSeconds"] == check_webhook_config.TIMEOUT


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_shipped_variant_containers_same_digest(variant: Variant) -> None:
    objects = Objects(variant)
    loaded = [load(b"", "x", objects.variables(container)) for container in ("webhook", "refresher")]
    assert len({one.configuration.digest for one in loaded}) == 1


@pytest.mark.parametrize(("folder", "kept"), [("certs/self-managed", True), ("certs/by-hand", False)])
def test_required_permissions_equal_shipped_roles(folder: str, kept: bool) -> None:
    objects = Objects(Variant(folder))
    rules = [(rule, "") for role in objects.all_of("ClusterRole") for rule in role["rules"]]
    rules += [(rule, DEFAULT_NAMESPACE) for role in objects.all_of("Role") for rule in role["rules"]]
    granted = {right for rule, namespace in rules for right in _rights(rule, namespace)}
    assert set(required_permissions(PULL_SECRET, manages_certificate=kept)) == granted


def _rights(rule: dict[str, Any], namespace: str) -> list[Permission]:
    (group,), (resource,) = rule["apiGroups"], rule["resources"]
    names = rule.get("resourceNames", [""])
    return [Permission(verb, group, resource, name, namespace) for verb in rule["verbs"] for name in names]


def test_guard_policies_shipped_and_bound() -> None:
    assert {one["metadata"]["name"] for one in _SELF_MANAGED.all_of("ValidatingAdmissionPolicy")} == set(GUARDS)
    bindings = [one["spec"] for one in _SELF_MANAGED.all_of("ValidatingAdmissionPolicyBinding")]
    assert {one["policyName"] for one in bindings if "Deny" in one["validationActions"]} == set(GUARDS)


@pytest.mark.parametrize(
    ("folder", "kept"), [("certs/self-managed", True), ("certs/by-hand", False), ("certs/cert-manager", False)]
)
def test_manages_certificate_by_shipped_deployment(folder: str, kept: bool) -> None:
    objects = Objects(Variant(folder))
    assert sound(deployment=read(Deployment, objects.deployment)).manages_certificate is kept
    if not kept:
        assert objects.volumes["tls"]["secret"]["secretName"] == TLS_SECRET
