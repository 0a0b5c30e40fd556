"""The server's TLS context: the certificate and key, and with mutual TLS the CAs and names of clients.

A client without an accepted certificate fails in the handshake, so it reaches no other code. This module parses
certificates itself, because the server must not import cryptography.
"""

import binascii
import calendar
import os
import re
import ssl
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from webhook.errors import CertificateError
from webhook.timestamps import format_rfc3339

#: OpenSSL reads a certificate with any of these labels.
_CERTIFICATE = re.compile(rb"-----BEGIN ((?:X509 |TRUSTED )?CERTIFICATE)-----(?:[^-]*?\n\r?\n)?([^-]*)-----END \1-----")
_LABEL = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----")
_KEY_LABELS = frozenset({b"PRIVATE KEY", b"RSA PRIVATE KEY", b"EC PRIVATE KEY", b"DSA PRIVATE KEY"})
#: DER tags.
_VERSION, _UTC_TIME, _BOOLEAN = 0xA0, 0x17, 0x01
#: DER object identifiers: RFC 5280 section 4.2.1.12.
_EXTENDED_KEY_USAGE, _CLIENT_AUTH = b"\x06\x03\x55\x1d\x25", b"\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x02"
#: DER prefixes of the public key algorithms that API servers accept: RSA, Ed25519, ECDSA with P-256, P-384 or P-521.
#: OpenSSL loads others, with which every handshake fails. https://pkg.go.dev/crypto/tls
_ECDSA = b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01"
_KEYS = (
    b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01",
    b"\x06\x03\x2b\x65\x70",
    _ECDSA + b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07",
    _ECDSA + b"\x06\x05\x2b\x81\x04\x00\x22",
    _ECDSA + b"\x06\x05\x2b\x81\x04\x00\x23",
)
_OTHER_KEY = "API servers do not accept this kind of key; use ECDSA (P-256, P-384, P-521), RSA or Ed25519"
_ENCRYPTED = "the key is encrypted; store it without a passphrase"


def context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return a context for TLS 1.2 and later with a certificate and key from PEM files.

    Raises `CertificateError`, in one line.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    asked = False

    def refuse() -> str:
        # Without a password callback OpenSSL asks for the passphrase on the terminal.
        nonlocal asked
        asked = True
        return ""

    try:
        context.load_cert_chain(certificate, key, password=refuse)
    except ssl.SSLError as error:
        why = _ENCRYPTED if asked else _mismatch(certificate, key) or _describe(error)
        raise CertificateError(why, where=f"{certificate} and {key}") from None
    except OSError as error:
        raise CertificateError(
            (error.strerror or str(error)).lower(), where=str(error.filename or certificate)
        ) from None
    if not _is_for_servers(certificate):
        raise CertificateError(_OTHER_KEY, where=f"{certificate} and {key}")
    return context


class Validity(NamedTuple):
    """When a certificate is valid, in POSIX seconds."""

    begins: float
    ends: float

    def why_not(self, now: float) -> str | None:
        """Return why it is not valid at a time, or None if it is."""
        if now >= self.ends:
            return f"expired on {format_rfc3339(self.ends)}"
        return f"is not valid before {format_rfc3339(self.begins)}" if now < self.begins else None


def validities(content: bytes) -> list[Validity]:
    """Return the validity of each certificate in a PEM file, except for those that cannot be read.

    The ssl module gives it only for a peer's certificate.
    """
    found = []
    for _, encoded in _CERTIFICATE.findall(content):
        try:
            found.append(_validity(binascii.a2b_base64(encoded)))
        except (ValueError, IndexError):
            continue  # OpenSSL reports what is wrong with it
    return found


def validity(chain: bytes) -> Validity | None:
    """Return when all certificates of a PEM chain are valid, or None if none can be read."""
    found = validities(chain)
    return Validity(max(one.begins for one in found), min(one.ends for one in found)) if found else None


def _validity(certificate: bytes) -> Validity:
    """Return a DER certificate's validity. Raises `ValueError` or `IndexError`."""
    _, span, _ = _element(_from_validity(certificate))
    begins_tag, begins, rest = _element(span)
    ends_tag, ends, _ = _element(rest)
    return Validity(_posix_time(begins_tag, begins), _posix_time(ends_tag, ends))


def _from_validity(certificate: bytes) -> bytes:
    """Return the rest of a certificate from its validity on: RFC 5280 section 4.1."""
    _, content, _ = _element(certificate)
    _, signed, _ = _element(content)
    tag, _, rest = _element(signed)
    # The version is optional. Serial number, algorithm and issuer precede the validity.
    for _ in range(3 if tag == _VERSION else 2):
        _, _, rest = _element(rest)
    return rest


def _is_for_servers(path: Path) -> bool:
    """Return whether API servers accept the key of a file's first certificate; True if it cannot be read."""
    try:
        found = _CERTIFICATE.search(path.read_bytes())
        rest = _from_validity(binascii.a2b_base64(found[2])) if found else b""
        for _ in ("validity", "subject"):
            _, _, rest = _element(rest)
        _, public_key, _ = _element(rest)
        _, algorithm, _ = _element(public_key)
    except (OSError, ValueError, IndexError):
        return True
    return algorithm.startswith(_KEYS)


def _posix_time(tag: int, text: bytes) -> float:
    written = text.decode("ascii")
    if tag == _UTC_TIME:  # a year of two digits, 1950 to 2049
        written = ("20" if written < "5" else "19") + written
    return calendar.timegm(time.strptime(written, "%Y%m%d%H%M%SZ"))


def _element(der: bytes) -> tuple[int, bytes, bytes]:
    """Return the tag and the content of the first DER element, and what follows it."""
    length, start = der[1], 2
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(der[2:start])
    return der[0], der[start : start + length], der[start + length :]


def valid_ca_bundle(content: bytes) -> str:
    """Return the text of a PEM file of CAs, for `require_client_certificates`.

    Raises `CertificateError`, without the file's name.
    """
    # Comments around the certificates may be in any encoding.
    text = content.decode("ascii", "ignore")
    tried = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        tried.load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError):
        raise CertificateError("no certificate found, or one is truncated") from None
    if not tried.cert_store_stats()["x509_ca"]:
        raise CertificateError("no certificate of a CA found (basicConstraints: CA:TRUE)")
    return text


def all_invalid_reason(trusted: str, now: float) -> str | None:
    """Return why none of the CAs in `trusted` (PEM) is valid at a time; None if one is, or none can be read."""
    reasons = [one.why_not(now) for one in validities(trusted.encode())]
    return reasons[0] if reasons and all(reasons) else None


def require_client_certificates(context: ssl.SSLContext, trusted: str, names: frozenset[str]) -> None:
    """Refuse clients without a valid certificate that a CA in `trusted` (PEM) has signed.

    Its extendedKeyUsage must have clientAuth: OpenSSL alone accepts a certificate without this extension, and servers'
    certificates may have none. With `names`, one of them must be its common name or a DNS name.
    """
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=trusted)
    # A resumed session does not check the certificate again, which may have expired. Python can switch session tickets
    # off for TLS 1.3 only.
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0
    context.sslobject_class = _checked(names)


def _checked(names: frozenset[str]) -> type[ssl.SSLObject]:
    """Return an `SSLObject` class whose handshake fails for certificates of another use or name."""

    class Checked(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            if not _is_for_clients(self.getpeercert(binary_form=True) or b""):
                raise ssl.SSLCertVerificationError("the client certificate lacks clientAuth in extendedKeyUsage")
            if names and names.isdisjoint(_names(self.getpeercert() or {})):
                raise ssl.SSLCertVerificationError("the client certificate has no accepted name")

    return Checked


def _is_for_clients(certificate: bytes) -> bool:
    """Return whether a DER certificate that OpenSSL has verified has clientAuth in its extendedKeyUsage."""
    _, found, rest = certificate.partition(_EXTENDED_KEY_USAGE)
    if not found:
        return False
    tag, content, rest = _element(rest)
    if tag == _BOOLEAN:  # the extension's criticality
        _, content, _ = _element(rest)
    return _CLIENT_AUTH in content


def _names(certificate: dict[str, Any]) -> set[str]:
    """Return the common name and the DNS names of a certificate."""
    subject = (pair for attributes in certificate.get("subject", ()) for pair in attributes)
    common = {value for kind, value in subject if kind == "commonName"}
    return common | {value for kind, value in certificate.get("subjectAltName", ()) if kind == "DNS"}


def _mismatch(certificate: Path, key: Path) -> str | None:
    """Return what is wrong with a key pair if OpenSSL does not report it clearly, or None."""
    try:
        certificates, keys = certificate.read_bytes(), key.read_bytes()
    except OSError:
        return None
    chain = [match[0] for match in _CERTIFICATE.finditer(certificates)]
    found, kinds = _LABEL.findall(keys), set(_LABEL.findall(certificates))
    number = sum(label in _KEY_LABELS for label in found)
    if number > 1:
        return f"the key file has {number} keys; keep the one of the certificate"
    if found and not number:
        return f"the key file has {_listed(found)}, not a private key for TLS"
    if kinds and not chain and not any(label.endswith(b"CERTIFICATE") for label in kinds):
        return f"the certificate file has {_listed(kinds)}, not a certificate"
    for later in chain[1:]:
        if _matches(later, key):
            return "the server certificate must be the first in the file, followed by the one that signed it"
    return None


def _matches(certificate: bytes, key: Path) -> bool:
    """Return whether a key belongs to a certificate. The ssl module reads only files, so one in memory is created."""
    descriptor = os.memfd_create("certificate")
    try:
        os.write(descriptor, certificate)
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(f"/proc/self/fd/{descriptor}", key, password="")
    except (OSError, ValueError):  # ssl.SSLError is an OSError
        return False
    finally:
        os.close(descriptor)
    return True


def _listed(labels: Iterable[bytes]) -> str:
    return ", ".join(sorted({label.decode("ascii") for label in labels}))


def _describe(error: ssl.SSLError) -> str:
    match error.reason:
        case "KEY_VALUES_MISMATCH" | "NO_CERTIFICATE_ASSIGNED" | "UNKNOWN_CERTIFICATE_TYPE":
            return "the key does not belong to the certificate"
        case None | "NO_START_LINE":
            return "one of the files is not PEM, or is truncated"
        case reason:
            return f"OpenSSL rejects them: {reason.lower().replace('_', ' ')}"
