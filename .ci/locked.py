"""Parse a lock file: versions, platforms, hashes of files, and dependents."""

import re
from dataclasses import dataclass
from pathlib import Path

_ENTRY = re.compile(r"^(?=[a-z0-9])", re.MULTILINE)
_FIRST_LINE = re.compile(r"(?P<name>[a-z0-9-]+)==(?P<version>\S+)(?: ; (?P<marker>.+))? \\\n")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})\b")
_WANTED_BY = re.compile(r"^ +# (?:via )? *([A-Za-z0-9][^\s]*)", re.MULTILINE)


@dataclass(frozen=True)
class Locked:
    """A pinned distribution."""

    name: str
    version: str
    marker: str  #: a PEP 508 marker; empty: for all platforms
    hashes: tuple[str, ...]  #: SHA-256 in hexadecimal, for each file that may be installed
    wanted_by: frozenset[str]  #: names of distributions, including the project


def read(lock: Path) -> tuple[Locked, ...]:
    """Parse a file from `make lock`, in its order, which is by name."""
    return tuple(_entry(text) for text in _ENTRY.split(lock.read_text())[1:])


def _entry(text: str) -> Locked:
    first = _FIRST_LINE.match(text)
    if not first:
        raise ValueError(f"is no line of a lock file: {text.splitlines()[0]}")
    wanted_by = frozenset(_WANTED_BY.findall(text)) - {"via"}
    return Locked(first["name"], first["version"], first["marker"] or "", tuple(_HASH.findall(text)), wanted_by)
