"""Invalid installations are rejected, by the composer and by the check of each object."""

import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import kubernetes_schema
from tests.support.doc_pages import Block, blocks
from tests.support.kustomize import Files, Manifest, Refused, compose
from tests.support.manifest_variants import CHECKOUT, FOLDERS, Objects, Variant, combined
from webhook.config.load import load

BASE = Objects(FOLDERS[0])
ISSUED = Objects(Variant("certs/cert-manager"))


def composed_with(variant: Variant, changed: Files) -> list[Manifest]:
    return compose(CHECKOUT / variant.folder, {**variant.files(CHECKOUT), **changed})


def replaced(name: str, old: str, new: str) -> Files:
    path = CHECKOUT / name
    text = path.read_text()
    assert old in text
    return {path: text.replace(old, new)}


DEPLOYMENT = "manifests/base/50-deployment.yaml"
WEBHOOK = "manifests/base/60-webhook.yaml"
KUSTOMIZATION = "manifests/base/kustomization.yaml"


@pytest.mark.parametrize(
    ("component", "name", "old", "new"),
    [
        ("autoscaling", DEPLOYMENT, "replicas: 2", "replicas: 3"),
        ("cluster-wide", WEBHOOK, "operator: In\n", "operator: Exists\n"),
        ("cluster-wide", "manifests/base/20-guard.yaml", "- name: selected", "- name: other"),
        ("cluster-wide", "manifests/base/20-guard.yaml", "registry-webhook-namespaces", "registry-webhook-other"),
        ("fail-closed", WEBHOOK, "failurePolicy: Ignore", "failurePolicy: Fail"),
        ("fail-closed", DEPLOYMENT, "- name: webhook\n", "- name: server\n"),
        ("fail-closed", DEPLOYMENT, "          env:\n", "          variables:\n"),
        ("pods-cannot-opt-out", WEBHOOK, "objectSelector:", "otherSelector:"),
        ("host-network", DEPLOYMENT, "containerPort: 8443", "containerPort: 9443"),
        ("host-network", DEPLOYMENT, "- name: refresher\n", "- name: sidecar\n"),
        ("host-network", "manifests/base/00-namespace.yaml", "enforce: restricted", "enforce: baseline"),
        ("credential", DEPLOYMENT, "- name: tls\n          secret:", "- name: pair\n          secret:"),
    ],
)
def test_compose_patch_not_matching_refused(component: str, name: str, old: str, new: str) -> None:
    variant = combined("self-managed", component)
    composed_with(variant, {})
    with pytest.raises(Refused):
        composed_with(variant, replaced(name, old, new))


@pytest.mark.parametrize(
    ("name", "old", "new", "why"),
    [
        (KUSTOMIZATION, "  order: fifo", "  order: legacy", "the order stays"),
        (KUSTOMIZATION, "40-availability.yaml", "40-gone.yaml", "No such file"),
        (KUSTOMIZATION, "images:", "namePrefix: a\nimages:", "namePrefix: not known"),
        (KUSTOMIZATION, "disableNameSuffixHash: true", "disableNameSuffixHash: false", "would change with its content"),
        (KUSTOMIZATION, "60-webhook.yaml", "50-deployment.yaml", "there are two"),
        (KUSTOMIZATION, "kustomize.config.k8s.io/v1beta1", "v1", "neither a Kustomization nor a Component"),
    ],
)
def test_compose_invalid_base_refused(name: str, old: str, new: str, why: str) -> None:
    with pytest.raises(Refused, match=why):
        composed_with(FOLDERS[0], replaced(name, old, new))


@pytest.mark.parametrize("components", [("port-10250", "host-network"), ("host-network", "port-10250")])
def test_compose_two_components_for_port_refused(components: tuple[str, str]) -> None:
    with pytest.raises(Refused, match=r"deployment\.yaml"):
        composed_with(combined("self-managed", *components), {})


def test_compose_component_alone_refused() -> None:
    with pytest.raises(Refused, match="nothing alone"):
        compose(CHECKOUT / "manifests" / "components" / "fail-closed", {})


def test_compose_folder_inside_base_refused() -> None:
    inside = Variant("manifests/base/mine", combined("self-managed").text.replace("../certs", "../../../certs"))
    with pytest.raises(Refused, match="of which it is made"):
        composed_with(inside, {})


def test_compose_credential_file_missing_refused() -> None:
    variant = combined("self-managed", "credential")
    files = {path: text for path, text in variant.files(CHECKOUT).items() if path.name != "credential.env"}
    if (CHECKOUT / "manifests" / "components" / "credential" / "credential.env").exists():
        pytest.skip("somebody has made one")
    with pytest.raises(Refused, match="No such file"):
        compose(CHECKOUT / variant.folder, files)


def test_compose_patch_without_test_operation_refused() -> None:
    path = CHECKOUT / "manifests" / "components" / "fail-closed" / "deployment.yaml"
    operations = [one for one in yaml.safe_load(path.read_text()) if one["op"] != "test"]
    with pytest.raises(Refused, match="nothing says what is at"):
        composed_with(combined("self-managed", "fail-closed"), {path: yaml.safe_dump(operations)})


_IMAGES = {"registry.example.com/registry-webhook:0.1.0"}
_REMOTE = re.compile(r"https://github\.com/OWNER/REPOSITORY//([\w/-]+)\?ref=v0\.1\.0")


def shown(page: str, key: str) -> str:
    """Give the first YAML of a page of the documentation that has a key."""
    return next(block.text for block in blocks(CHECKOUT / "docs/how-to" / page) if key in (yaml_of(block) or {}))


def yaml_of(block: Block) -> Any:
    return yaml.safe_load(block.text) if block.language == "yaml" else None


def test_shown_folder_composes_with_own_configuration() -> None:
    kustomization = yaml.safe_load(shown("install.md", "configMapGenerator"))
    (patch,) = kustomization["patches"]
    files = {"patch.yaml": patch.pop("patch"), "config.yaml": "registry: {server: any.example.com}\n"}
    patch["path"] = "patch.yaml"
    variant = Variant("mine", yaml.safe_dump(kustomization, sort_keys=False))
    made = composed_with(variant, {CHECKOUT / "mine" / name: text for name, text in files.items()})
    assert images_and_server(made) == (_IMAGES, "any.example.com")


def test_shown_remote_folder_composes() -> None:
    """With the folders of this checkout in place of those on GitHub."""
    remote = shown("gitops.md", "configMapGenerator")
    text = _REMOTE.sub(r"../\1", remote)
    assert text != remote
    assert "https:" not in text
    made = composed_with(
        Variant("mine", text), {CHECKOUT / "mine" / "config.yaml": "registry: {server: any.example.com}\n"}
    )
    assert images_and_server(made) == (_IMAGES, "any.example.com")


def images_and_server(made: list[Manifest]) -> tuple[set[str], str | None]:
    (deployment,) = (manifest for manifest in made if manifest["kind"] == "Deployment")
    (configuration,) = (manifest for manifest in made if manifest["kind"] == "ConfigMap")
    images = {container["image"] for container in deployment["spec"]["template"]["spec"]["containers"]}
    loaded = load(configuration["data"]["config.yaml"].encode(), "config.yaml", {})
    return images, loaded.configuration.registry.server


_POD = ("spec", "template", "spec")


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("Deployment", ("spec", "replica"), 2),
        ("Deployment", ("spec", "replicas"), "2"),
        ("Deployment", (*_POD, "containers", 0, "livenessProbe", "httpGet", "post"), "health"),
        ("Deployment", (*_POD, "containers", 0, "image_pull_policy"), "Always"),
        ("Deployment", (*_POD, "containers", 0, "name"), None),
        ("Deployment", (*_POD, "containers", 0, "resources", "limits", "cpu"), 1),
        ("Deployment", (*_POD, "volumes", 1, "secret", "optional"), "yes"),
        ("Deployment", ("apiVersion",), "apps/v2"),
        ("Deployment", ("apiVersion",), "batch/v1"),
        ("Deployment", ("spec", "selector"), None),
        ("ClusterRole", ("rules", 0, "verbs"), "get"),
        ("ConfigMap", ("data", "config.yaml"), {}),
        ("MutatingWebhookConfiguration", ("webhooks", 0, "sideEffects"), None),
        ("MutatingWebhookConfiguration", ("webhooks", 0, "matchConditions", 0, "expression"), True),
        ("ValidatingAdmissionPolicy", ("spec", "validations", 0, "text"), "any"),
        ("Service", ("kind",), "Servant"),
        ("Certificate", ("spec", "dnsName"), []),
        ("Certificate", ("spec", "privateKey", "rotationPolicy"), "Sometimes"),
        ("Certificate", ("spec", "secretName"), None),
        ("Issuer", ("spec", "ca"), {"secretName": "any"}),
        ("Issuer", ("kind",), "Issue"),
    ],
)
def test_schema_unknown_field_or_type_invalid(kind: str, path: tuple[str | int, ...], value: object) -> None:
    manifest = deepcopy(next(one for one in ISSUED.manifests if one["kind"] == kind))
    kubernetes_schema.check(manifest)
    *parents, last = path
    place: Any = manifest
    for part in parents:
        place = place[part]
    if value is None:
        del place[last]
    else:
        place[last] = value
    with pytest.raises(kubernetes_schema.Invalid):
        kubernetes_schema.check(manifest)


def test_kustomization_names_every_file() -> None:
    """A patch that nobody names would be forgotten."""
    for name in ("manifests", "certs"):
        for path in (CHECKOUT / name).rglob("kustomization.yaml"):
            text = path.read_text()
            others = {one.name for one in path.parent.glob("*.yaml")} - {"kustomization.yaml"}
            assert all(other in text for other in others), path


def test_checkout_contains_tests() -> None:
    assert Path(__file__).is_relative_to(CHECKOUT)
