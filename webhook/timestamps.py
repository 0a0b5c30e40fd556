"""Times as Kubernetes objects have them: RFC 3339, in UTC and to the second."""

from datetime import UTC, datetime


def format_rfc3339(seconds: float) -> str:
    """Write a POSIX time."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_rfc3339(text: str) -> float | None:
    """Read what `format_rfc3339` wrote: POSIX time, or None for anything else."""
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
