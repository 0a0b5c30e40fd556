"""The sidecar keeps the webhook's certificate, beside an API server of the test's own and servers that serve it."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from webhook.certificates import authority

from .api_server import ApiServer, status
from .running import Place, Sidecar, refreshing, wait_until

OWNER = {"apiVersion": "v1", "kind": "Namespace", "name": "registry-webhook", "uid": "uid-registry-webhook"}


class Server:
    """A server that serves whatever pair stands in its folder, if any, to whoever connects."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with suppress(OSError), connection:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(self.folder / "tls.crt", self.folder / "tls.key")
                context.wrap_socket(connection, server_side=True).close()

    def close(self) -> None:
        self._listening.close()

    @property
    def certificate(self) -> bytes:
        """What stands in the folder."""
        return (self.folder / "tls.crt").read_bytes() if (self.folder / "tls.crt").exists() else b""


@contextmanager
def serving(place: Place, name: str) -> Iterator[Server]:
    server = Server(place.folder / f"tls-{name}")
    try:
        yield server
    finally:
        server.close()


@contextmanager
def keeping(place: Place, server: Server, name: str = "one") -> Iterator[Sidecar]:
    with refreshing(place, name, f"--tls-folder={server.folder}", f"--tls-server={server.address}") as sidecar:
        yield sidecar


def said(api: ApiServer, replica: str) -> str:
    """Give the fingerprint that a replica says it serves."""
    secret = api.certificates.get("registry-webhook-certificate", {"metadata": {}})
    text: str = secret["metadata"].get("annotations", {}).get(f"replica.registry-webhook/{replica}", "")
    return text.partition(" ")[0]


def in_order(api: ApiServer, *servers: Server) -> bool:
    """Say whether Secret, caBundle and servers agree, and the servers have said so."""
    certificate = api.certificate("tls.crt")
    return (
        bool(certificate)
        and api.bundle.startswith(api.certificate("ca.crt"))
        and all(server.certificate == certificate for server in servers)
        and said(api, "one") == authority.fingerprint(certificate)
    )


def test_at_first_the_secret_then_the_bundle_then_the_pair(place: Place) -> None:
    api = place.api
    with serving(place, "one") as server, keeping(place, server) as sidecar:
        wait_until(lambda: api.certificate("tls.crt"))
        # Nobody calls yet, so nobody has to be waited for.
        wait_until(lambda: server.certificate == api.certificate("tls.crt"))
        api.call()
        wait_until(lambda: in_order(api, server))
        assert api.bundle == api.certificate("ca.crt")
        assert api.configurations["registry-webhook"]["metadata"]["ownerReferences"] == [OWNER]
        assert sidecar.metric("certificate_expiry_timestamp_seconds") < float("inf")
        assert sidecar.metric("certificate_renewals_total") == 1
        assert sidecar.metric("ca_bundle_repairs_total") == 0
        files = sorted(path.name for path in server.folder.iterdir() if not path.name.startswith(".."))
        assert files == ["tls.crt", "tls.key"]
        assert (server.folder / "tls.key").stat().st_mode & 0o777 == 0o600


def test_where_a_webhook_calls_the_pair_waits_for_the_bundle(place: Place) -> None:
    api = place.api
    api.call()
    refused = status(403, "Forbidden", "no right")
    with (
        serving(place, "one") as server,
        api.failing(lambda a: a.method == "PATCH" and "mutating" in a.path, refused) as fault,
    ):
        with keeping(place, server) as sidecar:
            wait_until(lambda: fault.met >= 2)
            assert api.certificate("tls.crt")
            assert not server.certificate
            assert "certificate: cannot write the webhook configuration: no right (403)" in sidecar.probe("/readyz")[1]
            api.faults.clear()
            wait_until(lambda: in_order(api, server))
            wait_until(lambda: "certificate:" not in sidecar.probe("/readyz")[1])
        api.faults.append(fault)


@pytest.fixture
def kept(place: Place) -> Iterator[tuple[Server, Sidecar]]:
    """Run a sidecar that has come to rest."""
    place.api.call()
    with serving(place, "one") as server, keeping(place, server) as sidecar:
        wait_until(lambda: in_order(place.api, server))
        yield server, sidecar


def test_a_bundle_that_is_emptied_or_changed_is_put_back(place: Place, kept: tuple[Server, Sidecar]) -> None:
    api, (_, sidecar) = place.api, kept
    for other in (b"", b"something else"):
        api.call(other)
        wait_until(lambda: api.bundle == api.certificate("ca.crt"))
    wait_until(lambda: sidecar.metric("ca_bundle_repairs_total") == 2)


def test_an_owner_that_is_taken_away_is_put_back(place: Place, kept: tuple[Server, Sidecar]) -> None:
    api = place.api
    assert kept
    api.configurations["registry-webhook"]["metadata"].pop("ownerReferences")
    api.call(api.bundle)
    wait_until(lambda: api.configurations["registry-webhook"]["metadata"].get("ownerReferences") == [OWNER])


def test_who_keeps_changing_the_bundle_is_told_and_waited_for(place: Place, kept: tuple[Server, Sidecar]) -> None:
    api, (_, sidecar) = place.api, kept
    for _ in range(3):
        api.call(b"something else")
        wait_until(lambda: api.bundle == api.certificate("ca.crt"))
    api.call(b"something else")
    wait_until(lambda: "WebhookConfigurationContended" in api.reasons("registry-webhook"))
    assert api.bundle == b"something else"
    assert sidecar.metric("ca_bundle_repairs_total") == 3


def test_a_secret_that_is_deleted_comes_back_with_the_same_pair(place: Place, kept: tuple[Server, Sidecar]) -> None:
    api, (server, _) = place.api, kept
    before = api.certificate("tls.crt")
    api.lose_certificate()
    wait_until(lambda: api.certificate("tls.crt") == before)
    wait_until(lambda: in_order(api, server))


@pytest.mark.parametrize("key", ["tls.crt", "tls.key", "ca.key"])
def test_a_secret_that_is_broken_is_put_back_and_nobody_serves_it(
    place: Place, kept: tuple[Server, Sidecar], key: str
) -> None:
    api, (server, _) = place.api, kept
    before = api.certificate(key)
    api.change_certificate(key, b"broken")
    wait_until(lambda: api.certificate(key) == before)
    wait_until(lambda: in_order(api, server))
    assert "CertificateBroken" in api.reasons("registry-webhook")


def test_a_pair_that_is_broken_in_its_folder_is_put_back(place: Place, kept: tuple[Server, Sidecar]) -> None:
    api, (server, _) = place.api, kept
    (server.folder / "tls.crt").write_bytes(b"broken")
    wait_until(lambda: server.certificate == api.certificate("tls.crt"))
    (server.folder / "tls.key").unlink()
    wait_until((server.folder / "tls.key").exists)


def test_replicas_serve_the_same_pair_and_one_takes_over_from_the_other(place: Place) -> None:
    api = place.api
    api.call()
    with serving(place, "one") as first, serving(place, "two") as second, keeping(place, first) as sidecar:
        wait_until(lambda: in_order(api, first))
        with keeping(place, second, "two"):
            wait_until(lambda: in_order(api, first, second) and said(api, "two") == said(api, "one"))
            sidecar.stop()
            # Whoever leaves takes its word back, so that nobody waits for it.
            wait_until(lambda: not said(api, "one"))
            api.call()
            wait_until(lambda: api.bundle == api.certificate("ca.crt"))


def test_without_a_folder_only_the_owner_is_kept(place: Place) -> None:
    api = place.api
    api.call(b"somebody else's")
    with refreshing(place):
        wait_until(lambda: api.configurations["registry-webhook"]["metadata"].get("ownerReferences") == [OWNER])
    assert api.bundle == b"somebody else's"
    assert not api.certificates


def test_an_api_server_that_is_gone_takes_no_certificate_away(place: Place, kept: tuple[Server, Sidecar]) -> None:
    api, (server, sidecar) = place.api, kept
    before = server.certificate
    api.close()
    (server.folder / "tls.crt").unlink()
    wait_until(lambda: server.certificate == before)
    assert sidecar.probe("/healthz")[0] == 200
    api.open()
    api.call()
    wait_until(lambda: in_order(api, server))
