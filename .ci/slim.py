"""Make a virtual environment smaller for the image, and the same at every build: slim.py FOLDER.

What the program never loads goes, and the records of what is installed say so. The rest is compiled: nobody may write
where the image runs, and without bytecode every start would compile all it loads. That bytecode holds a hash of its
source instead of a time, and no file keeps the time of the build.

The table below is held by tests/integration/test_image.py: the program works without all that it names.
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

#: Of a distribution, the files that go and stay: by patterns, the last one that matches.
#: The Kubernetes client's classes for objects and for API groups are found by name when they are asked for, and this
#: program asks for none; its asynchronous twin is a second client beside it.
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

#: Distributions that nothing but that asynchronous client needs.
WHOLE = (
    *("aiohappyeyeballs", "aiohttp", "aiohttp-retry", "aiosignal", "attrs"),
    *("frozenlist", "multidict", "propcache", "yarl"),
)

#: The first moment that a ZIP file can hold; an image's builder may set another.
_THEN = 315_532_800


def slim(environment: Path) -> None:
    """Do it to a virtual environment."""
    (site,) = environment.glob("lib/python3*/site-packages")
    for distribution in metadata.distributions(path=[str(site)]):
        if patterns := patterns_of(distribution.metadata["Name"]):
            _take_away(site, distribution, patterns)
    for folder in sorted(site.rglob("*"), reverse=True):
        if folder.name == "__pycache__":
            shutil.rmtree(folder)
        elif folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    # Each file is called in its bytecode as it is where the image runs.
    compileall.compile_dir(site, quiet=1, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH)
    for path in (*environment.rglob("*"), environment):
        os.utime(path, (_THEN, _THEN), follow_symlinks=False)


def patterns_of(name: str) -> tuple[str, ...]:
    """Give the patterns for a distribution's files."""
    name = name.lower().replace("_", "-")
    return ("-*",) if name in WHOLE else PARTS.get(name, ())


def goes(file: str, patterns: tuple[str, ...]) -> bool:
    """Tell whether a file, by its path in a record, goes."""
    found = [pattern[0] for pattern in patterns if fnmatchcase(file, pattern[1:])]
    return found[-1:] == ["-"]


def _take_away(site: Path, distribution: metadata.Distribution, patterns: tuple[str, ...]) -> None:
    """Delete a distribution's files, and write its record anew if anything of it stays."""
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
