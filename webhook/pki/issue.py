"""Issue certificates on request: the input is checked before anything is signed with it. No files, no clock."""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from webhook.errors import CertificateError
from webhook.log import escape
from webhook.pki import ca
from webhook.pki.ca import KeyPair

#: RFC 1123. A name whose last label is a number is a mistyped IP address: clients would compare it as an address.
_DNS_NAME = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*(?![0-9]+\Z)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_DNS_LIMIT = 253
_NEW = "create a new CA in another folder"


def names(given: Iterable[str], always: Sequence[str]) -> tuple[str, ...]:
    """Return the names of a certificate: those that it always has, and the normalized `given` ones.

    Raises `CertificateError` for what a client could not connect to, and for duplicates.
    """
    found = list(always)
    for text in given:
        name = _name(text)
        if name in found:
            why = "the certificate always has this name" if name in always else "duplicate name"
            raise CertificateError(f"{name}: {why}", hint="leave it out")
        found.append(name)
    return tuple(found)


def _name(text: str) -> str:
    try:
        if "%" not in text:  # a zone ID is local to one machine: no certificate can contain it
            return str(ipaddress.ip_address(text))
    except ValueError:
        pass
    name = text.lower()
    if len(name) > _DNS_LIMIT or not _DNS_NAME.fullmatch(name):
        raise CertificateError(
            f'"{escape(text)}" is not a DNS name or IP address',
            hint="write only the host, such as webhook.example.com, 192.0.2.10 or 2001:db8::1",
        )
    return name


def sign(issuer: KeyPair, names: Sequence[str], now: datetime, life: timedelta, *, is_client: bool) -> KeyPair:
    """Create a certificate for `names`, valid from `now` (aware) for `life`, signed by a CA that may be a user's own.

    Raises `CertificateError` for a CA that cannot sign, and for a certificate that would outlive it: clients reject one
    before its CA's validity begins and after it ends.
    """
    begins, ends = _checked(issuer)
    if now < begins:
        hint = f"set the clock of this machine, or {_NEW}"
        raise CertificateError(f"the CA is not valid before {begins:%Y-%m-%d}", hint=hint)
    if ends <= now:
        raise CertificateError(f"the CA expired on {ends:%Y-%m-%d}", hint=_NEW)
    if now + life > ends:
        left = (ends - now).days
        raise CertificateError(
            f"the certificate would be valid for {life.days} days, but the CA expires on {ends:%Y-%m-%d}",
            hint=f"use at most {left} days, or {_NEW}" if left else _NEW,
        )
    return ca.sign(issuer, names, now, life, is_client=is_client)


def _checked(issuer: KeyPair) -> tuple[datetime, datetime]:
    """Check that a CA can sign, and return the times at which its validity begins and ends."""
    try:
        certificate = x509.load_pem_x509_certificate(issuer.certificate)
        public = certificate.public_key()
        usages = [found.value for found in certificate.extensions if isinstance(found.value, x509.BasicConstraints)]
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateError("the certificate of the CA is not valid PEM") from None
    if not any(usage.ca for usage in usages):
        raise CertificateError("the certificate is not that of a CA (basicConstraints: CA:TRUE)")
    try:
        key = serialization.load_pem_private_key(issuer.key, password=None)
    except TypeError:
        raise CertificateError("the key of the CA is encrypted", hint="decrypt it with openssl pkey") from None
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateError("the key of the CA is not valid PEM") from None
    if key.public_key() != public:
        raise CertificateError("the key of the CA does not belong to its certificate")
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CertificateError("the key of the CA is not an elliptic curve key", hint=_NEW)
    return certificate.not_valid_before_utc, certificate.not_valid_after_utc
