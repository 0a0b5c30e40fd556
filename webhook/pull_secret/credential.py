"""A credential: the usernames and passwords of one pull secret, limited to what kubelet can use.

The rules are those of kubelet's keyring (`pkg/credentialprovider` of Kubernetes 1.37), described on
https://kubernetes.io/docs/concepts/containers/images/#config-json. One entry that does not decode breaks the whole
Secret, so each is checked when it is created. No message contains a value.
"""

import re
from collections.abc import Container, Iterable
from ipaddress import AddressValueError, IPv6Address

from msgspec import Struct

from webhook.errors import InvalidCredential
from webhook.images import prefix as images_prefix
from webhook.images.reference import DOCKER_HUB

#: The key of Docker Hub's credential: docker's own, and that of kubelet's default registry.
DOCKER_HUB_KEY = "https://index.docker.io/v1/"

#: UTF-8 bytes of a username, password, email address or key; the whole Secret may have 1 MiB.
#: https://kubernetes.io/docs/concepts/configuration/secret/#restriction-data-size
LIMIT = 64 * 1024

#: The username with which docker's credential helpers return an identity token.
#: https://github.com/docker/docker-credential-helpers#development
TOKEN_USERNAME = "<token>"  # noqa: S105 - it is not a secret

#: With this username Azure Container Registry accepts a refresh token as a password.
#: https://learn.microsoft.com/en-us/azure/container-registry/container-registry-authentication
ACR_USERNAME = "00000000-0000-0000-0000-000000000000"
_ACR = re.compile(r"\.azurecr\.(?:io|cn|us)(?::[0-9]+)?\Z")

_QUOTES = ('"', "'")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_VERSIONS = frozenset({"v1", "v2"})
#: Narrower than kubelet's URL parser: no user, query, fragment or escape, because no image matches such a key.
_KEY = re.compile(
    r"(?:https?://)?"
    r"(?:[A-Za-z0-9.*-]++|\[(?P<address>[0-9A-Fa-f:.]++)\])"
    r"(?::[0-9]{1,5})?"
    r"(?:/[A-Za-z0-9._/-]*+)?",
)


class Entry(Struct, frozen=True):
    """A username and a password for one key of `.dockerconfigjson`."""

    key: str
    """The prefix that the kubelet compares images with: a host with optional port, and optional path."""
    username: str
    password: str
    email: str | None = None
    expires: float | None = None
    """POSIX time at which it ends, None if the provider did not state one."""

    def __repr__(self) -> str:
        """Show only the key."""
        return f"Entry(key={self.key!r})"


class Credential(Struct, frozen=True):
    """The result of one reading of a provider."""

    entries: tuple[Entry, ...]
    """At least one, each key once."""
    expires: float | None = None
    """POSIX time at which the first of them ends, None if that is not known."""
    expiry_stated: bool = False
    """Whether the provider stated the end; otherwise it is assumed."""


def key_for(prefix: str, *, image: bool = False) -> str:
    """Return kubelet's key for a normalized prefix: it matches what is below the prefix, and nothing else.

    kubelet compares paths by their first characters, not by components: a `/` at the end prevents `team` from matching
    `teamwork`. It has no exact match either, so if an `image` may have the prefix as its name, that `/` is left out,
    and siblings with the same beginning match too.

    kubelet drops a leading `/v1/` or `/v2/` as the registry's API, so a path that begins with one gets another to drop.
    """
    if prefix == DOCKER_HUB:
        return DOCKER_HUB_KEY
    host, slash, path = prefix.partition("/")
    if not slash:
        return host
    if path.partition("/")[0] in _VERSIONS:
        path = f"v1/{path}"
    return f"{host}/{path}" if image else f"{host}/{path}/"


def create_entry(key: str, username: str, password: str, email: str | None = None) -> Entry:
    """Create an entry that kubelet can read and a registry can be asked with.

    A byte order mark and line endings at the end, which editors and shells add, are removed. For Azure Container
    Registry an identity token is a password, under a special username.

    User name and password must fit HTTP's Basic authentication (RFC 7617): no colon and no control character in the
    name. A password may contain line breaks: the passwords of some registries are JSON files.

    Raises `InvalidCredential`, in one line without the value.
    """
    check_key(key)
    username, password = cleaned(username), cleaned(password)
    if username == TOKEN_USERNAME and accepts_identity_tokens(key):
        username = ACR_USERNAME
    if username == TOKEN_USERNAME:
        raise InvalidCredential("the kubelet does not support identity tokens", hint="use a username and password")
    _check_text("username", username)
    _check_text("password", password)
    if ":" in username:
        raise InvalidCredential("the username contains a colon, and the kubelet would read the rest as the password")
    if _CONTROL.search(username):
        raise InvalidCredential("the username contains a line break or another control character")
    if "\0" in password:
        raise InvalidCredential("the password contains a NUL byte")
    if email:
        _check_text("email address", email)
    return Entry(key, username, password, email or None)


def accepts_identity_tokens(key: str) -> bool:
    """Whether the registry of a key, Azure's, accepts an identity token as a password."""
    return bool(_ACR.search(host_of(key.rpartition("://")[2]).lower()))


def cleaned(text: str) -> str:
    """Remove what editors and shells add to a username or password: a byte order mark, line endings at the end."""
    return text.lstrip("\ufeff").rstrip("\r\n")


def likely_mistakes(entry: Entry) -> tuple[str, ...]:
    """Describe what may be a mistake in a username or password, without showing either."""
    found = []
    for what, text in (("username", entry.username), ("password", entry.password)):
        if text != text.lstrip():
            found.append(f"the {what} starts with a space")
        if text != text.rstrip():
            found.append(f"the {what} ends with a space")
        trimmed = text.strip()
        if len(trimmed) > 1 and trimmed[0] == trimmed[-1] and trimmed[0] in _QUOTES:
            found.append(f"the {what} is in quotation marks")
    return tuple(found)


def check_key(key: str) -> None:
    """Reject a key that kubelet could not parse, or that could match no image.

    Raises `InvalidCredential`, which does not show the key: a password may have been written into it.
    """
    match = _KEY.fullmatch(key)
    address = match and match["address"]
    if not match or len(key) > LIMIT or (address and not is_address(address)):
        raise InvalidCredential(
            "the kubelet cannot match the registry key with an image",
            hint="write a host with an optional port and path, such as registry.example.com:5000/team/",
        )


def without_covered(several: Iterable[str]) -> tuple[str, ...]:
    """Drop each normalized prefix that another one covers by whole path components; return the rest, sorted."""
    known = frozenset(several)
    return tuple(sorted(prefix for prefix in known if not images_prefix.longest(known, prefix.rpartition("/")[0])))


def static_entries(  # noqa: PLR0913 - a registry and the parts of a login
    server: str,
    others: Iterable[str],
    username: str,
    password: str,
    email: str | None = None,
    *,
    images: Container[str] = (),
) -> tuple[Entry, ...]:
    """Create the entries of `server`'s username and password: for it, and for `others` on its host and port.

    All prefixes are normalized. An entry keeps its prefix's spelling, as rewritten images do: kubelet compares strings.
    Registries on other hosts get no entry. `images` are those of `others` that may be an image's whole name.

    Raises `InvalidCredential`.
    """
    host = images_prefix.canonical_host(server)
    on_host = without_covered([server, *(other for other in others if images_prefix.canonical_host(other) == host)])
    keys = [key_for(prefix, image=prefix in images) for prefix in on_host]
    return tuple(create_entry(key, username, password, email) for key in keys)


def host_of(prefix: str) -> str:
    """Return the host, with its port if it has one, of a normalized prefix."""
    return prefix.partition("/")[0]


def _check_text(what: str, text: str) -> None:
    if not text:
        raise InvalidCredential(f"the {what} is empty")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise InvalidCredential(f"the {what} is not UTF-8") from None
    if size > LIMIT:
        raise InvalidCredential(f"the {what} is larger than {LIMIT // 1024} KiB")


def is_address(text: str) -> bool:
    """Whether the text in brackets instead of a host name is an IPv6 address."""
    try:
        IPv6Address(text)
    except AddressValueError:
        return False
    return True
