"""The pull secret as the API server stores it: its content, labels and annotations.

https://kubernetes.io/docs/concepts/configuration/secret/#docker-config-secrets
"""

import base64
import hashlib
from typing import Any

import msgspec
from msgspec import Struct

from webhook.constants import (
    DESELECTED_ANNOTATION,
    EXPIRES_ANNOTATION,
    INSTALLATION_LABEL,
    MANAGED_BY_LABEL,
    PROGRAM,
    REFRESHED_ANNOTATION,
)
from webhook.errors import CredentialProviderError, InvalidCredential
from webhook.pull_secret import dockerconfigjson
from webhook.pull_secret.credential import Credential, Entry
from webhook.timestamps import format_rfc3339

TYPE = "kubernetes.io/dockerconfigjson"
KEY = ".dockerconfigjson"
MASK = "********"
#: Bytes of a Secret's data: https://kubernetes.io/docs/concepts/configuration/secret/#restriction-data-size
LIMIT = 1024 * 1024


class PullSecret(Struct, frozen=True):
    """The desired content of every pull secret."""

    content: bytes
    """`.dockerconfigjson`: the same bytes for the same credential."""
    expires: str | None
    """When it ends, as the provider states it, RFC 3339."""
    refreshed: str
    """Since when this content has been published, RFC 3339."""
    create_only: bool = False
    """Whether it must not replace other content, because the registry refused it or could not be asked, or because it
    was read from the cluster."""

    @property
    def hash(self) -> str:
        return digest(self.content)

    def __repr__(self) -> str:
        """Show no content."""
        return f"PullSecret(expires={self.expires!r}, refreshed={self.refreshed!r})"


class Published(Struct, frozen=True):
    """A pull secret of ours as it is stored."""

    content: bytes
    expires: str | None
    refreshed: str

    def __repr__(self) -> str:
        """Show no content."""
        return f"Published(expires={self.expires!r}, refreshed={self.refreshed!r})"


def from_published(published: Published) -> PullSecret:
    """Return what an earlier process published: unverified, because a tenant can have written it."""
    return PullSecret(published.content, published.expires, published.refreshed, create_only=True)


def entries(pull_secret: PullSecret) -> tuple[Entry, ...]:
    """Decode the entries; those that kubelet could not use are left out."""
    try:
        found, _ = dockerconfigjson.parse(pull_secret.content)
    except CredentialProviderError:
        return ()
    return tuple(found)


def build(credential: Credential, now: float) -> PullSecret:
    """Build the pull secret of a credential that is published from POSIX time `now` on.

    Raises `InvalidCredential` if it is too large for a Secret.
    """
    auths = {entry.key: _auth(entry.username, entry.password, entry.email) for entry in credential.entries}
    content = msgspec.json.encode({"auths": dict(sorted(auths.items()))})
    if len(content) > LIMIT:
        raise InvalidCredential(
            f"the {len(auths)} entries have {len(content) // 1024} KiB and a Secret holds at most 1024 KiB",
            hint="remove some",
        )
    expires = (
        format_rfc3339(credential.expires) if credential.expiry_stated and credential.expires is not None else None
    )
    return PullSecret(content, expires, format_rfc3339(now))


def digest(content: bytes) -> str:
    """Hash a content, for comparison in memory only: a weak password could be guessed from the hash."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def to_manifest(  # noqa: PLR0913 - each by name
    pull_secret: PullSecret,
    *,
    name: str,
    namespace: str,
    installation: str,
    deselected_since: str | None = None,
    uid: str | None = None,
) -> dict[str, Any]:
    """Return the Secret to apply; with a `uid` only to that object.

    `installation` is the namespace of the installation, and `deselected_since` is since when the Secret's namespace has
    not been selected, RFC 3339.
    """
    annotations = {
        REFRESHED_ANNOTATION: pull_secret.refreshed,
        EXPIRES_ANNOTATION: pull_secret.expires,
        DESELECTED_ANNOTATION: deselected_since,
    }
    metadata = {
        "name": name,
        "namespace": namespace,
        "uid": uid,
        "labels": {MANAGED_BY_LABEL: PROGRAM, INSTALLATION_LABEL: installation},
        "annotations": {key: value for key, value in annotations.items() if value},
    }
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {key: value for key, value in metadata.items() if value is not None},
        "type": TYPE,
        "data": {KEY: base64.b64encode(pull_secret.content).decode()},
    }


def redacted(secret: dict[str, Any]) -> dict[str, Any]:
    """Return a Secret's manifest without its content."""
    return secret | {"data": dict.fromkeys(secret["data"], MASK)}


def _auth(username: str, password: str, email: str | None) -> dict[str, str]:
    """Encode one entry. kubelet reads `auth` first; some builders read nothing else."""
    auth = base64.b64encode(f"{username}:{password}".encode()).decode()
    return {"username": username, "password": password} | ({"email": email} if email else {}) | {"auth": auth}
