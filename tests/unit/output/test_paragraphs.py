"""Paragraphs, for screens of any width."""

import pytest

from webhook.output.paragraphs import heading, wrapped
from webhook.output.terminal import Screen

_URL = "https://example.com/" + "path/" * 12


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["  "]),
        ("a " * 20 + "b", ["  " + "a " * 13 + "a", "  a a a a a a b"]),
        ("x" * 30, ["  " + "x" * 28, "  xx"]),
        (f"see {_URL} first", ["  see", f"  {_URL}", "  first"]),
        ("\u4e2d\x1b[2J", [r"  \u4e2d\x1b[2J"]),
    ],
    ids=["empty", "words", "long word", "URL whole", "foreign"],
)
def test_wrapped_lines(text: str, expected: list[str]) -> None:
    assert list(wrapped(text, Screen(width=30))) == expected


def test_wrapped_first_line_without_indent() -> None:
    assert list(wrapped("hint: " + "word " * 8, Screen(width=30), first="")) == [
        "hint: word word word word",
        "  word word word word",
    ]


@pytest.mark.parametrize("width", [None, 20])
def test_wrapped_without_room_one_line(width: int | None) -> None:
    assert list(wrapped("word " * 20, Screen(width=width))) == ["  " + "word " * 20]


def test_heading_lines_bold_and_indented() -> None:
    assert list(heading("word " * 8, Screen(width=30, colored=True))) == [
        "\x1b[1mword word word word word\x1b[0m",
        "\x1b[1m  word word word\x1b[0m",
    ]
