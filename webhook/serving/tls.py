"""The server's side of TLS: one context for one certificate and key, and for the clients that are answered.

A client that has to show a certificate is refused in its handshake, so that nothing behind it ever hears of one that is
not answered.
"""

import calendar
import re
import ssl
import time
from pathlib import Path
from typing import Any

from webhook.errors import CertificateError

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
#: DER's tags, as far as they are met on the way to a certificate's end.
_VERSION, _UTC_TIME = 0xA0, 0x17
_ENCRYPTED = "the key is encrypted: write it without a passphrase"


def context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Make a context for TLS 1.2 and up that serves the pair in two PEM files.

    Raises `CertificateError`, in one line, for a pair that cannot be served.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.set_alpn_protocols(["http/1.1"])
    asked = False

    def refuse() -> str:
        # Without this OpenSSL would ask for the passphrase on the terminal.
        nonlocal asked
        asked = True
        return ""

    try:
        made.load_cert_chain(certificate, key, password=refuse)
    except ssl.SSLError as error:
        raise CertificateError(f"{certificate} and {key}: {_ENCRYPTED if asked else _in_words(error)}") from None
    except OSError as error:
        raise CertificateError(f"{error.filename or certificate}: {error.strerror}") from None
    return made


def ends(content: bytes) -> float | None:
    """Tell when the first one ends of the certificates in a PEM file: POSIX seconds, or None where none can be read.

    The ssl module tells that only of a certificate that the other side has presented.
    """
    found = []
    for certificate in _CERTIFICATE.findall(content):
        try:
            found.append(_end(ssl.PEM_cert_to_DER_cert(certificate.decode("ascii"))))
        except (ValueError, IndexError):
            continue  # it is OpenSSL that says what is wrong with it
    return min(found, default=None)


def _end(certificate: bytes) -> float:
    """Find a certificate's notAfter: RFC 5280 section 4.1. Raises `ValueError` or `IndexError` for what is none."""
    _, content, _ = _element(certificate)
    _, signed, _ = _element(content)
    tag, _, rest = _element(signed)
    # The version may be left out; then follow serial number, algorithm and issuer, and then the validity.
    for _ in range(3 if tag == _VERSION else 2):
        _, _, rest = _element(rest)
    _, validity, _ = _element(rest)
    _, _, rest = _element(validity)
    tag, text, _ = _element(rest)
    written = text.decode("ascii")
    if tag == _UTC_TIME:  # two digits of the year, which is one of 1950 to 2049
        written = ("20" if written < "5" else "19") + written
    return calendar.timegm(time.strptime(written, "%Y%m%d%H%M%SZ"))


def _element(der: bytes) -> tuple[int, bytes, bytes]:
    """Take the first element of DER apart: its tag, its content, and what follows it."""
    length, start = der[1], 2
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(der[2:start])
    return der[0], der[start : start + length], der[start + length :]


def authorities(content: bytes) -> str:
    """Give the text of a PEM file with the certificates of authorities, as `demand` takes it.

    Raises `CertificateError`, in a few words, for one that has none, or one that is cut short.
    """
    # What is written around the certificates may be in any encoding.
    text = content.decode("ascii", "ignore")
    tried = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        tried.load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError):
        raise CertificateError("it holds no certificate, or one that is cut short") from None
    if not tried.cert_store_stats()["x509_ca"]:
        raise CertificateError("no certificate in it is that of an authority (basicConstraints: CA:TRUE)")
    return text


def demand(context: ssl.SSLContext, trusted: str, names: frozenset[str]) -> None:
    """Have a context refuse every client whose certificate none of the authorities in `trusted` (PEM) has signed.

    OpenSSL checks with it that the certificate is valid today and good for clients (extendedKeyUsage). With `names`,
    one of them must be its common name or among its DNS names.
    """
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=trusted)
    # Where an earlier handshake is resumed, the certificate is not looked at again, and it may have ended since. Python
    # can keep a server from giving tickets for that in 1.3 alone.
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0
    if names:
        context.sslobject_class = _named(names)


def _named(names: frozenset[str]) -> type[ssl.SSLObject]:
    """Make the server's side of connections whose handshake fails for a client of another name."""

    class Named(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            if names.isdisjoint(_names(self.getpeercert() or {})):
                raise ssl.SSLCertVerificationError("the client's certificate has none of the names that are asked for")

    return Named


def _names(certificate: dict[str, Any]) -> set[str]:
    """Give the common name and the DNS names of a certificate."""
    subject = (pair for attributes in certificate.get("subject", ()) for pair in attributes)
    common = {value for kind, value in subject if kind == "commonName"}
    return common | {value for kind, value in certificate.get("subjectAltName", ()) if kind == "DNS"}


def _in_words(error: ssl.SSLError) -> str:
    match error.reason:
        case "KEY_VALUES_MISMATCH":
            return "the key does not belong to the certificate"
        case None | "NO_START_LINE":
            return "one of them holds no PEM, or is cut short"
        case reason:
            return f"OpenSSL refuses them: {reason.lower().replace('_', ' ')}"
