"""Validity of certificates, which the server reads from DER by itself."""

import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from webhook.pki import ca
from webhook.server import tls

_KEY = ec.generate_private_key(ec.SECP256R1())
_NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def _ending(end: datetime, name: str = "x") -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder(subject, subject, _KEY.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(datetime(1950, 1, 1, tzinfo=UTC)).not_valid_after(end)
    return builder.sign(_KEY, hashes.SHA256()).public_bytes(Encoding.PEM)


def ends(content: bytes) -> float | None:
    found = tls.validity(content)
    return found and found.ends


@pytest.mark.parametrize("year", [1951, 1999, 2000, 2026, 2049, 2050, 2120, 9999])
def test_validity_year_of_two_or_four_digits(year: int) -> None:
    end = datetime(year, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert ends(_ending(end)) == end.timestamp()


@given(
    st.datetimes(min_value=datetime(1951, 1, 1), max_value=datetime(9999, 1, 1)),  # noqa: DTZ001 - made aware below
    st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=64),
)
def test_validity_equals_that_of_cryptography(moment: datetime, name: str) -> None:
    end = moment.replace(microsecond=0, tzinfo=UTC)
    certificate = _ending(end, name)
    assert ends(certificate) == x509.load_pem_x509_certificate(certificate).not_valid_after_utc.timestamp()


def test_validity_of_issued_certificate() -> None:
    ours = ca.create_ca("test", _NOW, timedelta(days=30))
    pair = ca.sign(ours, ("localhost",), _NOW, timedelta(days=9))
    assert ends(pair.certificate + pair.key) == ca.validity(pair.certificate).ends.timestamp()


def test_validity_of_chain_ends_with_earliest() -> None:
    early, late = (_ending(_NOW + timedelta(days=days)) for days in (1, 2))
    assert ends(late + b"text between\n" + early) == (_NOW + timedelta(days=1)).timestamp()


@given(st.binary(max_size=60))
def test_validity_of_other_content_is_none(content: bytes) -> None:
    assert ends(content) is None
    assert ends(b"-----BEGIN CERTIFICATE-----\n" + content + b"\n-----END CERTIFICATE-----\n") is None


def test_validity_of_truncated_certificate_raises_nothing() -> None:
    certificate = x509.load_pem_x509_certificate(_ending(_NOW)).public_bytes(Encoding.DER)
    for length in range(len(certificate)):
        assert ends(ssl.DER_cert_to_PEM_cert(certificate[:length]).encode()) in {None, _NOW.timestamp()}


@pytest.mark.parametrize("label", ["CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"])
def test_validity_of_every_openssl_label(label: str) -> None:
    certificate = _ending(_NOW).replace(b" CERTIFICATE-", f" {label}-".encode())
    assert tls.validity(certificate) == (-631152000, _NOW.timestamp())


def test_validity_of_chain_is_intersection() -> None:
    ours = ca.create_ca("test", _NOW, timedelta(days=30))
    later = ca.sign(ours, ("localhost",), _NOW + timedelta(days=3), timedelta(days=60))
    found = tls.validity(later.certificate + ours.certificate)
    assert found is not None
    begins, end = (_NOW + timedelta(days=3, minutes=-5)).timestamp(), (_NOW + timedelta(days=30)).timestamp()
    assert found == (begins, end)
    assert [found.why_not(moment) is None for moment in (begins - 1, begins, end - 1, end)] == [
        False,
        True,
        True,
        False,
    ]
