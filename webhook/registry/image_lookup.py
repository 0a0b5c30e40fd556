"""Ask a registry whether it has an image, as a container runtime does before it pulls. Nothing is pulled.

The request is a HEAD of the manifest (OCI distribution specification, "Checking if content exists in the registry").
"""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

from webhook.errors import InvalidReference
from webhook.images import reference
from webhook.images.reference import Reference
from webhook.log import shorten
from webhook.registry.auth import AuthClient, Deferred, Unclear, Verdict, host_of
from webhook.registry.logins import Logins
from webhook.registry.origin import Origin
from webhook.registry.transport import Request, Transport, trust

#: The types of manifests and indexes: a registry answers 404 to a client that does not accept the image's type.
_MANIFESTS = (
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json"
)
_LATEST = "latest"
_SHOWN = 100


class ImageStatus(StrEnum):
    """A registry's answer about an image, the most urgent first."""

    MISSING = "missing"
    REFUSED = "refused"
    UNCLEAR = "unclear"
    NOT_ASKED = "not asked"
    FOUND = "found"


class LookupResult(NamedTuple):
    """An answer and its reason."""

    status: ImageStatus
    detail: str
    """One line of printable ASCII, without anything that a server sent except host names."""
    hint: str = ""
    """What to do about it."""


@dataclass
class _FirstCheck:
    """The result of the first lookup with a credential."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    accepted: bool = False
    refusal: LookupResult | None = None


class ImageLookup:
    """Looks up images in registries. Thread-safe.

    The arguments are those of `CredentialChecker`, but the constructor reads `ca_file` and raises `FileError`. A lookup
    makes five requests at most.
    """

    def __init__(
        self,
        *,
        ca_file: Path | None,
        plain_http_on_loopback: bool,
        environment: Mapping[str, str],
        timeout: float = 10.0,
    ) -> None:
        self._transport = Transport(trust(ca_file), environment, timeout)
        self._plain_http_on_loopback = plain_http_on_loopback
        self._logins = Logins(time.time)
        self._lock = threading.Lock()
        self._first: dict[tuple[str, str, str], _FirstCheck] = {}

    def check(self, image: str, username: str = "", password: str = "") -> LookupResult:
        """Ask the registry of an image whether it has it, with a credential or anonymously.

        Raises nothing for anything that the network or a server does. A registry may deny that an image exists to a
        client that may not pull it.
        """
        try:
            parsed = reference.parse(image)
        except InvalidReference as error:
            return LookupResult(ImageStatus.UNCLEAR, f"invalid image name: {error}")
        if not username and not password:
            return self._check(parsed, username, password)[0]
        with self._lock:
            first = self._first.setdefault((parsed.domain, username, password), _FirstCheck())
        # One lookup at a time until the credential is accepted, none once it is refused: each would be a failed login.
        with first.lock:
            if first.refusal is not None:
                return first.refusal
            if not first.accepted:
                result, first.accepted = self._check(parsed, username, password)
                first.refusal = result if result.status is ImageStatus.REFUSED and not first.accepted else None
                return result
        return self._check(parsed, username, password)[0]

    def _check(self, parsed: Reference, username: str, password: str) -> tuple[LookupResult, bool]:
        """Look up one image; return the answer, and whether the credential was accepted."""
        client = AuthClient(
            transport=self._transport,
            plain_http_on_loopback=self._plain_http_on_loopback,
            clock=time.time,
            name=shorten(parsed.domain, _SHOWN),
            username=username,
            password=password,
            logins=self._logins,
        )
        try:
            return _check(client, parsed)
        except Unclear as unclear:
            return LookupResult(ImageStatus.UNCLEAR, str(unclear), unclear.hint), False
        except Deferred:
            return LookupResult(
                ImageStatus.UNCLEAR, f"{client.name} was not asked: too many logins were refused"
            ), False


def _check(client: AuthClient, parsed: Reference) -> tuple[LookupResult, bool]:
    target = f"/v2/{parsed.path}/manifests/{_identifier(parsed)}"

    def request(origin: Origin, authorization: str | None = None) -> Request:
        return Request(origin, target, authorization, head=True, accept=_MANIFESTS)

    origin, reply = client.probe(host_of(parsed.domain), request)
    if reply.status == HTTPStatus.UNAUTHORIZED:
        access = client.authenticate(reply)
        if isinstance(access, Verdict):
            return LookupResult(ImageStatus.REFUSED, access.detail), False
        reply = client.ask(client.name, request(origin, access.header))
        if reply.status == HTTPStatus.UNAUTHORIZED:
            if access.is_login:
                client.logins.refused()
            return LookupResult(
                ImageStatus.REFUSED, f"{client.name} refused the {access.description} (401)"
            ), not access.is_login
    if reply.status == HTTPStatus.OK:
        return LookupResult(ImageStatus.FOUND, f"{client.name} has it"), True
    if reply.status == HTTPStatus.NOT_FOUND:
        return LookupResult(ImageStatus.MISSING, f"{client.name} does not have it"), True
    if reply.status == HTTPStatus.FORBIDDEN:
        return LookupResult(ImageStatus.REFUSED, f"{client.name} denied access to the image (403)"), True
    raise client.unclear_error(client.name, reply)


def _identifier(parsed: Reference) -> str:
    """Return the digest of a reference, else its tag, else the default tag."""
    tag, _, digest = parsed.suffix.partition("@")
    return digest or tag.removeprefix(":") or _LATEST
