"""New connections to every replica, repeatedly, each checked as an API server checks it.

API servers reuse connections for a long time, so few of their requests need a new one. These connections do, with the
webhook configuration's current `caBundle` and the name that is called.
"""

import json
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from webhook.constants import DEFAULT_NAMESPACE, InstallationNames
from webhook.errors import ClusterError
from webhook.kube.client import Client, Request
from webhook.pki import ca

from .history import History

_PORT = 8443
_PAUSE, _PATIENCE = 0.2, 2.0
_PODS = Request("list our Pods", "GET", f"/api/v1/namespaces/{DEFAULT_NAMESPACE}/pods")


class Handshakes:
    """What came of them so far."""

    def __init__(self, client: Client, history: History) -> None:
        """Take who names the Pods, and who knows the bundle."""
        self._client = client
        self._history = history
        self._stop = threading.Event()
        self.number = 0
        """How many succeeded; none where the Pods' addresses cannot be reached from here."""
        self.faults: Counter[str] = Counter()
        """Certificates that were not accepted, by what was wrong."""
        self.served: dict[str, str] = {}
        """For each Pod the fingerprint of the certificate that it served last."""

    def run(self) -> None:
        """Go on until told to stop."""
        while not self._stop.wait(_PAUSE):
            try:
                pods = json.loads(self._client.call(_PODS))["items"]
            except ClusterError:
                continue
            for pod in pods:
                address = pod["status"].get("podIP")
                if address and "deletionTimestamp" not in pod["metadata"]:
                    self._shake(pod["metadata"]["name"], address)

    def end(self) -> None:
        """Open no more."""
        self._stop.set()

    def _shake(self, pod: str, address: str) -> None:
        context = ssl.create_default_context(cadata=b"".join(self._history.bundle).decode())
        try:
            with (
                socket.create_connection((address, _PORT), timeout=_PATIENCE) as plain,
                context.wrap_socket(plain, server_hostname=InstallationNames().hosts[0]) as connection,
            ):
                certificate = connection.getpeercert(binary_form=True)
        except ssl.SSLCertVerificationError as error:
            self.faults[f"{pod}: {error.verify_message}"] += 1
        except OSError:
            return  # it has not started yet, or is about to leave
        else:
            assert certificate is not None
            self.number += 1
            self.served[pod] = ca.fingerprint(ssl.DER_cert_to_PEM_cert(certificate).encode())


@contextmanager
def made(client: Client, history: History) -> Iterator[Handshakes]:
    """Open connections until the end."""
    handshakes = Handshakes(client, history)
    thread = threading.Thread(target=handshakes.run, daemon=True)
    thread.start()
    try:
        yield handshakes
    finally:
        handshakes.end()
        thread.join(timeout=20)
