"""What the API server stores, decoded into the fields that somebody reads."""

import contextlib
import re
from base64 import b64decode
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol, TypeVar

import msgspec
from msgspec import Raw, Struct

from webhook.admission.review import repaired
from webhook.constants import (
    ENABLED_LABEL,
    EXPIRES_ANNOTATION,
    MANAGED_BY_LABEL,
    PROGRAM,
    REFRESHED_ANNOTATION,
    REFRESHER,
    REFUSED_ANNOTATION,
    UNSERVED_ANNOTATION,
)
from webhook.errors import Unreachable
from webhook.pki.secret_codec import TlsSecret, WebhookClientConfig
from webhook.pull_secret.manifest import KEY, Published, digest
from webhook.pull_secret.reconcile import Content, Namespace, Secret

_T = TypeVar("_T")

#: Characters that are kept of a label, an annotation or a type: more than any of ours has.
_TEXT_LIMIT = 128
#: Times that are read of an annotation, and what one looks like.
_TIMES = 20
_TIME = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,6})?")


class Versioned(Protocol):
    """An object that is listed and watched."""

    @property
    def version(self) -> int:
        """Its resourceVersion: a higher one is later."""


class Managed(Struct, rename="camel"):
    """Who applied some of an object's fields: https://kubernetes.io/docs/reference/using-api/server-side-apply/."""

    manager: str = ""
    operation: str = ""


class Labels(Struct):
    """The labels that somebody reads: an object may have a MiB of others."""

    managed_by: str | None = msgspec.field(name=MANAGED_BY_LABEL, default=None)
    enabled: str | None = msgspec.field(name=ENABLED_LABEL, default=None)


class Annotations(Struct):
    """The annotations that somebody reads."""

    refreshed: str | None = msgspec.field(name=REFRESHED_ANNOTATION, default=None)
    expires: str | None = msgspec.field(name=EXPIRES_ANNOTATION, default=None)
    unserved: str | None = msgspec.field(name=UNSERVED_ANNOTATION, default=None)


class Metadata(Struct, rename="camel"):
    """An object's metadata, as far as somebody reads it."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    labels: Labels | None = None
    annotations: Annotations | None = None
    managed_fields: list[Managed] | None = None
    deletion_timestamp: str | None = None


class Head(Struct):
    """Any object."""

    metadata: Metadata


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
    data: dict[str, Raw] | None = None
    immutable: bool = False


class _CertificateMetadata(Struct, rename="camel"):
    resource_version: str
    annotations: dict[str, str] | None = None


class _Certificate(Struct):
    metadata: _CertificateMetadata
    type: str = ""
    data: dict[str, str] | None = None


class _Noted(Struct):
    """An object's annotations, whoever made them."""

    metadata: "_PublishedMetadata"


class _PublishedMetadata(Struct):
    annotations: dict[str, str] | None = None


class _Published(Struct):
    metadata: _PublishedMetadata
    data: dict[str, str] | None = None


HEAD = msgspec.json.Decoder(Head)
EVENT = msgspec.json.Decoder(Event)
FAILURE = msgspec.json.Decoder(Failure)
LEASE = msgspec.json.Decoder(Lease)
_SECRET = msgspec.json.Decoder(_Secret)
_CERTIFICATE = msgspec.json.Decoder(_Certificate)
_TEXT = msgspec.json.Decoder(str)
_NOTED = msgspec.json.Decoder(_Noted)
_PUBLISHED = msgspec.json.Decoder(_Published)
_CONFIGURATION = msgspec.json.Decoder(_Configuration)


def decoded(what: str, decode: Callable[[bytes | Raw], _T], body: bytes | Raw) -> _T:
    """Decode an answer. Raises `Unreachable`: whoever gave it, it was no API server.

    What users of the cluster write into `managedFields` may be nested deeper than msgspec reads, and hold escapes that
    it refuses: it is taken out, and hides nothing else.
    """
    with contextlib.suppress(msgspec.MsgspecError, ValueError, RecursionError):
        return decode(body)
    try:
        return decode(repaired(bytes(body)))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise Unreachable(f"cannot {what}: the answer is none of an API server's") from None


def micro_time() -> str:
    """Give the time as the API's MicroTime: RFC 3339 with microseconds. It is for people to read."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def version(body: bytes | Raw) -> int:
    """Decode an object's resourceVersion."""
    return int(HEAD.decode(body).metadata.resource_version)


def namespace(body: bytes | Raw) -> Namespace:
    """Decode a Namespace, or its metadata."""
    metadata = HEAD.decode(body).metadata
    enabled = metadata.labels.enabled if metadata.labels else None
    labels = {} if enabled is None else {ENABLED_LABEL: _shortened(enabled)}
    return Namespace(metadata.name, int(metadata.resource_version), labels, metadata.deletion_timestamp is not None)


def is_managed_by_us(metadata: Metadata) -> bool:
    """Tell whether a pull secret is one that this program made, though somebody may have taken its label off."""
    applied = any(one.manager == REFRESHER and one.operation == "Apply" for one in metadata.managed_fields or ())
    return applied or _is_labelled(metadata)


def _is_labelled(metadata: Metadata) -> bool:
    return metadata.labels is not None and metadata.labels.managed_by == PROGRAM


def _shortened(text: str) -> str:
    """Cut what is longer than anything of ours, and so different from it: it is kept for as long as the object is."""
    return text[:_TEXT_LIMIT]


def secret_metadata(body: bytes | Raw) -> Secret:
    """Decode a Secret's metadata. Of what is not ours nothing is kept but that it is there."""
    return _secret_state(HEAD.decode(body).metadata, None)


def _secret_state(metadata: Metadata, content: Content | None) -> Secret:
    ours = is_managed_by_us(metadata)
    annotations = metadata.annotations if ours and metadata.annotations else Annotations()
    return Secret(
        namespace=metadata.namespace,
        version=int(metadata.resource_version),
        uid=metadata.uid,
        managed=ours,
        labelled=_is_labelled(metadata),
        refreshed=annotations.refreshed and _shortened(annotations.refreshed),
        expires=annotations.expires and _shortened(annotations.expires),
        unserved=annotations.unserved and _shortened(annotations.unserved),
        content=content,
    )


def secret(body: bytes | Raw) -> Secret:
    """Decode a Secret with its content."""
    stored = _SECRET.decode(body)
    data = stored.data or {}
    content = Content(
        type=_shortened(stored.type),
        hash=digest(b64decode(_TEXT.decode(data[KEY]) if KEY in data else "")),
        immutable=stored.immutable,
        others=sum(len(raw) * 3 // 4 for key, raw in data.items() if key != KEY),
    )
    return _secret_state(stored.metadata, content)


def published(body: bytes | Raw) -> Published:
    """Decode a pull secret of ours with its content."""
    stored = _PUBLISHED.decode(body)
    annotations = stored.metadata.annotations or {}
    content = b64decode((stored.data or {}).get(KEY, ""))
    return Published(content, annotations.get(EXPIRES_ANNOTATION), annotations.get(REFRESHED_ANNOTATION, ""))


def refused_logins(body: bytes | Raw) -> tuple[float, ...]:
    """Read the times of refused logins that are noted on the Lease; what is not a time is left out."""
    noted = (_NOTED.decode(body).metadata.annotations or {}).get(REFUSED_ANNOTATION, "")
    return tuple(float(part) for part in noted.split(",")[:_TIMES] if _TIME.fullmatch(part))


def certificate(body: bytes | Raw) -> TlsSecret:
    """Decode the certificate's Secret."""
    secret = _CERTIFICATE.decode(body)
    data = {key: b64decode(content) for key, content in (secret.data or {}).items()}
    return TlsSecret(int(secret.metadata.resource_version), secret.type, data, secret.metadata.annotations or {})


def webhook_client_config(body: bytes | Raw) -> WebhookClientConfig:
    """Decode a webhook configuration."""
    configuration = _CONFIGURATION.decode(body)
    bundles = {one.name: b64decode(one.client_config.bundle) for one in configuration.webhooks or ()}
    owners = frozenset(owner.uid for owner in configuration.metadata.owner_references or ())
    return WebhookClientConfig(int(configuration.metadata.resource_version), bundles, owners)
