"""The Helm chart, rendered by `helm template`, and the values that make each variant of the kustomize folders."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from webhook.kubernetes_version import POLICY_MUTATE

from .chart_values import CHART
from .kustomize import Manifest
from .manifest_variants import CHECKOUT, COMPONENTS, CREDENTIAL, MANIFESTS, Variant

HELM = shutil.which("helm")
needs_helm = pytest.mark.skipif(HELM is None, reason="needs helm on PATH: .ci/helm installs it")

RELEASE = "registry-webhook"
KUBERNETES = f"{POLICY_MUTATE}.0"

Values = dict[str, Any]

#: The values that do what a folder of certs/ does.
_CERTIFICATES: dict[str, Values] = {
    "self-managed": {},
    "cert-manager": {"certificates": {"mode": "cert-manager"}},
    "by-hand": {"certificates": {"mode": "existing", "existingSecret": "registry-webhook-tls"}},
}
#: The values that do what a component does.
COMPONENT_VALUES: dict[str, Values] = {
    "autoscaling": {"autoscaling": {"enabled": True}},
    "cluster-wide": {"clusterWide": {"enabled": True}},
    "credential": {"credentials": CREDENTIAL},
    "docker-config": {"credentials": {"dockerConfig": {"name": "registry-webhook-credential"}}},
    "fail-closed": {"failClosed": {"enabled": True}},
    "host-network": {"hostNetwork": {"enabled": True}},
    "mutual-tls": {"mutualTLS": {"enabled": True, "configMap": "registry-webhook-clients"}},
    "network-policy": {"networkPolicy": {"enabled": True}},
    "pods-cannot-opt-out": {"podOptOut": {"enabled": False}},
    "policy-alone": {"policies": {"callWebhook": False}},
    "policy-guard": {"policies": {"guard": (MANIFESTS / "components/policy-guard/policy.yaml").read_text()}},
    "policy-mutate": {"policies": {"mutate": (MANIFESTS / "components/policy-mutate/policy.yaml").read_text()}},
    "port-10250": {"ports": {"https": 10250}},
    "reader": {"reader": {"enabled": True}},
}


class RenderError(Exception):
    """What helm prints if it refuses values."""


def combined(*several: Values) -> Values:
    """Merge values as helm does."""
    merged: Values = {}
    for one in several:
        for key, value in one.items():
            both = isinstance(value, dict) and isinstance(merged.get(key), dict)
            merged[key] = combined(merged[key], value) if both else value
    return merged


def values_of(variant: Variant) -> Values:
    """Return the values that make a variant's objects."""
    path = CHECKOUT / variant.folder / "kustomization.yaml"
    kustomization = yaml.safe_load(variant.text or path.read_text())
    included = [Path(one).name for one in (variant.folder, *kustomization["resources"])]
    # The base alone has no certificate: it reads the Secret that a user creates.
    certificate = next((one for one in included if one in _CERTIFICATES), "by-hand")
    components = [Path(one).name for one in kustomization.get("components", [])]
    return combined(_CERTIFICATES[certificate], *(COMPONENT_VALUES[one] for one in components if one in COMPONENTS))


def render(values: Values, *options: str, release: str = RELEASE, namespace: str = RELEASE, chart: Path = CHART) -> str:
    """Return what `helm template` prints. Raises `RenderError`."""
    command = [HELM or "helm", "template", release, str(chart), "--namespace", namespace, "--values", "-"]
    command += ["--kube-version", KUBERNETES, *options]
    written = yaml.safe_dump(values)
    # Not the user's plugins and repositories.
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    done = subprocess.run(
        command, input=written, capture_output=True, text=True, timeout=60, check=False, env=environment
    )
    if done.returncode:
        raise RenderError(done.stderr)
    return str(done.stdout)


def objects(values: Values, *options: str, release: str = RELEASE, namespace: str = RELEASE) -> list[Manifest]:
    """Return the objects that the chart installs, without hooks and tests."""
    every = _parsed(render(values, *options, release=release, namespace=namespace))
    return [one for one in every if not _is_hook(one)]


def hooks(values: Values, *options: str, release: str = RELEASE, namespace: str = RELEASE) -> list[Manifest]:
    """Return the objects that exist only during a hook or a test."""
    return [one for one in _parsed(render(values, *options, release=release, namespace=namespace)) if _is_hook(one)]


def _parsed(text: str) -> list[Manifest]:
    return [one for one in yaml.safe_load_all(text) if one]


def _is_hook(manifest: Manifest) -> bool:
    return "helm.sh/hook" in manifest["metadata"].get("annotations", {})
