"""Parts of sentences."""

import pytest

from webhook.output.phrases import ago, counted, join_names


@pytest.mark.parametrize(
    ("number", "words", "phrase"),
    [
        (0, ("Pod",), "0 Pods"),
        (1, ("Pod",), "1 Pod"),
        (2000, ("Pod",), "2,000 Pods"),
        (1, ("process uses", "processes use"), "1 process uses"),
        (2, ("process uses", "processes use"), "2 processes use"),
    ],
)
def test_counted(number: int, words: tuple[str, ...], phrase: str) -> None:
    assert counted(number, *words) == phrase


@pytest.mark.parametrize(
    ("names", "phrase"), [("", ""), ("ba", "a, b"), ("cab", "a, b, c"), ("dcab", "a, b, c and 1 more")]
)
def test_join_names(names: str, phrase: str) -> None:
    assert join_names(names) == phrase


@pytest.mark.parametrize(
    ("seconds", "phrase"),
    [
        (-5, "less than a minute ago"),
        (59, "less than a minute ago"),
        (60, "1 minute ago"),
        (24 * 60 + 59, "24 minutes ago"),
        (7200, "2 hours ago"),
        (90000, "1 day ago"),
    ],
)
def test_ago(seconds: float, phrase: str) -> None:
    assert ago(seconds) == phrase
