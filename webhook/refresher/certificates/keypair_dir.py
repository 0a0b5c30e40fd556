"""The pair that the server of this Pod serves: the folder that it is read from, and what the server says.

The files are replaced as kubelet replaces those of a mounted Secret: `tls.crt` and `tls.key` lead through one link,
`..data`, to a folder that is written whole before the link is turned to it.
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
_FOLDERS = "..pair-"
_TIMEOUT = 2.0


class KeyPairDir:
    """Where the pair is put for the server, and where that is asked which one it serves."""

    def __init__(self, folder: Path, server: Address) -> None:
        """Take the folder, which must be there, and the server's address."""
        self._folder = folder
        self._server = server

    def read(self) -> KeyPair | None:
        """Read the pair; None where there is none yet, or it cannot be read."""
        try:
            return KeyPair(*(files.read(self._folder / name) for name in _NAMES))
        except FileError:
            return None

    def write(self, pair: KeyPair) -> None:
        """Replace the pair as a whole. Raises `FileError`."""
        try:
            fresh = Path(tempfile.mkdtemp(prefix=_FOLDERS, dir=self._folder))
            for name, content in zip(_NAMES, pair, strict=True):
                (fresh / name).touch(mode=0o600)
                (fresh / name).write_bytes(content)
            self._switch_symlink(_LINK, fresh.name)
            for name in _NAMES:
                self._switch_symlink(name, f"{_LINK}/{name}")
        except OSError as error:
            raise FileError(f"{error.filename or self._folder}: cannot write: {error.strerror}") from None
        finally:
            self._prune()

    def fingerprint(self) -> str | None:
        """Ask the server which certificate it serves; None where it does not answer.

        One that answers only clients with a certificate (`serve --client-ca`) is asked all the same: it speaks TLS 1.3,
        in which a client has the server's certificate, and its handshake is over, before it is refused.
        """
        try:
            served = ssl.get_server_certificate((self._server.host or "127.0.0.1", self._server.port), timeout=_TIMEOUT)
            return ca.fingerprint(served.encode())
        except (OSError, ValueError):
            return None

    def _prune(self) -> None:
        """Remove every folder but the one that is served: where the disk is full, attempts must not add up."""
        with suppress(OSError):
            kept = os.path.realpath(self._folder / _LINK)
            for folder in self._folder.glob(f"{_FOLDERS}*"):
                if os.path.realpath(folder) != kept:
                    shutil.rmtree(folder, ignore_errors=True)

    def _switch_symlink(self, name: str, target: str) -> None:
        """Have a link lead somewhere else, at once."""
        link, fresh = self._folder / name, self._folder / f"{name}.new"
        if link.is_symlink() and str(link.readlink()) == target:
            return
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(target)
        fresh.replace(link)
