"""Classes of failed requests to a registry, each with what to do.

They describe requests of this program. `diagnostics.pull_errors` has those of the kubelet, which nodes see.
"""

from enum import StrEnum
from http import HTTPStatus

from webhook.constants import DOCS


class Failure(StrEnum):
    """Why a registry gave no usable answer."""

    DNS = "dns"
    NETWORK = "network"
    PROXY = "proxy"
    """The proxy could not be used, or refused the connection."""
    TIMEOUT = "timeout"
    TLS = "tls"
    UNTRUSTED = "untrusted"
    """No known CA signed the certificate."""
    EXPIRED = "expired"
    """The certificate has expired, or is not valid yet."""
    WRONG_HOST = "wrong-host"
    """The certificate is for another host."""
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    RATE_LIMITED = "rate-limited"
    UNAVAILABLE = "unavailable"
    NOT_A_REGISTRY = "not-a-registry"


#: What to do, as an instruction; the others need none, because the next attempt may succeed.
_HINTS = {
    Failure.DNS: "check the host in the configuration, and the DNS servers",
    Failure.NETWORK: "check the host and port in the configuration, and network policies and firewalls on the way",
    Failure.PROXY: "check the proxy, or add the host to NO_PROXY",
    Failure.TIMEOUT: "check network policies, firewalls and proxies on the way",
    Failure.TLS: "check that the server supports TLS 1.2 or later at this port",
    Failure.UNTRUSTED: f"set webhook.verify_ca to a file with the CA of the registry, see {DOCS}/how-to/private-ca.md",
    Failure.EXPIRED: "renew the certificate of the registry, and check the clocks",
    Failure.WRONG_HOST: "write the host in the configuration as in the certificate of the registry",
    Failure.UNAUTHORIZED: f"check username and password, see {DOCS}/how-to/credentials.md",
    Failure.FORBIDDEN: "grant the registry user permission to pull",
    Failure.NOT_A_REGISTRY: "check the host, port and path in the configuration",
}

#: OpenSSL's X509_V_ERR codes of a certificate that is not valid now, or that is for another name, e-mail or address.
#: https://docs.openssl.org/master/man3/X509_STORE_CTX_get_error/
_NOT_VALID_NOW = frozenset({9, 10})
_OTHER_NAME = frozenset({62, 63, 64})


def hint(failure: Failure | None) -> str:
    """Return what to do about a failure, empty if nothing can be done here."""
    return "" if failure is None else _HINTS.get(failure, "")


def of_status(status: int) -> Failure:
    """Classify an HTTP status that neither accepts nor refuses a credential."""
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Failure.UNAVAILABLE
    return Failure.RATE_LIMITED if status == HTTPStatus.TOO_MANY_REQUESTS else Failure.NOT_A_REGISTRY


def of_refusal(status: int) -> Failure:
    """Classify the HTTP status of a refused credential."""
    return Failure.FORBIDDEN if status == HTTPStatus.FORBIDDEN else Failure.UNAUTHORIZED


def of_verify_code(code: int) -> Failure:
    """Classify OpenSSL's reason to reject a certificate."""
    if code in _NOT_VALID_NOW:
        return Failure.EXPIRED
    return Failure.WRONG_HOST if code in _OTHER_NAME else Failure.UNTRUSTED
