"""The image contains everything that the program loads, and its version."""

import base64
import ctypes
import hashlib
import json
import os
import platform
import re
import stat
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from importlib import metadata
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

import webhook
from tests.support import ci_scripts
from tests.support.refresher_process import PASSWORD, Place, make_pair, make_place, run

_CHECKOUT = Path(__file__).parents[2]

#: The image's Python, to whose library the list of what is left out belongs.
_PYTHON = (3, 11)

#: Read by every Python that is started where it lies: what the image leaves out is not there.
_SITE = """
import json, os, sys

class LeftOut:
    names = frozenset(json.load(open(os.path.join(os.path.dirname(__file__), "left-out.json"))))

    def find_spec(self, name, path=None, target=None):
        if name in self.names or name.partition(".")[0] in self.names:
            raise ModuleNotFoundError("left out: " + name, name=name)

sys.meta_path.insert(0, LeftOut())
"""


@pytest.fixture(scope="module")
def slim() -> ModuleType:
    """What makes the image smaller; it is no part of the package."""
    return ci_scripts.load("slim")


@pytest.fixture(scope="module")
def image_root() -> ModuleType:
    """What assembles the image's files."""
    return ci_scripts.load("image_root")


@pytest.fixture
def left_out(slim: ModuleType, image_root: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names of all modules that the image leaves out, which no process finds that is started from here on."""
    names: set[str] = set()
    for distribution in metadata.distributions():
        patterns = slim.patterns_of(distribution.metadata["Name"])
        files = [str(file) for file in distribution.files or () if slim.goes(str(file), patterns)]
        names |= {file[:-3].removesuffix("/__init__").replace("/", ".") for file in files if file.endswith(".py")}
    if sys.version_info[:2] == _PYTHON:
        patterns = image_root.LEFT_OUT
        names |= {name for name in sys.stdlib_module_names if any(fnmatchcase(name, each) for each in patterns)}
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


def test_slim_removes_unused_packages_and_modules(left_out: set[str]) -> None:
    assert {"kubernetes.client.models.v1_pod", "kubernetes.aio", "kubernetes.dynamic", "pydantic"} <= left_out
    assert not {"kubernetes", "kubernetes.client.rest", "kubernetes.config.exec_provider"} & left_out
    assert {"sqlite3", "unittest"} <= left_out or sys.version_info[:2] != _PYTHON
    assert "left out: aiohttp" in _python("import aiohttp").stderr
    assert "left out: " in _python("import kubernetes").stderr


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
        "click/__init__.py",
        "click/fast.so",
    }
    digest = base64.urlsafe_b64encode(hashlib.sha256(built[0]["click/fast.so"][0]).digest()).rstrip(b"=").decode()
    assert any(f"click/fast.so,sha256={digest},0\n" in record for record in records)
    compiled = [content for name, (content, _) in built[0].items() if name.endswith(".pyc")]
    assert len(compiled) == 2
    assert {content[4:8] for content in compiled} == {b"\1\0\0\0"}  # by its hash, which nobody compares


_X86, _ARM = 62, 183
#: The machine on which the tests do not run.
_FOREIGN, _TRIPLET = (_ARM, "aarch64-linux-gnu") if platform.machine() == "x86_64" else (_X86, "x86_64-linux-gnu")


def _elf(needed: Sequence[str], path: str = "", interpreter: str = "", machine: int = _FOREIGN) -> bytes:
    """Return a program or shared library without code: what the dynamic linker reads of one."""
    strings, tags = b"\0", []
    for tag, text in [*((1, name) for name in needed), *([(29, path)] if path else [])]:
        tags.append((tag, len(strings)))
        strings += text.encode() + b"\0"
    loaded, start = 0x40_0000, 64 + 3 * 56
    named = interpreter.encode() + b"\0"
    dynamic = b"".join(struct.pack("<QQ", *each) for each in [*tags, (5, loaded + start + len(named)), (0, 0)])
    at = start + len(named) + len(strings)
    segments = [(1, 0, loaded, at + len(dynamic)), (2, at, loaded + at, len(dynamic))]
    segments.append((3, start, loaded + start, len(named)) if interpreter else (0, 0, 0, 0))
    table = b"".join(
        struct.pack("<IIQQQQQQ", kind, 4, offset, to, to, size, size, 8) for kind, offset, to, size in segments
    )
    header = struct.pack("<4sBB10xHHIQQQIHHHHHH", b"\x7fELF", 2, 1, 3, machine, 1, 0, 64, 0, 0, 64, 56, 3, 0, 0, 0)
    return header + table + named + strings + dynamic


def _write(folder: Path, files: Mapping[str, bytes | str]) -> None:
    """Write files; a text is the target of a symbolic link."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            path.symlink_to(content)
        else:
            path.write_bytes(content)
            path.chmod(0o755)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A base image for another machine, as Debian's: /lib is a link, and the shell and apt are there."""
    library = f"usr/lib/python{sys.version_info[0]}.{sys.version_info[1]}"
    files: dict[str, bytes | str] = {
        "lib": "usr/lib",
        "lib64": "usr/lib",
        "bin": "usr/bin",
        "usr/bin/python3": "python3.x",
        "usr/bin/python3.x": _elf(["libc.so.6"], interpreter="/lib64/ld-linux.so.2"),
        "usr/bin/dash": _elf(["libc.so.6"]),
        "usr/bin/apt": _elf(["libapt.so.6"]),
        "usr/lib/ld-linux.so.2": f"{_TRIPLET}/ld-linux.so.2",
        f"usr/lib/{_TRIPLET}/ld-linux.so.2": _elf([]),
        f"usr/lib/{_TRIPLET}/libc.so.6": _elf(["ld-linux.so.2"]),
        f"usr/lib/{_TRIPLET}/libgcc_s.so.1": _elf(["libc.so.6"]),
        f"usr/lib/{_TRIPLET}/libz.so.1": "libz.so.1.2",
        f"usr/lib/{_TRIPLET}/libz.so.1.2": _elf(["libc.so.6"]),
        f"usr/lib/{_TRIPLET}/libsqlite3.so.0": _elf(["libc.so.6"]),
        f"{library}/os.py": b"NAMES = frozenset({'a', 'b'})\n",
        f"{library}/sqlite3/__init__.py": b"",
        f"{library}/json/__init__.py": b"",
        f"{library}/json/test/__init__.py": b"",
        f"{library}/site-packages/pip/__init__.py": b"",
        f"{library}/lib-dynload/zlib.cpython.so": _elf(["libz.so.1"]),
        f"{library}/lib-dynload/_sqlite3.cpython.so": _elf(["libsqlite3.so.0"]),
        "usr/lib/ssl/cert.pem": "/etc/ssl/certs/ca-certificates.crt",
        "etc/ssl/certs/ca-certificates.crt": b"certificates",
        "etc/ssl/openssl.cnf": b"",
        "etc/debian_version": b"12.0\n",
        "etc/os-release": "../usr/lib/os-release",
        "usr/lib/os-release": b"ID=debian\n",
        "etc/shadow": b"",
        "var/lib/dpkg/status": b"Package: libc6\nArchitecture: foreign\nVersion: 2.36\n\n"
        b"Package: dash\nArchitecture: foreign\nVersion: 0.5\n",
        # Debian's packages list what is in /usr/lib as /lib.
        "var/lib/dpkg/info/libc6:foreign.list": f"/.\n/lib/{_TRIPLET}\n/lib/{_TRIPLET}/libc.so.6\n".encode(),
        "var/lib/dpkg/info/dash.list": b"/bin/dash\n",
        "usr/share/doc/libc6/copyright": b"",
    }
    _write(tmp_path / "base", files)
    return tmp_path / "base"


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """A virtual environment in which one wheel has a library of its own."""
    files: dict[str, bytes | str] = {
        "bin/python": "python3",
        "bin/python3": "/usr/bin/python3",
        "lib/site-packages/fast.so": _elf(["libown.so.1", "libc.so.6"], path="$ORIGIN/fast.libs"),
        "lib/site-packages/fast.libs/libown.so.1": _elf(["libz.so.1"]),
    }
    _write(tmp_path / "venv", files)
    return tmp_path / "venv"


def _assembled(image_root: ModuleType, base: Path, environment: Path, folder: Path) -> set[str]:
    """Assemble an image, and return the paths of its files outside of the environment."""
    folder.mkdir()
    image_root.assemble(base, environment, folder)
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_symlink() or path.is_file()}
    return {path for path in found if not path.startswith(str(environment)[1:])}


def test_image_root_has_only_what_is_loaded(
    image_root: ModuleType, base: Path, environment: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    library = f"usr/lib/python{sys.version_info[0]}.{sys.version_info[1]}"
    found = _assembled(image_root, base, environment, tmp_path / "image")
    assert {path for path in found if not path.endswith(".pyc")} == {
        *("lib", "lib64", "usr/bin/python3", "usr/bin/python3.x", "usr/lib/ld-linux.so.2"),
        *(f"usr/lib/{_TRIPLET}/{name}" for name in ("ld-linux.so.2", "libc.so.6", "libgcc_s.so.1")),
        *(f"usr/lib/{_TRIPLET}/{name}" for name in ("libz.so.1", "libz.so.1.2")),
        *(f"{library}/{name}" for name in ("os.py", "json/__init__.py", "lib-dynload/zlib.cpython.so")),
        *("etc/ssl/certs/ca-certificates.crt", "etc/ssl/openssl.cnf", "usr/lib/ssl/cert.pem"),
        *("etc/passwd", "etc/group", "etc/nsswitch.conf", "etc/debian_version", "etc/os-release", "usr/lib/os-release"),
        *("var/lib/dpkg/status.d/libc6", "usr/share/doc/libc6/copyright"),
    }
    assert sum(path.endswith(".pyc") for path in found) == 2
    assert stat.S_IMODE((tmp_path / "image" / "tmp").stat().st_mode) == 0o1777
    assert "Version: 2.36" in (tmp_path / "image" / "var/lib/dpkg/status.d/libc6").read_text()
    # It is for another machine, so it was not executed.
    assert capsys.readouterr().out.startswith("Not run here")


def test_image_root_assembled_again_identical(
    image_root: ModuleType, base: Path, environment: Path, tmp_path: Path
) -> None:
    built = []
    for _ in range(2):
        _assembled(image_root, base, environment, tmp_path / "image")
        files = [path for path in (tmp_path / "image").rglob("*") if path.is_file() and not path.is_symlink()]
        built.append({str(path): (path.read_bytes(), path.stat().st_mtime, path.stat().st_mode) for path in files})
        (tmp_path / "image").rename(tmp_path / f"image-{len(built)}")
    assert built[0] == built[1]


def test_image_root_official_layout_found_by_run_path(image_root: ModuleType, base: Path, tmp_path: Path) -> None:
    """The official image has Python below /usr/local, and its library where only the program's own path leads."""
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    files: dict[str, bytes | str] = {
        "usr/local/bin/python3": _elf(["libpython.so", "libc.so.6"], "$ORIGIN/../lib", "/lib64/ld-linux.so.2"),
        "usr/local/lib/libpython.so": _elf(["libc.so.6"]),
        f"usr/local/lib/python{version}/os.py": b"",
        f"usr/local/lib/python{version}/lib-dynload/zlib.so": _elf(["libz.so.1"]),
    }
    _write(base, files)
    _write(tmp_path / "venv", {"bin/python": "/usr/local/bin/python3"})
    found = _assembled(image_root, base, tmp_path / "venv", tmp_path / "image")
    assert files.keys() <= found
    assert not any(path.startswith(("usr/bin", "usr/lib/python")) for path in found)


def test_image_root_missing_library_refused(
    image_root: ModuleType, base: Path, environment: Path, tmp_path: Path
) -> None:
    (base / "usr" / "lib" / _TRIPLET / "libz.so.1").unlink()
    with pytest.raises(FileNotFoundError, match=r"libz\.so\.1 is in none of"):
        _assembled(image_root, base, environment, tmp_path / "image")


def test_image_root_wheel_for_other_machine_refused(
    image_root: ModuleType, base: Path, environment: Path, tmp_path: Path
) -> None:
    other = ({_X86, _ARM} - {_FOREIGN}).pop()
    (environment / "lib" / "site-packages" / "wrong.so").write_bytes(_elf([], machine=other))
    with pytest.raises(ValueError, match=r"machine (62|183), and others are for (62|183)"):
        _assembled(image_root, base, environment, tmp_path / "image")


@pytest.mark.skipif(sys.platform != "linux", reason="its programs are not ELF files")
def test_linked_reads_programs_and_libraries(image_root: ModuleType) -> None:
    program = image_root.linked(Path(sys.executable).read_bytes())
    assert Path(program.interpreter).exists()
    assert any(name.startswith(("libc.", "libpython")) for name in program.needed)
    library = image_root.linked(Path(msgspec._core.__file__).read_bytes())  # noqa: SLF001
    assert (library.machine, library.interpreter) == (program.machine, "")
    assert image_root.linked(b"#!/bin/sh\n") is None


def test_dockerfile_version_matches_package() -> None:
    version = re.search(r"^ARG VERSION=(\S+)$", (_CHECKOUT / "Dockerfile").read_text(), re.MULTILINE)
    assert version
    assert version[1] == webhook.__version__
