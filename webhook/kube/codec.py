"""Decoding of the API server's responses to the refresher's controllers.

Objects are decoded into the values that the controllers use, of `pull_secret` and `pki`. Other commands use the objects
in `kube.objects`.
"""

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
    DESELECTED_ANNOTATION,
    ENABLED_LABEL,
    EXPIRES_ANNOTATION,
    INSTALLATION_LABEL,
    MANAGED_BY_LABEL,
    PROGRAM,
    REFRESHED_ANNOTATION,
    REFUSED_ANNOTATION,
)
from webhook.errors import Unreachable
from webhook.kube import objects
from webhook.kube.access import SERVER_HINT
from webhook.kube.objects import FieldManager, is_managed_by_us
from webhook.pki.secret_codec import TlsSecret, WebhookClientConfig
from webhook.pull_secret.manifest import KEY, Published, digest
from webhook.pull_secret.reconcile import Content, Namespace, Secret

_T = TypeVar("_T")

#: Limit of characters of a label, an annotation or a type that is held in memory: more than any of ours has.
_TEXT_LIMIT = 128
#: Limit of times that are read from an annotation, and their format.
_TIMES = 20
_TIME = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,6})?")


class Versioned(Protocol):
    """An object that is listed and watched."""

    @property
    def version(self) -> int:
        """Its resourceVersion: a higher one is later."""


# `objects.Metadata` would decode all labels and managed fields. Any user may create Namespaces and Secrets with a MiB
# of them, which is 30 MiB decoded, and the refresher watches all of them (docs/decisions/0009-kubernetes-objects.md).


class _Labels(Struct):
    managed_by: str | None = msgspec.field(name=MANAGED_BY_LABEL, default=None)
    enabled: str | None = msgspec.field(name=ENABLED_LABEL, default=None)
    installation: str | None = msgspec.field(name=INSTALLATION_LABEL, default=None)


class _Annotations(Struct):
    refreshed: str | None = msgspec.field(name=REFRESHED_ANNOTATION, default=None)
    expires: str | None = msgspec.field(name=EXPIRES_ANNOTATION, default=None)
    deselected_since: str | None = msgspec.field(name=DESELECTED_ANNOTATION, default=None)


class PartialMetadata(Struct, rename="camel"):
    """The fields of an object's metadata that the controllers use."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    labels: _Labels = msgspec.field(default_factory=_Labels)
    annotations: _Annotations = msgspec.field(default_factory=_Annotations)
    managed_fields: tuple[FieldManager, ...] = ()
    deletion_timestamp: str | None = None

    @property
    def managed_by(self) -> str | None:
        return self.labels.managed_by


class PartialObject(Struct):
    """An object of any kind."""

    metadata: PartialMetadata


class _Secret(PartialObject):
    type: str = ""
    data: dict[str, Raw] | None = None
    immutable: bool = False


class WatchEvent(Struct):
    """A line of a watch."""

    type: str
    object: Raw


PARTIAL_OBJECT = msgspec.json.Decoder(PartialObject)
WATCH_EVENT = msgspec.json.Decoder(WatchEvent)
STATUS = msgspec.json.Decoder(objects.Status)
LEASE = msgspec.json.Decoder(objects.Lease)
_SECRET = msgspec.json.Decoder(_Secret)
_SECRET_CONTENT = msgspec.json.Decoder(objects.Secret)
_WEBHOOK_CONFIGURATION = msgspec.json.Decoder(objects.WebhookConfiguration)
_TEXT = msgspec.json.Decoder(str)


def decoded(what: str, decode: Callable[[bytes | Raw], _T], body: bytes | Raw) -> _T:
    """Decode a response. Raises `Unreachable` if it cannot come from an API server.

    `managedFields`, which any user can write, may be nested more deeply than msgspec reads or contain escapes that it
    rejects. They are removed in that case, so that they cannot hide the rest of the object.
    """
    with contextlib.suppress(msgspec.MsgspecError, ValueError, RecursionError):
        return decode(body)
    try:
        return decode(repaired(bytes(body)))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise Unreachable(
            f"cannot {what}: unexpected response; is this a Kubernetes API server?", hint=SERVER_HINT
        ) from None


def micro_time() -> str:
    """Return the current time as the API's MicroTime, RFC 3339 with microseconds; for display only."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def version(body: bytes | Raw) -> int:
    """Decode the resourceVersion of any object."""
    return int(PARTIAL_OBJECT.decode(body).metadata.resource_version)


def namespace(body: bytes | Raw) -> Namespace:
    """Decode a Namespace, or its metadata."""
    metadata = PARTIAL_OBJECT.decode(body).metadata
    enabled = metadata.labels.enabled
    labels = {} if enabled is None else {ENABLED_LABEL: _shortened(enabled)}
    return Namespace(metadata.name, int(metadata.resource_version), labels, metadata.deletion_timestamp is not None)


def _shortened(text: str) -> str:
    """Truncate a string that is held in memory. A truncated one never equals one of ours, which are shorter."""
    return text[:_TEXT_LIMIT]


def secret_metadata(installation: str, body: bytes | Raw) -> Secret:
    """Decode a Secret's metadata for the installation in a namespace.

    The annotations of a Secret that is not ours are dropped.
    """
    return _secret_state(installation, PARTIAL_OBJECT.decode(body).metadata, None)


def _secret_state(own: str, metadata: PartialMetadata, content: Content | None) -> Secret:
    installation = metadata.labels.installation
    managed = is_managed_by_us(metadata)
    annotations = metadata.annotations if managed else _Annotations()
    return Secret(
        namespace=metadata.namespace,
        version=int(metadata.resource_version),
        uid=metadata.uid,
        managed=managed,
        labeled=metadata.managed_by == PROGRAM and installation == own,
        refreshed=annotations.refreshed and _shortened(annotations.refreshed),
        expires=annotations.expires and _shortened(annotations.expires),
        deselected_since=annotations.deselected_since and _shortened(annotations.deselected_since),
        content=content,
        other_installation=None if installation in {None, own} else _shortened(installation or ""),
    )


def secret(installation: str, body: bytes | Raw) -> Secret:
    """Decode a Secret with its content, for the installation in a namespace."""
    stored = _SECRET.decode(body)
    data = stored.data or {}
    content = Content(
        type=_shortened(stored.type),
        hash=digest(b64decode(_TEXT.decode(data[KEY]) if KEY in data else "")),
        immutable=stored.immutable,
        others=sum(len(raw) * 3 // 4 for key, raw in data.items() if key != KEY),
    )
    return _secret_state(installation, stored.metadata, content)


def published(body: bytes | Raw) -> Published:
    """Decode a pull secret of ours with its content."""
    stored = _SECRET_CONTENT.decode(body)
    annotations = stored.metadata.annotations
    content = b64decode(stored.data.get(KEY, ""))
    return Published(content, annotations.get(EXPIRES_ANNOTATION), annotations.get(REFRESHED_ANNOTATION, ""))


def refused_logins(lease: objects.Lease) -> tuple[float, ...]:
    """Return the times of refused logins that the Lease records, without anything that is not a time."""
    recorded = lease.metadata.annotations.get(REFUSED_ANNOTATION, "")
    return tuple(float(part) for part in recorded.split(",")[:_TIMES] if _TIME.fullmatch(part))


def certificate(body: bytes | Raw) -> TlsSecret:
    """Decode the certificate's Secret."""
    stored = _SECRET_CONTENT.decode(body)
    data = {key: b64decode(content) for key, content in stored.data.items()}
    return TlsSecret(int(stored.metadata.resource_version), stored.type, data, stored.metadata.annotations)


def webhook_client_config(body: bytes | Raw) -> WebhookClientConfig:
    """Decode a webhook configuration."""
    configuration = _WEBHOOK_CONFIGURATION.decode(body)
    metadata = configuration.metadata
    bundles = {one.name: b64decode(one.client_config.ca_bundle) for one in configuration.webhooks}
    owners = frozenset(owner.uid for owner in metadata.owner_references)
    return WebhookClientConfig(int(metadata.resource_version), bundles, owners)
