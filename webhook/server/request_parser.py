"""Parses the requests of one connection, one at a time, with httptools (llhttp in strict mode).

If a proxy and a server disagree about where a request ends, a request can be hidden in the body of another one (request
smuggling). So a request is refused if two readers could disagree about its end, its target or its host: llhttp refuses
what RFC 9112 calls malformed, `_parse_head` the rest.

httptools does not report where a request ends, and continues with the next one. So it never gets bytes of the next
request: a head and a chunked body end with an empty line, and a body with a Content-Length is not given to it.
"""

import re
from functools import lru_cache
from typing import NamedTuple, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

#: Bytes of a target, and of a header's name and value.
_TARGET_LIMIT, _HEADER_LIMIT = 4094, 8190
#: Headers, with those after a chunked body.
_HEADERS_LIMIT = 100
#: Bytes of a head, and of everything between two pieces of a chunked body.
_FRAMING_LIMIT = 64 * 1024
#: In a chunked body. JSON has none unless it is indented in that way, and llhttp is called once for each.
_EMPTY_LINES_LIMIT = 1000
#: Of a Content-Length, which can have leading zeros.
_LENGTH_DIGITS = 19
_EMPTY_LINE = b"\r\n\r\n"
#: RFC 3986 section 3.2.2, without user information and the characters that no host name has.
_HOST = re.compile(rb"[A-Za-z0-9._%-]*(?::[0-9]*)?|\[[A-Fa-f0-9:.]+\](?::[0-9]*)?")
#: CGI and what follows it read `_` in a name as `-`.
_LOOKALIKES = frozenset({b"content_length", b"transfer_encoding"})
#: Heads that are cached, and bytes of the longest one. API servers send the same few again and again, with some 300
#: bytes, and parsing one takes longer than reading the rest of the request.
_CACHED_HEADS, _LONGEST_CACHED = 512, 1024


class MalformedRequest(Exception):
    """The connection must be closed, because it is unknown where the next request begins."""

    def __init__(self, problem: str, status: int = 400) -> None:
        super().__init__(problem)
        #: The HTTP status of the answer.
        self.status = status


class Head(NamedTuple):
    """What precedes a request's body."""

    method: bytes
    path: bytes
    """Percent-encoded, as sent, without the query: nothing depends on that."""
    headers: dict[bytes, bytes]
    """Names in lower case. Several headers of one name are one list (RFC 9110 section 5.3). Not to be changed."""
    content_length: int | None
    """None if the body is chunked."""
    expects_continue: bool
    """Whether the client waits for `100 Continue` before it sends the body."""
    keeps_alive: bool
    """Whether another request may follow."""


class RequestParser:
    """Parses one request; `start_next` begins the next one."""

    def __init__(self) -> None:
        self.start_next()

    def start_next(self) -> None:
        """Forget a complete request."""
        self.head: Head | None = None
        """None until all of it has been received."""
        self.body: bytes | bytearray = b""
        """The body without framing, as far as it has been received."""
        self.is_complete = False
        self._received = b""  # of the head
        self._tail = b""  # the last bytes of what precedes: an empty line can begin with them
        self._reader: _Reader | None = None  # of a head in several pieces, or of a chunked body
        self._framing = self._empty_lines = 0

    def feed(self, data: bytes | memoryview) -> int:
        """Parse `data` up to the end of the request, and return the number of bytes that this took.

        Raises `MalformedRequest`.
        """
        used = self._feed_head(bytes(data)) if self.head is None else 0
        if self.head is None:
            return used
        if self.head.content_length is None:
            return used + self._feed_chunks(bytes(data[used:]))
        end = used + self.head.content_length - len(self.body)
        self.body = _joined(self.body, data[used:end])
        self.is_complete = len(self.body) == self.head.content_length
        return min(end, len(data))

    def _feed_head(self, data: bytes) -> int:
        before = len(self._received)
        self._received += data
        found = self._received.find(_EMPTY_LINE, max(0, before - len(_EMPTY_LINE) + 1))
        end = len(self._received) if found < 0 else found + len(_EMPTY_LINE)
        if end > _FRAMING_LIMIT:
            raise MalformedRequest("the headers are too large", 431)
        if found < 0:
            # What cannot become a request is refused before all of it has arrived.
            self._reader = self._reader or _Reader()
            self._reader.feed(data)
            return len(data)
        text = self._received[:end]
        self.head = _parse_cached_head(text) if end <= _LONGEST_CACHED else _parse_head(text)
        self._received, self._reader = b"", None
        if self.head.content_length is None:
            self._reader = _Reader()
            self._reader.feed(text)
            self._tail = text[1 - len(_EMPTY_LINE) :]
        return end - before

    def _feed_chunks(self, data: bytes) -> int:
        searched, shift = self._tail + data, len(self._tail)
        used = 0
        while used < len(data) and not self.is_complete:
            found = searched.find(_EMPTY_LINE, max(0, used + shift - len(_EMPTY_LINE) + 1))
            end = len(data) if found < 0 else found + len(_EMPTY_LINE) - shift
            self._empty_lines += found >= 0
            self._feed_piece(data[used:end])
            used = end
        self._tail = searched[max(0, used + shift - len(_EMPTY_LINE) + 1) : used + shift]
        return used

    def _feed_piece(self, piece: bytes) -> None:
        """Parse a piece of a chunked body that does not go beyond its end."""
        before = len(self.body)
        read = cast("_Reader", self._reader).feed(piece)
        self.body, self.is_complete = read.body, read.is_complete
        received = len(self.body) - before
        self._framing += len(piece) - received
        if self._framing > _FRAMING_LIMIT:
            raise MalformedRequest("the headers are too large", 431)
        if self._empty_lines > _EMPTY_LINES_LIMIT:
            raise MalformedRequest(f"more than {_EMPTY_LINES_LIMIT} empty lines in a chunked body")
        if received:
            self._framing = 0


class _Message:
    """What httptools has read of a request. It calls the methods."""

    def __init__(self) -> None:
        self.target = b""
        self.headers: dict[bytes, bytes] = {}
        self.number_of_headers = self.number_of_hosts = self.longest_header = 0
        self.body: bytes | bytearray = b""
        self.is_head_complete = self.is_complete = False

    def on_url(self, piece: bytes) -> None:
        self.target += piece

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or one after a chunked body."""
        self.number_of_headers += 1
        self.longest_header = max(self.longest_header, len(name) + len(value))
        name, value = name.lower(), value.strip(b" \t")
        self.number_of_hosts += name == b"host"
        self.headers[name] = b"%b, %b" % (self.headers[name], value) if name in self.headers else value

    def on_headers_complete(self) -> None:
        self.is_head_complete = True

    def on_body(self, piece: bytes) -> None:
        self.body = _joined(self.body, piece)

    def on_message_complete(self) -> None:
        self.is_complete = True


class _Reader:
    """Reads one request with llhttp. None of its data may be of the next one."""

    def __init__(self) -> None:
        self._message = _Message()
        self.llhttp = HttpRequestParser(self._message)

    def feed(self, data: bytes) -> _Message:
        """Return everything that has been read. Raises `MalformedRequest`."""
        message = self._message
        try:
            self.llhttp.feed_data(data)
        except HttpParserUpgrade:
            pass  # a server may ignore Upgrade: RFC 9110 section 7.8
        except HttpParserError as error:
            raise MalformedRequest(str(error)) from None
        if len(message.target) > _TARGET_LIMIT:
            raise MalformedRequest(f"the target has more than {_TARGET_LIMIT} bytes", 414)
        if message.number_of_headers > _HEADERS_LIMIT:
            raise MalformedRequest(f"more than {_HEADERS_LIMIT} headers", 431)
        if message.longest_header > _HEADER_LIMIT:
            raise MalformedRequest("the headers are too large", 431)
        if message.number_of_hosts > 1:
            raise MalformedRequest("more than one Host header")
        return message


def _parse_head(text: bytes) -> Head:
    """Parse all bytes of a head.

    Raises `MalformedRequest`, also for what llhttp accepts although others may read it in another way.
    """
    reader = _Reader()
    message = reader.feed(text)
    method, target, version = reader.llhttp.get_method(), message.target, reader.llhttp.get_http_version()
    line = b"%b %b HTTP/%b\r\n" % (method, target, version.encode())
    # RFC 9112 section 2.2 allows one empty line in front. HTTP/0.9 and other protocols differ from `line`.
    if not text.removeprefix(b"\r\n").startswith(line) or version not in {"1.0", "1.1"} or not message.is_head_complete:
        raise MalformedRequest("the request line is not METHOD TARGET HTTP/1.1")
    if not target.startswith(b"/") or b"#" in target:
        raise MalformedRequest("the target is not a path")  # RFC 9112 section 3.2.1
    headers = message.headers
    host = headers.get(b"host")
    if host is None and version != "1.0":
        raise MalformedRequest("no Host header")
    if host is not None and not _HOST.fullmatch(host):
        raise MalformedRequest("the Host header is not a host with an optional port")
    if not headers.keys().isdisjoint(_LOOKALIKES):
        raise MalformedRequest("a name differs from Content-Length or Transfer-Encoding only in _ and -")
    length = _content_length(headers, version)
    # llhttp does not read the body of a request to another protocol.
    if reader.llhttp.should_upgrade() and (length != 0 or method == b"CONNECT"):
        raise MalformedRequest("a request to another protocol")
    expects = version != "1.0" and headers.get(b"expect", b"").lower() == b"100-continue"
    options = {option.strip().lower() for option in headers.get(b"connection", b"").split(b",")}
    keeps_alive = b"close" not in options and (version != "1.0" or b"keep-alive" in options)
    return Head(method, target.partition(b"?")[0], headers, length, expects, keeps_alive)


_parse_cached_head = lru_cache(_CACHED_HEADS)(_parse_head)


def _content_length(headers: dict[bytes, bytes], version: str) -> int | None:
    """Return the length of the body, or None if it is chunked. llhttp has refused a head with both headers."""
    coding = headers.get(b"transfer-encoding")
    if coding is not None:
        if version == "1.0" or coding.lower() != b"chunked":
            raise MalformedRequest("Transfer-Encoding is not chunked, or not in HTTP/1.1")
        return None
    digits = headers.get(b"content-length", b"0")
    if len(digits) > _LENGTH_DIGITS:
        raise MalformedRequest("Content-Length has too many digits")
    return int(digits)


def _joined(body: bytes | bytearray, piece: bytes | memoryview) -> bytes | bytearray:
    """Return `body` with `piece` at its end; most bodies are one piece, and others are changed in place."""
    if not body:
        return bytes(piece)
    if isinstance(body, bytes):
        body = bytearray(body)
    body += piece
    return body
