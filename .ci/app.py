"""Build the command as a single file for each platform, reproducibly: app.py FOLDER [PLATFORM...].

The result is an archive for each platform with the file and the license, and their checksums, a krew manifest and a
Homebrew formula (`packages.py`). The packages are those of requirements.lock, chosen by its hashes. Compiled ones come
as wheels for all supported Pythons: the names of their libraries have the version, so that one folder holds all.

docs/decisions/0012-single-file.md has the reasons why neither shiv nor pex builds it.
"""

import gzip
import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import packages
from locked import Locked, read
from slim import WHOLE, goes, patterns_of, without_symbols

LOCK, PROGRAM = "requirements.lock", "registry-webhook"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")

#: Packages with a wheel for each platform. The others have one for all.
COMPILED = ("cffi", "cryptography", "httptools", "markupsafe", "msgspec", "pyyaml")
#: What is not in it: what nothing loads, and uvloop, which is optional.
LEFT_OUT = {*WHOLE, "uvloop"}

#: The tags of wheels for each platform: of Debian 12, RHEL 9 and macOS 11, and newer. cryptography has no wheels for
#: Intel Macs since 49.
PLATFORMS = {
    "linux-amd64": ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"),
    "linux-arm64": ("manylinux_2_28_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64"),
    "darwin-arm64": (
        "macosx_11_0_arm64",
        "macosx_11_0_universal2",
        "macosx_10_13_universal2",
        "macosx_10_9_universal2",
    ),
}

_BOOTSTRAP = Path(__file__).parent / "bootstrap"
_SHEBANG = b"#!/usr/bin/env python3\n"
#: The earliest time in a zip.
_TIME = (1980, 1, 1, 0, 0, 0)
_DIGITS = 16


class Wheel(NamedTuple):
    """Files to install."""

    name: str
    files: Mapping[str, bytes]


def main() -> None:
    """Build what the command line says."""
    folder, *chosen = sys.argv[1:]
    build(Path(__file__).parents[1], Path(folder), chosen or list(PLATFORMS))


def build(checkout: Path, folder: Path, platforms: Iterable[str]) -> None:
    """Write the archives and what is generated from them."""
    locked = [one for one in read(checkout / LOCK) if one.name not in LEFT_OUT]
    own = own_files(checkout)
    version = packages.version(checkout)
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob(f"{PROGRAM}-{version}-*.tar.gz"):
        path.unlink()
    with tempfile.TemporaryDirectory() as cache:
        pure = _wheels(Path(cache), [one for one in locked if one.name not in COMPILED], ())
        compiled = [one for one in locked if one.name in COMPILED]
        for platform in platforms:
            files = dict(own)
            for wheel in (*pure, *_compiled(Path(cache), compiled, platform)):
                add(files, wheel)
            app = single_file(files, platform)
            path = folder / f"{PROGRAM}-{version}-{platform}.tar.gz"
            path.write_bytes(archive({PROGRAM: app, "LICENSE": (checkout / "LICENSE").read_bytes()}))
            print(f"{path}: {len(app) / 1e6:.1f} MB")
    packages.write(checkout, folder)


def own_files(checkout: Path) -> dict[str, bytes]:
    """Return the files of the package."""
    found = (one for one in (checkout / "webhook").rglob("*") if one.is_file() and one.parent.name != "__pycache__")
    return {str(one.relative_to(checkout)): one.read_bytes() for one in found}


def _compiled(cache: Path, locked: list[Locked], platform: str) -> list[Wheel]:
    """Return the wheels of a platform for all Pythons."""
    with ThreadPoolExecutor() as pool:
        found = pool.map(lambda python: _wheels(cache, locked, PLATFORMS[platform], python), PYTHONS)
        return [wheel for wheels in found for wheel in wheels]


def _wheels(cache: Path, locked: list[Locked], tags: tuple[str, ...], python: str = PYTHONS[0]) -> list[Wheel]:
    """Download wheels with the hashes of the lock, or take them from pip's cache."""
    folder = cache / f"{python}-{'-'.join(tags)}"
    folder.mkdir()
    requirements = folder / "requirements.txt"
    requirements.write_text(
        "".join(
            f"{one.name}=={one.version} {' '.join(f'--hash=sha256:{digest}' for digest in one.hashes)}\n"
            for one in locked
        )
    )
    where = [f"--platform={tag}" for tag in tags or ("any",)]
    options = ["-q", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:", "--require-hashes"]
    options += [f"--python-version={python}", "--implementation=cp", f"--dest={folder}"]
    subprocess.run(
        [sys.executable, "-m", "pip", "download", *options, *where, f"--requirement={requirements}"],
        check=True,
    )
    return [_unpacked(path) for path in sorted(folder.glob("*.whl"))]


def _unpacked(path: Path) -> Wheel:
    name = path.name.partition("-")[0]
    patterns = patterns_of(name)
    files = {}
    with zipfile.ZipFile(path) as wheel:
        for file in wheel.namelist():
            # RECORD and WHEEL differ between the wheels of a version, and nothing reads them.
            if not file.endswith(("/", "/RECORD", "/WHEEL")) and not goes(file, patterns):
                content = wheel.read(file)
                files[file] = without_symbols(content) if ".so" in Path(file).suffixes else content
    return Wheel(name, files)


def add(files: dict[str, bytes], wheel: Wheel) -> None:
    """Add a wheel's files. Raises `ValueError` if one differs from that of another Python."""
    for file, content in wheel.files.items():
        if files.setdefault(file, content) != content:
            raise ValueError(f"{wheel.name}: {file} differs between Pythons")


def single_file(files: Mapping[str, bytes], platform: str) -> bytes:
    """Return the single file."""
    packed = _zip(files, zipfile.ZIP_DEFLATED)
    digest = hashlib.sha256(packed).hexdigest()[:_DIGITS]
    main = (_BOOTSTRAP / "__main__.py").read_text().replace("@PLATFORM@", platform).replace("@DIGEST@", digest)
    outer = {
        "__main__.py": main.encode(),
        "packages.zip": packed,
        "unpack.py": (_BOOTSTRAP / "unpack.py").read_bytes(),
    }
    return _SHEBANG + _zip(outer, zipfile.ZIP_STORED)


def _zip(files: Mapping[str, bytes], compression: int) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", compression, compresslevel=9) as archive:
        for file, content in sorted(files.items()):
            info = zipfile.ZipInfo(file, _TIME)
            info.compress_type = compression
            info.create_system = 3  # Unix
            info.external_attr = 0o100644 << 16
            archive.writestr(info, content)
    return written.getvalue()


def archive(files: Mapping[str, bytes]) -> bytes:
    """Return a tar of executable and other files, in gzip without a time."""
    written = io.BytesIO()
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=written, compresslevel=1, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for file, content in files.items():
            info = tarfile.TarInfo(file)
            info.size, info.mode = len(content), 0o755 if file == PROGRAM else 0o644
            archive.addfile(info, io.BytesIO(content))
    return written.getvalue()


if __name__ == "__main__":
    main()
