"""Mutual TLS: which clients are answered, and changes of the client CA file."""

import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.support.server_process import Client, Place, Server, make_place, replace, serving, wait_until
from webhook.admission import review
from webhook.config.listen_address import Address
from webhook.pki import ca
from webhook.pki.ca import KeyPair
from webhook.refresher.certificates.keypair_dir import KeyPairDir

BODY = review.encode_review({"spec": {"containers": [{"name": "a", "image": "nginx"}]}}, uid="u-1")
REQUEST = b"\r\n".join(
    [
        *(b"POST /mutate HTTP/1.1", b"Host: x", b"Content-Type: application/json", b"Connection: close"),
        *(b"Content-Length: %d" % len(BODY), b"", BODY),
    ]
)
HOUR = timedelta(hours=1)
NAME = "kube-apiserver"
READY = b"ready\n"


def make_authority(name: str = "of clients") -> KeyPair:
    return ca.create_ca(name, datetime.now(UTC), HOUR)


def make_client(issuer: KeyPair, *names: str, later: timedelta = timedelta(0), is_client: bool = True) -> KeyPair:
    """Issue a client certificate that is valid for an hour, from now or some time `later`."""
    return ca.sign(issuer, names or [NAME], datetime.now(UTC) + later, HOUR, is_client=is_client)


def presenting(place: Place, pair: KeyPair | None) -> ssl.SSLContext:
    """Return a client's context with a certificate, or without."""
    context = place.trust
    if pair is not None:
        path = place.folder / "client.pem"
        path.write_bytes(pair.certificate + pair.key)
        context.load_cert_chain(path)
    return context


def receive(server: Server, context: ssl.SSLContext) -> bytes:
    """Return all that a client receives which sends a review as soon as TLS allows it."""
    received = b""
    with server.tcp() as connection:
        try:
            with context.wrap_socket(connection, server_hostname="localhost") as secure:
                secure.sendall(REQUEST)
                while chunk := secure.recv(65536):
                    received += chunk
        except TimeoutError:
            raise
        except OSError:
            pass
    return received


def is_answered(server: Server, pair: KeyPair | None) -> bool:
    """Whether a client with this certificate is answered; one that is not receives no byte."""
    received = receive(server, presenting(server.place, pair))
    assert not received or (received.startswith(b"HTTP/1.1 200 ") and b'"u-1"' in received)
    return bool(received)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    place = make_place(tmp_path_factory.mktemp("server"))
    place.write_pair()
    (place.folder / "clients.crt").write_bytes(make_authority().certificate)
    with serving(place, "--client-ca=clients.crt") as running:
        yield running
        assert running.process.poll() is None
        assert "Traceback" not in running.log


@pytest.fixture
def issuer(server: Server) -> KeyPair:
    """Replace the client CA."""
    made = make_authority()
    replace(server.place.folder / "clients.crt", made.certificate)
    right = make_client(made)
    wait_until(lambda: is_answered(server, right))
    assert server.probe("/readyz").body == READY
    return made


def test_accepted_client_certificate_answered(server: Server, issuer: KeyPair) -> None:
    context = presenting(server.place, make_client(issuer))
    with Client(server.secure, context) as client:
        for _ in range(3):
            assert client.review(BODY).response["allowed"] is True


def _another_of_that_name(_: KeyPair, __: Place) -> KeyPair:
    return make_client(make_authority())


def _the_servers_own(_: KeyPair, place: Place) -> KeyPair:
    return make_client(place.ours)


def _signed_by_itself(_: KeyPair, __: Place) -> KeyPair:
    return make_authority(NAME)


def _signed_by_a_client(issuer: KeyPair, _: Place) -> KeyPair:
    client = make_client(issuer)
    made = make_client(client)
    return KeyPair(made.certificate + client.certificate, made.key)


def _with_usage(issuer: KeyPair, *usages: x509.ObjectIdentifier, critical: bool = False) -> KeyPair:
    """Issue a client certificate with these extended key usages, or without the extension."""
    made = make_client(issuer)
    template = x509.load_pem_x509_certificate(made.certificate)
    key = serialization.load_pem_private_key(issuer.key, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    builder = (
        x509.CertificateBuilder(template.issuer, template.subject, template.public_key(), template.serial_number)
        .not_valid_before(template.not_valid_before_utc)
        .not_valid_after(template.not_valid_after_utc)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
    )
    if usages:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=critical)
    return KeyPair(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM), made.key)


@pytest.mark.parametrize("critical", [False, True])
def test_client_certificate_of_several_uses_answered(server: Server, issuer: KeyPair, critical: bool) -> None:
    usages = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
    assert is_answered(server, _with_usage(issuer, *usages, critical=critical))


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda _issuer, _place: None, id="none"),
        pytest.param(lambda issuer, _: _with_usage(issuer), id="without extendedKeyUsage"),
        pytest.param(lambda issuer, _: _with_usage(issuer, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE), id="any use"),
        pytest.param(lambda issuer, _: _with_usage(issuer, ExtendedKeyUsageOID.CODE_SIGNING), id="another use"),
        pytest.param(_another_of_that_name, id="of another authority with the same name"),
        pytest.param(_the_servers_own, id="of the authority that signs the server's"),
        pytest.param(_signed_by_itself, id="signed by itself"),
        pytest.param(_signed_by_a_client, id="signed by a client"),
        pytest.param(lambda issuer, _: make_client(issuer, later=-2 * HOUR), id="expired"),
        pytest.param(lambda issuer, _: make_client(issuer, later=HOUR), id="not valid yet"),
        pytest.param(lambda issuer, _: make_client(issuer, is_client=False), id="a server's"),
    ],
)
def test_other_client_refused_in_handshake_without_log(
    server: Server, issuer: KeyPair, make: Callable[[KeyPair, Place], KeyPair | None]
) -> None:
    logged, wrong = server.log, make(issuer, server.place)
    for _ in range(3):
        assert not is_answered(server, wrong)
    assert server.log == logged
    assert is_answered(server, make_client(issuer))


def test_tls_1_2_refused_with_client_certificates(server: Server, issuer: KeyPair) -> None:
    context = presenting(server.place, make_client(issuer))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    assert receive(server, context) == b""


def test_no_session_tickets_with_client_certificates(server: Server, issuer: KeyPair) -> None:
    context = presenting(server.place, make_client(issuer))
    with server.tcp() as connection, context.wrap_socket(connection, server_hostname="localhost") as secure:
        secure.sendall(REQUEST)
        while secure.recv(65536):
            pass
        assert secure.session is None or not secure.session.has_ticket


def test_plain_port_needs_no_client_certificate(server: Server) -> None:
    assert [server.probe(path).status for path in ("/healthz", "/readyz")] == [200, 200]
    assert server.probe("/mutate").status == 404


def test_replaced_client_ca_used_for_new_connections(server: Server, issuer: KeyPair) -> None:
    path, before, after = server.place.folder / "clients.crt", make_client(issuer), make_authority()
    with Client(server.secure, presenting(server.place, before)) as pooled:
        assert pooled.review(BODY).status == 200
        replace(path, issuer.certificate + after.certificate)
        wait_until(lambda: is_answered(server, make_client(after)))
        assert is_answered(server, before)
        replace(path, after.certificate)
        wait_until(lambda: not is_answered(server, before))
        assert is_answered(server, make_client(after))
        assert pooled.review(BODY).status == 200


@pytest.mark.parametrize("broken", ["empty", "half", "text", "a client's", "directory", "gone"])
def test_invalid_client_ca_keeps_last_valid_one(server: Server, issuer: KeyPair, broken: str) -> None:
    path, right = server.place.folder / "clients.crt", make_client(issuer)
    content = path.read_bytes()
    if broken in {"directory", "gone"}:
        path.unlink()
    if broken == "directory":
        path.mkdir()
    elif broken != "gone":
        contents = {"empty": b"", "half": content[:-40], "text": b"hello", "a client's": right.certificate}
        replace(path, contents[broken])
    wait_until(lambda: b"client CA reload failed, using the previous CAs: " in server.probe("/readyz").body)
    assert server.probe("/readyz").status == 200
    wait_until(lambda: "client CA reload failed, keeping previous CAs error=" in server.log)
    served = server.place.folder / "tls.crt"
    server.place.write_pair()
    wait_until(lambda: asked(server) == ca.fingerprint(served.read_bytes()))
    assert b"clients.crt" in server.probe("/readyz").body
    assert is_answered(server, right)
    assert not is_answered(server, None)
    if broken == "directory":
        path.rmdir()
    replace(path, content)
    wait_until(lambda: server.probe("/readyz").body == READY)


def test_invalid_key_pair_still_requires_client_certificates(server: Server, issuer: KeyPair) -> None:
    replace(server.place.folder / "tls.key", b"broken")
    wait_until(lambda: b"tls.key" in server.probe("/readyz").body)
    assert is_answered(server, make_client(issuer))
    assert not is_answered(server, None)
    server.place.write_pair()
    wait_until(lambda: server.probe("/readyz").body == READY)
    assert not is_answered(server, None)


@pytest.mark.parametrize("content", [None, b"", b"hello"], ids=["missing", "empty", "text"])
def test_missing_client_ca_is_not_ready(tmp_path: Path, content: bytes | None) -> None:
    place, ours = make_place(tmp_path), make_authority()
    place.write_pair()
    if content is not None:
        (tmp_path / "clients.crt").write_bytes(content)
    with serving(place, "--client-ca=clients.crt") as server:
        assert server.probe("/healthz").status == 200
        answer = server.probe("/readyz")
        assert answer.status == 503
        assert b"no client CA yet: " in answer.body
        assert b"clients.crt" in answer.body
        for pair in (None, make_client(ours)):
            assert not is_answered(server, pair)
        replace(tmp_path / "clients.crt", b"# Autorit\xe9\n" + ours.certificate)
        wait_until(lambda: server.probe("/readyz").status == 200)
        assert is_answered(server, make_client(ours))
        assert not is_answered(server, None)


def test_client_names_required(tmp_path: Path) -> None:
    place, ours = make_place(tmp_path), make_authority()
    place.write_pair()
    (tmp_path / "clients.crt").write_bytes(ours.certificate)
    # An address is no DNS name: that one can only be a common name.
    names = ("kube-apiserver", "front-proxy-client", "192.0.2.7")
    with serving(place, "--client-ca=clients.crt", *(f"--client-name={name}" for name in names)) as server:
        for named in (["kube-apiserver"], ["front-proxy-client"], ["other", "kube-apiserver"], ["192.0.2.7"]):
            assert is_answered(server, make_client(ours, *named))
        for named in (["other"], ["kube-apiserver.example.com"], ["other", "192.0.2.7"], ["KUBE-APISERVER"]):
            assert not is_answered(server, make_client(ours, *named))
        assert not is_answered(server, None)
        assert not is_answered(server, make_client(make_authority(), "kube-apiserver"))
        assert "Traceback" not in server.log


def test_client_certificate_of_certs_command_answered(tmp_path: Path) -> None:
    place = make_place(tmp_path)
    place.write_pair()
    subprocess.run([sys.executable, "-m", "webhook", "certs", "client", "--out=pki"], cwd=tmp_path, check=True)
    made = KeyPair(*((tmp_path / "pki" / name).read_bytes() for name in ("client.crt", "client.key")))
    with serving(place, "--client-ca=pki/ca.crt", "--client-name=kube-apiserver") as server:
        assert is_answered(server, made)
        assert not is_answered(server, None)


def asked(server: Server) -> str | None:
    """Ask as the refresher does, without a client certificate."""
    return KeyPairDir(Path(), Address(*server.secure)).fingerprint()


def test_refresher_sees_served_certificate_without_client_certificate(server: Server, issuer: KeyPair) -> None:
    logged = server.log
    for _ in range(20):
        assert asked(server) == ca.fingerprint((server.place.folder / "tls.crt").read_bytes())
    assert server.log == logged
    assert is_answered(server, make_client(issuer))
