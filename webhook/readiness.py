"""The refresher's `/readyz` response, encoded as JSON for programs and as text for users. No I/O.

Codes are an interface: a code keeps its meaning, messages may change. Readers treat an unknown code as a warning and
ignore unknown fields.
"""

from enum import StrEnum

import msgspec
from msgspec import Struct

#: Media type in `Accept` and `Content-Type`.
JSON = "application/json"


class Code(StrEnum):
    """The result of the last refresh, or a warning."""

    PUBLISHED = "published"
    NO_CREDENTIAL = "no-credential"
    """No credential is configured."""
    STANDBY = "standby"
    """Another replica is the leader, or there is no leader yet."""
    PROVIDER_FAILED = "provider-failed"
    """The credential provider failed for at least one registry."""
    REGISTRY_UNAVAILABLE = "registry-unavailable"
    """The registry could not check the credential."""
    REGISTRY_UNTRUSTED = "registry-untrusted"
    """The same, because no known CA signed the registry's certificate."""
    CREDENTIAL_REFUSED = "credential-refused"
    CLUSTER_UNAVAILABLE = "cluster-unavailable"
    """The namespaces or Secrets could not be listed."""
    REFRESH_PENDING = "refresh-pending"
    """The first refresh is not complete."""
    NOT_PUBLISHED = "not-published"
    """There is nothing to publish yet."""
    CREDENTIAL_EXPIRED = "credential-expired"
    NO_LEADER = "no-leader"
    """No replica has held the Lease yet."""
    LEASE_FAILED = "lease-failed"
    """The Lease cannot be read or written."""
    CERTIFICATE_FAILED = "certificate-failed"
    """The certificate, or the webhook configuration's `caBundle` or owner, cannot be maintained."""
    CONFIGURATION_INVALID = "configuration-invalid"
    """The last valid configuration is used."""
    PULL_SECRET_FAILED = "pull-secret-failed"  # noqa: S105 - a code
    """The pull secret of a namespace cannot be written."""
    FOREIGN_SECRET = "foreign-secret"  # noqa: S105 - a code
    """A namespace has an unmanaged Secret with the pull secret's name, which is left unchanged."""


class Notice(Struct, frozen=True):
    """A warning."""

    code: str
    message: str
    namespace: str | None = None


class Lease(Struct, frozen=True):
    """The state of leader election."""

    holder: str | None
    leading: bool
    """Whether the replica that responds holds the Lease."""


class Refresh(Struct, frozen=True):
    """The last refresh."""

    time: str
    """RFC 3339."""
    result: str
    """`success` or `failure`."""
    code: str
    message: str = ""


class Readiness(Struct, frozen=True, rename="camel"):
    """The state of a refresher."""

    ready: bool
    config_hash: str = ""
    lease: Lease | None = None
    last_refresh: Refresh | None = None
    """None until the first is complete."""
    warnings: tuple[Notice, ...] = ()
    """Those that prevent readiness come first."""


def encode(readiness: Readiness) -> bytes:
    """Encode as JSON."""
    return msgspec.json.encode(readiness) + b"\n"


def decode(body: bytes) -> Readiness | None:
    """Decode the output of `encode`, of this or another version; return None for anything else."""
    try:
        return _DECODER.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def text(readiness: Readiness) -> str:
    """Format for users, as lines of text."""
    lines = ["ready" if readiness.ready else "not ready", f"configuration hash {readiness.config_hash}"]
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
