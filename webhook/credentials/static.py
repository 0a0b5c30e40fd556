"""User name and password for the server, each from the configuration or from a file of its own."""

from pathlib import Path

from webhook.credentials import provider
from webhook.credentials.provider import Reading
from webhook.credentials.targets import Wanted
from webhook.errors import SourceError
from webhook.log import escape
from webhook.pull_secret.credential import Credential, Entry, cleaned, host_of
from webhook.settings import CredentialSettings, RegistrySettings

_USERNAME_FILE = "webhook.credential.username_file"
_FILE = "webhook.credential.file"


class Static:
    """What stands in the configuration, and in the files that it names, such as a mounted Secret's."""

    def __init__(self, wanted: Wanted, registry: RegistrySettings, credential: CredentialSettings) -> None:
        """Take what the credential is for, and the settings that hold it or name its files."""
        self._wanted = wanted
        self._registry = registry
        self._username_file = Path(credential.username_file) if credential.username_file else None
        self._file = Path(credential.file) if credential.file else None

    def read(self) -> Reading:
        """Make the entries of the server's host; another registry is not told its password."""
        entries = self.entries()
        return Reading(Credential(entries), self._wanted.uncovered(entries))

    def entries(self) -> tuple[Entry, ...]:
        """Give the entries, none where no user name is set. Raises `InvalidCredential` and `SourceError`."""
        registry = self._registry
        if not (registry.username or self._username_file) or not self._wanted.server:
            return ()
        username = _line(_USERNAME_FILE, self._username_file, "user name") if self._username_file else registry.username
        password = _line(_FILE, self._file, "password") if self._file else registry.password
        return self._wanted.entries(host_of(self._wanted.server), username or "", password or "", registry.email)

    def fingerprint(self) -> bytes | None:
        """Digest what the files hold now; None where there are none, for the configuration is read once."""
        paths = [path for path in (self._username_file, self._file) if path]
        return b"".join(map(provider.fingerprint, paths)) if paths else None


def _line(key: str, path: Path, what: str) -> str:
    """Read a user name or password."""
    content = provider.content(key, path)
    try:
        text = cleaned(content.decode())
    except UnicodeDecodeError:
        raise SourceError(f"{key}: {escape(str(path))}: it is not in UTF-8") from None
    if not text:
        raise SourceError(f"{key}: {escape(str(path))}: it is empty: write the {what} into it")
    return text
