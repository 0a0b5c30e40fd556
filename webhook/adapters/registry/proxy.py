"""Which proxy, if any, the environment names for a server: the rules of Go's `httpproxy`, which container runtimes use.

https://pkg.go.dev/golang.org/x/net/http/httpproxy#Config. `https_proxy` and `no_proxy` count, in either letter case,
upper case first. `http_proxy` never does: plain HTTP is spoken to loopback addresses only, and these are never reached
through a proxy.
"""

import ipaddress
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from webhook.adapters.registry import address
from webhook.adapters.registry.challenge import basic
from webhook.errors import RegistryWebhookError

_PORTS = {"http": 80, "https": 443}
_EXCEPTION = re.compile(r"(?:\[(?P<ipv6>[^\[\]]+)\]|(?P<host>[^\[\]:]+))(?::(?P<port>[0-9]{1,5}))?")


class UnusableProxy(RegistryWebhookError):
    """What the environment names as proxy is none that could be used; the text does not show it."""


@dataclass(frozen=True)
class Proxy:
    """A proxy that is asked for a tunnel."""

    scheme: str
    """`http` or `https`: how the proxy itself is spoken to."""
    host: str
    port: int
    authorization: str | None = field(default=None, repr=False)
    """The value of `Proxy-Authorization`."""


def choose(environment: Mapping[str, str], host: str, port: int) -> Proxy | None:
    """Give the proxy for TLS to `host` (an IPv6 address without brackets) and `port`, or None for the direct way.

    Raises `UnusableProxy`.
    """
    url = _either_case(environment, "HTTPS_PROXY")
    if not url or address.is_loopback(host):
        return None
    exceptions = _either_case(environment, "NO_PROXY").lower().split(",")
    if any(_covers(exception.strip(), host.lower(), port) for exception in exceptions):
        return None
    return _parse(url)


def _either_case(environment: Mapping[str, str], name: str) -> str:
    return environment.get(name) or environment.get(name.lower()) or ""


def _parse(url: str) -> Proxy:
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = parts.port
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        authorization = basic(user, password) if user or password else None
    except ValueError:
        raise UnusableProxy("https_proxy is no URL") from None
    if parts.scheme not in _PORTS:
        raise UnusableProxy("https_proxy is neither http:// nor https://")
    if not parts.hostname:
        raise UnusableProxy("https_proxy names no host")
    return Proxy(parts.scheme, parts.hostname, port or _PORTS[parts.scheme], authorization)


def _covers(exception: str, host: str, port: int) -> bool:
    """Tell whether an entry of `no_proxy` is for a host: `*`, a network, an address or a domain, with or without port.

    A domain covers those below it too; written with a dot or `*.` in front, those alone.
    """
    if exception == "*":
        return True
    ip = address.ip(host)
    if ip is not None:
        with suppress(ValueError):
            return ip in ipaddress.ip_network(exception, strict=False)
    parts = _EXCEPTION.fullmatch(exception)
    if parts is None or (parts["port"] and int(parts["port"]) != port):
        return False
    if ip is not None:
        return address.ip(parts["ipv6"] or parts["host"]) == ip
    domain = (parts["host"] or "").removeprefix("*")
    return host.endswith(domain) if domain.startswith(".") else host == domain or host.endswith(f".{domain}")
