"""The base that every variant includes: its permissions, guard and Deployment agree with the code and each other."""

import re
from pathlib import Path
from typing import Any, cast

import kubernetes.client
import pytest
import yaml

from tests.support.kustomize import Manifest
from tests.support.manifest_variants import BASE, CHECKOUT, FOLDERS, Objects
from webhook import __version__
from webhook.constants import CERTIFICATE, DEFAULT_NAMESPACE, ENABLED_LABEL, PROGRAM, REFRESHER, SYSTEM_NAMESPACES
from webhook.kube.api import Cluster
from webhook.pull_secret.manifest import TYPE
from webhook.refresher.runtime.event_reasons import EventReason
from webhook.refresher.runtime.event_recorder import EventRecorder
from webhook.settings import PullSecretSettings

DOCKERFILE = CHECKOUT / "Dockerfile"
#: Without the chart, whose templates are not YAML.
FILES = sorted(
    path
    for name in ("manifests/base", "manifests/components", "manifests/overlays", "manifests/monitoring", "certs")
    for path in (CHECKOUT / name).rglob("*.yaml")
)
PULL_SECRET = PullSecretSettings().name
OBJECTS = Objects(FOLDERS[0])
POLICIES = OBJECTS.all_of("ValidatingAdmissionPolicy")


def called(manifest: Manifest) -> str:
    return f"{manifest['kind']}-{manifest['metadata']['name']}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_manifests_objects_without_anchors(path: Path) -> None:
    """Unlike operations: what two containers need is said once."""
    text = path.read_text()
    tokens = list(yaml.scan(text))
    aliases = any(isinstance(token, yaml.AnchorToken | yaml.AliasToken) for token in tokens)
    assert not aliases or isinstance(yaml.safe_load(text), list)


def test_base_resources_in_file_number_order() -> None:
    numbered = sorted(path.name for path in BASE.glob("[0-9]*.yaml"))
    assert yaml.safe_load((BASE / "kustomization.yaml").read_text())["resources"] == numbered


def test_base_kinds_in_dependency_order() -> None:
    kinds = [manifest["kind"] for manifest in OBJECTS.manifests]
    guarded = len(kinds) - 1 - kinds[::-1].index("ValidatingAdmissionPolicyBinding")
    rights = ["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"]
    assert kinds[:2] == ["Namespace", "ServiceAccount"]
    assert guarded < min(kinds.index(kind) for kind in rights)
    assert max(kinds.index(kind) for kind in rights) < kinds.index("Deployment")
    assert kinds.index("PriorityClass") < kinds.index("Deployment") < kinds.index("MutatingWebhookConfiguration")


def test_namespace_pod_security_restricted() -> None:
    namespace = OBJECTS.only("Namespace")["metadata"]
    assert namespace["name"] == DEFAULT_NAMESPACE
    modes = ("enforce", "audit", "warn")
    assert {namespace["labels"][f"pod-security.kubernetes.io/{mode}"] for mode in modes} == {"restricted"}


# The account, its rights and the guard.


def test_service_account_same_in_pod_bindings_guard() -> None:
    account = OBJECTS.only("ServiceAccount")["metadata"]["name"]
    assert OBJECTS.pod["serviceAccountName"] == account
    for binding in (OBJECTS.only("ClusterRoleBinding"), OBJECTS.only("RoleBinding")):
        assert binding["subjects"] == [{"kind": "ServiceAccount", "namespace": DEFAULT_NAMESPACE, "name": account}]
    (marker,) = (rule for rule in OBJECTS.only("ClusterRole")["rules"] if PROGRAM in rule["apiGroups"])
    for policy in POLICIES:
        (condition,) = policy["spec"]["matchConditions"]
        check = r"group\('([^']+)'\)\.resource\('([^']+)'\)\S*\s*\.check\('([^']+)'\)"
        checks = re.findall(check, condition["expression"])
        assert [marker["apiGroups"], marker["resources"], marker["verbs"]] == [[word] for word in checks[0]]
        assert checks[1] == (*checks[0][:2], "exempt")


def test_guard_expressions_without_own_names() -> None:
    """Or kustomize would move the one and leave the other."""
    for policy in POLICIES:
        parts = ("matchConditions", "variables", "validations")
        text = "\n".join(one["expression"] for part in parts for one in policy["spec"].get(part, []))
        assert f"'{DEFAULT_NAMESPACE}'" not in re.sub(r"\.group\('[^']+'\)", "", text)
        assert f":{PROGRAM}" not in text


def test_rbac_exact_rules() -> None:
    reading = {"get", "list", "watch"}
    assert [rights(rule) for rule in OBJECTS.only("ClusterRole")["rules"]] == [
        (PROGRAM, "restrictions", None, {"bound"}),
        ("", "namespaces", None, reading),
        ("", "secrets", [PULL_SECRET], reading | {"create", "patch", "delete"}),
        ("admissionregistration.k8s.io", "mutatingwebhookconfigurations", [PROGRAM], reading | {"patch"}),
        ("events.k8s.io", "events", None, {"create"}),
    ]
    (rule,) = OBJECTS.only("Role")["rules"]
    assert rights(rule) == ("coordination.k8s.io", "leases", [REFRESHER], {"get", "create", "update"})


def rights(rule: Manifest) -> tuple[str, str, list[str] | None, set[str]]:
    (group,), (resource,) = rule["apiGroups"], rule["resources"]
    return group, resource, rule.get("resourceNames"), set(rule["verbs"])


#: The Namespaces with which a policy is evaluated.
PARAMETERS: dict[str, Manifest] = {
    f"{PROGRAM}-owners": {"paramRef": {"selector": {}, "parameterNotFoundAction": "Deny"}},
    f"{PROGRAM}-namespaces": {"paramRef": {"name": DEFAULT_NAMESPACE, "parameterNotFoundAction": "Allow"}},
}


@pytest.mark.parametrize("policy", POLICIES, ids=called)
def test_guard_denies_with_message(policy: Manifest) -> None:
    bindings = OBJECTS.all_of("ValidatingAdmissionPolicyBinding")
    name = policy["metadata"]["name"]
    assert [binding["spec"] for binding in bindings if binding["spec"]["policyName"] == name] == [
        {"policyName": name, "validationActions": ["Deny"], **PARAMETERS.get(name, {})}
    ]
    assert ("paramKind" in policy["spec"]) == (name in PARAMETERS)
    assert policy["spec"]["failurePolicy"] == "Fail"
    for validation in policy["spec"]["validations"]:
        assert validation["message"].startswith("this ServiceAccount can")
        assert validation["reason"] == "Forbidden"


def expressions(policy: str) -> str:
    spec = OBJECTS.named("ValidatingAdmissionPolicy", policy)["spec"]
    return "\n".join(part["expression"] for part in (*spec.get("variables", []), *spec["validations"]))


class Listener:
    """Takes Events as a cluster would."""

    def __init__(self) -> None:
        self.events: list[Manifest] = []

    def create_event(self, event: Manifest) -> None:
        self.events.append(event)


def test_guard_constants_match_code() -> None:
    text = expressions("registry-webhook-secrets")
    never = text.partition("request.namespace in [")[2].partition("]")[0]
    assert {name.strip(" '") for name in never.split(",")} == SYSTEM_NAMESPACES | {"variables.own"}
    assert f"== '{TYPE}'" in text
    assert f"== '{CERTIFICATE}'" in text
    (condition,) = OBJECTS.named("ValidatingAdmissionPolicy", f"{PROGRAM}-namespaces")["spec"]["matchConditions"]
    assert f"[{never.replace(', variables.own', '')}]" in condition["expression"]
    assert f"labels[?'{ENABLED_LABEL}']" in expressions(f"{PROGRAM}-namespaces")
    told = Listener()
    reporter = EventRecorder(cast(Cluster, told), PULL_SECRET, "any", leading=lambda: True, clock=lambda: 0.0)
    reporter.report(EventReason.PULL_SECRET_REMOVED, "any", "team-a")
    (event,) = told.events
    assert f"== '{event['reportingController']}'" in expressions("registry-webhook-events")


def fields(model: Any) -> set[str]:
    return {field.serialization_alias or name for name, field in model.model_fields.items()}


def test_guard_compares_webhook_fields_except_bundle() -> None:
    text = expressions("registry-webhook-configurations")
    compared = re.findall(r"willBe\.map\(w, (w\.\S+)\) == variables\.was\.map\(w, (\S+)\)", text)
    assert all(now == before for now, before in compared)
    names = {now.removeprefix("w.").removeprefix("?") for now, _ in compared}
    called = {f"clientConfig.?{name}" for name in fields(kubernetes.client.AdmissionregistrationV1WebhookClientConfig)}
    everything = fields(kubernetes.client.V1MutatingWebhook) - {"clientConfig"} | called
    assert names == everything - {"clientConfig.?caBundle"}


def test_guard_compares_configuration_metadata() -> None:
    text = expressions("registry-webhook-configurations")
    assert "metadata.?ownerReferences" in expressions("registry-webhook-owners")
    compared = re.findall(r"\bobject\.metadata\.\?(\w+) == oldObject\.metadata\.\?(\w+)", text)
    assert all(now == before for now, before in compared)
    # What nobody can change with a patch, and who owns it, which is compared by itself.
    set_by_the_server = {
        *("name", "generateName", "namespace", "selfLink", "uid", "resourceVersion", "generation", "managedFields"),
        *("creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"),
    }
    names = {now for now, _ in compared}
    assert names == fields(kubernetes.client.V1ObjectMeta) - set_by_the_server - {"ownerReferences"}


# The Deployment.


def test_pod_readiness_independent_of_refresher() -> None:
    sidecar, webhook = OBJECTS.containers["refresher"], OBJECTS.containers["webhook"]
    assert {name for name in sidecar if name.endswith("Probe")} == {"livenessProbe"}
    assert {name for name in webhook if name.endswith("Probe")} == {"startupProbe", "livenessProbe", "readinessProbe"}
    assert "readinessGates" not in OBJECTS.pod


def test_rollout_keeps_replicas_available() -> None:
    spec = OBJECTS.deployment["spec"]
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    assert OBJECTS.only("PodDisruptionBudget")["spec"]["maxUnavailable"] < spec["replicas"]


def test_termination_grace_period_exceeds_drain() -> None:
    waits = OBJECTS.containers["webhook"]["lifecycle"]["preStop"]["sleep"]["seconds"]
    drains, in_flight = 5, 10
    assert "drain" not in OBJECTS.options("webhook")
    assert OBJECTS.pod["terminationGracePeriodSeconds"] > waits + drains + in_flight


def test_scheduling_single_node_allowed() -> None:
    """New Pods of an update are spread without regard to old ones, over nodes and over zones."""
    (constraint,) = OBJECTS.pod["topologySpreadConstraints"]
    assert constraint["whenUnsatisfiable"] == "ScheduleAnyway"
    (preferred,) = OBJECTS.pod["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    term = preferred["podAffinityTerm"]
    assert [one["topologyKey"] for one in (constraint, term)] == [
        "kubernetes.io/hostname",
        "topology.kubernetes.io/zone",
    ]
    for one in (constraint, term):
        assert one["labelSelector"] == OBJECTS.deployment["spec"]["selector"]
        assert one["matchLabelKeys"] == ["pod-template-hash"]
    assert set(OBJECTS.pod["affinity"]) == {"podAntiAffinity", "nodeAffinity"}


def test_lost_node_replica_replaced_after_half_a_minute() -> None:
    """Kubernetes adds both tolerations with 300 seconds if they are missing."""
    assert {one["key"]: (one["effect"], one["tolerationSeconds"]) for one in OBJECTS.pod["tolerations"]} == {
        "node.kubernetes.io/not-ready": ("NoExecute", 30),
        "node.kubernetes.io/unreachable": ("NoExecute", 30),
    }


def test_deployment_architectures_match_release() -> None:
    required = OBJECTS.pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    ((expression,),) = (term["matchExpressions"] for term in required["nodeSelectorTerms"])
    assert (expression["key"], expression["operator"]) == ("kubernetes.io/arch", "In")
    release = (CHECKOUT / ".ci" / "buildx").read_text()
    (platforms,) = re.findall(r"--platform (\S+)", release)
    assert platforms.split(",") == [f"linux/{name}" for name in expression["values"]]


def test_priority_class_own_not_default() -> None:
    priority = OBJECTS.only("PriorityClass")
    assert OBJECTS.pod["priorityClassName"] == priority["metadata"]["name"]
    assert "globalDefault" not in priority
    # Above what has none, and below the system's own.
    assert 0 < priority["value"] < 1_000_000_000


def test_containers_run_image_as_any_user() -> None:
    (user,) = re.findall(r"^USER ([0-9]+)(?::[0-9]+)?$", DOCKERFILE.read_text(), re.MULTILINE)
    assert int(user) > 0
    # A user that is named here is refused where a cluster gives each namespace users of its own.
    named = {"runAsUser", "runAsGroup", "fsGroup", "supplementalGroups"}
    for context in (OBJECTS.pod["securityContext"], *(one["securityContext"] for one in OBJECTS.containers.values())):
        assert not named & context.keys()
    assert OBJECTS.pod["enableServiceLinks"] is False
    for container in OBJECTS.containers.values():
        assert container["image"] == f"{PROGRAM}:{__version__}"
        assert container["imagePullPolicy"] == "IfNotPresent"
        assert "command" not in container


def test_image_same_in_deployment_and_kustomization() -> None:
    (image,) = yaml.safe_load((BASE / "kustomization.yaml").read_text())["images"]
    assert image == {"name": PROGRAM, "newName": PROGRAM, "newTag": __version__}
    written = yaml.safe_load((BASE / "50-deployment.yaml").read_text())["spec"]["template"]["spec"]["containers"]
    assert {container["image"] for container in written} == {f"{PROGRAM}:{__version__}"}


def test_pod_starts_without_secrets() -> None:
    for name in ("tls", "credential"):
        assert OBJECTS.volumes[name]["secret"]["optional"] is True
