"""The interface of credential providers, and functions to read and watch their files."""

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
    """The result of reading a provider."""

    credential: Credential
    notes: tuple[str, ...]
    """Omitted entries with the reason, a line each, without secrets."""
    unusable: tuple[str, ...] = ()
    """The keys that the provider names without a credential that kubelet could use."""
    refresh_after: float | None = None
    """Seconds after which to read the provider again, which does not state when a credential ends."""
    failure: CredentialProviderError | InvalidCredential | None = None
    """Why there is nothing for the server, if there is something for others."""


class CredentialProvider(Protocol):
    """A source of credentials."""

    def read(self) -> CredentialResult:
        """Read the credential.

        Raises `CredentialProviderError` and `InvalidCredential`, each in one line and without secrets.
        """

    def fingerprint(self) -> bytes | None:
        """Return a digest of the provider's files, None if there are none to watch; never raises."""


def read_file(key: str, path: Path) -> bytes:
    """Read the file that the configuration's `key` names, up to a limit. Raises `CredentialProviderError`."""
    try:
        return files.read(path)
    except FileError as error:
        raise CredentialProviderError(f"{key}: {escape(str(error))}") from None


def fingerprint(path: Path) -> bytes:
    """Digest a file's content."""
    try:
        return hashlib.sha256(files.read(path)).digest()
    except FileError:
        return _UNREADABLE
