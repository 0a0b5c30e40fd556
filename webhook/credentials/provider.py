"""What every source gives, and the reading and watching of the file that it reads."""

import hashlib
from pathlib import Path
from typing import NamedTuple, Protocol

from webhook.config import files
from webhook.errors import CredentialProviderError, FileError, InvalidCredential
from webhook.log import escape
from webhook.pull_secret.credential import Credential

#: The fingerprint of a file that cannot be read: shorter than that of any content.
_UNREADABLE = b"unreadable"


class CredentialResult(NamedTuple):
    """What a source gave."""

    credential: Credential
    notes: tuple[str, ...]
    """What was left out and why, a line each, without anything secret."""
    unusable: tuple[str, ...] = ()
    """The keys that the provider names without a credential that kubelet could use."""
    refresh_after: float | None = None
    """Seconds after which the provider is to be read again at the latest: it does not state when a credential ends."""
    failure: CredentialProviderError | InvalidCredential | None = None
    """Why there is nothing for the server, though there is for others."""


class CredentialProvider(Protocol):
    """Where a credential comes from."""

    def read(self) -> CredentialResult:
        """Read the credential.

        Raises `CredentialProviderError` and `InvalidCredential`, each one line without anything secret.
        """

    def fingerprint(self) -> bytes | None:
        """Give a digest of what the source's files hold now, None where there is none to watch; never raises."""


def read_file(key: str, path: Path) -> bytes:
    """Read the file that the configuration's `key` names, bounded. Raises `CredentialProviderError`."""
    try:
        return files.read(path)
    except FileError as error:
        raise CredentialProviderError(f"{key}: {escape(str(error))}") from None


def fingerprint(path: Path) -> bytes:
    """Digest what a file holds."""
    try:
        return hashlib.sha256(files.read(path)).digest()
    except FileError:
        return _UNREADABLE
