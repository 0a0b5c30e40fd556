"""The CAs of client certificates for mutual TLS, reloaded when their file changes.

A file that cannot be read, or has no CA that is valid now, is ignored: the last valid one is used. Until there is one,
no client is answered.
"""

import time
from collections.abc import Callable
from pathlib import Path

from webhook.config import files
from webhook.errors import CertificateError, FileError
from webhook.server import tls


class ClientCA:
    """The CAs in a PEM file, which may not exist yet. `clock` returns POSIX seconds."""

    def __init__(self, path: Path, names: frozenset[str] = frozenset(), clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self._clock = clock
        self._found: bytes | str | None = None
        self._is_rejected = False
        self.names = names
        """If not empty, a client's certificate must have one of these as its common name or a DNS name."""
        self.cas = ""
        """The current CAs, PEM; empty until there has been a valid file."""
        self.error: str | None = None
        """Why the current file is not used, in one line."""

    @property
    def invalid(self) -> str | None:
        """Why none of the current CAs is valid now, in one line."""
        why = tls.all_invalid_reason(self.cas, self._clock())
        return why and f"{self.path}: every CA {why}"

    def poll(self) -> None:
        """Read the file, and replace the CAs if it has valid ones."""
        try:
            found: bytes | str = files.read(self.path)
        except FileError as error:
            found = str(error)
        # Rejected CAs may be valid by now, or the current ones may have expired.
        if found != self._found or self._is_rejected:
            self._found = found
            self._load(found)

    def _load(self, found: bytes | str) -> None:
        self._is_rejected = False
        if isinstance(found, str):
            self.error = found
            return
        try:
            cas = tls.valid_ca_bundle(found)
        except CertificateError as error:
            self.error = f"{self.path}: {error}"
            return
        why = tls.all_invalid_reason(cas, self._clock())
        if why and self.cas and not self.invalid:
            self.error = f"{self.path}: every CA {why}"
            self._is_rejected = True
        else:
            self.cas, self.error = cas, None
