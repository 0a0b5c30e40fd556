"""Prefixes of image names: a registry with an optional path."""

import re
from collections.abc import Container

from webhook.errors import InvalidPrefix
from webhook.images import reference

#: The group omits leading zeros, and takes one digit more than a valid port has.
_PORT = re.compile(r":0*+([0-9]{0,6})[0-9]*\Z")
_PORTS = 65536

#: Paths of the registry API. Docker Hub's credential key has one, too.
_API_PATHS = frozenset({"v1", "v2"})
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://")

#: A URL with one of these can contain a username and password, or a token: no message quotes it.
MAY_HOLD_SECRETS = "@?#"
#: A digest, complete or not, that follows a name, with the tag before it.
_DIGEST = re.compile(r"(?::[^/:@]*)?@sha(?:256|384|512):[0-9a-zA-Z]*\Z")


def normalize(text: str) -> str:
    """Remove the scheme, trailing slashes and a port's leading zeros, and use one name for Docker Hub.

    Otherwise the spelling is unchanged, because it is written into images and credentials; comparisons use `canonical`.

    Raises `InvalidPrefix`, if possible with a hint that has an accepted spelling, if a container runtime would not
    recognize it as a registry in an image name: it would look for the image on Docker Hub.
    """
    try:
        return _normalized(text)
    except InvalidPrefix as error:
        error.hint = error.hint or _hint(text)
        raise


def _normalized(text: str) -> str:
    prefix = text.removeprefix("https://").removeprefix("http://").rstrip("/")
    if not prefix:
        raise InvalidPrefix("must not be empty", hint="write a host, such as registry.example.com")
    domain, _, path = prefix.partition("/")
    checked = _checked(domain, path)
    if canonical_host(checked) == reference.DOCKER_HUB:
        return f"{reference.DOCKER_HUB}/{path}" if path and path not in _API_PATHS else reference.DOCKER_HUB
    if path in _API_PATHS and text != prefix:
        host = checked.removesuffix(f"/{path}")
        hint = f"write {host}, or {checked} if your image names begin with it"
        raise InvalidPrefix(f"/{path} is the path of the registry's API, and not part of image names", hint=hint)
    return checked


def without_scheme(text: str) -> str:
    """Remove a URL's scheme."""
    return _SCHEME.sub("", text, count=1) if _SCHEME.match(text) else text


def without_digest(text: str) -> str:
    """Remove a digest and the tag before it."""
    return _DIGEST.sub("", text)


def _hint(text: str) -> str:
    """Suggest what may be meant by an invalid prefix; empty if that is not known."""
    text = without_digest(text.strip())
    if any(mark in text for mark in MAY_HOLD_SECRETS):
        return ""
    host, slash, path = without_scheme(text).rstrip("*").strip("/").partition("/")
    path = re.sub("//+", "/", path).strip("/").partition(":")[0].lower()
    similar = f"{host.rstrip('.')}{slash}{path}".rstrip("/")
    try:
        _normalized(similar)
    except InvalidPrefix:
        return ""
    return f"write {similar}"


def canonical(prefix: str) -> str:
    """Return the canonical form of a normalized prefix, the same for all spellings."""
    domain, slash, path = prefix.partition("/")
    return f"{reference.canonical_domain(domain)}{slash}{path}"


def canonical_host(prefix: str) -> str:
    """Return the registry (host and port) of a normalized prefix in canonical form."""
    return reference.canonical_domain(prefix.partition("/")[0])


def _checked(domain: str, path: str) -> str:
    if "@sha" in f"{domain}/{path}":
        raise InvalidPrefix("must not have a digest")
    if "@" in domain:
        hint = "set registry.username and registry.password instead"
        raise InvalidPrefix("must not contain a username or password", hint=hint)
    if not reference.is_domain(domain):
        raise InvalidPrefix("must be a host with an optional port and path, such as registry.example.com:5000/team")
    port = _PORT.search(domain)
    if port:
        if not 0 < int(port[1] or 0) < _PORTS:
            raise InvalidPrefix(f"the port must be a number from 1 to {_PORTS - 1}")
        domain = f"{domain[: port.start()]}:{port[1]}"
    # In an image name an upper-case letter marks a registry. In a setting it is a mistake, such as Python's None.
    if not reference.looks_like_registry(domain.lower()):
        problem = "must have a dot or a port in the host, because container runtimes look for other names on Docker Hub"
        raise InvalidPrefix(problem, hint=_qualified(domain, path))
    if path:
        _check_path(path)
    return f"{domain}/{path}" if path else domain


def _check_path(path: str) -> None:
    if not reference.is_path(path):
        if ":" in path:
            raise InvalidPrefix("must not have a tag")
        if "*" in path:
            raise InvalidPrefix("must not contain *, because all names below it match anyway")
        raise InvalidPrefix(reference.PATH_FORM)
    if len(path) > reference.PATH_LIMIT:
        raise InvalidPrefix(f"the path must have at most {reference.PATH_LIMIT} characters")


def _qualified(host: str, path: str) -> str:
    """Suggest how to write a host that is a single name."""
    if path and (not reference.is_path(path) or len(path) > reference.PATH_LIMIT):
        return ""
    below = f"/{path}" if path else ""
    with_domain = "" if host.endswith("]") else f"{host}.example.com{below} or "
    return f"write the full name of the registry, such as {with_domain}{host}:443{below}"


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
