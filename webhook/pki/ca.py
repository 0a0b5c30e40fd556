"""Our own CA, and the certificates that it signs for servers or clients: ECDSA P-256, PEM."""

import ipaddress
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from webhook.errors import CertificateError

#: The subject of our CAs.
CA_NAME = "registry-webhook CA"

#: A client whose clock is a little behind ours must not find a certificate that is not valid yet.
_BACKDATED = timedelta(minutes=5)


class KeyPair(NamedTuple):
    """A certificate and its private key, each as PEM."""

    certificate: bytes
    key: bytes


class Validity(NamedTuple):
    """When a certificate was issued and when it ends, both aware."""

    issued: datetime
    ends: datetime

    def after(self, share: float) -> datetime:
        """Return the time at which a share of its life, from 0 to 1, is over."""
        return self.issued + (self.ends - self.issued) * share

    def holds(self, moment: datetime) -> bool:
        """Whether it is valid at a moment, or was issued at most a few minutes later."""
        return self.issued - _BACKDATED <= moment < self.ends


def create_ca(name: str, now: datetime, life: timedelta) -> KeyPair:
    """Create a CA called `name`, valid from `now` (aware) for `life`."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _subject(name)
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        _builder(subject, subject, key.public_key(), now, life)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )
    return _encoded(certificate, key)


def sign(ca: KeyPair, names: Sequence[str], now: datetime, life: timedelta, *, is_client: bool = False) -> KeyPair:
    """Create a certificate for `names` (DNS names and IP addresses), valid from `now` (aware) for `life`.

    It is valid either for servers or for clients.
    """
    issuer, issuer_key = _read(ca)
    if not isinstance(issuer_key, ec.EllipticCurvePrivateKey):
        raise CertificateError("the CA's key is not an elliptic curve key")
    usage = ExtendedKeyUsageOID.CLIENT_AUTH if is_client else ExtendedKeyUsageOID.SERVER_AUTH
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _builder(_subject(names[0]), issuer.subject, key.public_key(), now, life)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    return _encoded(certificate, key)


def validity(certificate: bytes) -> Validity:
    """Return the validity of a PEM certificate that this module created."""
    read = x509.load_pem_x509_certificate(certificate)
    return Validity(read.not_valid_before_utc + _BACKDATED, read.not_valid_after_utc)


def fingerprint(certificate: bytes) -> str:
    """Return the first half of a PEM certificate's SHA-256, in hexadecimal."""
    return x509.load_pem_x509_certificate(certificate).fingerprint(hashes.SHA256()).hex()[:32]


def certificates_in(bundle: bytes) -> tuple[bytes, ...]:
    """Split a bundle of PEM certificates; one that contains anything else counts as empty."""
    return tuple(one.public_bytes(serialization.Encoding.PEM) for one in _certificates(bundle))


def check(pair: KeyPair, issuers: Sequence[bytes], *, signs: bool = False) -> None:
    """Check that a key belongs to its certificate, and that one of `issuers` (PEM) has signed it.

    With `signs`, the key must also be one that `sign` can use. Raises `CertificateError`.
    """
    certificate, key = _read(pair)
    if signs and not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CertificateError("the CA's key is not an elliptic curve key")
    if not any(has_signed(issuer, certificate) for one in issuers for issuer in _certificates(one)):
        raise CertificateError("no CA in the Secret has signed the certificate")


def has_signed(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    """Whether one certificate's key has signed another; a key of an unknown kind has not."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _read(pair: KeyPair) -> tuple[x509.Certificate, PrivateKeyTypes]:
    """Load a certificate and the key that belongs to it. Raises `CertificateError`."""
    try:
        certificate = x509.load_pem_x509_certificate(pair.certificate)
        key = serialization.load_pem_private_key(pair.key, password=None)
        belongs = key.public_key() == certificate.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise CertificateError("a certificate or key is not valid PEM, or of an unknown kind") from None
    if not belongs:
        raise CertificateError("a key does not belong to its certificate")
    return certificate, key


def _certificates(bundle: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(bundle)
    except ValueError:
        return []


def _subject(name: str) -> x509.Name:
    # RFC 5280 limits a common name to 64 characters; clients compare the alternative names.
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _encoded(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> KeyPair:
    return KeyPair(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )
