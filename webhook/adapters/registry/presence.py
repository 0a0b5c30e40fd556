"""Whether a registry has an image, asked as a container runtime would begin to pull it, and nothing is pulled.

It is the HEAD of the manifest (OCI distribution specification, "Checking if content exists in the registry").
"""

import time
from collections.abc import Mapping
from enum import Enum
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

from webhook.adapters.registry.address import Origin
from webhook.adapters.registry.check import Inquiry, Unclear, Verdict, server_of
from webhook.adapters.registry.transport import Request, Transport, trust
from webhook.errors import InvalidReference
from webhook.images import reference
from webhook.images.reference import Reference
from webhook.log import shorten

#: What a manifest or an index of them may be: a registry answers 404 to who does not name the right one.
_MANIFESTS = (
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json"
)
_LATEST = "latest"
_SHOWN = 100


class Presence(Enum):
    """What a registry says of an image."""

    THERE = "there"
    MISSING = "missing"
    REFUSED = "refused"
    UNCLEAR = "unclear"


class Look(NamedTuple):
    """An answer with what it rests on."""

    presence: Presence
    detail: str
    """One line in printable ASCII, of our own words and the names of hosts."""


class Images:
    """Looks for images in registries, for use by several threads at once."""

    def __init__(
        self,
        *,
        ca_file: Path | None,
        plain_http_on_loopback: bool,
        environment: Mapping[str, str],
        timeout: float = 10.0,
    ) -> None:
        """Take the same as `Registry`, the authorities being read now.

        Raises `FileError`. No request takes longer than `timeout` seconds, and a look has five at most.
        """
        self._transport = Transport(trust(ca_file), environment, timeout)
        self._plain_http_on_loopback = plain_http_on_loopback

    def look(self, image: str, username: str = "", password: str = "") -> Look:
        """Ask the registry that an image names whether it is there, with a credential or as anybody.

        Raises nothing for anything that the network or a server does. A registry may say of what it does not show to
        somebody that it is not there.
        """
        try:
            parsed = reference.parse(image)
        except InvalidReference as error:
            return Look(Presence.UNCLEAR, f"it is no image name: {error}")
        name = shorten(parsed.domain, _SHOWN)
        inquiry = Inquiry(self._transport, self._plain_http_on_loopback, time.time, name, username, password)
        try:
            return _look(inquiry, parsed)
        except Unclear as unclear:
            return Look(Presence.UNCLEAR, str(unclear))


def _look(inquiry: Inquiry, parsed: Reference) -> Look:
    target = f"/v2/{parsed.path}/manifests/{_identifier(parsed)}"

    def request(origin: Origin, authorization: str | None = None) -> Request:
        return Request(origin, target, authorization, head=True, accept=_MANIFESTS)

    origin, reply = inquiry.knock(server_of(parsed.domain), request)
    if reply.status == HTTPStatus.UNAUTHORIZED:
        let_in = inquiry.log_in(reply)
        if isinstance(let_in, Verdict):
            return Look(Presence.REFUSED, let_in.detail)
        reply = inquiry.ask(inquiry.name, request(origin, let_in.authorization))
        if reply.status == HTTPStatus.UNAUTHORIZED:
            return Look(Presence.REFUSED, f"{inquiry.name} refused the {let_in.what} (401)")
    if reply.status == HTTPStatus.OK:
        return Look(Presence.THERE, f"{inquiry.name} has it")
    if reply.status == HTTPStatus.NOT_FOUND:
        return Look(Presence.MISSING, f"{inquiry.name} does not have it")
    if reply.status == HTTPStatus.FORBIDDEN:
        return Look(Presence.REFUSED, f"{inquiry.name} lets one in and does not let one pull this (403)")
    raise inquiry.unclear(inquiry.name, reply)


def _identifier(parsed: Reference) -> str:
    """Give the digest of a reference, else its tag, else the tag that is meant."""
    tag, _, digest = parsed.suffix.partition("@")
    return digest or tag.removeprefix(":") or _LATEST
