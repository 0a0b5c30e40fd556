"""The grammar of image references.

It is the grammar of https://github.com/distribution/reference (v0.6), which the kubelet and containerd use:

    reference   = [ domain "/" ] path [ ":" tag ] [ "@" digest ]
    domain      = host [ ":" port ]
    host        = component { "." component } | "[" IPv6 address "]"
    component   = letter or digit { letter, digit or "-" }, not ending in "-"
    path        = part { "/" part }, at most 255 characters in all
    part        = alphanumeric { separator alphanumeric }
    separator   = "." | "_" | "__" | "-" { "-" }
    tag         = letter, digit or "_" { letter, digit, "_", "." or "-" }, at most 128 characters
    digest      = "sha256:" 64 hex | "sha384:" 96 hex | "sha512:" 128 hex, in lower case

The part before the first "/" is a domain only if it looks like one (`looks_like_registry`). A name without a domain is
on Docker Hub, where one without a "/" is below "library/": `nginx` is `docker.io/library/nginx`.

The grammar does not limit the length of a domain or port, and a port may have any number of leading zeros.

A registry can be spelled in several ways: host names and IPv6 addresses ignore case, ports are compared by value, and
the default port is 443. containerd and CRI-O connect to `registry-1.docker.io` for `docker.io`. `canonical_domain` maps
all of these to one string. Aliases that only DNS knows, such as a CNAME, count as other registries.
"""

import re
from ipaddress import AddressValueError, IPv6Address

from msgspec import Struct

from webhook.errors import InvalidReference

DOCKER_HUB = "docker.io"
DOCKER_HUB_ALIAS = "index.docker.io"
OFFICIAL = "library/"
PATH_LIMIT = 255
#: Maximum length of path, tag and digest.
REMAINDER_LIMIT = PATH_LIMIT + len(":") + 128 + len("@sha512:") + 128
#: Docker Hub's domains, in canonical form.
DOCKER_HUB_DOMAINS = frozenset({DOCKER_HUB, DOCKER_HUB_ALIAS, "registry-1.docker.io"})
DEFAULT_PORT = "443"

# These patterns hardly backtrack: alternatives differ in their first character, and all match whole ASCII strings.
# Character classes are repeated possessively, groups are not: up to Python 3.11.4, which Debian has, possessive groups
# can match wrongly (https://github.com/python/cpython/issues/106052). A domain has no length limit, so its pattern
# never backtracks; `is_domain` checks where separators may be.
_DOMAIN = re.compile(r"(?P<host>[a-zA-Z0-9.-]++|\[[a-fA-F0-9:]++\])(?::(?P<port>[0-9]++))?")
_PART = r"[a-z0-9]++(?:(?:\.|__?|-++)[a-z0-9]++)*"
_PATH = rf"{_PART}(?:/{_PART})*"
_DIGEST = r"sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}"
_REMAINDER = re.compile(
    rf"(?P<path>{_PATH})"
    r"(?P<tag>:[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}+)?"
    rf"(?P<digest>@(?:{_DIGEST}))?",
)
_PATH_ONLY = re.compile(_PATH)
PATH_FORM = "the path must consist of a-z and 0-9, joined by one of . _ __ or dashes, with / between components"
_IDENTIFIER = re.compile(rf"[a-f0-9]{{64}}|{_DIGEST}")


class Reference(Struct, frozen=True, gc=False):
    """The parts of a valid image reference."""

    domain: str
    """The registry as written, `docker.io` if there is none or it is Docker Hub's old name."""
    path: str
    """The repository within the registry, including `library/` for Docker Hub's official images."""
    suffix: str
    """Tag and digest exactly as written, including `:` and `@`; may be empty."""
    qualified: bool
    """Whether the reference specifies a registry."""

    @property
    def name(self) -> str:
        """Registry and path as the kubelet normalizes them to look up credentials."""
        return f"{self.domain}/{self.path}"

    @property
    def canonical_name(self) -> str:
        """Registry in canonical form, and path: compared with rules, prefixes and patterns."""
        if not self.qualified:
            return self.name
        domain = canonical_domain(self.domain)
        official = domain == DOCKER_HUB and "/" not in self.path
        return f"{domain}/{OFFICIAL}{self.path}" if official else f"{domain}/{self.path}"


def looks_like_registry(first: str) -> bool:
    """Return whether the part before a reference's first "/" is a registry.

    It is if it contains a ".", a ":" or an upper-case letter, or is `localhost`: the rule of `splitDockerDomain`.
    """
    return "." in first or ":" in first or first == "localhost" or first != first.lower()


def canonical_domain(domain: str) -> str:
    """Return the form of a registry's host and port that is the same for all spellings.

    `domain` is valid, or the part of a glob pattern before the first "/".
    """
    domain = domain.lower()
    if ":" in domain:
        domain = _canonical_address(domain)
    return DOCKER_HUB if domain in DOCKER_HUB_DOMAINS else domain


def _canonical_address(domain: str) -> str:
    host, port = domain, DEFAULT_PORT
    if not domain.endswith("]"):
        host, _, port = domain.rpartition(":")
        if port.isdecimal():
            port = port.lstrip("0") or "0"
    if host.startswith("["):
        host = _canonical_ipv6(host)
    return host if port == DEFAULT_PORT else f"{host}:{port}"


def _canonical_ipv6(host: str) -> str:
    """Format a bracketed address as in RFC 5952; leave invalid and IPv4-mapped addresses unchanged."""
    try:
        address = IPv6Address(host[1:-1])
    except AddressValueError:
        return host
    return host if address.ipv4_mapped else f"[{address.compressed}]"


def is_domain(text: str) -> bool:
    """Return whether `text` is a host with an optional port, even if it does not look like a registry."""
    match = _DOMAIN.fullmatch(text)
    if match is None:
        return False
    host = match["host"]
    if host[0] in ".-" or host[-1] in ".-":
        return False
    return ".." not in host and ".-" not in host and "-." not in host


def is_path(text: str) -> bool:
    """Return whether `text` is one or more components of a repository path."""
    return _PATH_ONLY.fullmatch(text) is not None


def parse(text: str) -> Reference:
    """Parse an image reference, in time linear in its length.

    Raises `InvalidReference`, with the reason, if a container runtime would reject it.
    """
    first, slash, remainder = text.partition("/")
    qualified = bool(slash) and looks_like_registry(first)
    if not qualified:
        first, remainder = DOCKER_HUB, text
    elif first == DOCKER_HUB_ALIAS:
        first = DOCKER_HUB
    match = _REMAINDER.fullmatch(remainder) if len(remainder) <= REMAINDER_LIMIT else None
    if match is None or (qualified and not is_domain(first)) or (not slash and _IDENTIFIER.fullmatch(text)):
        raise InvalidReference(_why_invalid(text, first, remainder))
    path = match["path"]
    suffix = remainder[len(path) :]
    if first == DOCKER_HUB and "/" not in path:
        path = OFFICIAL + path
    if len(path) > PATH_LIMIT:
        raise InvalidReference(f"the path has {len(path)} characters, more than {PATH_LIMIT}")
    return Reference(first, path, suffix, qualified)


def _why_invalid(text: str, domain: str, remainder: str) -> str:
    """Return why an invalid reference is invalid."""
    if not text:
        return "empty"
    if "{{" in text:
        return "a template that has not been rendered"
    if not text.isascii() or not text.isprintable() or " " in text:
        return "contains a space or another character that image names do not have"
    if _IDENTIFIER.fullmatch(text):
        return "an image ID, not a name"
    if "://" in text:
        return "begins with a URL scheme"
    if not is_domain(domain):
        return "the part before the first / is not a host with an optional port"
    if len(remainder) > REMAINDER_LIMIT:
        return f"path, tag and digest have {len(remainder)} characters, more than {REMAINDER_LIMIT}"
    return _why_invalid_remainder(remainder)


def _why_invalid_remainder(remainder: str) -> str:
    name, at, _ = remainder.partition("@")
    if at and _REMAINDER.fullmatch(name):
        return "the digest must be sha256:, sha384: or sha512: with 64, 96 or 128 lower-case hexadecimal digits"
    path = name.partition(":")[0]
    if path != path.lower() and is_path(path.lower()):
        return "the path must be in lower case"
    if is_path(path):
        return "the tag must have 1 to 128 letters, digits, _, . and -, and not begin with . or -"
    return PATH_FORM
