"""The directory from which this Pod's server reads its key pair, and the certificate that the server serves.

The files are replaced as kubelet replaces those of a mounted Secret: `tls.crt` and `tls.key` point through one symlink,
`..data`, to a directory that is complete before the symlink is switched to it.
"""

import os
import shutil
import ssl
import tempfile
from contextlib import suppress
from pathlib import Path

from webhook.config import files
from webhook.config.listen_address import Address
from webhook.errors import FileError
from webhook.pki import ca
from webhook.pki.ca import KeyPair

_NAMES = ("tls.crt", "tls.key")
_LINK = "..data"
_PREFIX = "..pair-"
_TIMEOUT = 2.0


class KeyPairDir:
    """An existing directory for the server's key pair, and the address of that server."""

    def __init__(self, folder: Path, server: Address) -> None:
        self._folder = folder
        self._server = server

    def read(self) -> KeyPair | None:
        """Read the key pair; None if there is none yet, or it cannot be read."""
        try:
            return KeyPair(*(files.read(self._folder / name) for name in _NAMES))
        except FileError:
            return None

    def write(self, pair: KeyPair) -> None:
        """Replace the key pair atomically. Raises `FileError`."""
        try:
            fresh = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self._folder))
            for name, content in zip(_NAMES, pair, strict=True):
                (fresh / name).touch(mode=0o600)
                (fresh / name).write_bytes(content)
            self._switch_symlink(_LINK, fresh.name)
            for name in _NAMES:
                self._switch_symlink(name, f"{_LINK}/{name}")
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise FileError(f"cannot write: {reason}", where=str(error.filename or self._folder)) from None
        finally:
            self._prune()

    def fingerprint(self) -> str | None:
        """Return the fingerprint of the certificate that the server serves, None if it does not answer.

        This also works with mutual TLS (`serve --client-ca`): in TLS 1.3 a client has the server's certificate, and has
        completed its handshake, before it is refused.
        """
        address = (self._server.host or "127.0.0.1", self._server.port)
        try:
            return ca.fingerprint(ssl.get_server_certificate(address, timeout=_TIMEOUT).encode())
        except (OSError, ValueError):
            return None

    def _prune(self) -> None:
        """Remove every directory except the current one: on a full disk, failed attempts must not add up."""
        with suppress(OSError):
            current = os.path.realpath(self._folder / _LINK)
            for folder in self._folder.glob(f"{_PREFIX}*"):
                if os.path.realpath(folder) != current:
                    shutil.rmtree(folder, ignore_errors=True)

    def _switch_symlink(self, name: str, target: str) -> None:
        link, fresh = self._folder / name, self._folder / f"{name}.new"
        if link.is_symlink() and str(link.readlink()) == target:
            return
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(target)
        fresh.replace(link)
