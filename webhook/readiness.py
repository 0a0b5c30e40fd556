"""What the sidecar's `/readyz` says: one value, written as JSON for programs and as text for users.

Codes are an interface: a code keeps its meaning, messages change without notice. Readers take a code that they do not
know for a warning, and a field that they do not know for none. Nothing here does I/O.
"""

from enum import StrEnum

import msgspec
from msgspec import Struct

#: How both forms are asked for (`Accept`), and said to be sent.
JSON = "application/json"


class Code(StrEnum):
    """What came of the last refresh, or is wrong."""

    PUBLISHED = "published"
    NO_CREDENTIAL = "no-credential"
    """None is configured."""
    STANDBY = "standby"
    """Another replica writes, or none yet."""
    PROVIDER_FAILED = "provider-failed"
    """The credential provider gave no credential, or not for each registry."""
    REGISTRY_UNAVAILABLE = "registry-unavailable"
    """The registry could not be asked about the credential."""
    CREDENTIAL_REFUSED = "credential-refused"
    CLUSTER_UNAVAILABLE = "cluster-unavailable"
    """The namespaces or Secrets could not be listed."""
    REFRESH_PENDING = "refresh-pending"
    """The first refresh is not complete."""
    NOT_PUBLISHED = "not-published"
    """There is nothing to publish yet."""
    CREDENTIAL_EXPIRED = "credential-expired"
    """The published credential has expired."""
    NO_LEADER = "no-leader"
    """No replica has had the Lease yet."""
    LEASE_FAILED = "lease-failed"
    """The Lease cannot be read or written."""
    CERTIFICATE_FAILED = "certificate-failed"
    """The certificate, or the webhook configuration's `caBundle` or owner, cannot be kept."""
    CONFIGURATION_INVALID = "configuration-invalid"
    """The configuration is invalid; the last valid one is used."""
    PULL_SECRET_FAILED = "pull-secret-failed"  # noqa: S105 - a code
    """The pull secret of a namespace cannot be written."""
    FOREIGN_SECRET = "foreign-secret"  # noqa: S105 - a code
    """A namespace has a Secret of the pull secret's name that is left as it is."""


class Notice(Struct, frozen=True):
    """Something that is wrong."""

    code: str
    message: str
    namespace: str | None = None


class Lease(Struct, frozen=True):
    """Which replica writes."""

    holder: str | None
    leading: bool
    """Whether it is the one that answers."""


class Refresh(Struct, frozen=True):
    """The last refresh."""

    time: str
    """RFC 3339."""
    result: str
    """`success` or `failure`."""
    code: str
    message: str = ""


class Readiness(Struct, frozen=True, rename="camel"):
    """The state of a sidecar."""

    ready: bool
    config_hash: str = ""
    lease: Lease | None = None
    last_refresh: Refresh | None = None
    """None before the first is complete."""
    warnings: tuple[Notice, ...] = ()
    """What keeps it from being ready comes first."""


def encode(readiness: Readiness) -> bytes:
    """Write it as JSON."""
    return msgspec.json.encode(readiness) + b"\n"


def decode(body: bytes) -> Readiness | None:
    """Read what `encode` of this or another version wrote; None for anything else."""
    try:
        return _DECODER.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def text(readiness: Readiness) -> str:
    """Write it for users, a line for each thing."""
    lines = ["ready" if readiness.ready else "not ready", f"configuration {readiness.config_hash}"]
    if readiness.lease is not None:
        holder = readiness.lease.holder or "no replica"
        lines.append(f"Lease held by {holder}{' (this replica)' if readiness.lease.leading else ''}")
    if readiness.last_refresh is not None:
        last = readiness.last_refresh
        lines.append(f"last refresh {last.time} {last.result} {last.code}")
    for notice in readiness.warnings:
        place = f" namespace={notice.namespace}" if notice.namespace else ""
        lines.append(f"warning {notice.code}{place}: {notice.message}")
    return "".join(f"{line}\n" for line in lines)


_DECODER = msgspec.json.Decoder(Readiness)
