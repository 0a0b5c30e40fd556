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

    def look(self) -> bool:
        """Look at the file; tell whether it is another one than before, good or not."""
        try:
            found: bytes | str = files.read(self._path)
        except FileError as error:
            found = str(error)
        if found == self._found:
            return False
        self._found = found
        if isinstance(found, str):
            self.fault = f"{_WHOSE}: {found}"
            return True
        try:
            self.authorities, self.fault = tls.authorities(found), None
        except CertificateError as error:
            self.fault = f"{_WHOSE}: {self._path}: {error}"
        return True
