"""The grammar of image references, as container runtimes read them.

This is the grammar of https://github.com/distribution/reference (v0.6), which kubelet and containerd use:

    reference   = [ domain "/" ] path [ ":" tag ] [ "@" digest ]
    domain      = host [ ":" port ]
    host        = component { "." component } | "[" IPv6 address "]"
    component   = letter or digit { letter, digit or "-" }, not ending in "-"
    path        = part { "/" part }, at most 255 characters in all
    part        = alphanumeric { separator alphanumeric }
    separator   = "." | "_" | "__" | "-" { "-" }
    tag         = letter, digit or "_" { letter, digit, "_", "." or "-" }, at most 128 characters
    digest      = "sha256:" 64 hex | "sha384:" 96 hex | "sha512:" 128 hex, in lower case

What stands before the first "/" is a domain only when it looks like one; `qualified` says how. A name without a domain
is Docker Hub's, and one without a "/" is there in "library/": `nginx` is `docker.io/library/nginx`.

The grammar has no bound on a domain. DNS has, and what is longer than its 253 characters allow is no reference here.
"""

import re
from typing import NamedTuple

from webhook.errors import InvalidReference

DOCKER_HUB = "docker.io"
DOCKER_HUB_ALIAS = "index.docker.io"
OFFICIAL = "library/"
PATH_LIMIT = 255
#: Characters of a whole reference: a host of 253, which is DNS's limit, a port, the longest path, tag and digest.
LENGTH_LIMIT = 253 + len(":65535") + len("/") + PATH_LIMIT + len(":") + 128 + len("@sha512:") + 128

# No pattern here can backtrack far: each alternative is told from the next by its first character, and all match whole
# strings, in ASCII. Classes of characters are repeated possessively, groups are not: up to Python 3.11.4,
# which Debian has, that can match what it must not (https://github.com/python/cpython/issues/106052).
_COMPONENT = r"[a-zA-Z0-9]++(?:-++[a-zA-Z0-9]++)*"
_DOMAIN = re.compile(rf"(?:{_COMPONENT}(?:\.{_COMPONENT})*|\[[a-fA-F0-9:]++\])(?::[0-9]++)?")
_PART = r"[a-z0-9]++(?:(?:\.|__?|-++)[a-z0-9]++)*"
_PATH = rf"{_PART}(?:/{_PART})*"
_REMAINDER = re.compile(
    rf"(?P<path>{_PATH})"
    r"(?P<tag>:[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}+)?"
    r"(?P<digest>@(?:sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}))?",
)
_PATH_ONLY = re.compile(_PATH)
_IDENTIFIER = re.compile(r"[a-f0-9]{64}")


class Reference(NamedTuple):
    """A valid image reference, taken apart."""

    domain: str
    """The registry: as written, or Docker Hub where none is; Docker Hub's old name becomes `docker.io`."""
    path: str
    """The repository within the registry, `library/` written out for Docker Hub's official images."""
    suffix: str
    """Tag and digest byte for byte as written, with their `:` and `@`; may be empty."""
    qualified: bool
    """Whether the registry was written."""

    @property
    def name(self) -> str:
        """The normalised name, registry and path: what rules and patterns are matched with."""
        return f"{self.domain}/{self.path}"


def looks_like_registry(first: str) -> bool:
    """Tell whether the part before a reference's first "/" names a registry.

    It does when it has a ".", a ":" or an upper-case letter, or is `localhost`: the rule of `splitDockerDomain`.
    """
    return "." in first or ":" in first or first == "localhost" or first != first.lower()


def is_domain(text: str) -> bool:
    """Tell whether `text` is a host with an optional port, whether or not it looks like a registry."""
    return _DOMAIN.fullmatch(text) is not None


def is_path(text: str) -> bool:
    """Tell whether `text` is one or more parts of a repository's path."""
    return _PATH_ONLY.fullmatch(text) is not None


def parse(text: str) -> Reference:
    """Take an image reference apart, in time linear in its length.

    Raises `InvalidReference`, saying why, for what a container runtime would refuse.
    """
    if len(text) > LENGTH_LIMIT:
        raise InvalidReference(f"it has {len(text)} characters; the limit is {LENGTH_LIMIT}")
    first, slash, remainder = text.partition("/")
    qualified = bool(slash) and looks_like_registry(first)
    if not qualified:
        first, remainder = DOCKER_HUB, text
    elif first == DOCKER_HUB_ALIAS:
        first = DOCKER_HUB
    match = _REMAINDER.fullmatch(remainder)
    if match is None or not is_domain(first) or _IDENTIFIER.fullmatch(text):
        raise InvalidReference(_why_invalid(text, first, remainder))
    path = match["path"]
    suffix = remainder[len(path) :]
    if first == DOCKER_HUB and "/" not in path:
        path = OFFICIAL + path
    if len(path) > PATH_LIMIT:
        raise InvalidReference(f"its path has {len(path)} characters; the limit is {PATH_LIMIT}")
    return Reference(first, path, suffix, qualified)


def _why_invalid(text: str, domain: str, remainder: str) -> str:
    """Say in a few words what the grammar refused; called for invalid references only."""
    if not text:
        return "it is empty"
    if not text.isascii() or not text.isprintable() or " " in text:
        return "it has a blank or another character that no image name may have"
    if _IDENTIFIER.fullmatch(text):
        return "64 hexadecimal characters are an image's identifier, not a name"
    if "://" in text:
        return "an image name has no scheme: leave out what stands before ://"
    if not is_domain(domain):
        return "what stands before the first / looks like a registry but is no host with an optional port"
    name, at, _ = remainder.partition("@")
    if at and _REMAINDER.fullmatch(name):
        return "its digest is malformed: sha256:, sha384: or sha512: and 64, 96 or 128 hexadecimal digits in lower case"
    path = name.partition(":")[0]
    if path != path.lower() and is_path(path.lower()):
        return "a repository's path must be in lower case"
    if is_path(path):
        return "its tag is malformed"
    return "its path is malformed: parts of a-z and 0-9, joined by one of . _ __ or dashes, with / between them"
