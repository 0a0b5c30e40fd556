"""Verify a certificate as a connecting client does, wherever it comes from: PEM in, values out."""

from datetime import datetime
from typing import NamedTuple

from cryptography import x509

from webhook.errors import CertificateError
from webhook.pki.ca import has_signed


class LeafCertificate(NamedTuple):
    """A server's certificate."""

    begins: datetime
    ends: datetime
    """Both aware."""
    names: frozenset[str]
    """Its DNS names."""


def leaf_certificate(chain: bytes) -> LeafCertificate:
    """Load the certificate that a server presents first. Raises `CertificateError` if there is none."""
    first = _certificates(chain)[0]
    try:
        names = first.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        dns = frozenset(names.get_values_for_type(x509.DNSName))
    except (x509.ExtensionNotFound, ValueError):
        dns = frozenset()
    return LeafCertificate(first.not_valid_before_utc, first.not_valid_after_utc, dns)


def is_trusted(chain: bytes, bundle: bytes) -> bool:
    """Whether a CA of the bundle has signed what a server presents, directly or through intermediates.

    A certificate that is itself in the bundle is trusted too. Validity is not checked. Raises `CertificateError` if one
    of the two contains no certificate.
    """
    roots, presented = _certificates(bundle), _certificates(chain)
    for certificate, above in zip(presented, [*presented[1:], None], strict=True):
        if certificate in roots or any(has_signed(root, certificate) for root in roots):
            return True
        if above is None or not has_signed(above, certificate):
            return False
    return False


def _certificates(text: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(text)
    except ValueError:
        raise CertificateError("no valid PEM certificate found") from None
