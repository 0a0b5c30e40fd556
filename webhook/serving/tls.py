"""The server's side of TLS: one context for one certificate and key."""

import ssl
from pathlib import Path

from webhook.errors import CertificateError


def context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Make a context for TLS 1.2 and up that serves the pair in two PEM files.

    Raises `CertificateError`, in one line, for a pair that cannot be served.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.set_alpn_protocols(["http/1.1"])
    try:
        # An empty password, for OpenSSL would otherwise ask for one on the terminal.
        made.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        raise CertificateError(f"{certificate} and {key}: {_in_words(error)}") from None
    except OSError as error:
        raise CertificateError(f"{error.filename or certificate}: {error.strerror}") from None
    return made


def _in_words(error: ssl.SSLError) -> str:
    match error.reason:
        case "KEY_VALUES_MISMATCH":
            return "the key does not belong to the certificate"
        case "BAD_DECRYPT" | "BAD_PASSWORD_READ":
            return "the key is encrypted: write it without a passphrase"
        case None | "NO_START_LINE" | "PEM lib":
            return "one of them holds no PEM, or is cut short"
        case reason:
            return f"OpenSSL refuses them: {reason.lower().replace('_', ' ')}"
