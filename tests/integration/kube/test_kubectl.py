"""Manifests that we read and write, compared with kubectl without a cluster."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.support import yaml_strategies
from webhook.errors import InvalidManifest
from webhook.kube import kubernetes_yaml, manifests

_KUBECTL = shutil.which("kubectl")
#: Scalars of three of these characters have most of the notations.
_CHARACTERS = "0189+-._eExXoOb:"

pytestmark = pytest.mark.skipif(_KUBECTL is None, reason="kubectl is not on PATH")


def _kubectl(folder: Path, filename: Path) -> subprocess.CompletedProcess[bytes]:
    """Have kubectl read manifests: it applies an empty patch to each, locally, and prints the result."""
    command = [
        str(_KUBECTL),
        "patch",
        "--local",
        "--type=json",
        "--patch=[]",
        f"--filename={filename}",
        "--output=json",
    ]
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "KUBECONFIG": str(folder / "none")}
    return subprocess.run(command, env=environment, capture_output=True, timeout=60, check=False)


def _read(folder: Path, filename: Path) -> list[Any]:
    done = _kubectl(folder, filename)
    assert done.returncode == 0, done.stderr.decode()
    text, found = done.stdout.decode().strip(), []
    while text:
        value, end = kubernetes_yaml.read_json(text)
        found.append(value)
        text = text[end:].lstrip()
    return found


def _exact(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _object(values: Any) -> dict[str, Any]:
    return {"apiVersion": "example.com/v1", "kind": "Values", "metadata": {"name": "x"}, "spec": values}


_HEAD = "apiVersion: example.com/v1\nkind: Values\nmetadata: {name: x}\nspec:\n"


def test_parse_short_scalars_same_as_kubectl(tmp_path: Path) -> None:
    scalars = [a + b + c for a in _CHARACTERS for b in _CHARACTERS for c in ("", *_CHARACTERS)]
    lines = [f"- {scalar}" for scalar in scalars if not (scalar.endswith(":") or scalar.startswith("-:"))]
    text = _HEAD + "\n".join(lines) + "\n"
    (tmp_path / "scalars.yaml").write_text(text)
    (expected,) = _read(tmp_path, tmp_path / "scalars.yaml")
    (found,) = manifests.parse(text.encode()).values
    assert found == expected
    assert list(map(type, found["spec"])) == list(map(type, expected["spec"]))


_QUICK = settings(
    max_examples=5,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
    deadline=None,
    database=None,
)


def test_dump_generated_values_read_by_kubectl(tmp_path: Path) -> None:
    @_QUICK
    @given(st.lists(yaml_strategies.values, min_size=30, max_size=60))
    def check(values: list[Any]) -> None:
        (tmp_path / "dumped.yaml").write_text(kubernetes_yaml.dump(_object(values)))
        (tmp_path / "dumped.json").write_text(kubernetes_yaml.dump_json(_object(values)))
        as_yaml, as_json = (_read(tmp_path, tmp_path / f"dumped.{form}") for form in ("yaml", "json"))
        (own,) = manifests.parse((tmp_path / "dumped.json").read_bytes()).values
        assert _exact(as_yaml) == _exact(as_json) == _exact([_floats(own)])

    check()


def _floats(value: Any) -> Any:
    """Give integers that have more than 64 bits as the floats that kubectl prints."""
    match value:
        case dict():
            return {key: _floats(item) for key, item in value.items()}
        case list():
            return [_floats(item) for item in value]
        case int() if not isinstance(value, bool) and not -(2**63) <= value < 2**63:
            return kubernetes_yaml.number(float(value))
    return value


@pytest.mark.parametrize(
    "text",
    [
        "spec: [.inf]",
        "spec: {~: 1}",
        "spec: [a?b]",
        'spec: "\\/"',
        "spec: {[a]: 1}",
        "spec: {<<: 1}",
        "spec: *a",
        "--- x",
        "spec: !!int 1.5",
        "spec: !!binary x",
    ],
)
def test_parse_refused_by_kubectl_refused(tmp_path: Path, text: str) -> None:
    whole = f"apiVersion: example.com/v1\nkind: Values\nmetadata: {{name: x}}\n{text}\n"
    (tmp_path / "refused.yaml").write_text(whole)
    assert _kubectl(tmp_path, tmp_path / "refused.yaml").returncode != 0
    with pytest.raises(InvalidManifest):
        manifests.parse(whole.encode())
