"""User name and password for the server, the password from the configuration or from a file."""

from pathlib import Path

from webhook.adapters.sources import reading
from webhook.adapters.sources.reading import Reading
from webhook.adapters.sources.wanted import Wanted
from webhook.config.model import RegistrySettings
from webhook.errors import SourceError
from webhook.log import escape
from webhook.pullsecret.credential import Credential, Entry, host_of

_KEY = "webhook.credential.file"


class Static:
    """What stands in the configuration."""

    def __init__(self, wanted: Wanted, registry: RegistrySettings) -> None:
        """Take what the credential is for, and the settings that hold it."""
        self._wanted = wanted
        self._registry = registry

    def read(self) -> Reading:
        """Make the entries of the server's host; another registry is not told its password."""
        entries = self.entries()
        return Reading(Credential(entries), self._wanted.uncovered(entries))

    def entries(self) -> tuple[Entry, ...]:
        """Give the entries, none where no user name is set. Raises `InvalidCredential` and `SourceError`."""
        if not self._registry.username or not self._wanted.server:
            return ()
        host = host_of(self._wanted.server)
        return self._wanted.entries(host, self._registry.username, self._password(), self._registry.email)

    def _password(self) -> str:
        return self._registry.password or ""

    def fingerprint(self) -> bytes | None:
        """Give None: the configuration is read once."""
        return None


class PasswordFile(Static):
    """The password in a file, such as a mounted Secret's."""

    def __init__(self, wanted: Wanted, registry: RegistrySettings, path: Path) -> None:
        """Take the file's path too."""
        super().__init__(wanted, registry)
        self._path = path

    def _password(self) -> str:
        """Read the password; editors and `echo` end a file with a line break, which is not part of it."""
        content = reading.content(_KEY, self._path)
        try:
            password = content.decode().rstrip("\r\n")
        except UnicodeDecodeError:
            raise SourceError(f"{_KEY}: {escape(str(self._path))}: it is not in UTF-8") from None
        if not password:
            raise SourceError(f"{_KEY}: {escape(str(self._path))}: it is empty: write the password into it")
        return password

    def fingerprint(self) -> bytes:
        """Digest what the file holds now."""
        return reading.fingerprint(self._path)
