"""A server that stands in for the webhook's TLS port, and reports of its certificate."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .fake_api_server import ApiServer
from .refresher_process import Place

OWNER = {"apiVersion": "v1", "kind": "Namespace", "name": "registry-webhook", "uid": "uid-registry-webhook"}


class Server:
    """A server with the certificate in its folder, if there is one."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.connections = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            with suppress(OSError), connection:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(self.folder / "tls.crt", self.folder / "tls.key")
                context.wrap_socket(connection, server_side=True).close()

    def close(self) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)  # or one that waits for a connection takes one more
        self._listening.close()

    @property
    def certificate(self) -> bytes:
        """The certificate in the folder, empty if there is none."""
        return (self.folder / "tls.crt").read_bytes() if (self.folder / "tls.crt").exists() else b""


@contextmanager
def serving(place: Place, name: str) -> Iterator[Server]:
    server = Server(place.folder / f"tls-{name}")
    try:
        yield server
    finally:
        server.close()


def said(api: ApiServer, replica: str) -> str:
    """Return the fingerprint of the certificate that a replica reports."""
    secret = api.certificates.get("registry-webhook-certificate", {"metadata": {}})
    text: str = secret["metadata"].get("annotations", {}).get(f"replica.registry-webhook/{replica}", "")
    return text.partition(" ")[0]
