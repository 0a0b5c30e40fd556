"""A policy applies to the requests that the webhook is called for, according to the manifest."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from webhook.admission_policy import guard, mutate
from webhook.admission_policy.model import Generated
from webhook.config.load import load
from webhook.constants import (
    CONFIGURATION_HASH_ANNOTATION,
    DEFAULT_NAMESPACE,
    GUARD_POLICY,
    INSTALLATION_LABEL,
    MUTATE_POLICY,
)
from webhook.settings import Configuration

_MANIFESTS = Path(__file__).parents[3] / "manifests"


def settings(text: str = "", **variables: str) -> Configuration:
    return load(text.encode(), "test", variables).configuration


def both(made_of: Configuration) -> list[Generated]:
    return [mutate.policy(made_of), guard.policy(made_of, "Deny")]


def conditions(made: Generated) -> dict[str, str]:
    return {one["name"]: " ".join(one["expression"].split()) for one in made.policy["spec"]["matchConditions"]}


@pytest.fixture
def webhook() -> Any:
    (webhook,) = yaml.safe_load((_MANIFESTS / "base" / "60-webhook.yaml").read_text())["webhooks"]
    return webhook


def sets(value: Any) -> Any:
    """Give what is the same whatever order lists are in."""
    if isinstance(value, dict):
        return {key: sets(item) for key, item in value.items()}
    return sorted(map(sets, value), key=repr) if isinstance(value, list) else value


@pytest.mark.parametrize("made", both(settings()), ids=["mutate", "guard"])
def test_policy_match_equals_webhook_manifest(made: Generated, webhook: Any) -> None:
    constraints, resources = made.policy["spec"]["matchConstraints"], made.binding["spec"]["matchResources"]
    assert constraints == {"matchPolicy": webhook["matchPolicy"], "resourceRules": webhook["rules"]}
    assert sets(resources) == sets({key: webhook[key] for key in ("namespaceSelector", "objectSelector")})
    ours = conditions(made)
    theirs = {one["name"]: " ".join(one["expression"].split()) for one in webhook["matchConditions"]}
    assert {name: ours.get(name) for name in theirs} == theirs
    assert ours.keys() - theirs.keys() == {"the-pod-is-not-opted-out"}


def test_mutate_policy_failure_and_reinvocation(webhook: Any) -> None:
    spec = mutate.policy(settings()).policy["spec"]
    assert spec["reinvocationPolicy"] == webhook["reinvocationPolicy"]
    assert spec["failurePolicy"] == webhook["failurePolicy"] == "Ignore"
    assert mutate.policy(settings(WEBHOOK__ON_ERROR="deny")).policy["spec"]["failurePolicy"] == "Fail"


def test_policy_mode_all_selects_unless_opted_out() -> None:
    for made in both(settings(WEBHOOK__NAMESPACES__MODE="all")):
        first = made.binding["spec"]["matchResources"]["namespaceSelector"]["matchExpressions"][0]
        assert first == {"key": "registry-webhook/enabled", "operator": "NotIn", "values": ["false"]}


def test_policy_pod_opt_out_ignored_no_object_selector() -> None:
    for made in both(settings(WEBHOOK__POD_OPT_OUT="ignore")):
        assert "objectSelector" not in made.binding["spec"]["matchResources"]
        assert "the-pod-is-not-opted-out" not in conditions(made)


@pytest.mark.parametrize(
    ("allow", "deny", "expected"),
    [
        ("[]", "", {"the-namespace-is-allowed": "false"}),
        ("team-a, team-b", "", {"the-namespace-is-allowed": "request.namespace in ['team-a', 'team-b']"}),
        (
            "team-*, x",
            "team-x",
            {
                "the-namespace-is-allowed": "request.namespace in ['x'] || "
                "request.namespace.matches('^(?:team-[^/]*)$')",
                "the-namespace-is-not-denied": "!(request.namespace in ['team-x'])",
            },
        ),
    ],
)
def test_policy_namespace_allow_deny_match_conditions(allow: str, deny: str, expected: dict[str, str]) -> None:
    for made in both(settings(WEBHOOK__NAMESPACES__ALLOW=allow, WEBHOOK__NAMESPACES__DENY=deny)):
        found = conditions(made)
        assert {name: found[name] for name in found if name.startswith("the-namespace")} == expected


def test_policy_and_binding_names_and_hash_annotation() -> None:
    made_of = settings(OPENCTI__DAEMON__REGISTRY__SERVER="registry.example.com")
    for made, name in zip(both(made_of), (MUTATE_POLICY, GUARD_POLICY), strict=True):
        for manifest in (made.policy, made.binding):
            assert manifest["metadata"]["name"] == name
            assert manifest["metadata"]["annotations"] == {
                CONFIGURATION_HASH_ANNOTATION: made_of.digest,
                INSTALLATION_LABEL: DEFAULT_NAMESPACE,
            }
        assert made.binding["kind"] == f"{made.policy['kind']}Binding"
        assert made.binding["spec"]["policyName"] == name


@pytest.mark.parametrize("action", ["Deny", "Warn", "Audit"])
def test_guard_validation_action_as_given(action: guard.Action) -> None:
    made = guard.policy(settings(), action)
    assert made.binding["spec"]["validationActions"] == [action]
    assert made.policy["spec"]["failurePolicy"] == "Fail"


@pytest.mark.parametrize("only_private", [False, True])
def test_guard_only_private_includes_registries(only_private: bool) -> None:
    made_of = settings(
        "opencti: {daemon: {registry: {server: 'Registry.Example.com:443'}}}\n"
        "webhook: {pull_secret: {registries: ['[FD00:0::1]:443/x']}}"
    )
    made = guard.policy(made_of, "Deny", only_private=only_private)
    variables = {one["name"]: one["expression"] for one in made.policy["spec"]["variables"]}
    assert ("private" in variables) is only_private
    assert ("'registry.example.com'" in variables.get("registered", "")) is only_private
    assert ("'[fd00::1]/x'" in variables.get("registered", "")) is only_private
