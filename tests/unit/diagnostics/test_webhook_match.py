"""Which Pods the API server calls the webhook for, by the manifest as it ships."""

from pathlib import Path

import msgspec
import pytest
import yaml

from tests.support.installation_factory import sound
from webhook.admission_policy.match_constraints import SHIPPED_CONDITIONS
from webhook.diagnostics import webhook_match
from webhook.diagnostics.doctor import check_webhook_config
from webhook.errors import NotReadable
from webhook.kube.objects import Namespace, Requirement, Selector, WebhookConfiguration
from webhook.output.finding_codes import Code
from webhook.output.findings import Finding, Mark

MANIFEST = Path(__file__).parents[3] / "manifests" / "base" / "60-webhook.yaml"
ENABLED = "registry-webhook/enabled"
NAME = "kubernetes.io/metadata.name"


def shipped() -> WebhookConfiguration:
    return msgspec.convert(yaml.safe_load(MANIFEST.read_text()), WebhookConfiguration)


def namespace(labels: dict[str, str], name: str = "team-a") -> Namespace:
    return msgspec.convert({"metadata": {"name": name, "labels": labels}}, Namespace)


def found(
    where: Namespace | NotReadable, labels: dict[str, str] | None = None, annotations: dict[str, str] | None = None
) -> dict[str, Finding]:
    (webhook,) = shipped().webhooks
    return {one.subject: one for one in webhook_match.steps(webhook, where, labels or {}, annotations or {})}


LABELLED = namespace({ENABLED: "true"})


def test_shipped_conditions_equal_manifest() -> None:
    (webhook,) = shipped().webhooks
    manifest = {one.name: " ".join(one.expression.split()) for one in webhook.match_conditions}
    assert {one.name: " ".join(one.expression.split()) for one in SHIPPED_CONDITIONS} == manifest


def test_steps_shipped_manifest_all_ok() -> None:
    steps = found(LABELLED)
    assert len(steps) == 6
    assert {one.mark for one in steps.values()} == {Mark.OK}


@pytest.mark.parametrize(
    ("labels", "code", "values"),
    [
        ({}, Code.NAMESPACE_NOT_SELECTED, [f"{ENABLED}=true"]),
        ({ENABLED: "yes"}, Code.NAMESPACE_NOT_SELECTED, [ENABLED, '"yes"', '"true"']),
        ({ENABLED: ""}, Code.NAMESPACE_NOT_SELECTED, [ENABLED, '""', '"true"']),
        ({ENABLED: "true", NAME: "kube-public"}, Code.NAMESPACE_EXCLUDED, ["team-a"]),
    ],
)
def test_steps_unselected_namespace_names_label(labels: dict[str, str], code: Code, values: list[str]) -> None:
    step = found(namespace(labels))["namespace"]
    assert (step.mark, step.code) == (Mark.FAIL, code)
    assert all(value in step.message for value in values)


def test_steps_unreadable_namespace_unknown() -> None:
    step = found(NotReadable("no right to read Namespaces team-a"))["namespace"]
    assert (step.mark, step.code) == (Mark.UNKNOWN, Code.NAMESPACE_UNKNOWN)
    assert "no right to read Namespaces team-a" in step.message


def test_steps_pod_opt_out_label_fails() -> None:
    step = found(LABELLED, {ENABLED: "false"})["Pod's labels"]
    assert (step.mark, step.code) == (Mark.FAIL, Code.POD_OPTED_OUT)
    assert f"{ENABLED}=false" in step.message


def test_steps_mirror_pod_fails_condition() -> None:
    steps = found(LABELLED, annotations={"kubernetes.io/config.mirror": ""})
    assert [one.subject for one in steps.values() if one.mark is Mark.FAIL] == ["condition the-pod-is-no-mirror"]


def test_steps_custom_condition_unknown() -> None:
    (webhook,) = shipped().webhooks
    condition = webhook.match_conditions[0]
    changed = msgspec.structs.replace(condition, expression=f"{condition.expression} && true")
    other = msgspec.structs.replace(webhook, match_conditions=(changed,))
    *_, step = webhook_match.steps(other, LABELLED, {}, {})
    assert (step.mark, step.code) == (Mark.UNKNOWN, Code.WEBHOOK_CONDITION_FOREIGN)
    assert "--dry-run" in step.hint


ALL = {"operations": ["*"], "resources": ["*/*"], "apiGroups": ["*"], "apiVersions": ["*"], "scope": "*"}


@pytest.mark.parametrize(
    ("changes", "creation", "ephemeral"),
    [
        (ALL, True, True),
        (ALL | {"operations": ["CREATE"]}, True, False),
        (ALL | {"operations": ["UPDATE", "DELETE"]}, False, True),
        (ALL | {"operations": ["CONNECT"]}, False, False),
        (ALL | {"resources": ["*"]}, True, False),
        (ALL | {"resources": ["pods"]}, True, False),
        (ALL | {"resources": ["pods/*"]}, True, True),
        (ALL | {"resources": ["pods/ephemeralcontainers"]}, False, True),
        (ALL | {"resources": ["*/ephemeralcontainers"]}, False, True),
        (ALL | {"resources": ["pods/status"]}, False, False),
        (ALL | {"resources": ["*/status", "*/scale"]}, False, False),
        (ALL | {"resources": ["deployments", "podtemplates"]}, False, False),
        (ALL | {"resources": ["deployments", "pods"]}, True, False),
        (ALL | {"resources": []}, False, False),
        (ALL | {"apiGroups": [""]}, True, True),
        (ALL | {"apiGroups": ["apps"]}, False, False),
        (ALL | {"apiGroups": ["apps", ""]}, True, True),
        (ALL | {"apiGroups": []}, False, False),
        (ALL | {"apiVersions": ["v1"]}, True, True),
        (ALL | {"apiVersions": ["v1beta1", "v2"]}, False, False),
        (ALL | {"scope": "Namespaced"}, True, True),
        (ALL | {"scope": "Cluster"}, False, False),
    ],
)
@pytest.mark.parametrize("match_policy", ["Equivalent", "Exact"])
def test_rule_matched_as_by_api_server(
    changes: dict[str, object], creation: bool, ephemeral: bool, match_policy: str
) -> None:
    manifest = yaml.safe_load(MANIFEST.read_text())
    manifest["webhooks"][0] |= {"rules": [changes], "matchPolicy": match_policy}
    (webhook,) = msgspec.convert(manifest, WebhookConfiguration).webhooks
    assert webhook_match.rule_covers(webhook.rules[0], "CREATE", "pods") is creation
    assert webhook_match.rule_covers(webhook.rules[0], "UPDATE", "pods/ephemeralcontainers") is ephemeral
    # Both commands say so.
    steps = {one.subject: one for one in webhook_match.steps(webhook, LABELLED, {}, {})}
    assert (steps["operation"].mark is Mark.OK) is creation
    checked = msgspec.convert(manifest, WebhookConfiguration)
    missing = [
        one.message
        for one in check_webhook_config.check_configuration(sound(webhook_configuration=checked))
        if one.code is Code.WEBHOOK_RULES
    ]
    assert any("CREATE" in message for message in missing) is not creation
    assert any("pods/ephemeralcontainers" in message for message in missing) is not ephemeral


@pytest.mark.parametrize(
    ("expression", "code"),
    [
        ("false", Code.WEBHOOK_NEVER_CALLED),
        (" false\n", Code.WEBHOOK_NEVER_CALLED),
        ("true", Code.WEBHOOK_CONDITION_OK),
    ],
)
def test_steps_constant_condition_evaluated(expression: str, code: Code) -> None:
    (webhook,) = shipped().webhooks
    changed = msgspec.structs.replace(webhook.match_conditions[0], expression=expression)
    *_, step = webhook_match.steps(msgspec.structs.replace(webhook, match_conditions=(changed,)), LABELLED, {}, {})
    assert step.code is code


_PREFIXES = "!(request.namespace.startsWith('cattle-')\n|| request.namespace.startsWith('openshift-'))"


@pytest.mark.parametrize(
    ("expression", "prefixes"),
    [
        (_PREFIXES, ("cattle-", "openshift-")),
        ("!(request.namespace.startsWith('gke-'))", ("gke-",)),
        ("request.namespace.startsWith('gke-')", ()),
        ("!(request.namespace.startsWith('gke-') && request.namespace.startsWith('aks-'))", ()),
        ("!(request.namespace.startsWith('gke-') || object.spec.hostNetwork)", ()),
        ("!(request.namespace in ['gke-'])", ()),
        ("true", ()),
    ],
)
def test_denied_prefixes_of_condition(expression: str, prefixes: tuple[str, ...]) -> None:
    assert webhook_match.denied_prefixes(expression) == prefixes


@pytest.mark.parametrize(
    ("where", "mark", "code"),
    [
        (LABELLED, Mark.OK, Code.WEBHOOK_CONDITION_OK),
        (namespace({ENABLED: "true"}, "openshift-monitoring"), Mark.FAIL, Code.NAMESPACE_EXCLUDED),
        (NotReadable("no right to read Namespaces team-a"), Mark.UNKNOWN, Code.NAMESPACE_UNKNOWN),
    ],
)
def test_steps_namespace_denied_by_prefix(where: Namespace | NotReadable, mark: Mark, code: Code) -> None:
    (webhook,) = shipped().webhooks
    condition = msgspec.structs.replace(webhook.match_conditions[0], expression=_PREFIXES)
    webhook = msgspec.structs.replace(webhook, match_conditions=(condition,))
    *_, step = webhook_match.steps(webhook, where, {}, {})
    assert (step.mark, step.code) == (mark, code)
    if isinstance(where, Namespace):
        assert webhook_match.denies(webhook, where.metadata.name) is (mark is Mark.FAIL)


def test_find_webhook_ignores_other_webhooks() -> None:
    configuration = shipped()
    other = msgspec.structs.replace(configuration.webhooks[0], name="other.example.com")
    both = msgspec.structs.replace(configuration, webhooks=(other, *configuration.webhooks))
    assert webhook_match.find_webhook(both) == configuration.webhooks[0]
    assert webhook_match.find_webhook(msgspec.structs.replace(configuration, webhooks=(other,))) is None


@pytest.mark.parametrize(
    ("operator", "values", "labels", "met"),
    [
        ("In", ("a", "b"), {"key": "b"}, True),
        ("In", ("a", "b"), {"key": "c"}, False),
        ("In", ("a",), {}, False),
        ("NotIn", ("a",), {"key": "a"}, False),
        ("NotIn", ("a",), {"key": "b"}, True),
        ("NotIn", ("a",), {}, True),
        ("Exists", (), {"key": ""}, True),
        ("Exists", (), {}, False),
        ("DoesNotExist", (), {}, True),
        ("DoesNotExist", (), {"key": ""}, False),
    ],
)
def test_selector_operators_as_kubernetes(
    operator: str, values: tuple[str, ...], labels: dict[str, str], met: bool
) -> None:
    requirement = Requirement("key", operator, values)
    selector = Selector(match_expressions=(requirement,))
    assert webhook_match.selects(selector, labels) is met


def test_selector_requires_every_label() -> None:
    selector = Selector(match_labels={"a": "1", "b": "2"})
    assert webhook_match.selects(selector, {"a": "1", "b": "2", "c": "3"})
    assert not webhook_match.selects(selector, {"a": "1", "b": "3"})
