"""Whose clients are answered, where not everybody is: the authorities in a file, read again when it changes.

One that is broken, gone or without a CA that is valid now changes nothing: the last good one stays. Until there has
been one, nobody is answered.
"""

import time
from collections.abc import Callable
from pathlib import Path

from webhook.config import files
from webhook.errors import CertificateError, FileError
from webhook.server import tls

_SUBJECT = "whose clients are answered"


class ClientCA:
    """The authorities that sign clients' certificates, and the names that these must have."""

    def __init__(self, path: Path, names: frozenset[str] = frozenset(), clock: Callable[[], float] = time.time) -> None:
        """Take the file, PEM, which need not be there yet; without names any will do. `clock` gives POSIX seconds."""
        self._path = path
        self._clock = clock
        self._found: bytes | str | None = None
        self._is_rejected = False
        self.names = names
        """A client must have one of these, as its common name or among its DNS names."""
        self.cas = ""
        """The certificates in force, PEM: none until there has been a good file."""
        self.error: str | None = None
        """Why the file as it is now is not in force, in one line."""

    @property
    def invalid(self) -> str | None:
        """Why none of the CAs that are used is valid now, in one line."""
        why = tls.all_invalid_reason(self.cas, self._clock())
        return why and f"{_SUBJECT}: {self._path}: every CA {why}"

    def poll(self) -> tuple[bytes | str, str]:
        """Read the file; return what it holds, good or not, or why it cannot be read, and the CAs that are used."""
        try:
            found: bytes | str = files.read(self._path)
        except FileError as error:
            found = str(error)
        # CAs that were not valid may be by now, or those that are used may have expired.
        if found != self._found or self._is_rejected:
            self._found = found
            self._load(found)
        return found, self.cas

    def _load(self, found: bytes | str) -> None:
        self._is_rejected = False
        if isinstance(found, str):
            self.error = f"{_SUBJECT}: {found}"
            return
        try:
            authorities = tls.valid_ca_bundle(found)
        except CertificateError as error:
            self.error = f"{_SUBJECT}: {self._path}: {error}"
            return
        why = tls.all_invalid_reason(authorities, self._clock())
        if why and self.cas and not self.invalid:
            self.error = f"{_SUBJECT}: {self._path}: every CA {why}"
            self._is_rejected = True
        else:
            self.cas, self.error = authorities, None
