"""Encode and decode what the cluster stores: the Secret with the key pair and its CAs, and replicas' reports in it."""

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

#: The Secret's keys; `ca.crt`, `tls.crt` and `tls.key` as in a Secret of cert-manager.
_ACTIVE, _SERVING, _NEXT = ("ca.crt", "ca.key"), ("tls.crt", "tls.key"), ("next-ca.crt", "next-ca.key")
_RETIRED = "retired-ca.crt"
_REQUESTED = "true"


class TlsSecret(Struct, frozen=True):
    """The Secret with the key pair and its CAs."""

    version: int
    """Its resourceVersion."""
    type: str
    data: Mapping[str, bytes]
    annotations: Mapping[str, str]

    def __repr__(self) -> str:
        """Show no key."""
        return f"TlsSecret(version={self.version})"


class WebhookClientConfig(Struct, frozen=True):
    """The webhook configuration, as far as the refresher manages it."""

    version: int
    bundles: Mapping[str, bytes]
    """For each webhook its `caBundle`, PEM."""
    owners: frozenset[str]
    """The uids of its owners."""


def encode(state: State) -> tuple[dict[str, bytes], dict[str, str]]:
    """Encode a state as a Secret's data and annotations."""
    pairs = {_ACTIVE: state.active, _SERVING: state.serving, _NEXT: state.next}
    data = {key: text for keys, pair in pairs.items() if pair for key, text in zip(keys, pair, strict=True)}
    if state.retired:
        data[_RETIRED] = b"".join(state.retired)
    annotations = {} if state.trusted is None else {TRUSTED_ANNOTATION: format_rfc3339(state.trusted.timestamp())}
    if state.requested:
        annotations[REQUESTED_ANNOTATION] = _REQUESTED
    return data, annotations


def decode(secret: TlsSecret) -> State:
    """Decode what `encode` wrote. Raises `CertificateError` if its key pair could not be served."""
    if secret.type != TYPE:
        raise CertificateError(f"the type must be {TYPE}, not {secret.type}")
    active, serving = _pair(secret.data, _ACTIVE), _pair(secret.data, _SERVING)
    following = _pair(secret.data, _NEXT) if _NEXT[0] in secret.data else None
    ca.check(active, [active.certificate], signs=True)
    ca.check(serving, [active.certificate])
    if following:
        ca.check(following, [following.certificate], signs=True)
    retired = ca.certificates_in(secret.data.get(_RETIRED, b""))
    trusted = _time(secret.annotations.get(TRUSTED_ANNOTATION, ""))
    requested = secret.annotations.get(REQUESTED_ANNOTATION) == _REQUESTED
    return State(active, serving, following, retired, trusted, requested)


def reports(secret: TlsSecret) -> dict[str, Report]:
    """Decode the replicas' reports, by their names."""
    found = {}
    for key, text in secret.annotations.items():
        # A newer version may add fields.
        serving, written, *_ = [*text.split(" "), ""]
        at = _time(written)
        if key.startswith(REPLICA_ANNOTATIONS) and at is not None:
            found[key.removeprefix(REPLICA_ANNOTATIONS)] = Report(serving, at)
    return found


def report(report: Report) -> str:
    """Encode a replica's report, the value of its annotation."""
    return f"{report.serving} {format_rfc3339(report.reported_at.timestamp())}"


def _pair(data: Mapping[str, bytes], keys: tuple[str, str]) -> KeyPair:
    missing = [key for key in keys if not data.get(key)]
    if missing:
        raise CertificateError(f"missing keys: {', '.join(missing)}")
    return KeyPair(*(data[key] for key in keys))


def _time(text: str) -> datetime | None:
    seconds = parse_rfc3339(text)
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
