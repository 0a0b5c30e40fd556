"""Which versions of this program work together: those that are at most one minor version apart."""

import re
from collections.abc import Collection

_VERSION = re.compile(r"([0-9]{1,9})\.([0-9]{1,9})(?![0-9])", re.ASCII)


def release(version: str) -> tuple[int, int] | None:
    """Return the major and minor number of `0.1.0` or `1.2.0rc1`; None for anything else."""
    found = _VERSION.match(version)
    return (int(found[1]), int(found[2])) if found else None


def unsupported(versions: Collection[str]) -> tuple[str, str] | None:
    """Return the oldest and the newest version if they do not work together. Unreadable versions are ignored."""
    ordered = sorted((found, version) for version in versions if (found := release(version)))
    if not ordered:
        return None
    (oldest, first), (newest, last) = ordered[0], ordered[-1]
    return None if oldest[0] == newest[0] and newest[1] - oldest[1] <= 1 else (first, last)
