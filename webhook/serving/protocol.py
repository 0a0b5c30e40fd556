"""gunicorn's HTTP/1.1 protocol, with limits on how long a request may take to arrive and an answer to be read.

`ASGIProtocol` itself never closes a connection that stays silent, sends half a header or drips a body. The names with
an underscore are gunicorn's own and may change: `gunicorn==27.0.*` is pinned, and a test holds each of these hooks.
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Any

from gunicorn.asgi.protocol import ASGIProtocol

from webhook.serving.asgi import Application

_NO_LINGER = struct.pack("ii", 1, 0)

#: Seconds in which a TLS handshake and the first request must have arrived, and each further request from its first
#: byte on; also the longest that a client may leave an answer unread.
ARRIVAL = 5.0


class Protocol(ASGIProtocol):  # type: ignore[misc] # gunicorn has no types
    """One connection."""

    def __init__(
        self, worker: Any, application: Application, accepted: float, lost: Callable[["Protocol"], None]
    ) -> None:
        """Serve `application` on a connection accepted at loop time `accepted`, and call `lost` when it is gone."""
        super().__init__(worker)
        self.app = application
        self._accepted = accepted
        self._lost = lost
        self._arriving: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    @property
    def is_idle(self) -> bool:
        """Whether the connection waits for a request of which nothing has come."""
        return bool(self._awaiting_request) and self._arriving is None

    @property
    def is_lost(self) -> bool:
        """Whether the connection is gone."""
        return bool(self._conn_lost_handled)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; the time in which the first request must come has been running since the accept."""
        super().connection_made(transport)
        self._expect_by(self._accepted + ARRIVAL)

    def _feed_callback_parser(self, data: bytes) -> bool:
        # Not data_received: what was pipelined behind an earlier request comes only here.
        if self._arriving is None:
            self._expect_by(self.worker.loop.time() + ARRIVAL)
        return bool(super()._feed_callback_parser(data))

    def _on_message_complete(self) -> None:
        _cancel(self._arriving)
        self._arriving = None
        super()._on_message_complete()

    def pause_writing(self) -> None:
        """Give a client that does not read its answer a last while."""
        super().pause_writing()
        if self._unread is None:
            self._unread = self.worker.loop.call_later(ARRIVAL, self._cut)

    def resume_writing(self) -> None:
        """Go on: the client reads."""
        _cancel(self._unread)
        self._unread = None
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        _cancel(self._arriving)
        _cancel(self._unread)
        super().connection_lost(exc)
        self._lost(self)

    def _expect_by(self, deadline: float) -> None:
        self._arriving = self.worker.loop.call_at(deadline, self._cut)

    def _cut(self) -> None:
        """Close at once, and have the kernel throw away what the client has not read: it would keep it for long."""
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.transport.abort()


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
