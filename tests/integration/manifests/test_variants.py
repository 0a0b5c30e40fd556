"""Every variant can be built, the API knows all of its objects, and its promises hold."""

import re
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest

from tests.support import kubernetes_schema
from tests.support.kustomize import Manifest
from tests.support.manifest_variants import (
    ALTERNATIVE,
    CERTIFICATES,
    COMBINED,
    COMPONENTS,
    CREDENTIAL,
    EVERYTHING,
    FOLDERS,
    VARIANTS,
    Objects,
    Variant,
    combined,
)
from webhook import __version__
from webhook.cli import refresh, serve
from webhook.cli.options import CONFIG_VARIABLE
from webhook.config.load import load
from webhook.constants import (
    CERTIFICATE,
    DEFAULT_NAMESPACE,
    ENABLED_LABEL,
    GUARD_POLICY,
    MANAGED_BY_LABEL,
    PROGRAM,
    SYSTEM_NAMESPACES,
)
from webhook.diagnostics import webhook_match
from webhook.settings import Configuration, CredentialSettings

TOKEN_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 - a folder
CREDENTIAL_SECRET = "registry-webhook-credential"  # noqa: S105 - a name
#: What selectors have, and what they must not have because it changes.
SELECTED = {
    "app.kubernetes.io/name": PROGRAM,
    "app.kubernetes.io/instance": PROGRAM,
    "app.kubernetes.io/component": "admission-webhook",
}
LABELS = {**SELECTED, "app.kubernetes.io/part-of": PROGRAM, MANAGED_BY_LABEL: "kustomize"}
_NAME_LABEL = "kubernetes.io/metadata.name"
_HOST_NETWORK = "host-network"


@pytest.fixture(scope="module", params=VARIANTS, ids=str)
def variant(request: pytest.FixtureRequest) -> Variant:
    chosen: Variant = request.param
    return chosen


@pytest.fixture(scope="module")
def objects(variant: Variant) -> Objects:
    return Objects(variant)


def configuration(objects: Objects, container: str) -> Configuration:
    return load(objects.configuration.encode(), objects.configuration_name, objects.variables(container)).configuration


def matches(selector: Manifest, labels: dict[str, str]) -> bool:
    """Say whether labels match, as the API server does: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/."""
    assert not selector.keys() - {"matchExpressions"}
    return all(_matches(expression, labels) for expression in selector.get("matchExpressions", []))


def _matches(expression: Manifest, labels: dict[str, str]) -> bool:
    among = labels.get(expression["key"]) in expression["values"]
    return {"In": among, "NotIn": not among}[expression["operator"]]


# What the objects are.


def test_objects_valid_against_schema(objects: Objects) -> None:
    for manifest in objects.manifests:
        kubernetes_schema.check(manifest)


def test_objects_named_and_labelled_ours(objects: Objects) -> None:
    for manifest in objects.manifests:
        metadata = manifest["metadata"]
        assert metadata["name"].startswith(PROGRAM)
        labels = {key: value for key, value in metadata["labels"].items() if key.startswith("app.kubernetes.io/")}
        assert labels == {**LABELS, "app.kubernetes.io/version": __version__}
        assert metadata.get("namespace") == (DEFAULT_NAMESPACE if kubernetes_schema.is_namespaced(manifest) else None)


def test_guard_applied_before_rbac(objects: Objects) -> None:
    kinds = [manifest["kind"] for manifest in objects.manifests]
    late = objects.manifests[kinds.index("ClusterRole") :]
    bindings = [one["metadata"]["name"] for one in late if one["kind"] == "ValidatingAdmissionPolicyBinding"]
    assert set(bindings) <= {GUARD_POLICY}  # which is for Pods
    assert kinds[0] == "Namespace"


def test_configuration_default_without_registry(objects: Objects) -> None:
    assert configuration(objects, "webhook").registry.server is None


def test_objects_without_ca_bundle(objects: Objects) -> None:
    assert b'"caBundle"' not in msgspec.json.encode(objects.manifests)


_READER = f"{PROGRAM}-reader"


def test_roles_bound_only_to_service_account(objects: Objects) -> None:
    account = objects.pod["serviceAccountName"]
    for kind in ("ClusterRole", "Role"):
        for role in objects.all_of(kind):
            binding = objects.named(f"{kind}Binding", role["metadata"]["name"])
            reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role["metadata"]["name"]}
            assert binding["roleRef"] == reference
            assert binding["subjects"] == (
                [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:authenticated"}]
                if role["metadata"]["name"] == _READER
                else [{"kind": "ServiceAccount", "namespace": DEFAULT_NAMESPACE, "name": account}]
            )


def test_reader_only_reads_and_no_secrets() -> None:
    objects = alone("reader")
    roles = [role for kind in ("ClusterRole", "Role") for role in objects.all_of(kind)]
    readers = [role for role in roles if role["metadata"]["name"] == _READER]
    rules = [rule for role in readers for rule in role["rules"]]
    assert {verb for rule in rules for verb in rule["verbs"]} <= {"get", "list"}
    assert {resource for rule in rules for resource in rule["resources"]} == {
        "configmaps",
        "deployments",
        "endpointslices",
        "mutatingadmissionpolicies",
        "mutatingwebhookconfigurations",
        "validatingadmissionpolicies",
    }
    (label,) = (one["metadata"]["labels"] for one in readers if one["kind"] == "ClusterRole")
    assert label["rbac.authorization.k8s.io/aggregate-to-view"] == "true"


# Who is called, and for whom.


def test_webhook_skips_own_and_system_namespaces(objects: Objects) -> None:
    selector = objects.webhook["namespaceSelector"]
    for name in SYSTEM_NAMESPACES | {DEFAULT_NAMESPACE}:
        for label in ({}, {ENABLED_LABEL: "true"}, {ENABLED_LABEL: "false"}):
            assert not matches(selector, {_NAME_LABEL: name, **label})


def test_webhook_and_configuration_select_same_namespaces(objects: Objects) -> None:
    settings = configuration(objects, "webhook").webhook.namespaces
    selector = objects.webhook["namespaceSelector"]
    assert matches(selector, {_NAME_LABEL: "team-a", ENABLED_LABEL: "true"})
    assert not matches(selector, {_NAME_LABEL: "team-a", ENABLED_LABEL: "false"})
    assert matches(selector, {_NAME_LABEL: "team-a"}) == (settings.mode == "all")
    excluded = {name for one in selector["matchExpressions"] if one["key"] == _NAME_LABEL for name in one["values"]}
    prefixes = [
        f"{prefix}*"
        for one in objects.webhook["matchConditions"]
        for prefix in webhook_match.denied_prefixes(one["expression"])
    ]
    assert excluded | set(prefixes) == {*settings.deny, *SYSTEM_NAMESPACES, DEFAULT_NAMESPACE}
    assert bool(prefixes) == (settings.mode == "all")


def test_guard_and_configuration_select_same_namespaces(objects: Objects) -> None:
    settings = configuration(objects, "refresher").webhook.namespaces
    variables = objects.named("ValidatingAdmissionPolicy", f"{PROGRAM}-namespaces")["spec"]["variables"]
    (selected,) = (variable["expression"] for variable in variables if variable["name"] == "selected")
    label, *denied = re.findall(
        r"'([^']+)'", re.sub(r"startsWith\('([^']+)'\)", r"'\1*'", selected.partition("orValue('')")[2])
    )
    assert (label, "!=" in selected) == (("false", True) if settings.mode == "all" else ("true", False))
    assert denied == list(settings.deny)


def test_failure_policy_matches_on_error(objects: Objects) -> None:
    expected = {"Ignore": "allow", "Fail": "deny"}[objects.webhook["failurePolicy"]]
    assert configuration(objects, "webhook").webhook.on_error == expected


def test_object_selector_matches_pod_opt_out(objects: Objects) -> None:
    sent = matches(objects.webhook["objectSelector"], {ENABLED_LABEL: "false"})
    assert configuration(objects, "webhook").webhook.pod_opt_out == ("ignore" if sent else "allow")


def test_service_routes_to_webhook_port(objects: Objects) -> None:
    service = objects.only("Service")
    called = objects.webhook["clientConfig"]["service"]
    metadata = service["metadata"]
    assert (called["namespace"], called["name"]) == (metadata["namespace"], metadata["name"])
    (port,) = service["spec"]["ports"]
    assert called["port"] == port["port"]
    assert objects.ports("webhook")[port["targetPort"]] == listens(objects, "webhook", "bind")
    assert service["spec"]["selector"] == SELECTED
    assert "publishNotReadyAddresses" not in service["spec"]


def test_selectors_match_only_own_pods(objects: Objects) -> None:
    """A Pod with the name alone, such as a user's own, is neither an endpoint nor counted as a replica."""
    labels = objects.deployment["spec"]["template"]["metadata"]["labels"]
    assert labels == {**LABELS, "app.kubernetes.io/version": __version__}
    assert labels[MANAGED_BY_LABEL] != PROGRAM, "`cleanup` deletes what has it"
    for kind in ("Deployment", "PodDisruptionBudget"):
        assert objects.only(kind)["spec"]["selector"] == {"matchLabels": SELECTED}


COMMANDS: dict[str, click.Command] = {"webhook": serve.command, "refresher": refresh.command}


def listens(objects: Objects, container: str, option: str) -> int:
    """Give the port that a container's program listens on, by its own default where nothing is said."""
    (known,) = (one for one in COMMANDS[container].params if f"--{option}" in one.opts)
    return int(objects.options(container).get(option, str(known.default)).rpartition(":")[2])


def test_container_options_exist_in_command(objects: Objects) -> None:
    for container, command in COMMANDS.items():
        assert objects.containers[container]["args"][0] == command.name
        assert {f"--{name}" for name in objects.options(container)} <= {
            name for one in command.params for name in one.opts
        }


def test_probes_use_health_ports(objects: Objects) -> None:
    for container, paths in (
        ("webhook", {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}),
        ("refresher", {"livenessProbe": "/healthz"}),
    ):
        for probe, path in paths.items():
            request = objects.containers[container][probe]["httpGet"]
            assert request["path"] == path
            assert objects.ports(container)[request["port"]] == listens(objects, container, "health-bind")
    ports = [port for container in COMMANDS for port in objects.ports(container).values()]
    assert len(set(ports)) == len(ports)


def test_refresher_tls_server_is_webhook_port(objects: Objects) -> None:
    assert listens(objects, "refresher", "tls-server") == listens(objects, "webhook", "bind")


# What each container has.


def test_webhook_container_no_token_or_credential(objects: Objects) -> None:
    assert objects.only("ServiceAccount")["automountServiceAccountToken"] is False
    assert "automountServiceAccountToken" not in objects.pod
    holding = {
        name
        for name, volume in objects.volumes.items()
        if "serviceAccountToken" in str(volume) or CREDENTIAL_SECRET in str(volume)
    }
    assert holding == {"token", "credential"}
    assert objects.mounts("refresher")["token"]["mountPath"] == TOKEN_FOLDER
    assert objects.mounts("webhook").keys() - {"clients"} == {"config", "tls"}
    # What it is told in variables is written out here, for everybody to read, or its own Pod's metadata.
    told = objects.containers["webhook"]["env"]
    assert {key for one in told for key in one} <= {"name", "value", "valueFrom"}
    assert {key for one in told for key in one.get("valueFrom", {})} == {"fieldRef"}
    assert "envFrom" not in objects.containers["webhook"]


def test_tls_volume_writable_only_by_refresher(objects: Objects) -> None:
    writable = {
        (container, name)
        for container in objects.containers
        for name, mount in objects.mounts(container).items()
        if mount.get("readOnly") is not True
    }
    self_managed = "emptyDir" in objects.volumes["tls"]
    assert writable == ({("refresher", "tls")} if self_managed else set())
    assert ("tls" in objects.mounts("refresher")) == self_managed
    assert all("emptyDir" not in volume for name, volume in objects.volumes.items() if name != "tls")


def test_tls_folder_option_has_secret_permissions(objects: Objects) -> None:
    told = objects.options("refresher").get("tls-folder")
    self_managed = "emptyDir" in objects.volumes["tls"]
    rules = [rule for role in objects.all_of("Role") for rule in role["rules"] if rule["resources"] == ["secrets"]]
    if not self_managed:
        assert (told, rules) == (None, [])
        return
    assert told == objects.mounts("refresher")["tls"]["mountPath"]
    assert objects.volumes["tls"]["emptyDir"]["medium"] == "Memory"
    verbs = ["get", "list", "watch", "create", "patch"]
    assert rules == [{"apiGroups": [""], "resources": ["secrets"], "resourceNames": [CERTIFICATE], "verbs": verbs}]


def test_container_file_options_mounted(objects: Objects) -> None:
    for container in objects.containers:
        folders = {mount["mountPath"] for mount in objects.mounts(container).values()}
        told = {**objects.options(container), **objects.variables(container)}
        paths = {Path(value) for name, value in told.items() if value.startswith("/") and name != "tls-folder"}
        assert paths
        assert {str(path.parent) for path in paths} <= folders
        name = objects.variables(container)[CONFIG_VARIABLE]
        assert name == f"{objects.mounts(container)['config']['mountPath']}/{objects.configuration_name}"
    assert objects.volumes["config"]["configMap"]["name"] == objects.only("ConfigMap")["metadata"]["name"]


def test_volumes_defined_and_mounted(objects: Objects) -> None:
    assert objects.mounts("webhook").keys() | objects.mounts("refresher").keys() == objects.volumes.keys()


def test_credential_paths_match_secret_keys(objects: Objects) -> None:
    credential = configuration(objects, "refresher").webhook.credential
    items = {item["key"]: item["path"] for item in objects.volumes["credential"]["secret"]["items"]}
    folder = Path(objects.mounts("refresher")["credential"]["mountPath"])
    keys = {"username_file": "username", "file": "password", "docker_config": ".dockerconfigjson"}
    assert {getattr(credential, name) for name, key in keys.items() if key in items} == {
        str(folder / path) for path in items.values()
    }
    assert sorted(items) in (["password", "username"], [".dockerconfigjson"])
    assert configuration(objects, "webhook").webhook.credential.file is None
    made = objects.all_of("Secret")
    assert all(secret["metadata"]["name"] == CREDENTIAL_SECRET for secret in made)
    assert all(secret["data"].keys() == items.keys() for secret in made)


def test_containers_security_context_restricted(objects: Objects) -> None:
    assert objects.pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    for container in objects.containers.values():
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"].keys() == {"requests", "limits"}
    assert not {"hostPID", "hostIPC", "shareProcessNamespace", "initContainers"} & objects.pod.keys()


def test_namespace_pod_security_level_fits_pod(objects: Objects) -> None:
    labels = objects.only("Namespace")["metadata"]["labels"]
    levels = {labels[f"pod-security.kubernetes.io/{mode}"] for mode in ("enforce", "audit", "warn")}
    assert levels == {"privileged" if "hostNetwork" in objects.pod else "restricted"}


# What each component is for.


def alone(component: str) -> Objects:
    return Objects(combined("self-managed", component))


@pytest.mark.parametrize("component", COMPONENTS)
def test_component_changes_manifests(component: str) -> None:
    assert alone(component).manifests != Objects(Variant("certs/self-managed")).manifests


def test_configuration_is_shipped_file(objects: Objects) -> None:
    """A component that had one of its own would take the place of theirs: generators come before components."""
    assert objects.configuration == (Path(__file__).parents[3] / "manifests" / "base" / "config.yaml").read_text()


@pytest.mark.parametrize("component", COMPONENTS)
def test_readme_lists_component(component: str) -> None:
    readme = (Path(__file__).parents[3] / "manifests" / "README.md").read_text()
    assert f"\n| `{component}` |" in readme


@pytest.mark.parametrize("overlay", ["cluster-wide", "fail-closed"])
def test_overlay_equals_component_on_self_managed(overlay: str) -> None:
    assert Objects(Variant(f"manifests/overlays/{overlay}")).manifests == alone(overlay).manifests


@pytest.mark.parametrize("components", [COMBINED, ALTERNATIVE], ids=["all", "alternatives"])
@pytest.mark.parametrize("certificate", CERTIFICATES)
def test_components_order_irrelevant(certificate: str, components: list[str]) -> None:
    backwards = Objects(combined(certificate, *reversed(components)))
    forwards = Objects(combined(certificate, *components))
    assert sorted_lists(backwards.manifests) == sorted_lists(forwards.manifests)


def sorted_lists(value: Any) -> Any:
    """Give what is the same whatever order lists are in."""
    if isinstance(value, dict):
        return {key: sorted_lists(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return sorted(map(sorted_lists, value), key=repr)
    return value


def test_cluster_wide_infrastructure_denied() -> None:
    settings = configuration(alone("cluster-wide"), "webhook").webhook.namespaces
    assert settings.mode == "all"
    assert {"kube-flannel", "longhorn-system", "ingress-nginx", "cert-manager", "openshift-*"} <= set(settings.deny)


def test_policy_alone_webhook_never_called() -> None:
    before = Objects(Variant("certs/self-managed")).webhook["matchConditions"]
    assert alone("policy-alone").webhook["matchConditions"] == [
        *before,
        {"name": "the-policy-rewrites", "expression": "false"},
    ]


def test_fail_closed_and_no_opt_out_set_webhook_fields() -> None:
    assert alone("fail-closed").webhook["failurePolicy"] == "Fail"
    assert alone("pods-cannot-opt-out").webhook["objectSelector"] == {}


def test_mutual_tls_client_ca_optional_config_map() -> None:
    objects = alone("mutual-tls")
    assert objects.options("webhook")["client-ca"] == objects.mounts("webhook")["clients"]["mountPath"] + "/ca.crt"
    assert objects.volumes["clients"]["configMap"] == {"name": f"{PROGRAM}-clients", "optional": True}
    assert "clients" not in objects.mounts("refresher")


def test_autoscaling_replicas_unset() -> None:
    objects = alone("autoscaling")
    spec = objects.only("HorizontalPodAutoscaler")["spec"]
    target = objects.deployment
    assert "replicas" not in target["spec"]
    assert spec["scaleTargetRef"] == {
        "apiVersion": target["apiVersion"],
        "kind": target["kind"],
        "name": target["metadata"]["name"],
    }
    assert 2 <= spec["minReplicas"] < spec["maxReplicas"]
    (metric,) = spec["metrics"]
    assert metric["containerResource"]["container"] in objects.containers


def test_network_policy_allows_listened_ports() -> None:
    objects = alone("network-policy")
    spec = objects.only("NetworkPolicy")["spec"]
    assert set(spec["policyTypes"]) == {"Ingress", "Egress"}
    assert spec["podSelector"] == objects.deployment["spec"]["selector"]
    reviews, others = spec["ingress"]
    listened = {port for container in COMMANDS for port in objects.ports(container).values()}
    other = alone("port-10250").ports("webhook")["https"]
    assert {port["port"] for rule in spec["ingress"] for port in rule["ports"]} == listened | {other}
    assert [port["port"] for port in reviews["ports"]] == [objects.ports("webhook")["https"], other]
    assert "from" not in reviews
    # What is answered without TLS is for Prometheus alone.
    assert [set(peer) for peer in others["from"]] == [{"namespaceSelector"}]
    outgoing = {(port["protocol"], port["port"]) for rule in spec["egress"] for port in rule["ports"]}
    assert outgoing == {("UDP", 53), ("TCP", 53), ("TCP", 443), ("TCP", 6443)}


def test_host_network_rollout_frees_port_first() -> None:
    objects = alone(_HOST_NETWORK)
    assert objects.pod["hostNetwork"] is True
    assert objects.pod["dnsPolicy"] == "ClusterFirstWithHostNet"
    assert objects.deployment["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 1, "maxSurge": 0}
    elsewhere = Objects(FOLDERS[0])
    for container in COMMANDS:
        ports, usual = (set(one.ports(container).values()) for one in (objects, elsewhere))
        assert not ports & usual
        # Neither those of Services of type NodePort nor those of outgoing connections.
        assert all(1024 < port < 30_000 for port in ports)


def test_port_10250_only_port_changes() -> None:
    """Control planes of private GKE clusters reach this port and 443."""
    objects, usual = alone("port-10250"), Objects(Variant("certs/self-managed"))
    assert objects.ports("webhook") == {**usual.ports("webhook"), "https": 10250}
    assert listens(objects, "webhook", "bind") == listens(objects, "refresher", "tls-server") == 10250
    assert objects.only("Service") == usual.only("Service")


def test_docker_config_is_only_provider() -> None:
    credential = configuration(alone("docker-config"), "refresher").webhook.credential
    assert credential == CredentialSettings(docker_config="/etc/registry-webhook/credential/config.json")
    assert configuration(alone("docker-config"), "webhook").webhook.credential == CredentialSettings()


def test_credential_values_unchanged() -> None:
    secret = alone("credential").only("Secret")
    data = {key: msgspec.convert(value, bytes).decode() for key, value in secret["data"].items()}
    assert data == CREDENTIAL


# cert-manager.


def test_cert_manager_certificate_mounted_and_ca_injected() -> None:
    objects = Objects(Variant("certs/cert-manager"))
    annotations = objects.only("MutatingWebhookConfiguration")["metadata"]["annotations"]
    namespace, name = annotations["cert-manager.io/inject-ca-from"].split("/")
    serving = objects.named("Certificate", name)
    assert serving["metadata"]["namespace"] == namespace
    assert serving["spec"]["secretName"] == objects.volumes["tls"]["secret"]["secretName"]
    called = objects.webhook["clientConfig"]["service"]
    assert serving["spec"]["dnsNames"] == [
        f"{called['name']}.{called['namespace']}.svc",
        f"{called['name']}.{called['namespace']}.svc.cluster.local",
    ]
    assert serving["spec"]["privateKey"] == {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"}
    issuer = objects.named("Issuer", serving["spec"]["issuerRef"]["name"])
    (authority,) = (one for one in objects.all_of("Certificate") if one["spec"].get("isCA"))
    assert issuer["spec"] == {"ca": {"secretName": authority["spec"]["secretName"]}}
    root = objects.named("Issuer", authority["spec"]["issuerRef"]["name"])
    assert root["spec"] == {"selfSigned": {}}


def test_combinations_cover_every_certificate() -> None:
    assert len(EVERYTHING) / 2 == len(CERTIFICATES) == 3
