"""The image contains everything that the program loads, and its version."""

import base64
import ctypes
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

import webhook
from tests.support import ci_scripts
from tests.support.refresher_process import PASSWORD, Place, make_pair, make_place, run

_CHECKOUT = Path(__file__).parents[2]

#: Read by every Python that is started where it lies: what the image leaves out is not there.
_SITE = """
import json, os, sys

class LeftOut:
    names = frozenset(json.load(open(os.path.join(os.path.dirname(__file__), "left-out.json"))))

    def find_spec(self, name, path=None, target=None):
        if name in self.names:
            raise ModuleNotFoundError("left out: " + name, name=name)

sys.meta_path.insert(0, LeftOut())
"""


@pytest.fixture(scope="module")
def slim() -> ModuleType:
    """What makes the image smaller; it is no part of the package."""
    return ci_scripts.load("slim")


@pytest.fixture
def left_out(slim: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names of all modules that the image leaves out, which no process finds that is started from here on."""
    names: set[str] = set()
    for distribution in metadata.distributions():
        patterns = slim.patterns_of(distribution.metadata["Name"])
        files = [str(file) for file in distribution.files or () if slim.goes(str(file), patterns)]
        names |= {file[:-3].removesuffix("/__init__").replace("/", ".") for file in files if file.endswith(".py")}
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(_SITE)
    (tmp_path / "site" / "left-out.json").write_text(json.dumps(sorted(names)))
    above = str(Path(webhook.__file__).parents[1])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "site"), above]))
    return names


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = make_place(tmp_path, *make_pair())
    yield made
    made.api.stop()


def _python(code: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)


def test_slim_removes_unused_kubernetes_client(left_out: set[str]) -> None:
    assert {"kubernetes.client.models.v1_pod", "kubernetes.aio.client.api_client", "aiohttp"} <= left_out
    assert not {"kubernetes.client", "kubernetes.client.models", "kubernetes.client.api_client"} & left_out
    assert _python("import kubernetes").returncode == 0
    assert "left out: aiohttp" in _python("import aiohttp").stderr
    assert "left out: kubernetes.client.models.v1_pod" in _python("import kubernetes as k; k.client.V1Pod").stderr


@pytest.mark.usefixtures("left_out")
def test_slim_all_program_modules_import() -> None:
    walk = "for m in pkgutil.walk_packages(webhook.__path__, 'webhook.'): importlib.import_module(m.name)"
    done = _python(f"import importlib, pkgutil, webhook\n{walk}")
    assert done.returncode == 0, done.stderr


@pytest.mark.usefixtures("left_out")
def test_slim_refresh_and_cleanup_work(place: Place) -> None:
    place.api.label("team")
    assert run(place, "--once").returncode == 0
    assert place.api.content("team") == PASSWORD
    command = [sys.executable, "-m", "webhook", "cleanup", "--kubeconfig=kubeconfig"]
    done = subprocess.run(command, cwd=place.folder, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert place.api.secrets == {}


def test_slim_shared_library_without_symbols_loads(slim: ModuleType, tmp_path: Path) -> None:
    original = Path(msgspec._core.__file__).read_bytes()  # noqa: SLF001
    library = slim.without_symbols(original)
    assert len(library) < len(original)
    (tmp_path / "library.so").write_bytes(library)
    assert ctypes.CDLL(str(tmp_path / "library.so")).PyInit__core is not None
    assert slim.without_symbols(library) == library
    assert slim.without_symbols(b"no library") == b"no library"


def _environment(folder: Path) -> Path:
    """Make an environment with a few files of the Kubernetes client, of something of its, and of something else."""
    site = folder / "lib" / "python3.11" / "site-packages"
    distributions = {
        "kubernetes": ["client/__init__.py", "client/models/__init__.py", "client/models/v1_pod.py", "aio/x.py"],
        "aiohttp": ["__init__.py", "web.py"],
        "click": ["__init__.py", "fast.so"],
    }
    for name, files in distributions.items():
        info = f"{name}-1.0.dist-info"
        record = [f"{name}/{file}" for file in files] + [f"{info}/METADATA", f"{info}/RECORD"]
        for file in record:
            (site / file).parent.mkdir(parents=True, exist_ok=True)
            (site / file).write_text("" if not file.endswith("web.py") else "import asyncio")
        (site / info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (site / info / "RECORD").write_text("".join(f"{file},,\n" for file in record))
    (site / "click" / "__init__.py").write_text("NAMES = frozenset({'a', 'b', 'c'})\n")
    return site


def test_slim_records_correct_and_build_reproducible(tmp_path: Path) -> None:
    """Made one after the other at one place, for bytecode names its source's."""
    built = []
    for _ in range(2):
        site = _environment(tmp_path / "venv")
        variables = {**os.environ, "PYTHONHASHSEED": "0"}
        command = [sys.executable, str(_CHECKOUT / ".ci" / "slim.py"), str(tmp_path / "venv")]
        subprocess.run(command, check=True, env=variables)
        files = {str(path.relative_to(site)): path for path in site.rglob("*") if path.is_file()}
        built.append({name: (path.read_bytes(), path.stat().st_mtime) for name, path in files.items()})
        (tmp_path / "venv").rename(tmp_path / f"venv-{len(built)}")
    assert built[0] == built[1]
    sources = {name for name in built[0] if not name.endswith(".pyc")}
    records = [content.decode() for name, (content, _) in built[0].items() if name.endswith("RECORD")]
    assert {line.partition(",")[0] for record in records for line in record.splitlines()} == sources
    assert {name for name in sources if "dist-info" not in name} == {
        "kubernetes/client/__init__.py",
        "kubernetes/client/models/__init__.py",
        "click/__init__.py",
        "click/fast.so",
    }
    digest = base64.urlsafe_b64encode(hashlib.sha256(built[0]["click/fast.so"][0]).digest()).rstrip(b"=").decode()
    assert any(f"click/fast.so,sha256={digest},0\n" in record for record in records)
    compiled = [content for name, (content, _) in built[0].items() if name.endswith(".pyc")]
    assert len(compiled) == 3
    assert {content[4:8] for content in compiled} == {b"\1\0\0\0"}  # by its hash, which nobody compares


def test_dockerfile_version_matches_package() -> None:
    version = re.search(r"^ARG VERSION=(\S+)$", (_CHECKOUT / "Dockerfile").read_text(), re.MULTILINE)
    assert version
    assert version[1] == webhook.__version__
