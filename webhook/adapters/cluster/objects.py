"""What the API server stores, decoded into the fields that somebody reads."""

from base64 import b64decode
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol, TypeVar

import msgspec
from msgspec import Raw, Struct

from webhook.certificates.stored import Called, Stored
from webhook.errors import Unreachable
from webhook.names import EXPIRES_ANNOTATION, HASH_ANNOTATION, MANAGED_BY_LABEL, PROGRAM, REFRESHER, UNSERVED_ANNOTATION
from webhook.pullsecret.document import KEY, digest
from webhook.pullsecret.upkeep import Namespace, Secret

_T = TypeVar("_T")


class Versioned(Protocol):
    """An object that is listed and watched."""

    @property
    def version(self) -> int:
        """Its resourceVersion: a higher one is later."""


class Managed(Struct, rename="camel"):
    """Who applied some of an object's fields: https://kubernetes.io/docs/reference/using-api/server-side-apply/."""

    manager: str = ""
    operation: str = ""


class Metadata(Struct, rename="camel"):
    """An object's metadata, or a list's."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    managed_fields: list[Managed] | None = None
    deletion_timestamp: str | None = None
    going_on: str = msgspec.field(name="continue", default="")


class Head(Struct):
    """Any object."""

    metadata: Metadata


class Page(Struct):
    """A page of a list."""

    metadata: Metadata
    items: list[Raw] | None = None
    """None as well as empty where there are none: lists of metadata alone say it so."""


class Event(Struct):
    """A line of a watch."""

    type: str
    object: Raw


class Failure(Struct):
    """The object of a watch's line of type ERROR."""

    code: int = 0


class LeaseSpec(Struct, rename="camel"):
    """https://kubernetes.io/docs/concepts/architecture/leases/ (coordination.k8s.io/v1)."""

    holder_identity: str | None = None
    renew_time: str | None = None
    """RFC 3339 with microseconds, as `acquire_time`."""
    acquire_time: str | None = None
    lease_duration_seconds: int | None = None
    lease_transitions: int | None = None


class Lease(Struct):
    """A Lease."""

    metadata: Metadata
    spec: LeaseSpec = msgspec.field(default_factory=LeaseSpec)


class _Owner(Struct):
    uid: str


class _OwnedMetadata(Struct, rename="camel"):
    resource_version: str
    owner_references: list[_Owner] | None = None


class _ClientConfig(Struct, rename={"bundle": "caBundle"}):
    bundle: str = ""


class _Webhook(Struct, rename="camel"):
    name: str
    client_config: _ClientConfig


class _Configuration(Struct):
    metadata: _OwnedMetadata
    webhooks: list[_Webhook] | None = None


class _Secret(Struct):
    metadata: Metadata
    type: str = ""
    data: dict[str, str] | None = None


HEAD = msgspec.json.Decoder(Head)
PAGE = msgspec.json.Decoder(Page)
EVENT = msgspec.json.Decoder(Event)
FAILURE = msgspec.json.Decoder(Failure)
LEASE = msgspec.json.Decoder(Lease)
_SECRET = msgspec.json.Decoder(_Secret)
_CONFIGURATION = msgspec.json.Decoder(_Configuration)


def decoded(what: str, decode: Callable[[bytes | Raw], _T], body: bytes | Raw) -> _T:
    """Decode an answer. Raises `Unreachable`: whoever gave it, it was no API server."""
    try:
        return decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise Unreachable(f"cannot {what}: the answer is none of an API server's") from None


def micro_time() -> str:
    """Give the time as the API's MicroTime: RFC 3339 with microseconds. It is for people to read."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def namespace(body: bytes | Raw) -> Namespace:
    """Decode a Namespace."""
    metadata = HEAD.decode(body).metadata
    terminating = metadata.deletion_timestamp is not None
    return Namespace(metadata.name, int(metadata.resource_version), metadata.labels or {}, terminating)


def is_ours(metadata: Metadata) -> bool:
    """Tell whether a pull secret is one that this program made, though somebody may have taken its label off."""
    applied = any(one.manager == REFRESHER and one.operation == "Apply" for one in metadata.managed_fields or ())
    return applied or _is_labelled(metadata)


def _is_labelled(metadata: Metadata) -> bool:
    return (metadata.labels or {}).get(MANAGED_BY_LABEL) == PROGRAM


def secret(body: bytes | Raw) -> Secret:
    """Decode a Secret."""
    stored = _SECRET.decode(body)
    metadata = stored.metadata
    annotations = metadata.annotations or {}
    return Secret(
        namespace=metadata.namespace,
        version=int(metadata.resource_version),
        uid=metadata.uid,
        type=stored.type,
        ours=is_ours(metadata),
        labelled=_is_labelled(metadata),
        hash=digest(b64decode((stored.data or {}).get(KEY, ""))),
        hash_annotation=annotations.get(HASH_ANNOTATION),
        expires=annotations.get(EXPIRES_ANNOTATION),
        unserved=annotations.get(UNSERVED_ANNOTATION),
    )


def certificate(body: bytes | Raw) -> Stored:
    """Decode the certificate's Secret."""
    secret = _SECRET.decode(body)
    data = {key: b64decode(content) for key, content in (secret.data or {}).items()}
    return Stored(int(secret.metadata.resource_version), secret.type, data, secret.metadata.annotations or {})


def called(body: bytes | Raw) -> Called:
    """Decode a webhook configuration."""
    configuration = _CONFIGURATION.decode(body)
    bundles = {one.name: b64decode(one.client_config.bundle) for one in configuration.webhooks or ()}
    owners = frozenset(owner.uid for owner in configuration.metadata.owner_references or ())
    return Called(int(configuration.metadata.resource_version), bundles, owners)
