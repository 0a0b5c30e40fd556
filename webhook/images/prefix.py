"""Prefixes of image names: a registry with an optional path, and what it covers."""

import re
from collections.abc import Container

from webhook.errors import InvalidPrefix
from webhook.images import reference

#: Leading zeros do not count; no port has more digits than five.
_PORT = re.compile(r":0*+([0-9]{0,6})[0-9]*\Z")
_PORTS = 65536

#: What Docker Hub's registry is called by its own credentials' key and API; as a prefix it is `docker.io`.
_DOCKER_HUB_PATHS = frozenset({"", "v1", "v2"})


def normalise(text: str) -> str:
    """Return what a user writes as a prefix: without scheme and trailing slashes, Docker Hub by its one name.

    All else keeps its spelling, which images and credentials get, except for leading zeros of a port; `canonical` is
    what is compared.

    Raises `InvalidPrefix`, saying what to write instead, for what would not be recognised as a registry in front of
    an image name: the image would then be looked for on Docker Hub.
    """
    prefix = text.removeprefix("https://").removeprefix("http://").rstrip("/")
    if not prefix:
        raise InvalidPrefix("it is empty: write a registry's host with an optional port and path")
    domain, _, path = prefix.partition("/")
    checked = _checked(domain, path)
    if canonical_host(checked) != reference.DOCKER_HUB:
        return checked
    return reference.DOCKER_HUB if path in _DOCKER_HUB_PATHS else f"{reference.DOCKER_HUB}/{path}"


def canonical(prefix: str) -> str:
    """Return the text that all spellings of a normalised prefix have in common."""
    domain, slash, path = prefix.partition("/")
    return f"{reference.canonical_domain(domain)}{slash}{path}"


def canonical_host(prefix: str) -> str:
    """Return the registry of a normalised prefix, host and port, in canonical form."""
    return reference.canonical_domain(prefix.partition("/")[0])


def _checked(domain: str, path: str) -> str:
    if "@" in domain:
        raise InvalidPrefix("a registry holds no user name or password: they have keys of their own")
    if not reference.is_domain(domain):
        raise InvalidPrefix("it is no host with an optional port and path, such as registry.example.com:5000/team")
    port = _PORT.search(domain)
    if port:
        if not 0 < int(port[1] or 0) < _PORTS:
            raise InvalidPrefix(f"a port is a number from 1 to {_PORTS - 1}")
        domain = f"{domain[: port.start()]}:{port[1]}"
    # In an image an upper-case letter makes a registry. In a setting it is a mistake, such as Python's None.
    if not reference.looks_like_registry(domain.lower()):
        raise InvalidPrefix(
            f"{domain} is a single name, which Docker Hub's paths begin with as well: "
            f"write it with its domain ({domain}.example.com) or its port ({domain}:443)"
        )
    if not path:
        return domain
    if not reference.is_path(path):
        raise InvalidPrefix("its path is malformed: parts of a-z, 0-9 and . _ - with / between them, no tag, no digest")
    if len(path) > reference.PATH_LIMIT:
        raise InvalidPrefix(f"its path is over {reference.PATH_LIMIT} characters, the limit for a whole image name")
    return f"{domain}/{path}"


def covers(prefix: str, name: str) -> bool:
    """Return whether `name` is `prefix` or below it, by whole path components."""
    return name.startswith(prefix) and (len(name) == len(prefix) or name[len(prefix)] == "/")


def longest(known: Container[str], name: str) -> str | None:
    """Return the longest of the prefixes in `known` that covers `name`, with one look-up per path component."""
    while name not in known:
        end = name.rfind("/")
        if end < 0:
            return None
        name = name[:end]
    return name
