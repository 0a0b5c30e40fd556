"""Applications for our own server: `POST /mutate` is answered directly, everything else by a Flask application.

No request blocks on I/O. Large reviews are answered in other threads than the event loop's.
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
#: Answers a request with the beginning of a body that is too large; returns None if it cannot.
TruncatedApplication = Callable[[Request], Reply | None]
WsgiApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

_MUTATE = frozenset({b"/mutate", b"/mutate/"})


def admission(mutator: Callable[[], Mutator], counters: ReviewCounters, otherwise: WsgiApplication) -> Application:
    """Return the application of the TLS port. Requests that are not reviews are answered by `otherwise`."""

    def answer(request: Request) -> Reply:
        if _is_review(request):
            return routes.mutate(mutator(), request.header(b"content-type"), request.body, counters, request.client)
        return call(otherwise, request)

    return answer


def truncated(mutator: Callable[[], Mutator], counters: ReviewCounters) -> TruncatedApplication:
    """Return an application for reviews that are too large."""

    def answer(request: Request) -> Reply | None:
        if not _is_review(request):
            return None
        return routes.mutate_truncated(mutator(), request.body, counters, request.client)

    return answer


def _is_review(request: Request) -> bool:
    return request.method == b"POST" and request.path in _MUTATE


def call(application: WsgiApplication, request: Request) -> Reply:
    """Call a WSGI application (PEP 3333) that does not block.

    HEAD becomes GET, to know the length that both have; `http1` leaves out the body.
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
        "wsgi.multithread": True,  # larger requests are answered in threads
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
