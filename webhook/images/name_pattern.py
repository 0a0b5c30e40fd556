"""Patterns of image names in `webhook.exclude`: which can match, and what to write instead of those that cannot."""

import re
from collections.abc import Iterator
from functools import lru_cache

from webhook.errors import InvalidPattern
from webhook.images import prefix, reference
from webhook.images.patterns import STARS

_NAME_PATTERN = re.compile(r"[a-zA-Z0-9._:/*\[\]-]+")
_LENGTH_LIMIT = 512
#: A character that a port does not have, but a tag may.
_TAG = re.compile(r"[^0-9*]")
#: Such a port cannot be dropped as the default: without it the star would match any port.
_ANY_HOST_DEFAULT_PORT = re.compile(rf"\*:0*{reference.DEFAULT_PORT}\Z")
_OFFICIAL = f"{reference.DOCKER_HUB}/{reference.OFFICIAL}"


def normalize(pattern: str) -> str:
    """Return the pattern with its registry in canonical form, like the names that it is compared with.

    Raises `InvalidPattern` if it can never match a name (registry and path without tag and digest). The hint has
    patterns that are accepted instead.
    """
    try:
        return _normalized(pattern)
    except InvalidPattern as error:
        name = prefix.without_digest(pattern)
        if any(mark in name for mark in prefix.MAY_HOLD_SECRETS):
            error.hint = "write the name alone, without @, ? and # and what follows them"
        else:
            accepted = filter(_is_accepted, dict.fromkeys(_similar(name)))
            error.hint = f"write {', or '.join(accepted) or 'a registry and a path, such as quay.io/team/**'}"
        raise


def _normalized(pattern: str) -> str:
    _check_characters(pattern)
    first, slash, rest = pattern.partition("/")
    _, colon, port = first.rpartition(":")
    if not colon or first.endswith("]"):
        port = ""
    if rest.startswith("/") and first.endswith(":"):
        raise InvalidPattern("must not begin with a URL scheme")
    if ":" in rest or (not slash and _TAG.search(port)):
        raise InvalidPattern("tags are not matched")
    if slash and _TAG.search(port):
        raise InvalidPattern("the port of a registry must be a number")
    if "*" not in first and not reference.looks_like_registry(first):
        raise InvalidPattern("must begin with a registry")
    if not slash and "**" not in first:
        raise InvalidPattern("must have a path after the registry")
    if pattern.endswith("/") or "//" in pattern:
        raise InvalidPattern("must not have an empty path component")
    if _ANY_HOST_DEFAULT_PORT.search(first):
        raise InvalidPattern(f"the default port {reference.DEFAULT_PORT} is not matched")
    normalized = f"{reference.canonical_domain(first)}{slash}{rest}"
    _check_can_match(normalized)
    return normalized


def _check_characters(pattern: str) -> None:
    if not pattern:
        raise InvalidPattern("must not be empty")
    if len(pattern) > _LENGTH_LIMIT:
        raise InvalidPattern(f"must have at most {_LENGTH_LIMIT} characters")
    if "@" in pattern:
        raise InvalidPattern("digests are not matched")
    if not _NAME_PATTERN.fullmatch(pattern):
        raise InvalidPattern("must consist of the characters of image names, * and **")


def _check_can_match(pattern: str) -> None:
    registry, _, rest = pattern.partition("/")
    if registry == reference.DOCKER_HUB and "/" not in rest and "**" not in rest:
        raise InvalidPattern(f"matches no image, because official images are named {_OFFICIAL}NAME")
    if rest != rest.lower():
        raise InvalidPattern("the path must be in lower case")
    if not _can_match(pattern) or len(rest.replace("*", "")) > reference.PATH_LIMIT:
        raise InvalidPattern("matches no image, because no image name has this form")


def _is_accepted(pattern: str) -> bool:
    try:
        _normalized(pattern)
    except InvalidPattern:
        return False
    return True


def _similar(pattern: str) -> Iterator[str]:
    """Yield what may be meant by a pattern that can never match."""
    name = re.sub("//+", "/", prefix.without_scheme(pattern.strip()))
    host, slash, path = name.strip("/").partition("/")
    bare, colon, port = host.rpartition(":")
    if not colon or host.endswith("]"):
        bare, colon = host, ""
    has_tag = bool(colon and _TAG.search(port))
    if (slash or name.endswith("/")) and not has_tag:
        drop_port = "*" in bare and _ANY_HOST_DEFAULT_PORT.search(host)
        yield from _with_path(bare if drop_port else host, path.partition(":")[0].lower(), name.endswith("/"))
        return
    if not bare.startswith("*") and (has_tag or not reference.looks_like_registry(bare.lower())):
        yield f"{_OFFICIAL}{bare.lower()}"
    if not has_tag and reference.looks_like_registry(host):
        yield f"{host}/**"
    elif bare.startswith("*"):
        yield "**" if bare == "*" else f"**/{bare}"


def _with_path(host: str, path: str, ends_with_slash: bool) -> Iterator[str]:  # noqa: FBT001 - one caller
    below = f"{path}/**" if ends_with_slash and path else path or "**"
    if reference.canonical_domain(host) == reference.DOCKER_HUB and "/" not in below and "**" not in below:
        yield f"{_OFFICIAL}{below}"
        if below == "*":
            yield f"{reference.DOCKER_HUB}/**"
    elif "*" in host or reference.looks_like_registry(host):
        yield f"{host}/{below}"
    else:
        yield f"{reference.DOCKER_HUB}/{host}/{below}"


#: A deterministic automaton of names in canonical form: the next state for each state and character. `path` accepts.
_ALPHANUMERIC = "abcdefghijklmnopqrstuvwxyz0123456789"
_STATES: dict[str, dict[str, str]] = {
    "start": {_ALPHANUMERIC: "host", "[": "address"},
    "host": {_ALPHANUMERIC: "host", "-": "host hyphen", ".": "host dot", ":": "colon", "/": "slash"},
    "host hyphen": {_ALPHANUMERIC: "host", "-": "host hyphen"},
    "host dot": {_ALPHANUMERIC: "host"},
    "address": {"0123456789abcdef:": "address", "]": "bracket"},
    "bracket": {":": "colon", "/": "slash"},
    "colon": {"123456789": "port", "0": "port 0"},
    "port": {"0123456789": "port", "/": "slash"},
    "port 0": {"/": "slash"},
    "slash": {_ALPHANUMERIC: "path"},
    "path": {_ALPHANUMERIC: "path", ".": "separator", "_": "underscore", "-": "hyphen", "/": "slash"},
    "separator": {_ALPHANUMERIC: "path"},
    "underscore": {_ALPHANUMERIC: "path", "_": "separator"},
    "hyphen": {_ALPHANUMERIC: "path", "-": "hyphen"},
}


def _can_match(pattern: str) -> bool:
    """Return whether a pattern matches a name of any length."""
    states = frozenset({"start"})
    for piece in STARS.split(pattern):
        if piece.startswith("*"):
            states = _after_star(states, across=len(piece) > 1)
        else:
            for character in piece:
                states = _after(states, character)
    return "path" in states


@lru_cache(4096)
def _after(states: frozenset[str], character: str) -> frozenset[str]:
    return frozenset(
        following for state in states for characters, following in _STATES[state].items() if character in characters
    )


@lru_cache(4096)
def _after_star(states: frozenset[str], *, across: bool) -> frozenset[str]:
    reached, found = frozenset[str](), states
    while found != reached:
        reached = found
        found = reached | {
            following
            for state in reached
            for characters, following in _STATES[state].items()
            if across or characters != "/"
        }
    return reached
