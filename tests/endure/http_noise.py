"""Streams of invalid HTTP requests, by seed and number, with the number of answers each may have.

A request inside another one's body or header must never be answered as if it had been sent: a proxy that parses the
bytes differently would have let it through. A server that cannot be sure where a request ends must stop reading.
"""

import random
import re
from collections.abc import Callable
from typing import NamedTuple

from webhook.admission import review

_POD = {"metadata": {"name": "x"}, "spec": {"containers": [{"name": "a", "image": "nginx"}]}}
_BODY = review.encode_review(_POD, uid="u-1")
_GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
_HEAD = b"POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


def _sized(body: bytes, *more: bytes) -> bytes:
    return _HEAD + b"".join(more) + b"Content-Length: %d\r\n\r\n" % len(body) + body


def _chunked(body: bytes, cut: int, *more: bytes) -> bytes:
    pieces = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (body[:cut], body[cut:]) if piece)
    return _HEAD + b"".join(more) + b"Transfer-Encoding: chunked\r\n\r\n" + pieces + b"0\r\n\r\n"


_WHOLE = (
    *(_GET, _sized(_BODY), _sized(b"{}"), _sized(b""), _chunked(_BODY, 7), _chunked(b"", 0)),
    # Others in their bodies.
    *(_sized(_GET * 3), _chunked(_GET * 3, 9), _sized(_sized(_BODY) * 2), _chunked(_chunked(_BODY, 5) * 2, 60)),
    *(_sized(_BODY, b"Connection: close\r\n"), _chunked(_BODY, 7).replace(b"0\r\n\r\n", b"0\r\nX-Sum: 1\r\n\r\n")),
    *(_GET.replace(b"1.1", b"1.0"), _GET.replace(b"Host: x", b"Host: x\r\nX: " + b"y" * 500)),
)
_LINES = (
    *(b"Content-Length: 0", b"Content-Length: 5", b"Content-Length: 43", b"Content-Length: +5", b"Content-Length: -1"),
    *(
        b"Content-Length: 5, 5",
        b"Content-Length: 0x5",
        b"Content-Length: 5 ",
        b"Content-Length:5",
        b"Content-Length: 5 5",
    ),
    *(b"Content-Length: 99999999999999999999", b"Content-Length : 5", b"Content-Length:", b"content-length: 1_0"),
    *(b"Content_Length: 5", b"Content-Length: \xd9\xa3", b"Content-Length\0: 5", b"\tContent-Length: 5", b" folded: x"),
    *(b"Transfer-Encoding: chunked", b"Transfer-Encoding: CHUNKED", b"Transfer-Encoding: chunked, identity"),
    *(b"Transfer-Encoding: identity", b"Transfer-Encoding: xchunked", b"Transfer-Encoding : chunked"),
    *(b"Transfer-Encoding:\tchunked", b"Transfer-Encoding:\x0bchunked", b"Transfer-Encoding:\r\n chunked"),
    *(b"Transfer-Encoding: gzip, chunked", b"Transfer_Encoding: chunked", b'Transfer-Encoding: "chunked"'),
    *(b"Transfer-Encoding: chunked;q=1", b"Transfer-Encoding:", b"Transfer-Encoding: chunked\0"),
    *(
        b"Connection: close",
        b"Connection: keep-alive",
        b"Connection: Content-Length",
        b"Expect: 100-continue",
        b"Expect: x",
    ),
    *(b"Upgrade: h2c", b"Connection: Upgrade, HTTP2-Settings", b"Host: y", b"Host:", b"Trailer: Content-Length"),
    *(
        b"X: a\nContent-Length: 5",
        b"X: a\rContent-Length: 5",
        b"X: \0",
        b"X: \xff",
        b": x",
        b"x",
        b"X Y: z",
        b"\xff: x",
    ),
    *(b"X: %b" % (b"y" * 9000), b"%b: x" % (b"Y" * 9000), b"\r\n".join([b"X: y"] * 120), b"X:" + b" " * 4000 + b"y"),
)
_STARTS = (
    *(
        b"GET http://x/ HTTP/1.1",
        b"GET * HTTP/1.1",
        b"OPTIONS * HTTP/1.1",
        b"CONNECT x:443 HTTP/1.1",
        b"GET / HTTP/1.2",
    ),
    *(b"GET /", b"GET / HTTP/0.9", b"GET / HTTP/2.0", b"GET / HTTP/1.10", b"GET  / HTTP/1.1", b"GET\t/\tHTTP/1.1"),
    *(
        b" GET / HTTP/1.1",
        b"GET / HTTP/1.1 ",
        b"get / HTTP/1.1",
        b"G\0T / HTTP/1.1",
        b"\xff / HTTP/1.1",
        b"GET / http/1.1",
    ),
    *(b"PRI * HTTP/2.0", b"%b / HTTP/1.1" % (b"A" * 3000), b"GET /%b HTTP/1.1" % (b"x" * 5000), b"GET /\0 HTTP/1.1"),
    *(b"GET /a b HTTP/1.1", b"GET /%zz%00 HTTP/1.1", b"GET /\xff HTTP/1.1", b"POST", b"", b"M-SEARCH / HTTP/1.1"),
    *(
        b"DELETE /mutate HTTP/1.1",
        b"PATCH /mutate HTTP/1.1",
        b"TRACE / HTTP/1.1",
        b"GET ?x HTTP/1.1",
        b"GET #x HTTP/1.1",
    ),
)
_SIZES = (
    *(b"0", b"-1", b"+5", b"0x5", b"5 ", b" 5", b"5;a=b", b"5;" + b"a" * 9000, b"ffffffffffffffff", b"fffffffff", b"g"),
    *(b"", b"5\n", b"5\r", b"00000000000000005", b"5\t", b"5_0", b"\xd9\xa3", b"5\0", b'5;a="\r\n\r\n"'),
)
_PIECES = (
    *(
        b"\r",
        b"\n",
        b"\r\n",
        b"\r\n\r\n",
        b"\0",
        b"\t",
        b" ",
        b":",
        b"0\r\n\r\n",
        b"\xff",
        b"\x0b",
        b"\x16\x03\x01\x02\x00",
    ),
    *(_GET, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
)


class _Making:
    """What one number makes."""

    def __init__(self, seed: int, number: int) -> None:
        self._random = random.Random(seed << 40 | number)  # noqa: S311 - to be repeated

    def upto(self, most: int) -> int:
        return self._random.randint(0, most)

    def one(self, choices: tuple[bytes, ...]) -> bytes:
        return self._random.choice(choices)

    def damaged(self, stream: bytes) -> bytes:
        return self._random.choice(_DAMAGES)(self, stream)


def make(seed: int, number: int) -> bytes:
    """Make a stream: some requests after each other, and some damage to all of it."""
    making = _Making(seed, number)
    stream = b"".join(making.one(_WHOLE) for _ in range(1 + making.upto(2)))
    for _ in range(making.upto(3)):
        stream = making.damaged(stream)
    # What is behind shows whether anybody has read on.
    return stream + _GET if making.upto(1) else stream


def _flip(making: _Making, stream: bytes) -> bytes:
    at = making.upto(max(0, len(stream) - 1))
    return stream[:at] + bytes(byte ^ 1 << making.upto(7) for byte in stream[at : at + 1]) + stream[at + 1 :]


def _drop(making: _Making, stream: bytes) -> bytes:
    at = making.upto(len(stream))
    return stream[:at] + stream[at + making.upto(30) :]


def _cut(making: _Making, stream: bytes) -> bytes:
    return stream[: making.upto(len(stream))]


def _double(making: _Making, stream: bytes) -> bytes:
    begin, end = sorted((making.upto(len(stream)), making.upto(len(stream))))
    return stream[:end] + stream[begin:]


def _swap(making: _Making, stream: bytes) -> bytes:
    one, two, three = sorted(making.upto(len(stream)) for _ in range(3))
    return stream[:one] + stream[two:three] + stream[one:two] + stream[three:]


def _put_in(making: _Making, stream: bytes) -> bytes:
    at = making.upto(len(stream))
    return stream[:at] + making.one(_PIECES) + stream[at:]


def _replace_one(making: _Making, stream: bytes, pattern: bytes, put: bytes) -> bytes:
    found = list(re.finditer(pattern, stream))
    if not found:
        return stream
    begin, end = found[making.upto(len(found) - 1)].span()
    return stream[:begin] + put + stream[end:]


def _put_in_header(making: _Making, stream: bytes) -> bytes:
    return _replace_one(making, stream, rb"(?<=HTTP/1\.[01]\r\n)", making.one(_LINES) + b"\r\n")


def _replace_header(making: _Making, stream: bytes) -> bytes:
    return _replace_one(making, stream, rb"(?m)^[A-Z][A-Za-z-]+: [^\r\n]*", making.one(_LINES))


def _replace_start(making: _Making, stream: bytes) -> bytes:
    return _replace_one(making, stream, rb"(?m)^[A-Z]+ [^\r\n]* HTTP/1\.[01]", making.one(_STARTS))


def _replace_size(making: _Making, stream: bytes) -> bytes:
    return _replace_one(making, stream, rb"(?m)^[0-9a-f]+(?=\r\n)", making.one(_SIZES))


def _replace_end(making: _Making, stream: bytes) -> bytes:
    return _replace_one(making, stream, rb"\r\n", making.one((b"\n", b"\r", b"\r\r\n", b"\n\r", b"", b"\0\r\n")))


_DAMAGES: tuple[Callable[[_Making, bytes], bytes], ...] = (
    *(_flip, _drop, _cut, _double, _swap, _put_in, _replace_start, _replace_size, _replace_size, _replace_end),
    *(_put_in_header, _put_in_header, _put_in_header, _replace_header, _replace_header),
)


# How far a strict server reads a stream (RFC 9112): a doubtful request is the last one that it answers.

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
#: Without absolute targets, tunnels and fragments.
_START = re.compile(rb"(?!CONNECT )[A-Z-]+ /[!\"$-~]* HTTP/1\.(?P<minor>[01])")
_FIELD = re.compile(rb"(?P<name>%b):(?P<value>[\t -~\x80-\xff]*)" % _TOKEN)
_HOST = re.compile(rb"[A-Za-z0-9._%-]*(:[0-9]*)?|\[[0-9A-Fa-f.:]+\](:[0-9]*)?")
_CHUNK = re.compile(rb"(?P<size>[0-9a-fA-F]+)(?:;[!-~][\t -~]*)?\r\n")
_NOT_IN_TRAILERS = {b"host", b"content-length", b"transfer-encoding"}
#: Readers that take `_` for `-` see a length.
_LOOKALIKES = {b"content_length", b"transfer_encoding"}


class _Request(NamedTuple):
    rest: bytes
    """What comes behind it."""
    is_last: bool


def most_answers(stream: bytes) -> int:
    """Say how many answers a stream may have: one for each request, and one more for the first that is doubtful."""
    count = 0
    while stream:
        request = _read(stream)
        count += 1
        if request is None or request.is_last:
            return count
        stream = request.rest
    return count


def _read(stream: bytes) -> _Request | None:
    """Read a request, or nothing where it is doubtful or not whole."""
    head, end, rest = stream.removeprefix(b"\r\n").partition(b"\r\n\r\n")
    start, *lines = head.split(b"\r\n")
    first = _START.fullmatch(start)
    fields = _fields(lines)
    if not end or first is None or fields is None:
        return None
    is_old = first["minor"] == b"0"
    hosts = fields.get(b"host", [])
    if len(hosts) != 1 and not (is_old and not hosts):
        return None
    if not all(map(_HOST.fullmatch, hosts)) or fields.keys() & _LOOKALIKES:
        return None
    if is_old and b"transfer-encoding" in fields:
        return None
    behind = _behind_body(fields, rest)
    options = _options(fields, b"connection")
    if behind is None or (behind is not rest and b"upgrade" in options and b"upgrade" in fields):
        return None
    return _Request(behind, b"close" in options or (is_old and b"keep-alive" not in options))


def _fields(lines: list[bytes]) -> dict[bytes, list[bytes]] | None:
    """Read headers: values by name, or nothing where a line is none."""
    found: dict[bytes, list[bytes]] = {}
    for line in lines:
        field = _FIELD.fullmatch(line)
        if field is None:
            return None
        found.setdefault(field["name"].lower(), []).append(field["value"].strip(b" \t"))
    return found


def _options(fields: dict[bytes, list[bytes]], name: bytes) -> set[bytes]:
    return {option.strip().lower() for option in b",".join(fields.get(name, [])).split(b",")}


def _behind_body(fields: dict[bytes, list[bytes]], rest: bytes) -> bytes | None:
    """Give what comes behind the body; `rest` itself where there is none."""
    coding, length = fields.get(b"transfer-encoding"), fields.get(b"content-length")
    if coding is not None:
        is_chunked = [value.lower() for value in coding] == [b"chunked"]
        return _behind_chunks(rest) if is_chunked and length is None else None
    if length is None:
        return rest
    if len(length) > 1 or not re.fullmatch(rb"[0-9]{1,19}", length[0]) or len(rest) < int(length[0]):
        return None
    return rest[int(length[0]) :] if int(length[0]) else rest


def _behind_chunks(rest: bytes) -> bytes | None:
    while (chunk := _CHUNK.match(rest)) is not None:
        size = int(chunk["size"], 16)
        rest = rest[chunk.end() :]
        if size == 0:
            trailer, end, behind = (b"\r\n" + rest).partition(b"\r\n\r\n")
            fields = _fields(trailer.split(b"\r\n")[1:])
            return behind if end and fields is not None and not fields.keys() & _NOT_IN_TRAILERS else None
        if rest[size : size + 2] != b"\r\n":
            return None
        rest = rest[size + 2 :]
    return None
