"""Clients of the standard library accept a created certificate for its names and validity, and no others."""

import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from webhook.errors import CertificateError
from webhook.pki import ca
from webhook.pki.ca import KeyPair

_NAMES = ["webhook.registry-webhook.svc", "localhost", "127.0.0.1", "::1"]
_DAY = timedelta(days=1)


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def ours() -> KeyPair:
    return ca.create_ca("ours", _now(), _DAY)


@pytest.fixture
def pair(ours: KeyPair) -> KeyPair:
    return ca.sign(ours, _NAMES, _now(), _DAY)


def _client(trusted: KeyPair) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=trusted.certificate.decode())
    # What Python 3.13 and later check by themselves: RFC 5280 to the letter.
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


def _shake_hands(folder: Path, served: KeyPair, client_context: ssl.SSLContext, name: str) -> str | None:
    """Do a whole TLS handshake in memory, the client asking for `name`; give the version agreed on."""
    (folder / "pair.pem").write_bytes(served.certificate + served.key)
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(folder / "pair.pem")
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_hostname=name)
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(10):
        waiting = False
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                waiting = True
        if not waiting:
            return client.version()
    raise AssertionError("the handshake does not end")


@pytest.mark.parametrize("name", _NAMES)
def test_client_accepts_each_server_name(tmp_path: Path, ours: KeyPair, pair: KeyPair, name: str) -> None:
    assert _shake_hands(tmp_path, pair, _client(ours), name) in {"TLSv1.2", "TLSv1.3"}


@pytest.mark.parametrize("name", ["other.example.com", "webhook", "sub.localhost", "127.0.0.2", "::2"])
def test_client_refuses_other_name(tmp_path: Path, ours: KeyPair, pair: KeyPair, name: str) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="match"):
        _shake_hands(tmp_path, pair, _client(ours), name)


def test_client_refuses_other_ca_of_same_name(tmp_path: Path, pair: KeyPair) -> None:
    other = ca.create_ca("ours", _now(), _DAY)
    with pytest.raises(ssl.SSLCertVerificationError):
        _shake_hands(tmp_path, pair, _client(other), "localhost")


def test_client_refuses_certificate_signed_by_leaf(tmp_path: Path, ours: KeyPair, pair: KeyPair) -> None:
    forged = ca.sign(pair, ["localhost"], _now(), _DAY)
    chained = KeyPair(forged.certificate + pair.certificate, forged.key)
    with pytest.raises(ssl.SSLCertVerificationError):
        _shake_hands(tmp_path, chained, _client(ours), "localhost")


@pytest.mark.parametrize(("since", "life"), [(timedelta(days=-3), _DAY), (timedelta(days=2), _DAY)])
def test_client_refuses_certificate_outside_validity(tmp_path: Path, since: timedelta, life: timedelta) -> None:
    ours = ca.create_ca("ours", _now() - timedelta(days=30), timedelta(days=90))
    pair = ca.sign(ours, ["localhost"], _now() + since, life)
    with pytest.raises(ssl.SSLCertVerificationError, match=r"expired|not yet valid"):
        _shake_hands(tmp_path, pair, _client(ours), "localhost")


@pytest.mark.parametrize("life", [timedelta(minutes=1), _DAY, timedelta(days=3650)])
def test_sign_validity_as_requested(life: timedelta) -> None:
    now = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
    ours = ca.create_ca("ours", now, life)
    for made in (ours, ca.sign(ours, ["localhost"], now, life)):
        certificate = x509.load_pem_x509_certificate(made.certificate)
        assert certificate.not_valid_after_utc == now + life
        # A clock that is a little behind must accept it, and one that is far behind need not.
        assert now - timedelta(hours=1) <= certificate.not_valid_before_utc < now


def test_sign_key_matches_certificate(ours: KeyPair, pair: KeyPair) -> None:
    for made in (ours, pair):
        key = serialization.load_pem_private_key(made.key, password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        assert key.public_key() == x509.load_pem_x509_certificate(made.certificate).public_key()


def test_sign_unique_key_and_serial_number(ours: KeyPair) -> None:
    made = [ca.sign(ours, ["localhost"], _now(), _DAY) for _ in range(3)]
    assert len({entry.key for entry in made}) == 3
    assert len({x509.load_pem_x509_certificate(entry.certificate).serial_number for entry in made}) == 3


def test_sign_serving_certificate_usage(pair: KeyPair) -> None:
    extensions = x509.load_pem_x509_certificate(pair.certificate).extensions
    assert extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    usage = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]


def test_sign_long_name_as_alternative_name(tmp_path: Path, ours: KeyPair) -> None:
    name = f"webhook.{'n' * 60}.svc"
    pair = ca.sign(ours, [name], _now(), _DAY)
    (common,) = x509.load_pem_x509_certificate(pair.certificate).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert len(common.value) <= 64
    assert _shake_hands(tmp_path, pair, _client(ours), name)


def test_sign_mismatched_ca_key_raises(ours: KeyPair) -> None:
    key = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(CertificateError, match="does not belong"):
        ca.sign(KeyPair(ours.certificate, key), ["localhost"], _now(), _DAY)


def _signed_by_itself(key: CertificateIssuerPrivateKeyTypes, algorithm: hashes.SHA256 | None) -> KeyPair:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "odd")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(_now() - _DAY).not_valid_after(_now() + _DAY)
    certificate = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    return KeyPair(
        certificate.sign(key, algorithm).public_bytes(serialization.Encoding.PEM),
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )


def _with_key(pair: KeyPair, key: bytes) -> KeyPair:
    return KeyPair(pair.certificate, key)


#: A public key whose algorithm has an object identifier that no library knows, of the length of an ordinary one.
_EC, _UNKNOWN = bytes.fromhex("06072a8648ce3d0201"), bytes.fromhex("06072a8648ce3d7f01")


def _of_unknown_kind(pair: KeyPair) -> KeyPair:
    certificate, key = (ssl.PEM_cert_to_DER_cert(one.decode()) for one in (pair.certificate, _as_certificate(pair.key)))
    changed = ssl.DER_cert_to_PEM_cert(certificate.replace(_EC, _UNKNOWN)).encode()
    changed_key = ssl.DER_cert_to_PEM_cert(key.replace(_EC, _UNKNOWN)).replace("CERTIFICATE", "PRIVATE KEY").encode()
    return KeyPair(changed, changed_key)


def _as_certificate(key: bytes) -> bytes:
    return key.replace(b"PRIVATE KEY", b"CERTIFICATE")


@pytest.mark.parametrize(
    "make",
    [
        lambda _: _signed_by_itself(rsa.generate_private_key(65537, 2048), hashes.SHA256()),
        lambda _: _signed_by_itself(ed25519.Ed25519PrivateKey.generate(), None),
        lambda ours: _with_key(ours, b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"),
        lambda ours: _with_key(ours, ours.certificate),
        _of_unknown_kind,
        lambda ours: KeyPair(_of_unknown_kind(ours).certificate, ours.key),
        lambda ours: KeyPair(ours.certificate, _of_unknown_kind(ours).key),
    ],
    ids=["RSA", "Ed25519", "OpenSSH", "certificate", "unknown", "unknown certificate", "unknown key"],
)
def test_check_unsupported_key_type_raises(ours: KeyPair, make: Callable[[KeyPair], KeyPair]) -> None:
    made = make(ours)
    with pytest.raises(CertificateError):
        ca.check(made, [made.certificate], signs=True)
    with pytest.raises(CertificateError):
        ca.sign(made, ["localhost"], _now(), _DAY)
    # As an issuer that others are compared with it is one that has not signed them.
    with pytest.raises(CertificateError):
        ca.check(ca.sign(ours, ["localhost"], _now(), _DAY), [_of_unknown_kind(ours).certificate])
