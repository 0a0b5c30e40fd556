"""Parses the requests of one connection, one at a time, with httptools (llhttp in strict mode).

If a proxy and a server disagree about where a request ends, a request can be hidden in the body of another one (request
smuggling). So a request is refused if two readers could disagree about its end, its target or its host: llhttp refuses
what RFC 9112 calls malformed, `_checked_head` the rest.

httptools does not report where a request ends, and continues with the next one. So it never gets bytes of the next
request: one with a Content-Length ends after that many bytes, and any other one with an empty line.
"""

import re
from typing import NamedTuple

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

#: Bytes of a target, and of a header's name and value.
_TARGET_LIMIT, _HEADER_LIMIT = 4094, 8190
#: Headers, with those after a chunked body.
_HEADERS_LIMIT = 100
#: Bytes of a head, and of everything between two pieces of a chunked body.
_FRAMING_LIMIT = 64 * 1024
#: In a chunked body. JSON has none unless it is indented in that way, and the parser is called once for each.
_EMPTY_LINES_LIMIT = 1000
#: Of a Content-Length, which can have leading zeros.
_LENGTH_DIGITS = 19
_EMPTY_LINE = b"\r\n\r\n"
_VERSIONS = frozenset({"1.0", "1.1"})
#: CGI and what follows it read `_` in a name as `-`.
_LOOKALIKES = frozenset({b"content_length", b"transfer_encoding"})
#: RFC 3986 section 3.2.2, without user information and the characters that no host name has.
_HOST = re.compile(rb"[A-Za-z0-9._%-]*(?::[0-9]*)?|\[[A-Fa-f0-9:.]+\](?::[0-9]*)?")


class MalformedRequest(Exception):
    """The connection must be closed, because it is unknown where the next request begins."""

    def __init__(self, problem: str, status: int = 400) -> None:
        super().__init__(problem)
        #: The HTTP status of the answer.
        self.status = status


class Head(NamedTuple):
    """What precedes a request's body."""

    method: bytes
    target: bytes
    """A path with an optional query, percent-encoded."""
    headers: dict[bytes, bytes]
    """Names in lower case. Several headers of one name are one list (RFC 9110 section 5.3)."""
    content_length: int | None
    """None if the body is chunked."""
    expects_continue: bool
    """Whether the client waits for `100 Continue` before it sends the body."""
    keeps_alive: bool
    """Whether another request may follow."""


class RequestParser:
    """Parses one request; `start_next` begins the next one."""

    def __init__(self) -> None:
        self._parser = HttpRequestParser(self)
        self.start_next()

    def start_next(self) -> None:
        """Forget a complete request."""
        self.head: Head | None = None
        """None until all of it has been received."""
        self.body: bytes | bytearray = b""
        """The body without framing, as far as it has been received."""
        self.is_complete = False
        self._received = b""  # of the head
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._header_count = 0
        self._longest_header = 0
        self._is_host_repeated = False
        self._is_head_complete = self._keeps_alive = False
        self._framing = self._empty_lines = 0
        self._last = b""  # up to three bytes, with which an empty line can begin

    def close(self) -> None:
        """Free the memory; nothing can be parsed any more."""
        del self._parser  # a reference cycle
        self.body = b""

    def feed(self, data: bytes | memoryview) -> int:
        """Parse `data` up to the end of the request, and return the number of bytes that this took.

        Raises `MalformedRequest`.
        """
        used, size = 0, len(data)
        searched, shift = b"", 0
        while used < size and not self.is_complete:
            if self.head is not None and self.head.content_length is not None:
                end = used + self.head.content_length - len(self.body)
                self._execute(data[used:end])
                used = min(end, size)
                continue
            if not searched:
                searched, shift = self._last + data, len(self._last)
            found = searched.find(_EMPTY_LINE, max(0, used + shift - len(_EMPTY_LINE) + 1))
            end = size if found < 0 else found + len(_EMPTY_LINE) - shift
            self._empty_lines += found >= 0
            self._feed_framed(data[used:end])
            used = end
            self._last = searched[max(0, end + shift - len(_EMPTY_LINE) + 1) : end + shift]
        return used

    def _feed_framed(self, piece: bytes | memoryview) -> None:
        """Parse a piece of a head or of a chunked body."""
        before = len(self.body)
        self._execute(piece)
        received = len(self.body) - before
        self._framing += len(piece) - received
        if len(self._target) > _TARGET_LIMIT:
            raise MalformedRequest(f"the target has more than {_TARGET_LIMIT} bytes", 414)
        if self._header_count > _HEADERS_LIMIT:
            raise MalformedRequest(f"more than {_HEADERS_LIMIT} headers", 431)
        if self._empty_lines > _EMPTY_LINES_LIMIT:
            raise MalformedRequest(f"more than {_EMPTY_LINES_LIMIT} empty lines in a chunked body")
        if self._longest_header > _HEADER_LIMIT or self._framing > _FRAMING_LIMIT:
            raise MalformedRequest("the headers are too large", 431)
        if self._is_host_repeated:
            raise MalformedRequest("more than one Host header")
        if received:
            self._framing = 0
        if self.head is None:
            self._received += piece
            if self._is_head_complete:
                self.head = self._checked_head(self._received)

    def _execute(self, piece: bytes | memoryview) -> None:
        try:
            self._parser.feed_data(piece)
        except HttpParserUpgrade:
            pass  # a server may ignore Upgrade (RFC 9110 section 7.8), and httptools continues
        except HttpParserError as error:
            raise MalformedRequest(str(error)) from None

    def _checked_head(self, received: bytes) -> Head:
        """Return the head.

        Raises `MalformedRequest` for what llhttp accepts although others may read it in another way.
        """
        method, version = self._parser.get_method(), self._parser.get_http_version()
        line = b"%b %b HTTP/%b\r\n" % (method, self._target, version.encode())
        # RFC 9112 section 2.2 allows an empty line in front. Other protocols and HTTP/0.9 differ from `line`.
        if not received.removeprefix(b"\r\n").startswith(line) or version not in _VERSIONS:
            raise MalformedRequest("the request line is not METHOD TARGET HTTP/1.1")
        if not self._target.startswith(b"/") or b"#" in self._target:
            raise MalformedRequest("the target is not a path")  # RFC 9112 section 3.2.1
        host = self._headers.get(b"host")
        if host is None and version != "1.0":
            raise MalformedRequest("no Host header")
        if host is not None and not _HOST.fullmatch(host):
            raise MalformedRequest("the Host header is not a host with an optional port")
        if not self._headers.keys().isdisjoint(_LOOKALIKES):
            raise MalformedRequest("a header's name differs from one with a length only in _ and -")
        coding = self._headers.get(b"transfer-encoding")
        if coding is not None and (version == "1.0" or coding.lower() != b"chunked"):
            raise MalformedRequest("Transfer-Encoding is not chunked, or not in HTTP/1.1")
        digits = self._headers.get(b"content-length", b"0")
        if len(digits) > _LENGTH_DIGITS:
            raise MalformedRequest("Content-Length has too many digits")
        length = int(digits) if coding is None else None
        # llhttp does not read the body of a request to another protocol.
        if self._parser.should_upgrade() and (length != 0 or method == b"CONNECT"):
            raise MalformedRequest("a request to another protocol")
        expects = version != "1.0" and self._headers.get(b"expect", b"").lower() == b"100-continue"
        return Head(method, self._target, self._headers, length, expects, self._keeps_alive)

    # httptools calls the following methods.

    def on_url(self, piece: bytes) -> None:
        self._target += piece

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_count += 1
        self._longest_header = max(self._longest_header, len(name) + len(value))
        name, value = name.lower(), value.strip(b" \t")
        if name in self._headers:
            self._is_host_repeated |= name == b"host"
            value = b"%b, %b" % (self._headers[name], value)
        if self.head is None:  # one after a chunked body must not replace one that has been checked
            self._headers[name] = value

    def on_headers_complete(self) -> None:
        self._is_head_complete = True
        self._keeps_alive = self._parser.should_keep_alive()  # known until the request is complete

    def on_body(self, piece: bytes) -> None:
        if not self.body:
            self.body = piece  # most bodies arrive at once
        elif isinstance(self.body, bytes):
            self.body = bytearray(self.body + piece)
        else:
            self.body += piece

    def on_message_complete(self) -> None:
        self.is_complete = True
