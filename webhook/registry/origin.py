"""Where a server is: the part of a URL or of an image name that says so."""

import ipaddress
import re
from typing import NamedTuple

# Nothing that a URL's readers could take differently: no user, no escapes, ASCII alone.
_NETLOC = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9._-]+))(?::(?P<port>[0-9]{1,5}))?")
_PORTS = 65536

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address


class Origin(NamedTuple):
    """A server, and whether it is spoken to over TLS."""

    secure: bool
    host: str
    """An IPv6 address stands without brackets."""
    port: int


def parse(netloc: str, *, secure: bool) -> Origin | None:
    """Read a host with an optional port; None for anything else."""
    parts = _NETLOC.fullmatch(netloc)
    if parts is None:
        return None
    port = int(parts["port"] or (443 if secure else 80))
    return Origin(secure, parts["ipv6"] or parts["host"], port) if 0 < port < _PORTS else None


def ip(host: str) -> Ip | None:
    """Read an IP address, an IPv4 address written as IPv6 being the IPv4 address; None for a name."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def is_loopback(host: str) -> bool:
    """Tell whether `host` is this machine: `localhost`, 127.0.0.0/8 or ::1."""
    address = ip(host)
    return host.lower() == "localhost" if address is None else address.is_loopback
