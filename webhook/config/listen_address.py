"""The addresses that a process listens on."""

import errno
from typing import TYPE_CHECKING, NamedTuple

from webhook.errors import RegistryWebhookError

if TYPE_CHECKING:
    import socket

#: Maximum connections that wait to be accepted; the kernel may allow fewer.
BACKLOG = 4096


class Address(NamedTuple):
    """An address to listen on; an empty host means all addresses of the machine, port 0 any free port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def listen(address: Address) -> "socket.socket":
    """Return a listening socket. Raises `RegistryWebhookError`."""
    import socket  # noqa: PLC0415 - commands that do not listen import this module too

    # gunicorn is given bound sockets, because it would try five times to bind, a second apart, and then exit.
    try:
        if address.host or not socket.has_dualstack_ipv6():
            family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
            return socket.create_server(tuple(address), family=family, backlog=BACKLOG)
        try:
            return socket.create_server(
                ("", address.port), family=socket.AF_INET6, backlog=BACKLOG, dualstack_ipv6=True
            )
        except OSError as error:
            if error.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
                raise
            # The kernel supports IPv6, but it is disabled.
            return socket.create_server(("", address.port), backlog=BACKLOG)
    except OSError as error:
        # Python appends the address in parentheses.
        reason = str(error.strerror or error).partition(" (")[0].lower()
        raise RegistryWebhookError(f"cannot listen on {address}: {reason}") from None
