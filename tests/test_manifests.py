"""The manifests agree with the code and with each other, and each container gets no more than it should."""

import re
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from webhook import __version__
from webhook.adapters.cluster.api import Cluster
from webhook.config.load import load
from webhook.config.model import PullSecretSettings
from webhook.names import ENABLED_LABEL, OWN_NAMESPACE, PROGRAM, REFRESHER, SYSTEM_NAMESPACES
from webhook.pullsecret.document import TYPE
from webhook.sidecar.reporting import Reporter

CHECKOUT = Path(__file__).parents[1]
DOCKERFILE = CHECKOUT / "Dockerfile"
FOLDER = CHECKOUT / "manifests"
FILES = sorted(FOLDER.glob("*.yaml"))
PULL_SECRET = PullSecretSettings().name
CREDENTIAL = "registry-webhook-credential"
TLS = "registry-webhook-tls"
TOKEN_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 - a folder
CLUSTER_WIDE = {
    "ClusterRole",
    "ClusterRoleBinding",
    "MutatingWebhookConfiguration",
    "Namespace",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
}

Manifest = dict[str, Any]


def documents(path: Path) -> list[Manifest]:
    return list(yaml.safe_load_all(path.read_text()))


MANIFESTS = [document for path in FILES for document in documents(path)]


def all_of(kind: str) -> list[Manifest]:
    return [manifest for manifest in MANIFESTS if manifest["kind"] == kind]


def only(kind: str) -> Manifest:
    (manifest,) = all_of(kind)
    return manifest


POD: Manifest = only("Deployment")["spec"]["template"]["spec"]
CONTAINERS: dict[str, Manifest] = {container["name"]: container for container in POD["containers"]}
VOLUMES: dict[str, Manifest] = {volume["name"]: volume for volume in POD["volumes"]}


def mounted(container: str) -> dict[str, str]:
    """Give the path at which a container has each volume."""
    return {mount["name"]: mount["mountPath"] for mount in CONTAINERS[container]["volumeMounts"]}


def environment(container: str) -> dict[str, Manifest]:
    return {variable["name"]: variable for variable in CONTAINERS[container].get("env", [])}


def called(manifest: Manifest) -> str:
    return f"{manifest['kind']}-{manifest['metadata']['name']}"


@pytest.mark.parametrize("manifest", MANIFESTS, ids=called)
def test_a_manifest_is_ours_and_stands_in_our_namespace(manifest: Manifest) -> None:
    metadata = manifest["metadata"]
    assert metadata["name"].startswith(PROGRAM)
    assert metadata["labels"]["app.kubernetes.io/name"] == PROGRAM
    assert metadata.get("namespace") == (None if manifest["kind"] in CLUSTER_WIDE else OWN_NAMESPACE)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_manifest_has_neither_anchors_nor_aliases(path: Path) -> None:
    tokens = list(yaml.scan(path.read_text()))
    assert not any(isinstance(token, yaml.AnchorToken | yaml.AliasToken) for token in tokens)


def test_what_is_needed_is_applied_before_what_needs_it() -> None:
    """As kubectl applies a folder: by the files' names, and in a file from top to bottom."""
    kinds = [manifest["kind"] for manifest in MANIFESTS]
    guarded = len(kinds) - 1 - kinds[::-1].index("ValidatingAdmissionPolicyBinding")
    rights = ["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"]
    assert kinds[:2] == ["Namespace", "ServiceAccount"]
    assert guarded < min(kinds.index(kind) for kind in rights)
    assert max(kinds.index(kind) for kind in rights) < kinds.index("Deployment")
    assert kinds[-1] == "MutatingWebhookConfiguration"


def test_the_namespace_is_restricted() -> None:
    labels = only("Namespace")["metadata"]["labels"]
    assert only("Namespace")["metadata"]["name"] == OWN_NAMESPACE
    assert {mode: labels[f"pod-security.kubernetes.io/{mode}"] for mode in ("enforce", "audit", "warn")} == {
        "enforce": "restricted",
        "audit": "restricted",
        "warn": "restricted",
    }


def test_rights_and_guard_are_of_the_account_that_the_pods_have() -> None:
    account = only("ServiceAccount")["metadata"]["name"]
    assert POD["serviceAccountName"] == account
    for binding in (only("ClusterRoleBinding"), only("RoleBinding")):
        assert binding["subjects"] == [{"kind": "ServiceAccount", "namespace": OWN_NAMESPACE, "name": account}]
    for policy in all_of("ValidatingAdmissionPolicy"):
        (condition,) = policy["spec"]["matchConditions"]
        user = f"system:serviceaccount:{OWN_NAMESPACE}:{account}"
        assert condition["expression"] == f"request.userInfo.?username.orValue('') == '{user}'"


@pytest.mark.parametrize("kind", ["ClusterRole", "Role"])
def test_a_role_is_bound(kind: str) -> None:
    role, binding = only(kind), only(f"{kind}Binding")
    assert binding["roleRef"] == {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": kind,
        "name": role["metadata"]["name"],
    }


def test_the_account_has_these_rights() -> None:
    every = {"get", "list", "watch", "create", "patch", "delete"}
    assert [rights(rule) for rule in only("ClusterRole")["rules"]] == [
        ("", "namespaces", None, {"get", "list", "watch"}),
        ("", "secrets", [PULL_SECRET], every),
        ("events.k8s.io", "events", None, {"create"}),
    ]
    (rule,) = only("Role")["rules"]
    assert rights(rule) == ("coordination.k8s.io", "leases", [REFRESHER], {"get", "create", "update"})


def rights(rule: Manifest) -> tuple[str, str, list[str] | None, set[str]]:
    (group,), (resource,) = rule["apiGroups"], rule["resources"]
    return group, resource, rule.get("resourceNames"), set(rule["verbs"])


@pytest.mark.parametrize("policy", all_of("ValidatingAdmissionPolicy"), ids=called)
def test_the_guard_denies_in_words(policy: Manifest) -> None:
    bindings = all_of("ValidatingAdmissionPolicyBinding")
    name = policy["metadata"]["name"]
    assert [binding["spec"] for binding in bindings if binding["spec"]["policyName"] == name] == [
        {"policyName": name, "validationActions": ["Deny"]}
    ]
    assert policy["spec"]["failurePolicy"] == "Fail"
    for validation in policy["spec"]["validations"]:
        assert "this account" in validation["message"]
        assert validation["reason"] == "Forbidden"


class Listener:
    """Takes Events as a cluster would."""

    def __init__(self) -> None:
        self.events: list[Manifest] = []

    def create_event(self, event: Manifest) -> None:
        self.events.append(event)


def test_the_guard_knows_the_names_that_the_code_knows() -> None:
    secrets, events = all_of("ValidatingAdmissionPolicy")
    text = "\n".join(validation["expression"] for validation in secrets["spec"]["validations"])
    never = text.partition("request.namespace in [")[2].partition("]")[0]
    assert {name.strip(" '") for name in never.split(",")} == SYSTEM_NAMESPACES | {OWN_NAMESPACE}
    assert f"== '{PULL_SECRET}'" in text
    assert f"== '{TYPE}'" in text
    assert f"labels[?'{ENABLED_LABEL}']" in text
    told = Listener()
    reporter = Reporter(cast(Cluster, told), PULL_SECRET, "any", leading=lambda: True, clock=lambda: 0.0)
    reporter.tell("Any", "any", "team-a")
    (event,) = told.events
    speaker = f"== '{event['reportingController']}'"
    assert any(speaker in validation["expression"] for validation in events["spec"]["validations"])


def test_only_the_sidecar_has_the_token() -> None:
    assert only("ServiceAccount")["automountServiceAccountToken"] is False
    assert "automountServiceAccountToken" not in POD
    tokens = {
        name
        for name, volume in VOLUMES.items()
        if any("serviceAccountToken" in source for source in volume.get("projected", {}).get("sources", []))
    }
    assert tokens == {"token"}
    assert mounted("refresher")["token"] == TOKEN_FOLDER
    assert "token" not in mounted("webhook")


def test_only_the_sidecar_has_the_credential() -> None:
    holding = {name for name, volume in VOLUMES.items() if CREDENTIAL in str(volume)}
    assert holding == {"credential"}
    assert "credential" not in mounted("webhook")
    assert "env" not in CONTAINERS["webhook"]
    assert "envFrom" not in CONTAINERS["webhook"]
    assert CREDENTIAL in str(environment("refresher")["OPENCTI__DAEMON__REGISTRY__USERNAME"])
    file = Path(environment("refresher")["WEBHOOK__CREDENTIAL__FILE"]["value"])
    assert str(file.parent) == mounted("refresher")["credential"]
    assert [item["path"] for item in VOLUMES["credential"]["secret"]["items"]] == [file.name]


def test_only_the_webhook_has_the_certificates_key() -> None:
    assert VOLUMES["tls"]["secret"]["secretName"] == TLS
    assert "tls" in mounted("webhook")
    assert "tls" not in mounted("refresher")


def test_the_pods_start_before_anybody_has_made_a_secret() -> None:
    for name in ("tls", "credential"):
        assert VOLUMES[name]["secret"]["optional"] is True
    assert environment("refresher")["OPENCTI__DAEMON__REGISTRY__USERNAME"]["valueFrom"]["secretKeyRef"]["optional"]


def test_the_sidecar_has_no_say_in_whether_the_pod_is_ready() -> None:
    assert "readinessProbe" not in CONTAINERS["refresher"]
    assert "readinessGates" not in POD
    assert asked("refresher", "livenessProbe") == (8081, "/healthz")
    assert asked("webhook", "livenessProbe") == (8080, "/healthz")
    assert asked("webhook", "readinessProbe") == (8080, "/readyz")


def asked(container: str, probe: str) -> tuple[int, str]:
    ports = {port["name"]: port["containerPort"] for port in CONTAINERS[container]["ports"]}
    request = CONTAINERS[container][probe]["httpGet"]
    return ports[request["port"]], request["path"]


@pytest.mark.parametrize(("container", "command"), [("webhook", "serve"), ("refresher", "refresh")])
def test_every_file_that_a_container_is_told_of_is_mounted_there_to_be_read(container: str, command: str) -> None:
    first, *options = CONTAINERS[container]["args"]
    assert first == command
    folders = {str(Path(option.partition("=")[2]).parent) for option in options}
    assert folders <= set(mounted(container).values())
    assert all(mount["readOnly"] for mount in CONTAINERS[container]["volumeMounts"])


def test_every_volume_is_there_and_used() -> None:
    assert mounted("webhook").keys() | mounted("refresher").keys() == VOLUMES.keys()


def test_both_containers_run_the_program_as_it_is_and_confined() -> None:
    user, group = re.findall(r"^USER ([0-9]+):([0-9]+)$", DOCKERFILE.read_text(), re.MULTILINE)[0]
    assert POD["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": int(user),
        "runAsGroup": int(group),
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert POD["enableServiceLinks"] is False
    for container in CONTAINERS.values():
        assert container["image"] == f"{PROGRAM}:{__version__}"
        assert container["imagePullPolicy"] == "IfNotPresent"
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_the_api_server_reaches_the_webhook_through_the_service() -> None:
    service, deployment = only("Service"), only("Deployment")
    (webhook,) = only("MutatingWebhookConfiguration")["webhooks"]
    called = webhook["clientConfig"]["service"]
    metadata = service["metadata"]
    assert (called["namespace"], called["name"]) == (metadata["namespace"], metadata["name"])
    (port,) = service["spec"]["ports"]
    assert called["port"] == port["port"]
    assert {"name": port["targetPort"], "containerPort": 8443} in CONTAINERS["webhook"]["ports"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"] == deployment["spec"]["selector"]["matchLabels"] == labels
    assert service["spec"]["publishNotReadyAddresses"] is False


def test_the_configuration_is_one_that_both_processes_start_with() -> None:
    config = only("ConfigMap")
    assert VOLUMES["config"]["configMap"]["name"] == config["metadata"]["name"]
    ((name, text),) = config["data"].items()
    for container in CONTAINERS:
        assert f"--config={mounted(container)['config']}/{name}" in CONTAINERS[container]["args"]
        given = {key: "myuser" for key in environment(container) if key.startswith("OPENCTI")}
        given |= {key: "/a/file" for key in environment(container) if key.startswith("WEBHOOK")}
        loaded = load(text.encode(), name, given).configuration
        assert loaded.registry.server == "registry.example.com"
        assert loaded.registry.password is None
        assert (loaded.webhook.credential.file is not None) == (container == "refresher")
