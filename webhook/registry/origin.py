"""The address of a server, as in a URL or an image name."""

import ipaddress
import re
from typing import NamedTuple

# Nothing that URL parsers could interpret differently: no user, no escapes, only ASCII.
_NETLOC = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9._-]+))(?::(?P<port>[0-9]{1,5}))?")
_PORTS = 65536

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address


class Origin(NamedTuple):
    """A server, and whether to use TLS."""

    secure: bool
    host: str
    """An IPv6 address has no brackets."""
    port: int


def parse(netloc: str, *, secure: bool) -> Origin | None:
    """Parse a host with an optional port; None for anything else."""
    parts = _NETLOC.fullmatch(netloc)
    if parts is None:
        return None
    port = int(parts["port"] or (443 if secure else 80))
    return Origin(secure, parts["ipv6"] or parts["host"], port) if 0 < port < _PORTS else None


def ip(host: str) -> Ip | None:
    """Parse an IP address, one in IPv4-mapped IPv6 form as IPv4; None for a name."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine: `localhost`, 127.0.0.0/8 or ::1."""
    address = ip(host)
    return host.lower() == "localhost" if address is None else address.is_loopback
