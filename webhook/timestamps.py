"""Timestamps of Kubernetes objects: RFC 3339, UTC, in seconds."""

from datetime import UTC, datetime


def format_rfc3339(seconds: float) -> str:
    """Format a POSIX time."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_rfc3339(text: str) -> float | None:
    """Parse the output of `format_rfc3339` into a POSIX time; return None for anything else."""
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
