"""The Helm chart renders the same objects as the kustomize folders."""

import base64
import subprocess
from collections.abc import Iterable, Iterator
from copy import deepcopy
from typing import Any

import pytest
import yaml

from tests.support import kubernetes_schema
from tests.support.chart import (
    COMPONENT_VALUES,
    HELM,
    RenderError,
    Values,
    combined,
    hooks,
    needs_helm,
    objects,
    render,
    values_of,
)
from tests.support.chart_files import FILES
from tests.support.chart_values import CHART, values
from tests.support.kustomize import Manifest, compose, identity
from tests.support.manifest_variants import CHECKOUT, COMPONENTS, CREDENTIAL, VARIANTS, Variant, composed
from webhook import __version__
from webhook.config.load import load
from webhook.constants import CERTIFICATE, MANAGED_BY_LABEL, PROGRAM, InstallationNames
from webhook.diagnostics.doctor.check_rbac import GUARDS
from webhook.kubernetes_version import OLDEST, POLICY_GUARD, POLICY_MUTATE, KubernetesVersion

Identity = tuple[str, str, str, str]

#: Labels that name the tool.
_TOOL_LABELS = ("helm.sh/chart", MANAGED_BY_LABEL)


def _comparable(manifest: Manifest) -> Manifest:
    """Return a copy without the accepted differences between the chart and kustomize.

    These are labels that name the tool, the order of variables and of options, and the comments in config.yaml.
    """
    copy = deepcopy(manifest)
    for label in _TOOL_LABELS:
        copy["metadata"]["labels"].pop(label, None)
    if copy["kind"] == "Deployment":
        template = copy["spec"]["template"]
        template["metadata"]["labels"].pop(MANAGED_BY_LABEL)
        for container in template["spec"]["containers"]:
            container["args"][1:] = sorted(container["args"][1:])
            container["env"].sort(key=lambda variable: variable["name"])
    if "config.yaml" in copy.get("data", {}):
        copy["data"]["config.yaml"] = load(copy["data"]["config.yaml"].encode(), "config.yaml", {}).configuration
    return copy


def _by_identity(manifests: Iterable[Manifest]) -> dict[Identity, Manifest]:
    return {identity(one): _comparable(one) for one in manifests}


def _assert_same(rendered: list[Manifest], expected: Iterable[Manifest]) -> None:
    """Compare object by object, so that the difference can be read."""
    ours, theirs = _by_identity(rendered), _by_identity(expected)
    assert sorted(ours) == sorted(theirs)
    for one, manifest in ours.items():
        assert manifest == theirs[one]


@needs_helm
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_variant_same_as_kustomize(variant: Variant) -> None:
    rendered = objects({**values_of(variant), "namespace": {"create": True}})
    _assert_same(rendered, composed(variant))
    for manifest in rendered:
        kubernetes_schema.check(manifest)


@needs_helm
def test_monitoring_same_as_kustomize() -> None:
    """It is a kustomization of its own, and in the chart a value."""
    folder = compose(CHECKOUT / "manifests/monitoring", {})
    without = {identity(one) for one in objects({})}
    added = [one for one in objects({"monitoring": {"enabled": True}}) if identity(one) not in without]
    _assert_same(added, folder)


@needs_helm
def test_namespace_only_on_request() -> None:
    """`helm install` needs it before the chart."""
    assert "Namespace" not in {one["kind"] for one in objects({})}


def test_every_component_has_values() -> None:
    assert sorted(COMPONENT_VALUES) == COMPONENTS


@pytest.mark.parametrize("name", FILES)
def test_made_file_current(name: str) -> None:
    """`make chart` writes it."""
    assert (CHART / name).read_text() == FILES[name]()


@needs_helm
@pytest.mark.parametrize(("key", "needed"), [("guard", POLICY_GUARD), ("mutate", POLICY_MUTATE)])
def test_policy_cluster_too_old_refused_with_version(key: str, needed: KubernetesVersion) -> None:
    values = COMPONENT_VALUES[f"policy-{key}"]
    older = f"v{needed.major}.{needed.minor - 1}.9"
    # Helm 3 drops the suffix.
    with pytest.raises(
        RenderError, match=rf"policies\.{key} requires Kubernetes {needed} or newer, not {older}(-gke\.100)?; hint: "
    ):
        render(values, "--kube-version", f"{older}-gke.100")
    assert f"name: registry-webhook-{key}" in render(values, "--kube-version", f"v{needed}.0")
    # Without a policy the version does not matter.
    render({}, "--kube-version", f"v{OLDEST}.0")


def test_versions_of_the_package() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)
    (image,) = yaml.safe_load(chart["annotations"]["artifacthub.io/images"])
    assert image["image"] == f"registry-webhook:{__version__}"


def test_all_values_described() -> None:
    described = {one.path for one in values()}
    assert set(_leaves(yaml.safe_load((CHART / "values.yaml").read_text()), described)) == described


def _leaves(tree: Any, described: set[tuple[str, ...]], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if path in described or not isinstance(tree, dict):
        yield path
        return
    for name, below in tree.items():
        yield from _leaves(below, described, (*path, name))


@needs_helm
def test_lint_strict_passes() -> None:
    done = subprocess.run(
        [HELM or "helm", "lint", "--strict", "--quiet", CHART], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


#: Values, and a part of the message with which they are refused.
_REFUSED: list[tuple[Values, str]] = [
    ({"certificates": {"mode": "existing"}}, "set certificates.existingSecret"),
    ({"certificates": {"existingSecret": "mine"}}, "set certificates.mode=existing"),
    ({"certificates": {"certManager": {"issuerRef": {"name": "mine"}}}}, "set certificates.mode=cert-manager"),
    ({"mutualTLS": {"enabled": True}}, "set mutualTLS.configMap"),
    (
        combined(*(COMPONENT_VALUES[one] for one in ("credential", "docker-config"))),
        "credentials.dockerConfig.name; hint",
    ),
    (
        {"credentials": {"existingSecret": {"name": "a"}}, "config": {"webhook": {"credential": {"helper": "b"}}}},
        "credentials.existingSecret.name, config.webhook.credential",
    ),
    ({"credentials": {"username": "myuser"}}, "set both"),
    ({"credentials": {"username": "my:user", "password": "kept-secret"}}, "must not contain a colon"),
    ({"config": {"registry": {"password": "kept-secret"}}}, "set credentials.username and credentials.password"),
    ({"config": {"opencti": {"daemon": {"registry": {"username": "a"}}}}}, "set credentials.username"),
    ({"config": {"webhook": {"namespaces": {"mode": "all"}}}}, "set clusterWide.enabled=true"),
    (
        {"clusterWide": {"enabled": True}, "config": {"webhook": {"namespaces": {"deny": ["a"]}}}},
        "set clusterWide.denyNamespaces",
    ),
    ({"failClosed": {"enabled": True}, "config": {"webhook": {"on_error": "allow"}}}, "remove one of them"),
    ({"config": {"webhook": {"pod_opt_out": "ignore"}}}, "set podOptOut.enabled"),
    ({"hostNetwork": {"enabled": True}, "ports": {"https": 10250}}, "choose another port"),
    ({"ports": {"health": 8443}}, "choose three different ports"),
    ({"image": {"repository": "example.com:5000/image:1"}}, "set image.tag"),
    ({"image": {"repository": f"example.com/image@sha256:{'a' * 64}"}}, "image.digest"),
    ({"policies": {"mutate": "a: ["}}, "--set-file policies.mutate=policy.yaml"),
]


@needs_helm
@pytest.mark.parametrize(("given", "message"), _REFUSED)
def test_contradicting_values_refused(given: Values, message: str) -> None:
    with pytest.raises(RenderError) as refused:
        render(given)
    text = str(refused.value).partition("\n\nUse --debug")[0].strip()
    assert message in text
    assert "; hint: " in text
    assert len(text.splitlines()) == 1
    assert "kept-secret" not in text


@needs_helm
@pytest.mark.parametrize("release", ["1st", "a.b"])
def test_name_of_no_service_refused(release: str) -> None:
    with pytest.raises(RenderError, match=f"{release}-registry-webhook, .*; hint: .* fullnameOverride"):
        render({}, release=release)
    assert objects({"fullnameOverride": "first"}, release=release)


@needs_helm
def test_policy_of_another_namespace_refused() -> None:
    with pytest.raises(RenderError, match="generate it with --installation-namespace elsewhere"):
        render(COMPONENT_VALUES["policy-guard"], namespace="elsewhere")


@needs_helm
@pytest.mark.parametrize(
    "given",
    [
        {"replica": 3},
        {"image": {"digset": "a"}},
        {"image": {"digest": "latest"}},
        {"certificates": {"mode": "self"}},
        {"credentials": {"existingSecret": {"key": "a"}}},
        {"podLabels": {"app.kubernetes.io/name": "a"}},
        {"ports": {"https": 0}},
    ],
)
def test_unknown_value_refused(given: Values) -> None:
    with pytest.raises(RenderError, match="values don't meet the specifications of the schema"):
        render(given)


def _everything(*components: str) -> Values:
    chosen = components or tuple(one for one in COMPONENTS if one not in {"docker-config", "port-10250"})
    every = combined(*(COMPONENT_VALUES[one] for one in chosen), {"monitoring": {"enabled": True}})
    # Generated for the default namespace.
    return combined(every, {"policies": {"mutate": "", "guard": ""}, "image": {"repository": "example.com/image"}})


def _texts(tree: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Return all strings with the last key above them."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from _texts(value, key)
    elif isinstance(tree, list):
        for value in tree:
            yield from _texts(value, path)
    elif isinstance(tree, str):
        yield path, tree


@needs_helm
@pytest.mark.parametrize("mode", ["self-managed", "cert-manager"])
@pytest.mark.parametrize(
    ("release", "override", "full"),
    [
        ("other", "", "other-registry-webhook"),
        ("registry-webhook-two", "", "registry-webhook-two"),
        # Names that YAML would read as something else.
        ("1e3", "on", "on"),
    ],
)
def test_moved_release_has_no_default_names(release: str, override: str, full: str, mode: str) -> None:
    namespace = "123"
    given = combined(_everything(), {"certificates": {"mode": mode}, "fullnameOverride": override})
    rendered = objects(combined(given, {"namespace": {"create": True}}), release=release, namespace=namespace)
    names = InstallationNames(configuration=full)
    expected = {names.renamed(PROGRAM), namespace, "registry-webhook-credential"}
    expected |= {names.renamed(f"{PROGRAM}-{what}") for what in ("ca", "root", "certificate", "dashboard", "reader")}
    expected |= {names.renamed(guard) for guard in GUARDS}
    for manifest in rendered:
        metadata = manifest["metadata"]
        assert metadata["name"] in expected
        assert metadata.get("namespace", namespace) == namespace
        if not manifest["apiVersion"].startswith("monitoring."):
            kubernetes_schema.check(manifest)
    kept = {"app.kubernetes.io/name", "app.kubernetes.io/part-of", "apiGroups", "grafana_dashboard", "dashboard.json"}
    found = {key for key, text in _texts(rendered) if PROGRAM in text.split("/") or f".{PROGRAM}.svc" in text}
    assert found - kept - _PATHS == set()


@needs_helm
def test_moved_release_hooks_have_its_names() -> None:
    namespace = "123"
    rendered = hooks(combined(_everything(), {"fullnameOverride": "on"}), release="1e3", namespace=namespace)
    assert {"Job", "Pod", "NetworkPolicy", "ClusterRoleBinding"} <= {one["kind"] for one in rendered}
    for manifest in rendered:
        assert manifest["metadata"]["name"] in {"on-cleanup", "on-test"}
        assert manifest["metadata"].get("namespace", namespace) == namespace
    # The API server refuses a number or a boolean in their place.
    (job,) = (one for one in rendered if one["kind"] == "Job")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert [variable["value"] for variable in container["env"]] == [namespace, "on", "on"]
    named = [rule["resourceNames"] for one in rendered for rule in one.get("rules", []) if "resourceNames" in rule]
    assert all(isinstance(name, str) for names in named for name in names)


@needs_helm
@pytest.mark.parametrize("issuer", [{}, {"name": "mine"}])
def test_cleanup_deletes_secrets_that_cert_manager_keeps(issuer: dict[str, str]) -> None:
    """Those of the chart's Certificates alone, and only they lift the guard, in the installation's namespace."""
    given = {"certificates": {"mode": "cert-manager", "certManager": {"issuerRef": issuer}}}
    issued = {
        one["metadata"]["name"]: one["spec"]["secretName"] for one in objects(given) if one["kind"] == "Certificate"
    }
    assert len(issued) == 2 - len(issuer)
    rendered = hooks(given)
    (job,) = (one for one in rendered if one["kind"] == "Job")
    arguments = job["spec"]["template"]["spec"]["containers"][0]["args"]
    assert {one.partition("=")[2] for one in arguments if one.startswith("--certificate=")} == issued.keys()
    assert _rights(rendered, "Role", "secrets") == {CERTIFICATE, *issued.values()}
    assert _rights(rendered, "Role", "certificates") == issued.keys()
    assert [_rights(hooks(one), "Role", "restrictions") for one in (given, {})] == [{"exempt"}, set()]
    assert _rights(rendered, "ClusterRole", "restrictions") == {"bound"}


def _rights(rendered: list[Manifest], kind: str, resource: str) -> set[str]:
    """Return the names that the hook may write, or the verbs if no names limit it."""
    roles = [one for one in rendered if one["kind"] == kind and one["metadata"]["name"].endswith("-cleanup")]
    rules = [rule for role in roles for rule in role["rules"] if resource in rule["resources"]]
    return {name for rule in rules for name in rule.get("resourceNames", rule["verbs"])}


#: Keys whose values have the program's name as a part that does not follow the release's.
_PATHS = {"mountPath", "value", "args", "expression", "key"}


@needs_helm
def test_two_releases_share_no_object() -> None:
    one, other = (
        {identity(manifest) for manifest in objects(_everything(), release=name, namespace=name)}
        for name in ("one", "two")
    )
    assert not one & other


@needs_helm
def test_password_only_in_secret() -> None:
    text = render(_everything())
    password = CREDENTIAL["password"]
    assert password not in text
    assert text.count(base64.b64encode(password.encode()).decode()) == 1
    (secret,) = (one for one in objects(_everything()) if one["kind"] == "Secret")
    assert base64.b64decode(secret["data"]["password"]).decode() == password


def _deployment(given: Values) -> Manifest:
    (deployment,) = (one for one in objects(given) if one["kind"] == "Deployment")
    kubernetes_schema.check(deployment)
    return deployment


@needs_helm
def test_values_of_pods() -> None:
    digest = f"sha256:{'a' * 64}"
    toleration = {"key": "dedicated", "operator": "Exists"}
    required = {"nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["a"]}]}]}
    node_affinity = {"requiredDuringSchedulingIgnoredDuringExecution": required}
    spread = [{"topologyKey": "rack", "maxSkew": 2, "whenUnsatisfiable": "DoNotSchedule"}]
    mount = {"name": "more", "mountPath": "/more"}
    template = _deployment(
        {
            "image": {"repository": "example.com/image", "digest": digest, "pullPolicy": "Always"},
            "podLabels": {"team": "a"},
            "podAnnotations": {"note": "b"},
            "commonLabels": {"cost": "c"},
            "commonAnnotations": {"owner": "d"},
            "nodeSelector": {"pool": "infra"},
            "tolerations": [toleration],
            "affinity": {"nodeAffinity": node_affinity},
            "topologySpreadConstraints": spread,
            "priorityClass": {"create": False, "name": "high"},
            "resources": {"webhook": {"limits": {"memory": "1Gi"}}},
            "extraVolumes": [{"name": "more", "emptyDir": {}}],
            "extraVolumeMounts": {"webhook": [mount], "refresher": [mount]},
            "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy.example.com"}],
            "extraArgs": {"webhook": ["--log-level=debug"]},
        }
    )["spec"]["template"]
    assert template["metadata"]["labels"].items() >= {"team": "a", "cost": "c"}.items()
    assert template["metadata"]["annotations"].items() >= {"note": "b", "owner": "d"}.items()
    pod = template["spec"]
    assert pod["nodeSelector"] == {"kubernetes.io/os": "linux", "pool": "infra"}
    assert (pod["tolerations"], pod["topologySpreadConstraints"]) == ([toleration], spread)
    assert pod["affinity"]["nodeAffinity"] == node_affinity
    assert "podAntiAffinity" in pod["affinity"]
    assert pod["priorityClassName"] == "high"
    assert pod["volumes"][-1]["name"] == "more"
    for container in pod["containers"]:
        assert (container["image"], container["imagePullPolicy"]) == (f"example.com/image@{digest}", "Always")
        assert mount in container["volumeMounts"]
        assert "HTTPS_PROXY" in {one["name"] for one in container["env"]}
    assert pod["containers"][0]["resources"]["limits"]["memory"] == "1Gi"
    assert pod["containers"][0]["args"][-1] == "--log-level=debug"


@needs_helm
def test_existing_secret_keys_mounted() -> None:
    secret = {"name": "mine", "usernameKey": "user", "passwordKey": "token"}
    pod = _deployment({"credentials": {"existingSecret": secret}})["spec"]["template"]["spec"]
    (volume,) = (one["secret"] for one in pod["volumes"] if one["name"] == "credential")
    assert volume["secretName"] == "mine"
    assert {one["path"]: one["key"] for one in volume["items"]} == {"username": "user", "password": "token"}


@needs_helm
def test_provider_in_config_replaces_files() -> None:
    pod = _deployment({"config": {"webhook": {"credential": {"helper": "ecr-login"}}}})["spec"]["template"]["spec"]
    assert "credential" not in {one["name"] for one in pod["volumes"]}
    assert not any(one["name"].startswith("WEBHOOK__CREDENTIAL") for one in pod["containers"][1]["env"])


@needs_helm
def test_config_reaches_config_map_and_role() -> None:
    config = {"registry": {"server": "registry.example.com"}, "webhook": {"pull_secret": {"name": "my-pull"}}}
    rendered = objects({"config": config, "configFiles": {"ca.crt": "a\nb\n"}})
    (config_map,) = (one for one in rendered if one["kind"] == "ConfigMap")
    loaded = load(config_map["data"]["config.yaml"].encode(), "config.yaml", {}).configuration
    assert loaded.registry.server == "registry.example.com"
    assert config_map["data"]["ca.crt"] == "a\nb\n"
    (role,) = (one for one in rendered if one["kind"] == "ClusterRole")
    assert ["my-pull"] in [rule.get("resourceNames") for rule in role["rules"]]


@needs_helm
@pytest.mark.parametrize("config", [None, {"registry": None, "webhook": None}, {"webhook": {"namespaces": None}}])
def test_empty_settings_not_set(config: Values | None) -> None:
    """They count as not set in config.yaml as well."""
    assert _by_identity(objects({"config": config})) == _by_identity(objects({}))


@needs_helm
def test_ca_bundle_absent_unless_given() -> None:
    """An empty one would erase the value that the refresher maintains."""

    def client_config(given: Values) -> Manifest:
        (one,) = (one for one in objects(given) if one["kind"] == "MutatingWebhookConfiguration")
        config: Manifest = one["webhooks"][0]["clientConfig"]
        return config

    existing = {"mode": "existing", "existingSecret": "mine"}
    assert all("caBundle" not in client_config({"certificates": one}) for one in ({}, existing))
    pem = "-----BEGIN CERTIFICATE-----\na\n"
    given = client_config({"certificates": {**existing, "caBundle": pem}})
    assert base64.b64decode(given["caBundle"]).decode() == pem


@needs_helm
@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ({}, "create secret generic registry-webhook-credential \\"),
        ({"existingSecret": {"name": "mine", "usernameKey": "login"}}, "--from-literal=login=USERNAME"),
        (
            {"dockerConfig": {"name": "mine"}},
            "the Secret mine exists in the namespace acme, with the key .dockerconfigjson",
        ),
        (CREDENTIAL, ""),
    ],
)
def test_notes_say_which_secret_is_missing(given: Values, hint: str) -> None:
    command = [HELM or "helm", "install", "acme", str(CHART), "--dry-run=client", "--namespace=acme", "--values=-"]
    done = subprocess.run(
        command, input=yaml.safe_dump({"credentials": given}), capture_output=True, text=True, timeout=60, check=False
    )
    if "cluster unreachable" in done.stderr:
        pytest.skip("helm 3 asks a cluster for its version first")
    notes = done.stdout.partition("\nNOTES:\n")[2]
    assert "doctor --installation-namespace acme" in notes
    assert hint in notes
    assert ("No pull secret is created" in notes) == bool(hint)


@needs_helm
def test_hooks_reach_api_server_through_default_deny() -> None:
    assert [one for one in hooks({}) if one["kind"] == "NetworkPolicy"] == []
    rendered = hooks({"networkPolicy": {"enabled": True, "egressPorts": [443]}})
    labels = [
        one["metadata"]["labels"] if one["kind"] == "Pod" else one["spec"]["template"]["metadata"]["labels"]
        for one in rendered
        if one["kind"] in {"Pod", "Job"}
    ]
    policies = [one["spec"] for one in rendered if one["kind"] == "NetworkPolicy"]
    assert len(labels) == len(policies) == 2
    for policy in policies:
        (selected,) = (one for one in labels if policy["podSelector"]["matchLabels"].items() <= one.items())
        assert selected
        assert (policy["ingress"], policy["egress"]) == ([], [{"ports": [{"port": 443}]}])


@needs_helm
def test_test_pod_meets_pod_security() -> None:
    """The test's Pod is not selected by the Service, and every object of the test is removed after it."""
    every = [one for one in yaml.safe_load_all(render({})) if one]
    hooks = [one for one in every if one["metadata"].get("annotations", {}).get("helm.sh/hook") == "test"]
    policies = {one["metadata"]["annotations"]["helm.sh/hook-delete-policy"] for one in hooks}
    assert policies == {"before-hook-creation,hook-succeeded,hook-failed"}
    (service,) = (one for one in every if one["kind"] == "Service")
    (pod,) = (one for one in hooks if one["kind"] == "Pod")
    assert not service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    assert pod["spec"]["securityContext"]["runAsNonRoot"]
    (container,) = pod["spec"]["containers"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    for manifest in hooks:
        kubernetes_schema.check(manifest)
        assert all("secrets" not in rule["resources"] for rule in manifest.get("rules", []))
