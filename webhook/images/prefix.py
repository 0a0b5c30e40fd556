"""Prefixes of image names: a registry with an optional path."""

import re
from collections.abc import Container

from webhook.errors import InvalidPrefix
from webhook.images import reference

#: The group omits leading zeros, and takes one digit more than a valid port has.
_PORT = re.compile(r":0*+([0-9]{0,6})[0-9]*\Z")
_PORTS = 65536

#: Paths in Docker Hub's credential key and API URLs, which are not part of the prefix `docker.io`.
_DOCKER_HUB_PATHS = frozenset({"", "v1", "v2"})


def normalize(text: str) -> str:
    """Remove the scheme, trailing slashes and a port's leading zeros, and use one name for Docker Hub.

    Otherwise the spelling is kept, because it is written into images and credentials; comparisons use `canonical`.

    Raises `InvalidPrefix`, with a suggestion, if a container runtime would not recognize it as a registry in an image
    name: it would look for the image on Docker Hub.
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
    """Return the canonical form of a normalized prefix, the same for all spellings."""
    domain, slash, path = prefix.partition("/")
    return f"{reference.canonical_domain(domain)}{slash}{path}"


def canonical_host(prefix: str) -> str:
    """Return the registry (host and port) of a normalized prefix in canonical form."""
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
    # In an image name an upper-case letter marks a registry. In a setting it is a mistake, such as Python's None.
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
    """Return whether `name` is `prefix` or is below it, comparing whole path components."""
    return name.startswith(prefix) and (len(name) == len(prefix) or name[len(prefix)] == "/")


def longest(prefixes: Container[str], name: str) -> str | None:
    """Return the longest of the prefixes that covers `name`, with one lookup per path component."""
    while name not in prefixes:
        end = name.rfind("/")
        if end < 0:
            return None
        name = name[:end]
    return name
