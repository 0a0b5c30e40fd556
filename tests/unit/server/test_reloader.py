"""The state of the server after each poll of its files."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.server_process import Place, make_place, replace
from webhook.config.watcher import ConfigWatcher
from webhook.errors import CertificateError
from webhook.pki import ca as pki_ca
from webhook.pki.ca import KeyPair
from webhook.server import routes, tls
from webhook.server.client_ca import ClientCA
from webhook.server.reloader import KeyPairFiles, Reloader


@pytest.fixture
def other(place: Place, tmp_path: Path) -> Place:
    """A folder with another key pair of the same CA."""
    folder = tmp_path / "other"
    folder.mkdir()
    made = Place(folder, place.ours)
    made.write_pair()
    return made


def watch(place: Place) -> Reloader:
    return Reloader(
        ConfigWatcher(place.folder / "config.yaml", {}),
        KeyPairFiles(place.folder / "tls.crt", place.folder / "tls.key"),
    )


def take(name: str, other: Place, place: Place) -> None:
    replace(place.folder / name, (other.folder / name).read_bytes())


def test_key_pair_replaced_file_by_file_logs_nothing(
    place: Place, other: Place, caplog: pytest.LogCaptureFixture
) -> None:
    watched = watch(place)
    before = watched.state.tls
    take("tls.crt", other, place)
    watched.poll()
    assert watched.state.certificate_error is None
    assert watched.state.tls is before
    take("tls.key", other, place)
    watched.poll()
    assert watched.state.certificate_error is None
    assert watched.state.tls is not before
    assert [record.levelno for record in caplog.records if record.levelno > logging.INFO] == []


def test_key_pair_mismatch_reported_once_at_next_poll(
    place: Place, other: Place, caplog: pytest.LogCaptureFixture
) -> None:
    watched = watch(place)
    before = watched.state.tls
    take("tls.key", other, place)
    for _ in range(4):
        watched.poll()
    assert "the key does not belong to the certificate" in (watched.state.certificate_error or "")
    assert watched.state.tls is before
    assert len([record for record in caplog.records if record.levelno > logging.INFO]) == 1
    take("tls.crt", other, place)
    watched.poll()
    assert watched.state.certificate_error is None
    assert watched.state.tls is not before


def test_key_pair_restored_is_logged(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    watched = watch(place)
    own = (place.folder / "tls.key").read_bytes()
    (place.folder / "tls.key").unlink()
    for _ in range(2):
        watched.poll()
    assert watched.state.certificate_error is not None
    replace(place.folder / "tls.key", own)
    with caplog.at_level(logging.INFO):
        watched.poll()
    assert caplog.records[-1].getMessage().startswith("certificate loaded ")


def test_key_pair_mismatch_that_returns_is_reported_a_poll_later(place: Place, other: Place) -> None:
    watched = watch(place)
    own = (place.folder / "tls.key").read_bytes()
    for _ in range(3):
        take("tls.key", other, place)
        watched.poll()
        assert watched.state.certificate_error is None
        replace(place.folder / "tls.key", own)
        watched.poll()
        assert watched.state.certificate_error is None


def test_key_pair_mismatch_at_start_reported_at_once(tmp_path: Path) -> None:
    watched = watch(make_place(tmp_path))
    assert watched.state.tls is None
    assert "no such file" in (watched.state.certificate_error or "")


HOUR = timedelta(hours=1)


class Clock:
    def __init__(self) -> None:
        self.now = datetime.now(UTC).timestamp()

    def __call__(self) -> float:
        return self.now


def write(place: Place, begins: timedelta, issuer: KeyPair | None = None) -> bytes:
    """Write a key pair that is valid for an hour; return its certificate. An issuer is added to the chain."""
    pair = pki_ca.sign(issuer or place.ours, ("localhost",), datetime.now(UTC) + begins, HOUR)
    chain = pair.certificate + (issuer.certificate if issuer else b"")
    replace(place.folder / "tls.crt", chain)
    replace(place.folder / "tls.key", pair.key)
    return chain


def looked(place: Place, clock: Clock, clients: ClientCA | None = None) -> Reloader:
    files = KeyPairFiles(place.folder / "tls.crt", place.folder / "tls.key")
    return Reloader(ConfigWatcher(place.folder / "config.yaml", {}), files, clients, clock)


EXPIRED = pki_ca.create_ca("expired", datetime.now(UTC) - 2 * HOUR, HOUR)


@pytest.mark.parametrize(
    ("begins", "issuer"), [(-2 * HOUR, None), (2 * HOUR, None), (timedelta(0), EXPIRED)], ids=["old", "new", "chain"]
)
def test_key_pair_expired_does_not_replace_valid_one(
    place: Place, begins: timedelta, issuer: KeyPair | None, caplog: pytest.LogCaptureFixture
) -> None:
    watched = looked(place, Clock())
    before = watched.state.tls
    write(place, begins, issuer)
    for _ in range(3):
        watched.poll()
    assert watched.state.tls is before
    assert "tls.crt: certificate " in (watched.state.certificate_error or "")
    assert watched.state.certificate_invalid is None
    assert [record.levelname for record in caplog.records].count("ERROR") == 1
    write(place, timedelta(0))
    watched.poll()
    assert watched.state.tls is not before
    assert watched.state.certificate_error is None


@pytest.mark.parametrize("begins", [-2 * HOUR, 2 * HOUR])
def test_key_pair_expired_at_start_served_and_reported(
    place: Place, begins: timedelta, caplog: pytest.LogCaptureFixture
) -> None:
    write(place, begins)
    watched = looked(place, Clock())
    assert watched.state.tls is not None
    assert watched.state.certificate_invalid is not None
    assert b"the certificate is not valid" in routes.ready(watched.state, draining=False).body
    before = watched.state.tls
    write(place, -3 * HOUR)
    watched.poll()
    assert watched.state.tls is not before
    assert "ERROR" in [record.levelname for record in caplog.records]
    write(place, timedelta(0))
    watched.poll()
    assert watched.state.certificate_invalid is None
    assert routes.ready(watched.state, draining=False).body == b"ready\n"


def test_key_pair_not_yet_valid_served_when_valid(place: Place) -> None:
    clock = Clock()
    write(place, timedelta(0))
    watched = looked(place, clock)
    before = watched.state.tls
    write(place, HOUR / 2)
    watched.poll()
    assert watched.state.tls is before
    clock.now += 1900
    watched.poll()
    assert watched.state.tls is not before
    assert (watched.state.certificate_error, watched.state.certificate_invalid) == (None, None)


def test_key_pair_expiring_while_served_reported_and_replaced(place: Place) -> None:
    clock = Clock()
    write(place, timedelta(0))
    watched = looked(place, clock)
    write(place, 3 * HOUR)
    watched.poll()
    before = watched.state.tls
    assert watched.state.certificate_error is not None
    clock.now += 3601
    watched.poll()
    assert watched.state.tls is not before
    assert watched.state.certificate_invalid is not None


def test_client_ca_expired_does_not_replace_valid_one(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    clock, path = Clock(), place.folder / "clients.crt"
    good, later = (
        pki_ca.create_ca(name, datetime.now(UTC) + begins, HOUR)
        for name, begins in (("good", timedelta(0)), ("later", HOUR / 2))
    )
    replace(path, good.certificate)
    clients = ClientCA(path, frozenset(), clock)
    watched = looked(place, clock, clients)
    replace(path, EXPIRED.certificate)
    watched.poll()
    assert clients.cas == good.certificate.decode()
    assert "every CA expired" in (watched.state.client_ca_error or "")
    assert watched.state.certificate_error is None
    messages = [record.getMessage() for record in caplog.records if record.levelno > logging.INFO]
    assert len(messages) == 1
    assert messages[0].startswith("client CA reload failed, keeping previous CAs error=")
    # One that is valid is enough: so are CAs rotated.
    replace(path, EXPIRED.certificate + good.certificate)
    watched.poll()
    assert clients.cas == (EXPIRED.certificate + good.certificate).decode()
    assert watched.state.client_ca_error is None
    replace(path, later.certificate)
    watched.poll()
    assert clients.cas != later.certificate.decode()
    clock.now += 1900
    watched.poll()
    assert clients.cas == later.certificate.decode()
    clock.now += 3600
    watched.poll()
    assert "clients.crt" in (watched.state.client_ca_invalid or "")


def test_client_ca_missing_certificate_has_no_error(place: Place) -> None:
    path = place.folder / "clients.crt"
    watched = looked(place, Clock(), ClientCA(path))
    state = watched.state
    assert (state.tls, state.certificate_error) == (None, None)
    assert "no such file" in (state.client_ca_error or "")
    answer = routes.ready(state, draining=False)
    assert (answer.status, answer.body.splitlines()[0]) == (503, b"not ready")
    replace(path, place.ours.certificate)
    watched.poll()
    assert watched.state.tls is not None
    assert watched.state.client_ca_error is None
    assert watched.state.certificate_since == state.certificate_since
    assert routes.ready(watched.state, draining=False).body == b"ready\n"


_MAKE: dict[str, Callable[[], Any]] = {
    "RSA": lambda: rsa.generate_private_key(65537, 2048),
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
    "DSA": lambda: dsa.generate_private_key(2048),
    "Ed448": ed448.Ed448PrivateKey.generate,
    "P-224": lambda: ec.generate_private_key(ec.SECP224R1()),
    "secp256k1": lambda: ec.generate_private_key(ec.SECP256K1()),
    "X25519": x25519.X25519PrivateKey.generate,
}


def _key(kind: str) -> bytes:
    made: bytes = _MAKE[kind]().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return made


def _signed_by_itself(kind: str) -> KeyPair:
    key, name, now = _MAKE[kind](), x509.Name([]), datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now - HOUR).not_valid_after(now + HOUR)
    made = builder.sign(key, None if kind.startswith("Ed") else hashes.SHA256())
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return KeyPair(made.public_bytes(Encoding.PEM), text)


@pytest.mark.parametrize(("kind", "taken"), [(kind, index < 5) for index, kind in enumerate(_MAKE) if kind != "X25519"])
def test_key_pair_with_unsupported_key_is_not_served(place: Place, kind: str, taken: bool) -> None:
    watched = looked(place, Clock())
    before = watched.state.tls
    pair = _signed_by_itself(kind)
    replace(place.folder / "tls.crt", pair.certificate)
    replace(place.folder / "tls.key", pair.key)
    watched.poll()
    watched.poll()
    assert (watched.state.tls is not before) is taken
    assert (watched.state.certificate_error is None) is taken


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda pair, ca: (ca.certificate + pair.certificate, pair.key), "the server certificate must be the first"),
        (lambda pair, ca: (pair.certificate, ca.key + pair.key), "the key file has 2 keys"),
        (lambda pair, ca: (pair.certificate, ca.key), "the key does not belong to the certificate"),
        (lambda pair, _: (pair.certificate, pair.certificate), "the key file has CERTIFICATE, not a private key"),
        (lambda pair, _: (pair.key, pair.key), "the certificate file has PRIVATE KEY, not a certificate"),
        (lambda pair, _: (pair.certificate, b"-----BEGIN OPENSSH PRIVATE KEY-----\n"), "has OPENSSH PRIVATE KEY"),
        (lambda pair, _: (pair.certificate, _key("X25519")), "does not belong to the certificate"),
        (lambda pair, _: (pair.certificate, _key("DSA")), "does not belong to the certificate"),
        (lambda pair, _: (pair.certificate[:200], pair.key), "truncated"),
    ],
    ids=["order", "several", "other", "swapped", "no certificate", "OpenSSH", "X25519", "DSA", "cut"],
)
def test_key_pair_refused_by_openssl_is_explained(
    place: Place, make: Callable[[KeyPair, KeyPair], tuple[bytes, bytes]], said: str
) -> None:
    pair = pki_ca.sign(place.ours, ("localhost",), datetime.now(UTC), HOUR)
    certificate, key = make(pair, place.ours)
    replace(place.folder / "tls.crt", certificate)
    replace(place.folder / "tls.key", key)
    with pytest.raises(CertificateError, match=said):
        tls.context(place.folder / "tls.crt", place.folder / "tls.key")


@pytest.mark.parametrize("label", ["X509 CERTIFICATE", "TRUSTED CERTIFICATE"])
def test_key_pair_with_other_pem_label_is_served(place: Place, label: str) -> None:
    path = place.folder / "tls.crt"
    end = pki_ca.validity(path.read_bytes()).ends.timestamp()
    replace(path, path.read_bytes().replace(b" CERTIFICATE-", f" {label}-".encode()))
    watched = looked(place, Clock())
    assert watched.state.tls is not None
    assert watched.state.certificate_validity is not None
    assert watched.state.certificate_validity.ends == end
