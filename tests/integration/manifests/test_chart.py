"""The Helm chart renders the same objects as the kustomize folders."""

from collections.abc import Iterable
from copy import deepcopy

import pytest

from tests.support import kubernetes_schema
from tests.support.chart import COMPONENT_VALUES, RenderError, needs_helm, objects, render, values_of
from tests.support.chart_files import CHART, FILES
from tests.support.kustomize import Manifest, compose, identity
from tests.support.manifest_variants import CHECKOUT, COMPONENTS, VARIANTS, Variant, composed
from webhook.config.load import load
from webhook.constants import MANAGED_BY_LABEL
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
    older = f"v{needed.major}.{needed.minor - 1}.9-gke.100"
    with pytest.raises(
        RenderError, match=rf"policies\.{key} requires Kubernetes {needed} or newer, not {older}; hint: "
    ):
        render(values, "--kube-version", older)
    assert f"name: registry-webhook-{key}" in render(values, "--kube-version", f"v{needed}.0")
    # Without a policy it is no obstacle.
    render({}, "--kube-version", f"v{OLDEST}.0")
