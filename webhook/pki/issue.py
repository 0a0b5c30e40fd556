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


def names(given: Iterable[str], always: Sequence[str]) -> tuple[str, ...]:
    """Return the names of a certificate: those that it always has, and the normalized `given` ones.

    Raises `CertificateError` for what a client could not connect to, and for duplicates.
    """
    found = list(always)
    for text in given:
        name = _name(text)
        if name in found:
            why = "the certificate always has it" if name in always else "it is given twice"
            raise CertificateError(f"{name}: {why}: leave it out")
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
            f'"{escape(text)}" is no name that a client calls: '
            "write a host's DNS name or IP address alone, such as webhook.example.com, 192.0.2.10 or 2001:db8::1"
        )
    return name


def sign(issuer: KeyPair, names: Sequence[str], now: datetime, life: timedelta, *, is_client: bool) -> KeyPair:
    """Create a certificate for `names`, valid from `now` (aware) for `life`, signed by a CA that may be a user's own.

    Raises `CertificateError` for a CA that cannot sign, and for a certificate that would outlive it: clients reject one
    before its CA's validity begins and after it ends.
    """
    begins, ends = _checked(issuer)
    if now < begins:
        remedy = "set this machine's clock right, or make a new authority, in another folder"
        raise CertificateError(f"the authority begins on {begins:%Y-%m-%d}: {remedy}")
    if ends <= now:
        raise CertificateError(f"the authority ended on {ends:%Y-%m-%d}: make a new one, in another folder")
    if now + life > ends:
        left = (ends - now).days
        remedy = f"{left} days at most, or a new authority, in another folder" if left else "make a new authority"
        raise CertificateError(
            f"the certificate would be good for {life.days} days, and the authority ends on {ends:%Y-%m-%d}: {remedy}"
        )
    return ca.sign(issuer, names, now, life, is_client=is_client)


def _checked(issuer: KeyPair) -> tuple[datetime, datetime]:
    """Check that a CA can sign, and return the times at which its validity begins and ends."""
    try:
        certificate = x509.load_pem_x509_certificate(issuer.certificate)
        public = certificate.public_key()
        usages = [found.value for found in certificate.extensions if isinstance(found.value, x509.BasicConstraints)]
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateError("the authority's certificate is no PEM that can be read") from None
    if not any(usage.ca for usage in usages):
        raise CertificateError("the authority's certificate is that of no authority (basicConstraints: CA:TRUE)")
    try:
        key = serialization.load_pem_private_key(issuer.key, password=None)
    except TypeError:
        raise CertificateError("the authority's key is encrypted: decrypt it (openssl pkey)") from None
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateError("the authority's key is no PEM that can be read") from None
    if key.public_key() != public:
        raise CertificateError("the authority's key does not belong to its certificate")
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CertificateError("the authority's key is none of an elliptic curve: make a new authority")
    return certificate.not_valid_before_utc, certificate.not_valid_after_utc
