"""Snapshots of which some parts could not be read."""

import pytest

from webhook.errors import NotReadable
from webhook.kube.partial import attempt, known, known_or

UNREADABLE = NotReadable("no permission to list Pods")


def read(value: int) -> int:
    if value < 0:
        raise UNREADABLE
    return value


def test_attempt_readable_part_is_the_value() -> None:
    part = attempt(read, 1)
    assert (part, known(part), known_or(part, None)) == (1, 1, 1)


def test_attempt_unreadable_part_raises_when_needed() -> None:
    part = attempt(read, -1)
    assert part is UNREADABLE
    assert known_or(part, None) is None
    with pytest.raises(NotReadable, match="no permission to list Pods"):
        known(part)
