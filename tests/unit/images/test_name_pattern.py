"""Patterns that can match are accepted, others refused, and what a hint suggests instead has the intended effect."""

import re
from itertools import product

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from webhook.errors import InvalidPattern, InvalidReference
from webhook.images import name_pattern, reference
from webhook.images.patterns import Globs

_PART = r"[a-z0-9]{1,3}((\.|__?|-{1,2})[a-z0-9]{1,2})?"
_NAMES = st.from_regex(
    rf"([a-z0-9]{{1,3}}(-{{1,2}}[a-z0-9])?\.[a-z]{{1,2}}|localhost|\[::1\])(:[1-9][0-9]{{0,2}})?/{_PART}(/{_PART}){{0,2}}",
    fullmatch=True,
).map(lambda name: reference.parse(name).canonical_name)


def _refused(pattern: str) -> InvalidPattern:
    with pytest.raises(InvalidPattern) as caught:
        name_pattern.normalize(pattern)
    assert caught.value.hint
    return caught.value


def _suggested(pattern: str) -> list[str]:
    """Return the patterns that the hint for a refused one suggests."""
    return re.findall(r"(?:write|or) (\S+?)(?=, or |$)", _refused(pattern).hint)


@pytest.mark.parametrize(
    ("pattern", "suggested"),
    [
        ("nginx", ["docker.io/library/nginx"]),
        ("nginx@sha256:00", ["docker.io/library/nginx"]),
        ("nginx:1@sha256:00", ["docker.io/library/nginx"]),
        ("quay.io/x@sha256:00", ["quay.io/x"]),
        ("quay.io/x:1@sha512:abc", ["quay.io/x"]),
        ("nginx:1.27", ["docker.io/library/nginx"]),
        ("nginx:latest", ["docker.io/library/nginx"]),
        ("nginx:1.27/**", ["docker.io/library/nginx"]),
        ("nginx:1", ["docker.io/library/nginx", "nginx:1/**"]),
        ("opencti/*", ["docker.io/opencti/*"]),
        ("team/app:1.0", ["docker.io/team/app"]),
        ("team/", ["docker.io/team/**"]),
        ("quay.io", ["quay.io/**"]),
        ("quay.io/", ["quay.io/**"]),
        ("quay.io/team/", ["quay.io/team/**"]),
        ("quay.io//team", ["quay.io/team"]),
        ("https://quay.io/team", ["quay.io/team"]),
        (" quay.io/team ", ["quay.io/team"]),
        ("quay.io/Team", ["quay.io/team"]),
        ("quay.io/x:1.0", ["quay.io/x"]),
        ("docker.io/nginx", ["docker.io/library/nginx"]),
        ("index.docker.io/nginx*", ["docker.io/library/nginx*"]),
        ("docker.io/*", ["docker.io/library/*", "docker.io/**"]),
        ("*", ["**"]),
        ("*nginx", ["**/*nginx"]),
        ("nginx*", ["docker.io/library/nginx*"]),
        ("localhost", ["localhost/**"]),
        ("*:443/x", ["*/x"]),
        ("**:0443/x", ["**/x"]),
    ],
)
def test_normalize_impossible_pattern_suggests_others(pattern: str, suggested: list[str]) -> None:
    assert _suggested(pattern) == suggested


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "quay.io/[ab]?",
        "quay.io/(x|y)",
        "quay.io/a..b",
        "quay.io/a._b",
        "quay.io/[x]",
        "quay.io/x-",
        "-quay.io/x",
        "quay.io:/x",
        "quay..io/x",
        "[::g]/x",
        "quay.io/" + "a" * 256,
        "a" * 513,
    ],
)
def test_normalize_pattern_no_name_can_match_refused(pattern: str) -> None:
    _refused(pattern)


@pytest.mark.parametrize("pattern", ["robot:hunter2@quay.io/**", "robot:1@sha256.io/hunter2", "hunter2?/x", "hunter2#"])
def test_normalize_pattern_that_may_hold_secret_quoted_nowhere(pattern: str) -> None:
    error = _refused(pattern)
    assert "hunter2" not in error.one_line
    assert "quay" not in error.one_line


@pytest.mark.parametrize("pattern", ["**", "quay.io/**", "*/x", "*.io/*", "localhost/x", "a:5000/**", "[::1]:5000/*"])
def test_normalize_valid_pattern_unchanged(pattern: str) -> None:
    assert name_pattern.normalize(pattern) == pattern


@given(_NAMES, st.lists(st.tuples(st.integers(0, 40), st.integers(0, 8), st.sampled_from(["*", "**"])), max_size=3))
def test_normalize_pattern_of_name_accepted(name: str, stars: list[tuple[int, int, str]]) -> None:
    pattern = name
    for start, length, star in stars:
        replaced = pattern[start : start + length]
        if star == "**" or "/" not in replaced:
            pattern = pattern[:start] + star + pattern[start + length :]
    try:
        normalized = name_pattern.normalize(pattern)
    except InvalidPattern as error:
        # A pattern that is likely a mistake is refused even if it can match a few names, such as one without a path.
        assert "no image name has this form" not in str(error)  # noqa: PT017 - both outcomes are right
        return
    assert Globs([normalized]).match(name) == normalized


@given(st.text("ab.:/*-_[0", min_size=1, max_size=12))
def test_normalize_accepted_pattern_matches_some_name(pattern: str) -> None:
    try:
        normalized = name_pattern.normalize(pattern)
    except InvalidPattern:
        return
    pieces = re.split(r"(\*+)", normalized)
    fillers = ("", "a", "a.b", "a/a", "a/", "/a", "1", "a:1", "1/a", "a.b/a", "]/a", ":1]", ":1", "::1]", "[::1]/a")
    starred = [
        fillers if piece.startswith("**") else [filler for filler in fillers if "/" not in filler] if piece else [""]
        for piece in pieces[1::2]
    ]
    for chosen in product(*starred):
        name = "".join(text for pair in zip(pieces[::2], [*chosen, ""], strict=True) for text in pair)
        if _is_canonical_name(name):
            return
    pytest.fail(f"{normalized} matches none of the names that were tried")


def _is_canonical_name(name: str) -> bool:
    # `localhost` stands for any host of a single component, which a reference has in upper case.
    host, _, path = name.partition("/")
    try:
        parsed = reference.parse(f"{host.upper()}/{path}")
    except InvalidReference:
        return False
    return not parsed.suffix and parsed.qualified and parsed.canonical_name == name


@given(st.from_regex(rf"({_PART}/){{0,2}}{_PART}(:[a-z0-9_][a-z0-9._-]{{0,3}})?", fullmatch=True))
def test_normalize_image_as_pattern_suggestion_matches_image(image: str) -> None:
    name = reference.parse(image).canonical_name
    try:
        name_pattern.normalize(image)
    except InvalidPattern:
        # A host alone counts as a registry, although it is the name of an image on Docker Hub, too.
        assume("/" in image or not re.fullmatch(r"[^:]*\.[^:]*(:[0-9]+)?|localhost", image))
        suggested = _suggested(image)
        assert Globs(list(map(name_pattern.normalize, suggested))).match(name)


@given(st.text("aB.:/*-_@[] 0", max_size=14))
def test_normalize_suggestion_accepted(pattern: str) -> None:
    try:
        name_pattern.normalize(pattern)
    except InvalidPattern as error:
        if error.hint.startswith("write the name"):
            return
        for suggested in re.findall(r"(?:write|or|such as) (\S+?)(?=, or |$)", error.hint):
            name_pattern.normalize(suggested)
