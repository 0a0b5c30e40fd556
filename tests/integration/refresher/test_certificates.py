"""The refresher maintains the webhook's certificate, with a fake API server and servers that use the certificate.

Tests without a process are in `test_certificate_controller`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.support import server_process as webhook
from tests.support.fake_api_server import ApiServer, status
from tests.support.refresher_process import Place, Sidecar, refreshing, wait_until
from tests.support.tls_server import OWNER, Server, said, serving
from webhook.pki import ca


@contextmanager
def keeping(place: Place, server: Server, name: str = "one") -> Iterator[Sidecar]:
    with refreshing(place, name, f"--tls-folder={server.folder}", f"--tls-server={server.address}") as sidecar:
        yield sidecar


def in_order(api: ApiServer, *servers: Server) -> bool:
    """Say whether Secret, caBundle and servers agree, and the servers have said so."""
    certificate = api.certificate("tls.crt")
    return (
        bool(certificate)
        and api.bundle.startswith(api.certificate("ca.crt"))
        and all(server.certificate == certificate for server in servers)
        and said(api, "one") == ca.fingerprint(certificate)
    )


def test_first_start_writes_secret_bundle_files_in_order(place: Place) -> None:
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


def test_served_files_wait_for_bundle(place: Place) -> None:
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
            assert ("certificate-failed", None) in sidecar.warnings()
            api.faults.clear()
            wait_until(lambda: in_order(api, server))
            wait_until(lambda: ("certificate-failed", None) not in sidecar.warnings())
        api.faults.append(fault)


def test_replicas_same_certificate_other_takes_over(place: Place) -> None:
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


def test_no_tls_folder_only_owner_reference_written(place: Place) -> None:
    api = place.api
    api.call(b"somebody else's")
    with refreshing(place):
        wait_until(lambda: api.configurations["registry-webhook"]["metadata"].get("ownerReferences") == [OWNER])
    assert api.bundle == b"somebody else's"
    assert not api.certificates


def test_server_with_mutual_tls_managed(place: Place, tmp_path: Path) -> None:
    api = place.api
    api.call()
    folder = tmp_path / "served"
    folder.mkdir()
    ours = ca.create_ca("clients", datetime.now(UTC), timedelta(hours=1))
    (folder / "clients.crt").write_bytes(ours.certificate)
    with webhook.serving(webhook.make_place(folder), "--client-ca=clients.crt") as server:
        told = f"--tls-server={server.secure[0]}:{server.secure[1]}"
        with refreshing(place, "one", f"--tls-folder={folder}", told):
            wait_until(lambda: in_order(api))
            assert server.probe("/readyz").body == b"ready\n"
