"""Which entries of a pull secret kubelet would use for an image, and in which order it would try them.

The rules are those of `pkg/credentialprovider/keyring.go` in Kubernetes 1.37, described on
https://kubernetes.io/docs/concepts/containers/images/#config-json:

- A key is a URL; `https://` is put in front of one without a scheme. Other text is ignored. A leading `/v1/` or
  `/v2/` of its path is dropped, and so is a path that is only `/`.
- The image's name, normalized and without tag and digest, matches a key when the ports are equal strings, when the
  hosts have the same number of labels and each matches as a glob, and when the image's path begins with the key's.
- All entries that match are tried, keys in reverse order of their bytes: the longer path first.
- When none matches, an image of the default registry gets the entries filed under `index.docker.io`. Such an image is
  one of Docker Hub, or one whose host has neither `.` nor `:`.

URLs are those of Go's `net/url` (1.26, which kubelet 1.37 is built with).
"""

import re
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import unquote

from webhook.errors import InvalidReference
from webhook.images import reference
from webhook.pull_secret.credential import Entry, is_address

#: The keyring key of the default registry's entries.
DEFAULT = "index.docker.io"
_DEFAULT_HOSTS = frozenset({"docker.io", DEFAULT})

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ESCAPES = re.compile(r"(?:[^%]|%[0-9A-Fa-f]{2})*")
_AUTHORITY = re.compile(
    r"(?:[A-Za-z0-9._:~!$&'()*+,;=%@-]*@)?"
    r"(?P<host>(?:\[(?P<address>[^\[\]%]*)\]|[A-Za-z0-9._~!$&'()*+,;=<>\"\]\x80-\U0010ffff-]*+)(?::[0-9]*)?)",
)
_HOST_AND_PORT = re.compile(r"(?:\[(?P<address>[^\[\]]*)\]|(?P<name>[^\[\]:]*)):(?P<port>[0-9]*)")


class _Place(NamedTuple):
    """A parsed URL: a registry's host, and a path."""

    host: str
    """With its port, if it has one."""
    path: str


def lookup(entries: Iterable[Entry], image: str) -> list[Entry]:
    """Return the entries that kubelet would try for an image reference, in its order.

    Entries with the same keyring key keep their order. There are none for an invalid reference, which kubelet does not
    pull.
    """
    try:
        name = reference.parse(image).name
    except InvalidReference:
        return []
    keyring: dict[str, list[Entry]] = {}
    for entry in entries:
        key = keyring_key(entry.key)
        if key is not None:
            keyring.setdefault(key, []).append(entry)
    found = [entry for key in sorted(keyring, reverse=True) if _matches(key, name) for entry in keyring[key]]
    return found or (keyring.get(DEFAULT, []) if _is_default(name) else [])


def lookup_own(entries: Iterable[Entry], image: str) -> list[Entry]:
    """Return the entries of `lookup` for the image's own registry.

    For a host without dot and port kubelet also tries those of the default registry. We send a credential only to the
    registry that it is for.
    """
    found = lookup(entries, image)
    if not found or reference.parse(image).domain in _DEFAULT_HOSTS:
        return found
    return [entry for entry in found if keyring_key(entry.key) != DEFAULT]


def keyring_key(key: str) -> str | None:
    """Return the key under which kubelet files an entry, None if it ignores the entry.

    Two entries with the same keyring key are tried in random order.
    """
    place = _parse(re.sub(r"\Ahttps?://", "", key))
    if place is None:
        return None
    path = place.path[3:] if place.path.startswith(("/v1/", "/v2/")) else place.path
    return place.host + (path if path != "/" else "")


def _matches(key: str, name: str) -> bool:
    ours, theirs = _parse(key), _parse(name)
    if ours is None or theirs is None or not theirs.path.startswith(ours.path):
        return False
    globs, our_port = _labels(ours.host)
    labels, their_port = _labels(theirs.host)
    return our_port == their_port and len(globs) == len(labels) and all(map(_label_matches, globs, labels))


def _is_default(name: str) -> bool:
    host = name.partition("/")[0]
    return host in _DEFAULT_HOSTS or not ("." in host or ":" in host)


def _parse(url: str) -> _Place | None:
    """Parse a URL without its scheme, as Go's `url.Parse` does; None if that fails."""
    url, _, fragment = url.partition("#")
    authority, slash, path = url.partition("?")[0].partition("/")
    match = _AUTHORITY.fullmatch(authority)
    if match is None or _CONTROL.search(url) or not all(map(_ESCAPES.fullmatch, (authority, path, fragment))):
        return None
    if match["address"] is not None and not is_address(match["address"]):
        return None
    return _Place(match["host"], unquote(slash + path, errors="surrogateescape"))


def _labels(host: str) -> tuple[list[str], str]:
    """Return the labels that kubelet compares, and the port.

    Go's `net.SplitHostPort` removes the brackets of an IPv6 address with a port, and keeps them on one without.
    """
    match = _HOST_AND_PORT.fullmatch(host)
    if match is None:
        return host.split("."), ""
    return (match["address"] or match["name"] or "").split("."), match["port"]


def _label_matches(glob: str, label: str) -> bool:
    """Match a label of a host as Go's `filepath.Match` does.

    Of its special characters a URL's host can contain `*`, and the brackets of an address: one label in brackets is a
    class, and matches a single character. So kubelet finds no entry for an address without a port.
    """
    if glob.startswith("["):
        return glob.endswith("]") and len(label) == 1 and label in glob[1:-1]
    first, *rest = glob.split("*")
    if not rest:
        return glob == label
    *middle, last = rest
    if not label.startswith(first):
        return False
    at = len(first)
    for piece in middle:
        at = label.find(piece, at)
        if at < 0:
            return False
        at += len(piece)
    return len(label) - at >= len(last) and label.endswith(last)
