"""Calls of WSGI applications, checked by `wsgiref.validate` (PEP 3333)."""

from typing import Any
from wsgiref.validate import validator

import pytest

from webhook.server import wsgi
from webhook.server.routes import Reply, Request


@pytest.mark.parametrize(
    ("path", "info"),
    [(b"/a%20b", "/a b"), (b"/%c3%a9", "/é"), (b"/a%2Fb", "/a/b"), (b"/%", "/%"), (b"/a%3fb", "/a?b")],
)
def test_call_environ_has_unquoted_path_and_raw_headers(path: bytes, info: str) -> None:
    told: dict[str, Any] = {}

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        told.update(environ, body=environ["wsgi.input"].read(100))
        start_response("404 Not Found", [("Content-Type", "text/plain"), ("Content-Length", "3"), ("X-A", "b")])
        return [b"x", b"yz"]

    headers = {b"host": b"h", b"content-type": b"t/p", b"content-length": b"4", b"x-a-b": b"c", b"x_a_b": b"!"}
    reply = wsgi.call(validator(application), Request(b"POST", path, b"q=%20?", headers, b"body"))
    assert reply == Reply(404, (("Content-Type", "text/plain"), ("X-A", "b")), b"xyz")
    assert told["PATH_INFO"].encode("latin-1").decode() == info
    expected = {
        "REQUEST_METHOD": "POST",
        "QUERY_STRING": "q=%20?",
        "CONTENT_LENGTH": "4",
        "CONTENT_TYPE": "t/p",
        "HTTP_HOST": "h",
        "HTTP_X_A_B": "c",
        "body": b"body",
    }
    assert {name: told[name] for name in expected} == expected
