"""The door of our own server: `POST /mutate` goes straight to the endpoint, all else to a Flask application.

Nothing on the way of a request waits. Large reviews are answered in other threads than the event loop's.
"""

import io
import sys
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import unquote_to_bytes

from webhook.admission.mutator import Mutator
from webhook.server import routes
from webhook.server.counters import ReviewCounters
from webhook.server.routes import Reply, Request

Application = Callable[[Request], Reply]
#: Answers a request of whose body, which is too large, only the beginning is there; None where that is not enough.
TruncatedApplication = Callable[[Request], Reply | None]
WsgiApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

_MUTATE = frozenset({b"/mutate", b"/mutate/"})


def admission(handler: Callable[[], Mutator], counters: ReviewCounters, otherwise: WsgiApplication) -> Application:
    """Make the application of the TLS port: reviews are answered here, all else by `otherwise`."""

    def answer(request: Request) -> Reply:
        if _is_review(request):
            return routes.mutate(handler(), request.header(b"content-type"), request.body, counters, request.client)
        return call(otherwise, request)

    return answer


def truncated(handler: Callable[[], Mutator], counters: ReviewCounters) -> TruncatedApplication:
    """Make what answers reviews that are too large."""

    def answer(request: Request) -> Reply | None:
        return (
            routes.mutate_truncated(handler(), request.body, counters, request.client) if _is_review(request) else None
        )

    return answer


def _is_review(request: Request) -> bool:
    return request.method == b"POST" and request.path in _MUTATE


def call(application: WsgiApplication, request: Request) -> Reply:
    """Call a WSGI application (PEP 3333) that answers at once.

    HEAD is asked as GET, for only so is the length known that both have; the body is the protocol's to leave out.
    """
    method = b"GET" if request.method == b"HEAD" else request.method
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method.decode("latin-1"),
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(request.path).decode("latin-1"),
        "QUERY_STRING": request.query.decode("latin-1"),
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "0",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": request.client,
        "CONTENT_LENGTH": str(len(request.body)),
        "CONTENT_TYPE": request.header(b"content-type"),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(request.body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in request.headers.items():
        if name not in {b"content-length", b"content-type", b"transfer-encoding"} and b"_" not in name:
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
