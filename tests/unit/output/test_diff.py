"""Diffs: what is escaped in their lines, and what is not, so that they can be applied."""

import pytest

from webhook.output import diff
from webhook.output.terminal import Screen


def test_diff_line_ends_kept() -> None:
    lines = [str(diff.colored(line, Screen())) for line in diff.unified("a\r\nb\r\n", "a\r\nc\r\n", "x")]
    assert lines[3:] == [" a\r", "-b\r", "+c\r"]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("+a\tb\r", "\x1b[32m+a\tb\x1b[0m\r"),
        ("+a\rb\r\r", "\x1b[32m+a\\x0db\\x0d\x1b[0m\r"),
        ("-\x1b[32m", "\x1b[31m-\\x1b[32m\x1b[0m"),
        (" a\r", " a\r"),
    ],
)
def test_colored_other_control_characters_escaped(line: str, shown: str) -> None:
    assert diff.colored(line, Screen(colored=True)) == shown
