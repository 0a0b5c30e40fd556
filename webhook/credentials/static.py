"""Username and password for the server, each from the configuration or from a file of its own."""

from pathlib import Path

from webhook.credentials import provider
from webhook.credentials.provider import CredentialResult
from webhook.credentials.targets import Targets
from webhook.errors import CredentialProviderError
from webhook.log import escape
from webhook.pull_secret.credential import Credential, Entry, cleaned, host_of
from webhook.settings import CredentialSettings, RegistrySettings

_USERNAME_FILE = "webhook.credential.username_file"
_FILE = "webhook.credential.file"


class StaticProvider:
    """Username and password in the configuration, or in files that it names, such as a mounted Secret's."""

    def __init__(self, targets: Targets, registry: RegistrySettings, credential: CredentialSettings) -> None:
        self._targets = targets
        self._registry = registry
        self._username_file = Path(credential.username_file) if credential.username_file else None
        self._file = Path(credential.file) if credential.file else None

    def read(self) -> CredentialResult:
        """Return the entries of the server's host; no other registry gets its password."""
        entries = self.entries()
        return CredentialResult(Credential(entries), self._targets.uncovered(entries))

    def entries(self) -> tuple[Entry, ...]:
        """Return the entries. Without a username there are none.

        Raises `InvalidCredential` and `CredentialProviderError`.
        """
        registry = self._registry
        if not (registry.username or self._username_file) or not self._targets.server:
            return ()
        username = _line(_USERNAME_FILE, self._username_file, "username") if self._username_file else registry.username
        password = _line(_FILE, self._file, "password") if self._file else registry.password
        return self._targets.entries(host_of(self._targets.server), username or "", password or "", registry.email)

    def fingerprint(self) -> bytes | None:
        """Digest the files; None if there are none, because the configuration is read once."""
        paths = [path for path in (self._username_file, self._file) if path]
        return b"".join(map(provider.fingerprint, paths)) if paths else None


def _line(key: str, path: Path, what: str) -> str:
    """Read a username or password from a file."""
    content = provider.read_file(key, path)
    try:
        text = cleaned(content.decode())
    except UnicodeDecodeError:
        raise CredentialProviderError(f"{key}: not UTF-8", where=escape(str(path))) from None
    if not text:
        raise CredentialProviderError(
            f"{key}: the file is empty", where=escape(str(path)), hint=f"write the {what} into it"
        )
    return text
