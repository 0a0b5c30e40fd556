"""The commands of the workflows exist, and those of the release do what RELEASING.md promises for the chart."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support import workflows
from webhook import __version__
from webhook.config import json_schema

_CHECKOUT = Path(__file__).parents[2]
_DIGEST = f"sha256:{'a1' * 32}"

#: In place of helm: prints what helm 3 and 4 print, on standard error.
_HELM = f"""#!/bin/sh
echo "$@" >>helm.log
case $1 in
  registry) cat >>helm.log ;;
  push) test -f "$2" && echo "Pushed: ${{3#oci://}}/registry-webhook:{__version__}
Digest: {_DIGEST}" >&2 ;;
esac
"""
#: In place of the Python with the build tools: only the chart is made by the real one.
_PYTHON = f"""#!/bin/sh
case $* in
  *chart_archive.py*) exec {sys.executable} "$@" ;;
  *app.py*) mkdir -p "$2" && : >"$2/registry-webhook-{__version__}.sha256" ;;
esac
"""


def _step(job: str, name: str) -> str:
    (script,) = (
        step["run"] for step in workflows.jobs()[f"release/{job}"]["steps"] if step.get("name", "").startswith(name)
    )
    return str(script)


def _run(script: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run a step as GitHub does."""
    known = {"GITHUB_REPOSITORY": "Example/Thing", "GITHUB_REPOSITORY_OWNER": "Example", "GITHUB_ACTOR": "octocat"}
    known |= {
        "TOKEN": "any",
        "GITHUB_REF_NAME": f"v{__version__}",
        "GITHUB_OUTPUT": str(folder / "output"),
        "VERSION": __version__,
    }
    known |= {"RUNNER_TEMP": str(folder / "temp"), "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    command = ["bash", "-e", "-c", script]
    return subprocess.run(command, cwd=folder, env=known, capture_output=True, text=True, timeout=60, check=False)


def _programs(folder: Path, programs: Mapping[str, str]) -> None:
    for name, text in programs.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)


def test_workflows_run_targets_and_scripts_that_exist() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):.*##", (_CHECKOUT / "Makefile").read_text(), re.MULTILINE))
    scripts = [step["run"] for step in workflows.steps() if "run" in step]
    made = {found for script in scripts for found in re.findall(r"\bmake ([a-z0-9-]+)", script)}
    called = {found for script in scripts for found in re.findall(r"\.ci/[\w./-]*\w", script)}
    assert {"install-manifest", "wheels"} <= made <= targets
    assert ".ci/chart_archive.py" in called
    assert [path for path in sorted(called) if not (_CHECKOUT / path).exists()] == []


def test_release_builds_chart_schema_and_checksums(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    programs = {".ci/venv": "#!/bin/sh\n", ".venv-supply/bin/python": "#!/bin/sh\n", "temp/build/bin/python": _PYTHON}
    _programs(checkout, programs)
    for path in (*_CHECKOUT.glob(".ci/*.py"), *map(_CHECKOUT.joinpath, ("manifests", "docs", "webhook"))):
        (checkout / path.relative_to(_CHECKOUT)).symlink_to(path)
    done = _run(_step("build", "Build wheel"), checkout)
    assert done.returncode == 0, done.stderr
    sums = f"registry-webhook-{__version__}.sha256"
    checked = _run(f"sha256sum --check --strict {sums}", checkout / "dist")
    assert checked.stdout.splitlines() == [f"registry-webhook-{__version__}.tgz: OK", "config.schema.json: OK"]
    assert json.loads((checkout / "dist/config.schema.json").read_text()) == json_schema.document()


def test_release_pushes_chart_and_signs_its_digest(tmp_path: Path) -> None:
    _programs(tmp_path, {"bin/helm": _HELM, f"dist/registry-webhook-{__version__}.tgz": ""})
    done = _run(_step("publish", "Push the chart"), tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "helm.log").read_text().splitlines() == [
        "registry login ghcr.io --username octocat --password-stdin",
        "any",
        f"push dist/registry-webhook-{__version__}.tgz oci://ghcr.io/example/charts",
    ]
    outputs = (tmp_path / "output").read_text().splitlines()
    assert outputs == ["name=ghcr.io/example/charts/registry-webhook", f"digest={_DIGEST}"]
    signed = [
        step for step in workflows.jobs()["release/publish"]["steps"] if "steps.chart.outputs.digest" in str(step)
    ]
    assert len(signed) == len(["cosign", "provenance", "notes of the release"])


@pytest.mark.parametrize("helm", ["#!/bin/sh\n", "#!/bin/sh\n[ $1 != push ]\n"])
def test_release_without_pushed_chart_fails(tmp_path: Path, helm: str) -> None:
    _programs(tmp_path, {"bin/helm": helm})
    assert _run(_step("publish", "Push the chart"), tmp_path).returncode
