"""The versions of Kubernetes that the page names are the ones that CI tests on and that the parts require."""

import re
from pathlib import Path

import yaml

from tests.support.kubernetes_versions_page import TESTED
from tests.support.manifest_variants import COMPONENTS, Variant, combined, composed
from webhook.constants import GUARD_POLICY, MUTATE_POLICY
from webhook.kubernetes_version import OLDEST, POLICY_GUARD, POLICY_MUTATE

_CHECKOUT = Path(__file__).parents[2]


def test_versions_tested_by_local_run() -> None:
    parts = re.findall(r"^([0-9.]+) ([a-z]+)$", (_CHECKOUT / ".ci" / "run").read_text(), re.MULTILINE)
    assert {version for version, _ in parts} == {*TESTED}
    *older, newest = TESTED
    assert {version for version, kind in parts if kind == "versions"} == {*older}
    # The folder has the same tests, and more.
    assert {"cluster", "installed"} <= {kind for version, kind in parts if version == newest}


def test_versions_tested_by_workflow() -> None:
    jobs = yaml.safe_load((_CHECKOUT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
    matrix = jobs["e2e"]["strategy"]["matrix"]
    *dated, newest = matrix["node"]
    assert [image.removeprefix("kindest/node:v").rpartition(".")[0] for image in dated] == list(TESTED[:-1])
    assert newest == ""
    tests = {one["node"]: one["installed"] for one in matrix["include"]}
    assert tests == {**dict.fromkeys(dated, "versions"), newest: "installed"}


def test_chart_requires_oldest_version() -> None:
    chart = yaml.safe_load((_CHECKOUT / "manifests" / "helm" / "registry-webhook" / "Chart.yaml").read_text())
    assert chart["kubeVersion"] == f">={OLDEST}.0-0"


def test_components_with_policies_named_with_their_version() -> None:
    page = (_CHECKOUT / "docs" / "reference" / "kubernetes-versions.md").read_text()

    def policies(variant: Variant) -> set[str]:
        return {one["metadata"]["name"] for one in composed(variant)} & {GUARD_POLICY, MUTATE_POLICY}

    needed = {GUARD_POLICY: POLICY_GUARD, MUTATE_POLICY: POLICY_MUTATE}
    found = {(one, name) for one in COMPONENTS for name in policies(combined("self-managed", one))}
    assert {name for _, name in found} == needed.keys()
    for component, name in found:
        (row,) = [line for line in page.splitlines() if f"`{component}`" in line and line.startswith("|")]
        assert f"| {needed[name]} or newer |" in row
