"""Versions work together if they are at most one minor version apart."""

import pytest

from webhook import __version__
from webhook.diagnostics import version_skew


@pytest.mark.parametrize(
    ("version", "release"),
    [
        ("0.1.0", (0, 1)),
        ("1.12.3rc1", (1, 12)),
        ("0.2", (0, 2)),
        (__version__, version_skew.release(__version__)),
        ("", None),
        ("unknown", None),
        ("v1.2", None),
        ("1", None),
    ],
)
def test_release_major_and_minor(version: str, release: tuple[int, int] | None) -> None:
    assert version_skew.release(version) == release
    assert version_skew.release(__version__) is not None


@pytest.mark.parametrize(
    "versions",
    [[], ["0.1.0"], ["0.1.0", "0.1.9"], ["0.1.0", "0.2.0rc1"], ["0.9.0", "0.10.0"], ["0.1.0", "what"]],
)
def test_neighbouring_versions_supported(versions: list[str]) -> None:
    assert version_skew.unsupported(versions) is None


@pytest.mark.parametrize(
    ("versions", "found"),
    [
        (["0.3.0", "0.1.0"], ("0.1.0", "0.3.0")),
        (["0.1.0", "0.2.0", "0.3.0"], ("0.1.0", "0.3.0")),
        (["0.10.0", "0.8.0"], ("0.8.0", "0.10.0")),
        (["1.0.0", "0.9.0"], ("0.9.0", "1.0.0")),
    ],
)
def test_distant_versions_unsupported(versions: list[str], found: tuple[str, str]) -> None:
    assert version_skew.unsupported(versions) == found
