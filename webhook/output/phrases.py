"""Parts of sentences that several messages share."""

from collections.abc import Iterable

_NAMED = 3


def counted(number: int, one: str, several: str = "") -> str:
    """Return a number with its noun: `1 Pod`, `2,000 Pods`. Without `several`, the plural ends in s."""
    return f"{number:,} {one if number == 1 else several or f'{one}s'}"


def join_names(names: Iterable[str]) -> str:
    """Join names in order, and count those after the third: `team-a, team-b, team-c and 7 more`."""
    listed = sorted(names)
    more = f" and {len(listed) - _NAMED:,} more" if len(listed) > _NAMED else ""
    return ", ".join(listed[:_NAMED]) + more


def ago(seconds: float) -> str:
    """Return how long ago something was: `24 minutes ago`."""
    for unit, name in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= unit:
            return f"{counted(int(seconds // unit), name)} ago"
    return "less than a minute ago"
