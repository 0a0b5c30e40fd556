"""Make a virtual environment smaller and reproducible for the image: slim.py FOLDER.

Files that the program never loads are deleted, and symbols and debug information are cut off shared libraries; the
RECORD files say so. The rest is compiled, because the image's file system is read-only and every start would compile
again. The bytecode contains a hash of its source instead of a time, and all files get the same time.

tests/integration/test_image.py checks that the program works without the files in the table below.
"""

import base64
import compileall
import csv
import hashlib
import io
import os
import shutil
import struct
import sys
from fnmatch import fnmatchcase
from importlib import metadata
from pathlib import Path
from py_compile import PycInvalidationMode

#: Patterns of files to remove or keep for each distribution; the last match counts. Of the Kubernetes client only the
#: settings, the credentials and the HTTP client are loaded (webhook/kube/kubernetes_client.py).
PARTS = {
    "kubernetes": (
        *("-kubernetes/*", "+kubernetes/__init__.py"),
        *("+kubernetes/client/*.py", "+kubernetes/config/*.py", "+kubernetes/utils/*.py"),
        *("-kubernetes/*/*/*", "-*_test.py"),
    ),
    # cryptography needs only the module in C.
    "cffi": ("-cffi/*",),
}

#: Distributions that nothing loads.
WHOLE = (
    # The Kubernetes client's asynchronous part,
    *("aiohappyeyeballs", "aiohttp", "aiohttp-retry", "aiosignal", "attrs"),
    *("frozenlist", "multidict", "propcache", "yarl"),
    # its classes of objects,
    *("annotated-types", "pydantic", "pydantic-core", "python-dateutil", "typing-inspection", "tzdata"),
    # its web sockets, and what it needs for the legacy auth-provider of a kubeconfig.
    *("certifi", "charset-normalizer", "durationpy", "idna", "oauthlib", "requests", "requests-oauthlib"),
    "websocket-client",
    # The compiler of cffi.
    "pycparser",
)

#: The earliest time in a ZIP file; the image's builder may set another.
THEN = 315_532_800


def slim(environment: Path) -> None:
    """Remove files from a virtual environment, and compile the rest."""
    (site,) = environment.glob("lib/python3*/site-packages")
    for distribution in metadata.distributions(path=[str(site)]):
        _shrink(site, distribution, patterns_of(distribution.metadata["Name"]))
    for script in (environment / "bin").glob("[Aa]ctivate*"):
        script.unlink()
    for folder in sorted(site.rglob("*"), reverse=True):
        if folder.name == "__pycache__":
            shutil.rmtree(folder)
        elif folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    # The bytecode contains the files' paths in the image.
    compileall.compile_dir(site, quiet=1, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH)
    for path in (*environment.rglob("*"), environment):
        os.utime(path, (THEN, THEN), follow_symlinks=False)


def patterns_of(name: str) -> tuple[str, ...]:
    """Return the patterns for a distribution's files."""
    name = name.lower().replace("_", "-")
    return ("-*",) if name in WHOLE else PARTS.get(name, ())


def goes(file: str, patterns: tuple[str, ...]) -> bool:
    """Return whether to remove a file, by its path in a RECORD."""
    found = [pattern[0] for pattern in patterns if fnmatchcase(file, pattern[1:])]
    return found[-1:] == ["-"]


def without_symbols(library: bytes) -> bytes:
    """Return a shared library without what follows its last segment: section headers, symbols and debug information.

    The dynamic linker reads segments only. The offsets are those of 64-bit little-endian ELF files; anything else is
    returned as it is. https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html
    """
    if not library.startswith(b"\x7fELF\2\1"):
        return library
    (table,) = struct.unpack_from("<Q", library, 32)
    size, count = struct.unpack_from("<HH", library, 54)
    segments = [struct.unpack_from("<Q16xQ", library, table + number * size + 8) for number in range(count)]
    end = max(table + size * count, *(offset + length for offset, length in segments))
    content = bytearray(library[:end])
    struct.pack_into("<Q", content, 40, 0)  # offset and number of section headers
    struct.pack_into("<HH", content, 60, 0, 0)
    return bytes(content)


def _shrink(site: Path, distribution: metadata.Distribution, patterns: tuple[str, ...]) -> None:
    """Delete and cut files of a distribution, and rewrite its RECORD."""
    kept: list[list[str]] = []
    record = None
    for file, *checked in csv.reader((distribution.read_text("RECORD") or "").splitlines()):
        path = site / file
        if file.endswith(".dist-info/RECORD"):
            record = path
        if goes(file, patterns) or not path.exists():
            path.unlink(missing_ok=True)
        elif ".so" in path.suffixes:
            content = without_symbols(path.read_bytes())
            path.write_bytes(content)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            kept.append([file, f"sha256={digest}", str(len(content))])
        else:
            kept.append([file, *checked])
    if kept and record:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(kept)
        record.write_text(text.getvalue())


if __name__ == "__main__":
    slim(Path(sys.argv[1]))
