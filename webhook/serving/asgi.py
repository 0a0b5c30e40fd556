"""The ASGI door: `POST /mutate` goes straight to the endpoint, everything else to a Flask application called inline.

Everything is answered on the event loop's own thread: a review takes microseconds, and nothing on its way waits.
"""

import io
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any

from webhook.admission.handler import Handler
from webhook.serving import endpoint
from webhook.serving.endpoint import Reply

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
WsgiApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

_PIECE = 256 * 1024
_MUTATE = frozenset({"/mutate", "/mutate/"})


class _TooLargeError(Exception):
    """The body is over the limit; the rest of it has not been read."""


class _GoneError(Exception):
    """The client went before its request was whole."""


def admission(handler: Callable[[], Handler], otherwise: WsgiApplication) -> Application:
    """Make the application of the TLS port: reviews are answered here, all else by `otherwise`."""
    inline = wsgi(otherwise)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST" or scope["path"] not in _MUTATE:
            await inline(scope, receive, send)
            return
        content_type = _header(scope, b"content-type").decode("latin-1")
        await _answer(scope, receive, send, lambda body: endpoint.mutate(handler(), content_type, body))

    return application


def wsgi(application: WsgiApplication) -> Application:
    """Make an ASGI application of a WSGI one that answers at once: it is called inline."""

    async def inline(scope: Scope, receive: Receive, send: Send) -> None:
        await _answer(scope, receive, send, lambda body: _call(application, scope, body))

    return inline


async def _answer(scope: Scope, receive: Receive, send: Send, answer: Callable[[bytes], Reply]) -> None:
    try:
        body = await _body(scope, receive)
    except _GoneError:
        return
    except _TooLargeError:
        await _send(send, endpoint.TOO_LARGE)
        # A client reads the answer only after it has sent its body, or lost the connection with the answer in it. What
        # still comes is thrown away, for as long as a request may take to arrive.
        with suppress(_GoneError):
            await _discard(receive)
        return
    await _send(send, answer(body))


async def _body(scope: Scope, receive: Receive) -> bytes:
    if int(_header(scope, b"content-length") or 0) > endpoint.BODY_LIMIT:
        raise _TooLargeError
    chunks: list[bytes] = []
    size = 0
    async for chunk in _chunks(receive):
        size += len(chunk)
        if size > endpoint.BODY_LIMIT:
            raise _TooLargeError
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def _discard(receive: Receive) -> None:
    async for _ in _chunks(receive):
        pass


async def _chunks(receive: Receive) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise _GoneError
        yield message["body"]
        more = message["more_body"]


async def _send(send: Send, reply: Reply) -> None:
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in reply.headers]
    headers.append((b"content-length", b"%d" % len(reply.body)))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    # In pieces, for only between two of them can the server see that a client does not read.
    rest = reply.body
    while len(rest) > _PIECE:
        await send({"type": "http.response.body", "body": rest[:_PIECE], "more_body": True})
        rest = rest[_PIECE:]
    await send({"type": "http.response.body", "body": rest})


def _header(scope: Scope, name: bytes) -> bytes:
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return b""


def _call(application: WsgiApplication, scope: Scope, body: bytes) -> Reply:
    """Call a WSGI application (PEP 3333) with an ASGI request whose body is whole."""
    server = scope["server"] or ("localhost", 0)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": scope["path"].encode().decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1]),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "CONTENT_LENGTH": str(len(body)),
        "CONTENT_TYPE": _header(scope, b"content-type").decode("latin-1"),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in scope["headers"]:
        if name not in {b"content-length", b"content-type"}:
            environ["HTTP_" + name.decode("latin-1").upper().replace("-", "_")] = value.decode("latin-1")
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], _error: Any = None) -> Callable[[bytes], None]:
        started[:] = [(status, headers)]
        return lambda _: None

    pieces = application(environ, start_response)
    content = b"".join(pieces)
    close = getattr(pieces, "close", None)
    if close is not None:
        close()
    status, headers = started[0]
    kept = tuple((name, value) for name, value in headers if name.lower() != "content-length")
    return Reply(int(status.split(" ", 1)[0]), kept, content)
