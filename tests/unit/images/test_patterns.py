import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.images.patterns import Globs


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("quay.io/**", "quay.io/coreos/etcd", True),
        ("quay.io/**", "quay.io/etcd", True),
        ("quay.io/**", "quay.io.example.com/etcd", False),
        ("quay.io/*", "quay.io/etcd", True),
        ("quay.io/*", "quay.io/coreos/etcd", False),
        ("quay.io/*/etcd", "quay.io/coreos/etcd", True),
        ("**/pause", "registry.k8s.io/pause", True),
        ("**/pause", "docker.io/a/b/pause", True),
        ("**/pause", "docker.io/library/pauses", False),
        ("*.example.com/**", "a.example.com/x", True),
        ("*.example.com/**", "a.b.example.com/x", True),
        ("*/x", "a/b/x", False),
        ("docker.io/library/nginx", "docker.io/library/nginx", True),
        ("docker.io/library/nginx", "docker.io/library/nginx-unprivileged", False),
        ("docker.io/library/nginx*", "docker.io/library/nginx-unprivileged", True),
        ("docker.io/a*c*e/x", "docker.io/abcde/x", True),
        ("docker.io/a*c*e/x", "docker.io/abde/x", False),
        ("**", "docker.io/library/nginx", True),
        ("***", "docker.io/library/nginx", True),
    ],
)
def test_globs_star_within_component_double_star_across(pattern: str, name: str, matches: bool) -> None:
    assert Globs([pattern]).match(name) == (pattern if matches else None)


def test_globs_match_returns_first_pattern() -> None:
    assert Globs(["quay.io/*", "**", "quay.io/**"]).match("quay.io/etcd") == "quay.io/*"
    assert Globs(["**", "quay.io/*"]).match("quay.io/etcd") == "**"


def test_globs_empty_match_nothing() -> None:
    assert Globs([]).match("") is None
    assert Globs([]).match("a") is None


@given(
    st.lists(st.text("ab/*", max_size=6), max_size=5),
    st.lists(st.text("ab/", max_size=8), max_size=5),
)
def test_globs_match_equals_single_patterns(patterns: list[str], texts: list[str]) -> None:
    globs = Globs(patterns)
    for text in texts:
        expected = next((pattern for pattern in patterns if re.fullmatch(_as_regex(pattern), text)), None)
        assert globs.match(text) == expected


def _as_regex(pattern: str) -> str:
    pieces = re.split(r"(\*+)", pattern)
    return "".join(".*" if p.startswith("**") else "[^/]*" if p == "*" else re.escape(p) for p in pieces)


def test_globs_cache_bounded() -> None:
    globs = Globs([f"**/a{number}*b/**" for number in range(1000)])
    for number in range(5000):
        globs.match(f"docker.io/x{number}a{number % 1000}/b{number}")
    assert len(globs._states) <= 1024  # noqa: SLF001 - the cache's size is not public
    assert globs.match("docker.io/a7xb/y") == "**/a7*b/**"
