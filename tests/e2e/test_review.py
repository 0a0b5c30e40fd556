"""`review -o yaml`: read with kubectl, only what the patch changes differs."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonpatch
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.support import yaml_strategies as manifests

from . import openapi_strategies
from .cluster import Cluster

_CONFIGURATION = "opencti: {daemon: {registry: {server: registry.example.com}}}"
#: What may be patched, below the Pod or template.
_PATCHED = re.compile(
    r"/spec/(?:(?:initC|ephemeralC|c)ontainers/[0-9]+/image|volumes/[0-9]+/image/reference|imagePullSecrets(?:/-)?)"
    r"|/metadata(?:/annotations(?:/registry-webhook~1original-images)?)?"
)


@pytest.fixture(scope="module")
def schemas(cluster: Cluster) -> dict[str, Any]:
    return dict(openapi_strategies.schemas(cluster))


def _review(folder: Path, output: str) -> str:
    command = [sys.executable, "-m", "webhook", "review", "--config", str(folder / "config.yaml"), "--output", output]
    files = sorted(map(str, (folder / "drawn").iterdir()))
    done = subprocess.run([*command, *files], capture_output=True, check=False)
    assert done.returncode in {0, 1}, done.stderr.decode()
    return done.stdout.decode()


def _read(cluster: Cluster, filename: Path) -> list[Any]:
    """Read manifests as kubectl does: it applies an empty patch to each and prints the result."""
    done = cluster.run("patch", "--local", "--type=json", "--patch=[]", f"--filename={filename}", "--output=json")
    assert done.status == 0, done.stderr
    decoder, text, found = json.JSONDecoder(), done.stdout.strip(), []
    while text:
        value, end = decoder.raw_decode(text)
        found.append(value)
        text = text[end:].lstrip()
    return found


def test_review_generated_objects_changed_as_patched(cluster: Cluster, schemas: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(_CONFIGURATION)
    (tmp_path / "drawn").mkdir()
    texts = st.lists(manifests.texts(openapi_strategies.objects(schemas)), min_size=10, max_size=10)

    @settings(
        max_examples=8, phases=[Phase.generate], deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    @given(texts)
    def review(texts: list[str]) -> None:
        for number, text in enumerate(texts):
            (tmp_path / "drawn" / f"{number:02}.yaml").write_bytes(text.encode())
        before = _read(cluster, tmp_path / "drawn")
        (tmp_path / "after.yaml").write_text(_review(tmp_path, "yaml"))
        (tmp_path / "after.json").write_text(_review(tmp_path, "json"))
        patches = [json.loads(line) for line in _review(tmp_path, "patch").splitlines()]
        for document, patch in zip(before, patches, strict=True):
            below = next(path for (_, _, kind), path in openapi_strategies.KINDS.items() if kind == document["kind"])
            start = "".join(f"/{key}" for key in below)
            paths = [operation["path"] for operation in patch]
            assert all(path.startswith(start) and _PATCHED.fullmatch(path[len(start) :]) for path in paths), paths
        expected = [jsonpatch.apply_patch(*pair) for pair in zip(before, patches, strict=True)]
        for name in ("after.yaml", "after.json"):
            assert _exact(_read(cluster, tmp_path / name)) == _exact(expected)

    review()


def _exact(documents: list[Any]) -> list[str]:
    """Write documents so that 1 and true differ."""
    return [json.dumps(document, sort_keys=True) for document in documents]
