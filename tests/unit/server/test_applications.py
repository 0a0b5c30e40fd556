"""Which application answers a request."""

import pytest

from webhook.server import applications, routes
from webhook.server.applications import Route
from webhook.server.routes import Reply, Request

ROUTES = {"/": Route(b"GET", lambda _: routes.text(200, "root")), "/a": Route(b"POST", lambda _: routes.text(200, "a"))}


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        (b"GET", b"/", "root"),
        (b"HEAD", b"/", "root"),
        (b"POST", b"/a", "a"),
        (b"POST", b"/a/", "a"),
        (b"POST", b"/%61", "a"),
        (b"POST", b"/%61/", "a"),
        (b"POST", b"/%61%2F", "a"),
        (b"POST", b"/a//", 404),
        (b"POST", b"//a", 404),
        (b"POST", b"/A", 404),
        (b"POST", b"/a%", 404),
        (b"POST", b"/a%00", 404),
        (b"POST", b"/a%20", 404),
        (b"GET", b"//", 404),
        (b"GET", b"/..", 404),
        (b"GET", b"/a", 405),
        (b"HEAD", b"/a", 405),
        (b"OPTIONS", b"/a", 405),
        (b"POST", b"/", 405),
        (b"get", b"/", 405),
    ],
)
def test_dispatch_by_path_and_method(method: bytes, path: bytes, expected: str | int) -> None:
    reply = applications.dispatch(ROUTES)(Request(method, path, {}, b""))
    assert (reply.line if reply.status == 200 else reply.status) == expected


@pytest.mark.parametrize(("path", "allowed"), [(b"/", "GET, HEAD"), (b"/a", "POST")])
def test_reply_to_other_method_names_allowed_ones(path: bytes, allowed: str) -> None:
    reply = applications.dispatch(ROUTES)(Request(b"PUT", path, {}, b""))
    assert reply == Reply(405, (("Content-Type", "text/plain; charset=utf-8"), ("Allow", allowed)), reply.body)
