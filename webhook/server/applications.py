"""The applications of the two ports: which function answers which request.

Paths and methods are declared once, for our own server and for the Flask application.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from webhook.admission.mutator import Mutator
from webhook.server import routes
from webhook.server.counters import ReviewCounters
from webhook.server.routes import Reply, Request

#: Answers a request without blocking on I/O.
Application = Callable[[Request], Reply]
#: Answers a request with the beginning of a body that is too large; returns None if it cannot.
TruncatedApplication = Callable[[Request], Reply | None]


class Route(NamedTuple):
    """The application for a path, and its only method. GET includes HEAD."""

    method: bytes
    application: Application


#: Routes by path. A slash at the end of a path makes no difference.
Routes = Mapping[str, Route]

_MUTATE = "/mutate"


def admission(mutator: Callable[[], Mutator], counters: ReviewCounters) -> Routes:
    """Return the routes of the TLS port; `mutator` returns the current one."""

    def mutate(request: Request) -> Reply:
        return routes.mutate(mutator(), request.header(b"content-type"), request.body, counters, request.client)

    return {_MUTATE: Route(b"POST", mutate), "/": Route(b"GET", lambda _: routes.about())}


def health(ready: Callable[[], Reply], metrics: Callable[[], Reply]) -> Routes:
    """Return the routes of the port that the kubelet and Prometheus use."""
    return {
        "/healthz": Route(b"GET", lambda _: routes.alive()),
        "/readyz": Route(b"GET", lambda _: ready()),
        "/metrics": Route(b"GET", lambda _: metrics()),
    }


def truncated(mutator: Callable[[], Mutator], counters: ReviewCounters) -> TruncatedApplication:
    """Return the application for reviews that are too large."""
    paths = _spellings(_MUTATE)

    def answer(request: Request) -> Reply | None:
        if request.method != b"POST" or unquote_to_bytes(request.path) not in paths:
            return None
        return routes.mutate_truncated(mutator(), request.body, counters, request.client)

    return answer


def dispatch(table: Routes) -> Application:
    """Return the application that answers each request by its route, and others with 404 or 405."""
    known = {spelling: route for path, route in table.items() for spelling in _spellings(path)}

    def answer(request: Request) -> Reply:
        route = known.get(request.path) or known.get(unquote_to_bytes(request.path))
        if route is None:
            return routes.NOT_FOUND
        method = b"GET" if request.method == b"HEAD" else request.method
        return route.application(request) if method == route.method else routes.not_allowed(route.method)

    return answer


def _spellings(path: str) -> set[bytes]:
    return {path.encode(), f"{path.rstrip('/')}/".encode()}
