"""What the cluster stores of it: the Secret with the pair and its authorities, and the webhook configuration."""

from collections.abc import Mapping
from datetime import UTC, datetime

from msgspec import Struct

from webhook.constants import REPLICA_ANNOTATIONS, REQUESTED_ANNOTATION, TRUSTED_ANNOTATION
from webhook.errors import CertificateError
from webhook.pki import ca
from webhook.pki.ca import KeyPair
from webhook.pki.rotation import Report, State
from webhook.timestamps import format_rfc3339, parse_rfc3339

TYPE = "Opaque"

#: The Secret's keys. The first two pairs are named as in a Secret of cert-manager's.
_AUTHORITY, _SERVING, _INCOMING = ("ca.crt", "ca.key"), ("tls.crt", "tls.key"), ("next-ca.crt", "next-ca.key")
_RETIRED = "retired-ca.crt"
_REQUESTED = "true"


class TlsSecret(Struct, frozen=True):
    """The Secret."""

    version: int
    """Its resourceVersion."""
    type: str
    data: Mapping[str, bytes]
    annotations: Mapping[str, str]

    def __repr__(self) -> str:
        """Show no key."""
        return f"Stored(version={self.version})"


class WebhookClientConfig(Struct, frozen=True):
    """The webhook configuration, as far as the sidecar keeps it."""

    version: int
    bundles: Mapping[str, bytes]
    """For each webhook its `caBundle`, PEM."""
    owners: frozenset[str]
    """The uids of its owners."""


def encode(state: State) -> tuple[dict[str, bytes], dict[str, str]]:
    """Write a state as a Secret's data and annotations."""
    pairs = {_AUTHORITY: state.active, _SERVING: state.serving, _INCOMING: state.next}
    data = {key: text for keys, pair in pairs.items() if pair for key, text in zip(keys, pair, strict=True)}
    if state.retired:
        data[_RETIRED] = b"".join(state.retired)
    annotations = {} if state.trusted is None else {TRUSTED_ANNOTATION: format_rfc3339(state.trusted.timestamp())}
    if state.requested:
        annotations[REQUESTED_ANNOTATION] = _REQUESTED
    return data, annotations


def decode(secret: TlsSecret) -> State:
    """Read what `encode` wrote. Raises `CertificateError` for what could not be served, in one line."""
    if secret.type != TYPE:
        raise CertificateError(f"its type is {secret.type}, and ours is {TYPE}")
    signing, serving = _pair(secret.data, _AUTHORITY), _pair(secret.data, _SERVING)
    incoming = _pair(secret.data, _INCOMING) if _INCOMING[0] in secret.data else None
    ca.check(signing, [signing.certificate], signs=True)
    ca.check(serving, [signing.certificate])
    if incoming:
        ca.check(incoming, [incoming.certificate], signs=True)
    retired = ca.certificates_in(secret.data.get(_RETIRED, b""))
    trusted = _time(secret.annotations.get(TRUSTED_ANNOTATION, ""))
    requested = secret.annotations.get(REQUESTED_ANNOTATION) == _REQUESTED
    return State(signing, serving, incoming, retired, trusted, requested)


def reports(secret: TlsSecret) -> dict[str, Report]:
    """Read what the replicas have said, by their names."""
    said = {}
    for key, text in secret.annotations.items():
        serving, _, written = text.partition(" ")
        at = _time(written)
        if key.startswith(REPLICA_ANNOTATIONS) and at is not None:
            said[key.removeprefix(REPLICA_ANNOTATIONS)] = Report(serving, at)
    return said


def report(said: Report) -> str:
    """Write what a replica says."""
    return f"{said.serving} {format_rfc3339(said.reported_at.timestamp())}"


def _pair(data: Mapping[str, bytes], keys: tuple[str, str]) -> KeyPair:
    missing = [key for key in keys if not data.get(key)]
    if missing:
        raise CertificateError(f"it has no {' and no '.join(missing)}")
    return KeyPair(*(data[key] for key in keys))


def _time(text: str) -> datetime | None:
    seconds = parse_rfc3339(text)
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
