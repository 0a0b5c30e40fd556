"""Names of the installation from the environment, and what depends on them."""

import pytest

from webhook.admission.mutator import Mutator
from webhook.admission_policy import guard, mutate
from webhook.config.load import load
from webhook.constants import InstallationNames

_MOVED = {
    "REGISTRY_WEBHOOK_NAMESPACE": "platform",
    "REGISTRY_WEBHOOK_SERVICE": "acme-service",
    "REGISTRY_WEBHOOK_CONFIGURATION": "acme-calls",
}
_TEXT = b"opencti: {daemon: {registry: {server: registry.example.com}}}"


def test_load_installation_names_from_environment() -> None:
    names = load(_TEXT, "config.yaml", _MOVED).configuration.installation
    assert names == InstallationNames("platform", "acme-service", "acme-calls")
    assert names.hosts == ("acme-service.platform.svc", "acme-service.platform.svc.cluster.local")


@pytest.mark.parametrize("environment", [{}, dict.fromkeys(_MOVED, "")])
def test_load_installation_names_default(environment: dict[str, str]) -> None:
    assert load(_TEXT, "config.yaml", environment).configuration.installation == InstallationNames()


def test_namespace_filter_denies_own_namespace() -> None:
    bounds = Mutator(load(_TEXT, "config.yaml", _MOVED).configuration).namespace_filter
    assert bounds.denial_reason("platform") is not None
    assert bounds.denial_reason("registry-webhook") is None
    assert bounds.denial_reason("kube-system") is not None


@pytest.mark.parametrize("kind", ["mutate", "guard"])
def test_policy_excludes_own_namespace(kind: str) -> None:
    settings = load(_TEXT, "config.yaml", _MOVED).configuration
    made = mutate.policy(settings) if kind == "mutate" else guard.policy(settings, "Deny")
    (_, named) = made.binding["spec"]["matchResources"]["namespaceSelector"]["matchExpressions"]
    assert set(named["values"]) == {"kube-system", "kube-public", "kube-node-lease", "platform"}


def test_digest_independent_of_installation_names() -> None:
    assert load(_TEXT, "a", _MOVED).configuration.digest == load(_TEXT, "a", {}).configuration.digest


@pytest.mark.parametrize(
    ("configuration", "name", "renamed"),
    [
        ("registry-webhook", "registry-webhook-secrets", "registry-webhook-secrets"),
        ("acme-registry-webhook-two", "registry-webhook-secrets", "acme-registry-webhook-secrets-two"),
        ("calls", "registry-webhook-secrets", "calls-secrets"),
    ],
)
def test_renamed_takes_prefix_and_suffix(configuration: str, name: str, renamed: str) -> None:
    assert InstallationNames(configuration=configuration).renamed(name) == renamed
