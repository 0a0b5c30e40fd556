"""The server's side of TLS: one context for one certificate and key."""

import ssl
from pathlib import Path

from webhook.errors import CertificateError

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


def _in_words(error: ssl.SSLError) -> str:
    match error.reason:
        case "KEY_VALUES_MISMATCH":
            return "the key does not belong to the certificate"
        case None | "NO_START_LINE":
            return "one of them holds no PEM, or is cut short"
        case reason:
            return f"OpenSSL refuses them: {reason.lower().replace('_', ' ')}"
