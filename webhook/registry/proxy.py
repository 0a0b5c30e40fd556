"""Which proxy, if any, the environment or a kubeconfig names for a server, by the rules of Go's `httpproxy`.

https://pkg.go.dev/golang.org/x/net/http/httpproxy#Config, which kubectl and container runtimes use: `HTTPS_PROXY` for
TLS, `HTTP_PROXY` for plain HTTP and `NO_PROXY`, in either letter case, upper case first, and no `ALL_PROXY`. Loopback
addresses are never reached through a proxy. SOCKS is not supported. A value is never shown: it may have a password.
"""

import base64
import ipaddress
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from webhook.errors import RegistryWebhookError
from webhook.registry import origin as registry_origin

_PORTS = {"http": 80, "https": 443}
_EXCEPTION = re.compile(r"(?:\[(?P<ipv6>[^\[\]]+)\]|(?P<host>[^\[\]:]+))(?::(?P<port>[^:]*))?")
_HINT = "write http://HOST:PORT or https://HOST:PORT"


class UnusableProxy(RegistryWebhookError):
    """A proxy that cannot be used; the text says where it is set and does not show it."""


@dataclass(frozen=True)
class Proxy:
    """A proxy."""

    scheme: str
    """`http` or `https`: the protocol of the proxy itself."""
    host: str
    port: int
    authorization: str | None = field(default=None, repr=False)
    """The value of `Proxy-Authorization`."""
    origin: str = field(default="", compare=False, repr=False)
    """The variable or field that names it."""

    @property
    def url(self) -> str:
        """Return its URL, without username and password."""
        return f"{self.scheme}://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


def choose(environment: Mapping[str, str], host: str, port: int, *, secure: bool = True) -> Proxy | None:
    """Return the proxy for a server (an IPv6 address without brackets), or None for a direct connection.

    Raises `UnusableProxy`.
    """
    variable = _either_case(environment, "HTTPS_PROXY" if secure else "HTTP_PROXY")
    url = environment.get(variable)
    if not url or registry_origin.is_loopback(host):
        return None
    exceptions = environment.get(_either_case(environment, "NO_PROXY"), "").lower().split(",")
    if any(_covers(exception.strip(), host.lower(), port) for exception in exceptions):
        return None
    return parse(url if "://" in url else f"http://{url}", variable)


def _either_case(environment: Mapping[str, str], name: str) -> str:
    """Return the spelling of a variable that is set and not empty, upper case first."""
    return name if environment.get(name) else name.lower()


def parse(url: str, origin: str) -> Proxy:
    """Parse a proxy's URL, which `origin` names. Raises `UnusableProxy`."""
    try:
        parts = urlsplit(url)
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        login = base64.b64encode(f"{user}:{password}".encode()).decode()
    except ValueError:
        raise UnusableProxy(f"{origin} is not a URL", hint=_HINT) from None
    if parts.scheme.startswith("socks"):
        raise UnusableProxy(f"{origin} names a SOCKS proxy, which is not supported", hint=_HINT)
    if parts.scheme not in _PORTS:
        raise UnusableProxy(f"{origin} is neither http:// nor https://", hint=_HINT)
    place = registry_origin.parse(parts.netloc.rpartition("@")[2].removesuffix(":"), secure=parts.scheme == "https")
    if place is None:
        raise UnusableProxy(f"{origin} has no valid host and port", hint=_HINT)
    return Proxy(parts.scheme, place.host, place.port, f"Basic {login}" if user or password else None, origin)


def _covers(exception: str, host: str, port: int) -> bool:
    """Whether an entry of `no_proxy` matches a host: `*`, a network, an address or a domain, with or without port.

    A domain also matches its subdomains; with a leading dot or `*.`, only those.
    """
    if exception == "*":
        return True
    ip = registry_origin.ip(host)
    if ip is not None:
        with suppress(ValueError):
            return ip in ipaddress.ip_network(exception, strict=False)
    parts = _EXCEPTION.fullmatch(exception)
    if parts is None or (parts["port"] and parts["port"] != str(port)):
        return False
    if ip is not None:
        return registry_origin.ip(parts["ipv6"] or parts["host"]) == ip
    domain = parts["host"] or ""
    domain = domain[1:] if domain.startswith("*.") else domain
    return host.endswith(domain) if domain.startswith(".") else host == domain or host.endswith(f".{domain}")
