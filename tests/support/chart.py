"""The Helm chart, rendered by `helm template`, and the values that make each variant of the kustomize folders."""

import shutil
import subprocess
from typing import Any

import pytest
import yaml

from .chart_files import CHART
from .kustomize import Manifest

HELM = shutil.which("helm")
needs_helm = pytest.mark.skipif(HELM is None, reason="needs helm on PATH: .ci/helm installs it")

RELEASE = "registry-webhook"

Values = dict[str, Any]


class RenderError(Exception):
    """What helm prints if it refuses values."""


def render(values: Values, *, release: str = RELEASE, namespace: str = RELEASE, options: tuple[str, ...] = ()) -> str:
    """Return what `helm template` prints. Raises `RenderError`."""
    command = [HELM or "helm", "template", release, str(CHART), "--namespace", namespace, "--values", "-", *options]
    done = subprocess.run(
        command, input=yaml.safe_dump(values), capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode:
        raise RenderError(done.stderr)
    return done.stdout


def objects(values: Values, *, release: str = RELEASE, namespace: str = RELEASE) -> list[Manifest]:
    """Return the objects that the chart installs, without its tests."""
    every = [one for one in yaml.safe_load_all(render(values, release=release, namespace=namespace)) if one]
    return [one for one in every if "helm.sh/hook" not in one["metadata"].get("annotations", {})]
