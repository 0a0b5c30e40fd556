"""Prefixes of image names: a registry with an optional path, and what it covers."""

import re
from collections.abc import Container

from webhook.errors import InvalidPrefix
from webhook.images import reference

_PORT = re.compile(r":([0-9]{1,6})[0-9]*\Z")
_PORTS = 65536

#: What Docker Hub's registry is called by its own credentials' key and API; as a prefix it is `docker.io`.
_DOCKER_HUB_PATHS = frozenset({"", "v1", "v2"})


def normalise(text: str) -> str:
    """Make a prefix of what a person writes: scheme and trailing slashes go, Docker Hub gets its one name.

    Raises `InvalidPrefix`, saying what to write instead, for what would not be recognised as a registry in front of
    an image name: the image would then be looked for on Docker Hub.
    """
    prefix = text.removeprefix("https://").removeprefix("http://").rstrip("/")
    if not prefix:
        raise InvalidPrefix("it is empty: write a registry's host with an optional port and path")
    domain, _, path = prefix.partition("/")
    if domain in {reference.DOCKER_HUB, reference.DOCKER_HUB_ALIAS}:
        return reference.DOCKER_HUB if path in _DOCKER_HUB_PATHS else _checked(reference.DOCKER_HUB, path)
    return _checked(domain, path)


def _checked(domain: str, path: str) -> str:
    if "@" in domain:
        raise InvalidPrefix("a registry holds no user name or password: they have keys of their own")
    if not reference.is_domain(domain):
        raise InvalidPrefix("it is no host with an optional port and path, such as registry.example.com:5000/team")
    port = _PORT.search(domain)
    if port and not 0 < int(port[1]) < _PORTS:
        raise InvalidPrefix(f"a port is a number from 1 to {_PORTS - 1}")
    if not reference.looks_like_registry(domain):
        raise InvalidPrefix(
            f"in front of an image name, {domain} would be read as part of a path on Docker Hub: "
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
    """Tell whether `name` is `prefix` or stands below it, whole path components compared."""
    return name.startswith(prefix) and (len(name) == len(prefix) or name[len(prefix)] == "/")


def longest(known: Container[str], name: str) -> str | None:
    """Find the longest of the prefixes in `known` that covers `name`, in one look-up per path component."""
    while name not in known:
        end = name.rfind("/")
        if end < 0:
            return None
        name = name[:end]
    return name
