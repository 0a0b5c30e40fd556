"""Make a virtual environment smaller and reproducible for the image: slim.py FOLDER.

Files that the program never loads are deleted, also from the RECORD files. The rest is compiled, because the image's
file system is read-only and every start would compile again. The bytecode contains a hash of its source instead of a
time, and all files get the same time.

tests/integration/test_image.py checks that the program works without the files in the table below.
"""

import compileall
import csv
import io
import os
import shutil
import sys
from fnmatch import fnmatchcase
from importlib import metadata
from pathlib import Path
from py_compile import PycInvalidationMode

#: Patterns of files to remove or keep for each distribution; the last match counts. The Kubernetes client imports its
#: classes for objects and API groups on demand, and this program uses none, nor its asynchronous client.
PARTS = {
    "kubernetes": (
        "-kubernetes/aio/*",
        "-kubernetes/client/api/*",
        "-kubernetes/client/apis/*",
        "-kubernetes/client/models/*",
        "+kubernetes/client/*/__init__.py",
        "-*_test.py",
    ),
    "certifi": ("-certifi/tests/*",),
    "websocket-client": ("-websocket/tests/*",),
}

#: Distributions that only the asynchronous client needs.
WHOLE = (
    *("aiohappyeyeballs", "aiohttp", "aiohttp-retry", "aiosignal", "attrs"),
    *("frozenlist", "multidict", "propcache", "yarl"),
)

#: The earliest time in a ZIP file; the image's builder may set another.
_THEN = 315_532_800


def slim(environment: Path) -> None:
    """Remove files from a virtual environment, and compile the rest."""
    (site,) = environment.glob("lib/python3*/site-packages")
    for distribution in metadata.distributions(path=[str(site)]):
        if patterns := patterns_of(distribution.metadata["Name"]):
            _take_away(site, distribution, patterns)
    for folder in sorted(site.rglob("*"), reverse=True):
        if folder.name == "__pycache__":
            shutil.rmtree(folder)
        elif folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    # The bytecode contains the files' paths in the image.
    compileall.compile_dir(site, quiet=1, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH)
    for path in (*environment.rglob("*"), environment):
        os.utime(path, (_THEN, _THEN), follow_symlinks=False)


def patterns_of(name: str) -> tuple[str, ...]:
    """Return the patterns for a distribution's files."""
    name = name.lower().replace("_", "-")
    return ("-*",) if name in WHOLE else PARTS.get(name, ())


def goes(file: str, patterns: tuple[str, ...]) -> bool:
    """Return whether to remove a file, by its path in a RECORD."""
    found = [pattern[0] for pattern in patterns if fnmatchcase(file, pattern[1:])]
    return found[-1:] == ["-"]


def _take_away(site: Path, distribution: metadata.Distribution, patterns: tuple[str, ...]) -> None:
    """Delete files of a distribution, and rewrite its RECORD if some are left."""
    kept: list[list[str]] = []
    record = None
    for row in csv.reader((distribution.read_text("RECORD") or "").splitlines()):
        if row[0].endswith(".dist-info/RECORD"):
            record = site / row[0]
        if goes(row[0], patterns):
            (site / row[0]).unlink(missing_ok=True)
        else:
            kept.append(row)
    if kept and record:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(kept)
        record.write_text(text.getvalue())


if __name__ == "__main__":
    slim(Path(sys.argv[1]))
