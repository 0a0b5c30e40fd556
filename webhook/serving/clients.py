"""Whose clients are answered, where not everybody is: the authorities in a file, read again when it changes.

One that is broken or gone changes nothing: the last good one stays. Until there has been one, nobody is answered.
"""

from pathlib import Path

from webhook.adapters import files
from webhook.errors import CertificateError, FileError
from webhook.serving import tls

_WHOSE = "whose clients are answered"


class Clients:
    """The authorities that sign clients' certificates, and the names that these must have."""

    def __init__(self, path: Path, names: frozenset[str] = frozenset()) -> None:
        """Take the file, PEM, which need not be there yet; without names any will do."""
        self._path = path
        self._found: bytes | str | None = None
        self.names = names
        """A client must have one of these, as its common name or among its DNS names."""
        self.authorities = ""
        """The certificates in force, PEM: none until there has been a good file."""
        self.fault: str | None = None
        """Why the file as it is now is not in force, in one line."""

    def look(self) -> bytes | str:
        """Look at the file, and give what stands in it, good or not, or why it cannot be read."""
        try:
            found: bytes | str = files.read(self._path)
        except FileError as error:
            found = str(error)
        if found != self._found:
            self._found = found
            self._take(found)
        return found

    def _take(self, found: bytes | str) -> None:
        if isinstance(found, str):
            self.fault = f"{_WHOSE}: {found}"
            return
        try:
            self.authorities, self.fault = tls.authorities(found), None
        except CertificateError as error:
            self.fault = f"{_WHOSE}: {self._path}: {error}"
