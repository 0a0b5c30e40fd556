"""Requests about whose end, target or host two readers can disagree, with the answers of a strict server.

They are the forms of published test sets and reports, written again for this server: RFC 9112, the HTTP Garden and its
list of bugs, llhttp, gunicorn, h11, hyper, waitress, Tornado, Go's net/http, Http11Probe, smuggler.py, HTTP Request
Smuggler, "HTTP Desync Attacks", "HTTP/1.1 Must Die" and "Funky Chunks". A comment names the main source of a group.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

#: Sent after each case: it is answered only if the server is sure where the case ends.
NEXT = b"GET / HTTP/1.1\r\nHost: next\r\nConnection: close\r\n\r\n"
#: Statuses of requests that the parser refuses.
REFUSALS = frozenset({400, 414, 431})

_GET = b"GET / HTTP/1.1"
_HOST = b"Host: x"
_CHUNKED = b"Transfer-Encoding: chunked"
_HELLO = b"5\r\nhello\r\n0\r\n\r\n"
_EVIL = b"GET /evil HTTP/1.1\r\nHost: x\r\n\r\n"
_EVIL_LENGTH = b"Content-Length: %d" % len(_EVIL)
_EVIL_CHUNK = b"%x\r\n%b\r\n0\r\n\r\n" % (len(_EVIL), _EVIL)
_OTHER_METHODS = (b"POST", b"PUT", b"DELETE", b"OPTIONS", b"TRACE", b"M-SEARCH", b"PURGE", b"QUERY")


class Case(NamedTuple):
    """What a client sends, and the answers to it."""

    group: str
    name: str
    sent: bytes
    statuses: tuple[int, ...] = (400,)
    """Of all answers, without the one to `NEXT`."""
    is_last: bool = True
    """Whether the server closes the connection after them, and does not answer `NEXT`."""
    body: bytes = b""
    """The body of the first request, if it is answered."""


def _request(*lines: bytes, body: bytes = b"") -> bytes:
    return b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


def _get(*fields: bytes, body: bytes = b"") -> bytes:
    return _request(_GET, _HOST, *fields, body=body)


def _chunks(body: bytes, *fields: bytes) -> bytes:
    return _get(_CHUNKED, *fields, body=body)


def _refused(group: str, requests: Mapping[str, bytes], status: int = 400) -> Iterator[Case]:
    for name, sent in requests.items():
        yield Case(group, name, sent, (status,))


def _answered(group: str, requests: Mapping[str, bytes], status: int = 200, body: bytes = b"") -> Iterator[Case]:
    for name, sent in requests.items():
        yield Case(group, name, sent, (status,), is_last=False, body=body)


def _each(template: bytes, parts: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return requests by name; `template` has a place for the part that differs."""
    return {name: template.replace(b"{}", part) for name, part in parts.items()}


def _characters(*codes: int) -> dict[str, bytes]:
    return {f"{code:#04x}": bytes([code]) for code in codes}


# RFC 9112 section 3; HTTP Garden server bugs 5, 6, 9, 15, 24, 40; gunicorn, h11, hyper, Http11Probe.
_REQUEST_LINES = {
    "two spaces before the target": b"GET  / HTTP/1.1",
    "two spaces after the target": b"GET /  HTTP/1.1",
    "tabs": b"GET\t/\tHTTP/1.1",
    "tab before the target": b"GET\t/ HTTP/1.1",
    "tab after the target": b"GET /\tHTTP/1.1",
    "vertical tab": b"GET\x0b/ HTTP/1.1",
    "form feed": b"GET /\x0cHTTP/1.1",
    "no-break space": b"GET\xa0/ HTTP/1.1",
    "CR for a space": b"GET\r/ HTTP/1.1",
    "LF for a space": b"GET /\nHTTP/1.1",
    "LF for both spaces": b"GET\n/\nHTTP/1.1",
    "CRLF for a space": b"GET\r\n/ HTTP/1.1",
    "space at the end": b"GET / HTTP/1.1 ",
    "tab at the end": b"GET / HTTP/1.1\t",
    "text at the end": b"GET / HTTP/1.1 x",
    "CR at the end": b"GET / HTTP/1.1\r",
    "space before the method": b" GET / HTTP/1.1",
    "tab before the method": b"\tGET / HTTP/1.1",
    "NUL before the method": b"\0GET / HTTP/1.1",
    "byte order mark": b"\xef\xbb\xbfGET / HTTP/1.1",
    "CR before the method": b"\rGET / HTTP/1.1",
    "LF before the method": b"\nGET / HTTP/1.1",
    "LF and CR before the method": b"\n\rGET / HTTP/1.1",
    "CRLF and LF before the method": b"\r\n\nGET / HTTP/1.1",
    "two empty lines before the method": b"\r\n\r\nGET / HTTP/1.1",
    "empty line and space before the method": b"\r\n GET / HTTP/1.1",
    "no target": b"GET HTTP/1.1",
    "empty target": b"GET  HTTP/1.1",
    "no version": b"GET /",
    "no version, space": b"GET / ",
    "method alone": b"GET",
    "second version": b"GET / HTTP/1.1 HTTP/1.1",
    "lower-case method": b"get / HTTP/1.1",
    "mixed-case method": b"Get / HTTP/1.1",
    "unknown method": b"FOO / HTTP/1.1",
    "longer than a known method": b"GETX / HTTP/1.1",
    "shorter than a known method": b"GE / HTTP/1.1",
    "method of another protocol": b"ANNOUNCE / HTTP/1.1",
    "colon after the method": b"GET: / HTTP/1.1",
    "colon in the method": b"GE:T / HTTP/1.1",
    "quotes in the method": b'GET"GET" / HTTP/1.1',
    "punctuation in the method": b"G=<>(e),[T];? / HTTP/1.1",
    "minus before the method": b"-GET / HTTP/1.1",
    "NUL in the method": b"G\0ET / HTTP/1.1",
    "NUL after the method": b"GET\0 / HTTP/1.1",
    "NUL after the method, text": b"GET\0POST / HTTP/1.1",
    "non-ASCII after the method": b"GET\xff / HTTP/1.1",
    "non-ASCII method": b"\xff / HTTP/1.1",
}
_VERSIONS = {
    name: b"GET / " + version
    for name, version in {
        "0.9": b"HTTP/0.9",
        "0.99": b"HTTP/0.99",
        "1.2": b"HTTP/1.2",
        "1.9": b"HTTP/1.9",
        "1.10": b"HTTP/1.10",
        "1.32": b"HTTP/1.32",
        "2.0": b"HTTP/2.0",
        "2": b"HTTP/2",
        "3.0": b"HTTP/3.0",
        "5.6": b"HTTP/5.6",
        "no minor": b"HTTP/1",
        "no minor, dot": b"HTTP/1.",
        "no major": b"HTTP/.1",
        "no dot": b"HTTP/11",
        "three digits": b"HTTP/111",
        "three parts": b"HTTP/1.1.1",
        "leading zero": b"HTTP/01.1",
        "leading zeros": b"HTTP/01.01",
        "zero in the minor": b"HTTP/1.01",
        "overflow": b"HTTP/4294967297.1",
        "long": b"HTTP/" + b"1" * 300 + b".1",
        "plus": b"HTTP/+1.1",
        "comma": b"HTTP/1,1",
        "space": b"HTTP/ 1.1",
        "CRs": b"HTTP/\r\r1.1",
        "NUL": b"HTTP/1.1\0",
        "letter": b"HTTP/1.1x",
        "lower case": b"http/1.1",
        "mixed case": b"Http/1.1",
        "no slash": b"HTTP 1.1",
        "HTTPS": b"HTTPS/1.1",
        "FTP": b"FTP/1.1",
        "RTSP": b"RTSP/1.0",
        "ICE": b"ICE/1.0",
        "prefixed": b"IHTTP/1.0",
    }.items()
} | {"ICE with its method": b"SOURCE / ICE/1.0", "RTSP with its method": b"OPTIONS / RTSP/1.0"}
_OTHER_PROTOCOLS = {
    "HTTP/0.9": b"GET /\r\n",
    "HTTP/0.9 and an empty line": b"GET /\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
    "HTTP/2 as HTTP/1.1": b"PRI * HTTP/1.1\r\nHost: x\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
    "PROXY 1": b"PROXY TCP4 192.0.2.1 192.0.2.2 1234 443\r\n",
    "PROXY 2": b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c",
    "a response": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "SMTP": b"EHLO x\r\n",
    "no protocol": b"nonsense\r\n\r\n",
    "random bytes": b"\x8e\x00\x13\xf7\x0a\x0d\x0a\xfe\r\n\r\n",
}

# RFC 9112 section 3.2; HTTP Garden server bug 7; Go, llhttp, Http11Probe.
_TARGETS = {
    "absolute": b"http://x/",
    "absolute, https": b"https://x/",
    "absolute, upper case": b"HTTP://x/",
    "absolute, other scheme": b"ftp://x/",
    "absolute, other host": b"http://other.example.com/",
    "absolute, user information": b"http://user:password@x/",
    "absolute, no path": b"http://x",
    "absolute, no host": b"http://",
    "absolute, empty host": b"http:///",
    "absolute, no slashes": b"http:x",
    "absolute, fragment": b"http://x/#a",
    "absolute, backslash": b"http://x\\y/",
    "absolute, non-ASCII": b"http://\xc3\xa9/",
    "authority": b"x:443",
    "host": b"x",
    "asterisk": b"*",
    "asterisk and more": b"*/x",
    "relative": b"a/b",
    "relative, upwards": b"../../etc/passwd",
    "query alone": b"?a",
    "fragment alone": b"#a",
    "fragment": b"/#a",
    "fragment after a query": b"/?a#b",
    "fragment with a query": b"/#a?b",
    "backslash": b"\\",
    "percent": b"%2f",
    "exclamation mark": b"!",
    "at sign": b"@x",
    "not a URI": b"s://]ufd/:",
    "version": b"HTTP/1.1",
    "space": b"/a b",
    "space, looks like a version": b"/ HTTP/1.1\tX:",
    "tab": b"/a\tb",
    "CR": b"/a\rb",
    "LF": b"/a\nb",
    "NUL": b"/a\0b",
    "control character": b"/a\x01b",
    "form feed": b"/a\x0cb",
    "DEL": b"/a\x7fb",
    "0x80": b"/a\x80",
    "0xff": b"/\xff",
    "UTF-8": b"/\xc3\xa9",
    "non-ASCII query": b"/?\xe9",
}
_UNUSUAL_TARGETS = {
    "two slashes": b"//x",
    "user information in the path": b"//user@x/a",
    "URL in the path": b"/http://x/",
    "dots": b"/a/../b",
    "encoded line end": b"/%0d%0aHost:%20y",
    "encoded NUL": b"/%00",
    "invalid percent-encoding": b"/%zz",
    "punctuation": b"/\"<>\\^`{|}[];@:$,'()*+!~",
}
_CONNECTS = {
    "authority": b"CONNECT x:443 HTTP/1.1",
    "authority, HTTP/1.0": b"CONNECT x:443 HTTP/1.0",
    "no port": b"CONNECT x HTTP/1.1",
    "path": b"CONNECT / HTTP/1.1",
    "path, no colon": b"CONNECT /x HTTP/1.1",
    "encoded version": b"CONNECT []%20HTTP%2f1.1%0aX:%20y HTTP/1.0",
}

# RFC 9112 section 3.2 and RFC 9110 section 7.2; gunicorn, waitress, Tornado, Http11Probe, HTTP Request Smuggler.
_HOSTS = {
    "none": (),
    "twice, the same": (b"Host: x", b"Host: x"),
    "twice, differing": (b"Host: x", b"Host: y"),
    "twice, differing in case": (b"Host: x", b"hOST: X"),
    "twice, first empty": (b"Host:", b"Host: x"),
    "twice, second empty": (b"Host: x", b"Host:"),
    "twice, apart": (b"Host: x", b"X: y", b"Host: x"),
    "three times": (b"Host: x",) * 3,
    "space before the colon": (b"Host : x",),
    "list": (b"Host: x, y",),
    "list without space": (b"Host: x,y",),
    "space": (b"Host: x y",),
    "tab": (b"Host: x\ty",),
    "user information": (b"Host: user@x",),
    "user information, no user": (b"Host: @x",),
    "path": (b"Host: x/y",),
    "query": (b"Host: x?y",),
    "fragment": (b"Host: x#y",),
    "backslash": (b"Host: x\\y",),
    "URL": (b"Host: http://x",),
    "equals sign": (b"Host: 192.0.2.1=80",),
    "semicolon": (b"Host: x;y",),
    "quotes": (b'Host: "x"',),
    "port in letters": (b"Host: x:http",),
    "port with a sign": (b"Host: x:+80",),
    "negative port": (b"Host: x:-1",),
    "two ports": (b"Host: x:80:81",),
    "IPv6 without brackets": (b"Host: ::1",),
    "open bracket": (b"Host: [::1",),
    "closing bracket": (b"Host: ::1]",),
    "name in brackets": (b"Host: [x]",),
    "text after brackets": (b"Host: [::1]x",),
    "NUL": (b"Host: x\0.example.com",),
    "non-ASCII": (b"Host: \xc3\xa9",),
    "between 0xff": (b"Host: \xffx\xff",),
    "folded": (b"Host:\r\n x",),
}
_USUAL_HOSTS = {
    "name": b"Host: x.example.com",
    "name and port": b"Host: x.ns.svc:443",
    "IPv4": b"Host: 192.0.2.1:8443",
    "IPv6": b"Host: [2001:db8::1]:8443",
    "underscore": b"Host: a_b",
    "no space": b"Host:x",
    "white space around": b"Host: \t x \t ",
    "empty": b"Host:",
    "empty port": b"Host: x:",
    "lower-case name": b"host: x",
}

# RFC 9112 sections 2.2 and 5; HTTP Garden server bugs 2, 4, 13, 19, 30, 34, 37; llhttp, gunicorn, waitress.
_LINES = {
    "LF after the request line": b"GET / HTTP/1.1\nHost: x\r\n\r\n",
    "CR after the request line": b"GET / HTTP/1.1\rHost: x\r\n\r\n",
    "LF CR after the request line": b"GET / HTTP/1.1\n\rHost: x\r\n\r\n",
    "LF after a header": b"GET / HTTP/1.1\r\nHost: x\nX: y\r\n\r\n",
    "CR after a header": b"GET / HTTP/1.1\r\nHost: x\rX: y\r\n\r\n",
    "CR CR LF after a header": b"GET / HTTP/1.1\r\nHost: x\r\r\n\r\n",
    "NUL CR LF after a header": b"GET / HTTP/1.1\r\nHost: x\0\r\n\r\n",
    "CR NUL LF after a header": b"GET / HTTP/1.1\r\nHost: x\r\0\n\r\n",
    "LF ends the headers": b"GET / HTTP/1.1\r\nHost: x\r\n\n",
    "LF LF ends the headers": b"GET / HTTP/1.1\r\nHost: x\n\n" + _EVIL,
    "LF CR LF ends the headers": b"GET / HTTP/1.1\r\nHost: x\n\r\n",
    "CR CR ends the headers": b"GET / HTTP/1.1\r\nHost: x\r\r" + _EVIL,
    "CR X ends the headers": b"GET / HTTP/1.1\r\nHost: x\r\n\rZ" + _EVIL,
    "LFs alone": b"GET / HTTP/1.1\nHost: x\n\n",
    "CRs alone": b"GET / HTTP/1.1\rHost: x\r\r",
    "space before the first header": b"GET / HTTP/1.1\r\n Host: x\r\n\r\n",
    "tab before the first header": b"GET / HTTP/1.1\r\n\tX: y\r\nHost: x\r\n\r\n",
    "line of a space first": b"GET / HTTP/1.1\r\n \r\nHost: x\r\n\r\n",
    "line of a tab first": b"GET / HTTP/1.1\r\n\t\r\nHost: x\r\n\r\n",
    "line of a space last": _get(b"X: y", b" "),
    "folded with a space": _get(b"X: a", b" b"),
    "folded with a tab": _get(b"X: a", b"\tb"),
    "folded several times": _get(b"X: a", b" b", b"\tc", b"  \t d"),
    "folded, nothing before": _get(b"X:", b" b"),
    "folded, nothing behind": _get(b"X: a", b" \t "),
    "folded, looks like a header": _get(b"X: a", b" " + _EVIL_LENGTH, body=_EVIL),
    "folded before the colon": _get(b"X", b" : a"),
    "folded in a name": _get(b"Transfer-", b"Encoding: chunked", b"Content-Length: 5", body=b"0\r\n\r\n"),
    "folded with LF": _get(b"X: a\n b"),
    "folded with CR": _get(b"X: a\r b"),
    "LF in a value": _get(b"X: a\nY: b"),
    "LF before a value": _get(b"X:\nY: b"),
    "LF LF in a value": _get(b"X:\n\n" + _EVIL),
    "LF in a value hides a length": _get(b"X: a\n" + _EVIL_LENGTH, body=_EVIL),
    "CR in a value": _get(b"X: a\rY: b"),
    "CR in a value hides a coding": _get(b"X: a\rTransfer-Encoding: chunked", body=b"1\r\nA\r\n0\r\n\r\n"),
    "CR before a value": _get(b"X:\rTransfer-Encoding: chunked", body=b"0\r\n\r\n"),
    "CR at the end of a value": _get(b"X: a\r"),
    "CR before a name": _get(b"\rX: a"),
    "LF before a name": _get(b"\nX: a"),
    "CR in a name": _get(b"X\rY: a"),
    "LF in a name": _get(b"X\nY: a"),
    "VT after LF": _get(b"X: a\n\x0b"),
    "escaped CR": _get(b"X: a\\\r\n b"),
}

# RFC 9110 section 5.1; HTTP Garden server bugs 3, 8, 14, 18, 20, 27, 28; gunicorn, llhttp, h11.
_NAMES = {
    "empty": b": a",
    "empty, no value": b":",
    "empty before a length": b":\r\nContent-Length: 5",
    "no colon": b"Xa",
    "space for the colon": b"Content-Length 5",
    "request for a header": b"GET /evil HTTP/1.1",
    "line noise": b"\x1b5\xd5eep-Alive",
    "space before the colon": b"X : a",
    "tab before the colon": b"X\t: a",
    "space in it": b"X Y: a",
    "encoded": b"Content-Length%3a 5: a",
    "name without end": b"X",
    # CGI reads them as the names with a hyphen.
    "Content_Length": b"Content_Length: 5",
    "Transfer_Encoding": b"Transfer_Encoding: chunked",
} | {
    f"{name} in it": b"X" + character + b"Y: a"
    for name, character in _characters(
        *(code for code in range(0x20) if code not in b"\r\n"), *b'"(),/;<=>?@[\\]{}', 0x7F, 0x80, 0x85, 0xA0, 0xFF
    ).items()
}
_UNUSUAL_NAMES = {
    "all punctuation that is allowed": b"!#$%&'*+-.^_`|~09Az: a",
    "two colons": b"X:Y: a",
    "colon first in the value": b"X:: a",
    "underscore": b"X_Y: a",
    "Content-Encoding": b"Content-Encoding: chunked",
    "TE": b"TE: chunked",
    "prefixed": b"X-Transfer-Encoding: chunked",
}

# RFC 9110 section 5.5; HTTP Garden server bugs 2, 34, 35, 43; gunicorn, h11, Http11Probe.
_CONTROLS = _characters(*(code for code in (*range(0x20), 0x7F) if code not in b"\t\r\n"))
_ALLOWED = _characters(0x09, 0x20, 0x21, 0x7E, 0x80, 0x85, 0xA0, 0xFF)
_VALUES = _each(_get(b"X: a{}b"), _CONTROLS) | {
    f"{where} {name}": sent
    for where, template in (("first", b"X:{}a"), ("last", b"X: a{}"))
    for name, sent in _each(_get(template), _CONTROLS).items()
}

# RFC 9112 section 6.2 and RFC 9110 section 8.6; HTTP Garden server bugs 10, 16, 26, 29, 32, 38, 42; Go, waitress,
# HTTP Request Smuggler.
_LENGTHS = {
    "empty": b"",
    "spaces": b"  ",
    "plus": b"+5",
    "minus": b"-5",
    "minus zero": b"-0",
    "plus zero": b"+0",
    "sign alone": b"+",
    "hexadecimal": b"0x5",
    "octal": b"0o5",
    "binary": b"0b101",
    "hexadecimal digit": b"a",
    "underscore": b"1_0",
    "underscore last": b"5_",
    "decimal point": b"5.0",
    "exponent": b"5e0",
    "thousands": b"1,000",
    "list, the same": b"5, 5",
    "list, the same, no space": b"5,5",
    "list of three": b"5, 5, 5",
    "list, differing": b"5, 10",
    "list, zero first": b"0, 5",
    "list, zero last": b"5, 0",
    "list, empty first": b",5",
    "list, empty last": b"5,",
    "space in it": b"1 0",
    "zero and space": b"0 5",
    "tab in it": b"1\t0",
    "text after": b"5x",
    "text before": b"x5",
    "text": b"five",
    "quoted": b'"5"',
    "semicolon": b"5;a=b",
    "NUL after": b"5\0",
    "NUL before": b"\x005",
    "vertical tab before": b"\x0b5",
    "vertical tab after": b"5\x0b",
    "form feed after": b"5\x0c",
    "no-break space after": b"5\xa0",
    "next line before": b"\x855",
    "Arabic digit": b"\xd9\xa5",
    "full-width digit": b"\xef\xbc\x95",
    "superscript": b"\xb2",
    "2 ** 64 - 1": b"18446744073709551615",
    "2 ** 64": b"18446744073709551616",
    "2 ** 64 + 5": b"18446744073709551621",
    "2 ** 128 + 5": b"340282366920938463463374607431768211461",
    "more digits than Python converts": b"0" * 5000 + b"5",
}
_USUAL_LENGTHS = {
    "digit": b"Content-Length: 5",
    "no space": b"Content-Length:5",
    "spaces before": b"Content-Length:   5",
    "tab before": b"Content-Length:\t5",
    "space after": b"Content-Length: 5 ",
    "tab after": b"Content-Length: 5\t ",
    "leading zeros": b"Content-Length: 005",
    "mixed case": b"conTENT-lEngth: 5",
    "named by Connection": b"Connection: Content-Length\r\nContent-Length: 5",
}
_LENGTH_LINES = {
    "twice, the same": (b"Content-Length: 5", b"Content-Length: 5"),
    "twice, differing": (b"Content-Length: 5", b"Content-Length: 6"),
    "twice, zero first": (b"Content-Length: 0", b"Content-Length: 5"),
    "twice, zero last": (b"Content-Length: 5", b"Content-Length: 0"),
    "twice, empty first": (b"Content-Length:", b"Content-Length: 5"),
    "twice, empty last": (b"Content-Length: 5", b"Content-Length:"),
    "twice, apart": (b"Content-Length: 5", b"X: y", b"content-length: 5"),
    "twice, invalid last": (b"Content-Length: 5", b"Content-Length: x"),
    "space before the colon": (b"Content-Length : 5",),
    "tab before the colon": (b"Content-Length\t: 5",),
    "space before the name": (b" Content-Length: 5",),
    "tab before the name": (b"\tContent-Length: 5",),
    "folded": (b"Content-Length:", b" 5"),
    "folded, two values": (b"Content-Length: 5", b" 6"),
    "CR for the hyphen": (b"Content\rLength: 5",),
    "space for the hyphen": (b"Content Length: 5",),
    "soft hyphen": (b"Content\xadLength: 5",),
    "backslash for the hyphen": (b"Content\\Length: 5",),
    "word before the colon": (b"Content-Length x: 5",),
    "NUL before the colon": (b"Content-Length\0: 5",),
    "next line before the colon": (b"Content-Length\x85: 5",),
    "no-break space before the colon": (b"Content-Length\xa0: 5",),
    "letter before the colon": (b"Content-Length\xc3\x9f: 3", b"Content-Length: 5"),
    "invalid header before": (b"X Y: a", b"Content-Length: 5"),
    "invalid header after": (b"Content-Length: 5", b"X Y: a"),
    "CR before the empty line": (b"Content-Length: 5", b"\rhello"),
}

# RFC 9112 sections 6.1 and 7; HTTP Garden server bugs 11, 12, 21, 44, 46; smuggler.py, HTTP Request Smuggler, gunicorn.
_CODINGS = {
    "empty": b"",
    "space": b" ",
    "identity": b"identity",
    "gzip": b"gzip",
    "unknown": b"unknown",
    "gzip, chunked": b"gzip, chunked",
    "identity, chunked": b"identity, chunked",
    "unknown, chunked": b"cow, chunked",
    "chunked, gzip": b"chunked, gzip",
    "chunked, identity": b"chunked, identity",
    "chunked, unknown": b"chunked, cow",
    "chunked, chunked": b"chunked, chunked",
    "identity, chunked, identity": b"identity, chunked, identity",
    "identity, chunked, identity, chunked": b"identity, chunked, identity, chunked",
    "empty, chunked": b",chunked",
    "empty, space, chunked": b", chunked",
    "chunked, empty": b"chunked,",
    "chunked space, empty": b"chunked ,",
    "parameter": b"chunked;q=1",
    "parameter after space": b"chunked; a=b",
    "empty parameter": b"chunked;",
    "prefix": b"xchunked",
    "suffix": b"chunkedx",
    "shorter": b"chunk",
    "word before": b"x chunked",
    "word after": b"chunked x",
    "words around": b"cow chunked bar",
    "twice without comma": b"chunkedchunked",
    "twice with space": b"chunked chunked",
    "quoted": b'"chunked"',
    "apostrophes": b"'chunked'",
    "backslash": b"\\chunked",
    "colon": b": chunked",
    "equals sign": b"=chunked",
    "percent-encoded": b"%63hunked",
    "encoded word": b"=?UTF-8?B?Y2h1bmtlZA==?=",
    "quoted-printable word": b"=?iso-8859-1?Q?chunked?=",
    "tab after": b"chunked\t",
    "accent": b"ch\x96nked",
    "Kelvin sign": b"chun\xe2\x84\xaaed",
    "dotless letter": b"chunk\xc4\xb1d",
    "zero-width space": b"\xe2\x80\x8bchunked",
    "NUL in it": b"chun\0ked",
    "CR in it": b"chun\rked",
    "LF before": b"\nchunked",
    "LF and space before": b"\n chunked",
    "folded": b"\r\n chunked",
    "folded with a tab": b"\r\n\tchunked",
    "folded, nothing behind": b"chunked\r\n ",
    "folded twice": b"\r\n \r\n chunked",
    "folded, text behind": b"chunked\r\n abc",
    "CR after": b"chunked\r",
    "LF and VT after": b"chunked\n\x0b",
    "line end in a string": b"chunked\\r\\n",
}
_CODING_CHARACTERS = _characters(0x00, 0x01, 0x04, 0x08, 0x0B, 0x0C, 0x0E, 0x1F, 0x7F, 0x80, 0x85, 0xA0, 0xAD, 0xFF)
_CODING_LINES = {
    "twice, the same": (_CHUNKED, _CHUNKED),
    "twice, differing in case": (_CHUNKED, b"Transfer-encoding: Chunked"),
    "identity, then chunked": (b"Transfer-Encoding: identity", _CHUNKED),
    "unknown, then chunked": (b"Transfer-Encoding: cow", _CHUNKED),
    "empty, then chunked": (b"Transfer-Encoding:", _CHUNKED),
    "chunked, then identity": (_CHUNKED, b"Transfer-encoding: identity"),
    "chunked, then gzip": (_CHUNKED, b"Transfer-Encoding: gzip"),
    "chunked, then empty": (_CHUNKED, b"Transfer-Encoding:"),
    "four lines": (b"Transfer-Encoding: identity", _CHUNKED) * 2,
    "space before the colon": (b"Transfer-Encoding : chunked",),
    "tab before the colon": (b"Transfer-Encoding\t:\tchunked",),
    "space before the name": (b" Transfer-Encoding: chunked",),
    "space before the name, after another": (b"X: y", b" Transfer-Encoding: chunked"),
    "tab before the name, after another": (b"X: y", b"\tTransfer-Encoding: chunked"),
    "CR before the name": (b"X: y", b"\rTransfer-Encoding: chunked"),
    "LF before the name": (b"X: y\nTransfer-Encoding: chunked",),
    "LF LF before the name": (b"X: y\n\nTransfer-Encoding: chunked",),
    "LF before the colon": (b"Transfer-Encoding\n : chunked",),
    "CR in the name": (b"Tra\rnsfer-Encoding: chunked",),
    "space for the hyphen": (b"Transfer Encoding: chunked",),
    "backslash for the hyphen": (b"Transfer\\Encoding: chunked",),
    "soft hyphen": (b"Transfer\xadEncoding: chunked",),
    "word before the colon": (b"Transfer-Encoding x: chunked",),
    "coding in the name": (b"Transfer-Encoding chunked : chunked",),
    "pseudo-header": (b":transfer-encoding: chunked",),
    "accent in the name": (b"Transf\x82r-Encoding: chunked",),
    "long s in the name": (b"Tran\xc5\xbffer-Encoding: chunked",),
    "no colon": (b"Transfer-Encoding chunked",),
}


def _between(name: str, character: bytes) -> Iterator[tuple[str, tuple[bytes, ...]]]:
    """Put a character in every place around a coding where a lenient reader ignores it."""
    yield f"{name} before the name", (character + _CHUNKED,)
    yield f"{name} before the colon", (b"Transfer-Encoding" + character + b": chunked",)
    yield f"{name} before the value", (b"Transfer-Encoding:" + character + b"chunked",)
    yield f"{name} after the value", (_CHUNKED + character,)
    yield f"{name} before the colon and the value", (b"Transfer-Encoding%b:%bchunked" % (character, character),)
    yield f"{name} around the value", (b"Transfer-Encoding:%bchunked%b" % (character, character),)
    yield f"{name}, LF, coding", (b"X: y" + character + b"\n" + _CHUNKED,)
    yield f"CR, {name}, coding", (b"X: y\r" + character + _CHUNKED,)
    yield f"coding, {name}, LF", (_CHUNKED + character + b"\nX: y",)
    yield f"coding, CR, {name}", (_CHUNKED + b"\r" + character + b"X: y",)


_CODING_FORMS: dict[str, tuple[bytes, ...]] = (
    {name: (b"Transfer-Encoding:" + b" " * (value[:1] not in b"\r\n") + value,) for name, value in _CODINGS.items()}
    | _CODING_LINES
    | dict(form for name, character in _CODING_CHARACTERS.items() for form in _between(name, character))
)
_USUAL_CODINGS = {
    "usual": _CHUNKED,
    "upper case": b"TRANSFER-ENCODING: CHUNKED",
    "mixed case": b"tRaNsFeR-eNcOdInG: cHuNkEd",
    "no space": b"Transfer-Encoding:chunked",
    "tab before": b"Transfer-Encoding:\tchunked",
    "spaces before": b"Transfer-Encoding:   chunked",
    "space after": b"Transfer-Encoding: chunked ",
    "named by Connection": b"Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked",
}

# CL.TE, TE.CL, TE.TE and CL.CL: RFC 9112 section 6.3; HTTP Garden transducer bugs 15, 23; "HTTP Desync Attacks".
_BOTH = {
    "length, then chunked": (b"Content-Length: 5", _CHUNKED),
    "chunked, then length": (_CHUNKED, b"Content-Length: 5"),
    "apart": (b"Content-Length: 5", b"X: y", _CHUNKED),
    "length of zero": (b"Content-Length: 0", _CHUNKED),
    "length of everything": (b"Content-Length: 39", _CHUNKED),
    "invalid length": (b"Content-Length: 5x", _CHUNKED),
    "length with a sign": (b"Content-Length: +5", _CHUNKED),
    "empty length": (b"Content-Length:", _CHUNKED),
    "length, then identity": (b"Content-Length: 5", b"Transfer-Encoding: identity"),
    "identity, then length": (b"Transfer-Encoding: identity", b"Content-Length: 5"),
    "two codings and a length": (_CHUNKED, b"Content-Length: 5", b"Transfer-Encoding: identity"),
    "two lengths and a coding": (b"Content-Length: 5", _CHUNKED, b"Content-Length: 5"),
    "named by Connection": (b"Connection: Content-Length", b"Content-Length: 5", _CHUNKED),
    "last request": (b"Connection: close", b"Content-Length: 5", _CHUNKED),
}

# RFC 9112 section 7.1; HTTP Garden server bugs 1, 17, 22, 25, transducer bugs 2, 7, 19, 24; Go, hyper, h11.
_SIZES = {
    "empty": b"",
    "space": b" ",
    "plus": b"+5",
    "minus": b"-5",
    "minus alone": b"-",
    "hexadecimal prefix": b"0x5",
    "upper-case prefix": b"0X5",
    "minus and prefix": b"-0x5",
    "underscore": b"0_5",
    "underscore last": b"5_",
    "space before": b" 5",
    "spaces before": b"        5",
    "space after": b"5 ",
    "tab before": b"\t5",
    "tab after": b"5\t",
    "spaces and tab after": b"5  \t ",
    "vertical tab after": b"5\x0b",
    "form feed before": b"\x0c5",
    "no-break space after": b"5\xa0",
    "letter": b"g",
    "letter after": b"5x",
    "word after": b"5 x",
    "text after": b"5these-bytes-are-not-checked",
    "decimal point": b"5.0",
    "comma": b"5,5",
    "colon": b"5:",
    "quoted": b'"5"',
    "NUL before": b"\x005",
    "NUL after": b"5\0",
    "Arabic digit": b"\xd9\xa5",
    "full-width digit": b"\xef\xbc\x95",
    "CR CR after": b"5\r\r",
    "2 ** 64": b"10000000000000000",
    "2 ** 64 + 5": b"10000000000000005",
    "2 ** 68 - 1": b"fffffffffffffffff",
    "2 ** 128 + 5": b"100000000000000000000000000000005",
    "not a number": b"INVALID",
}
_LAST_SIZES = {
    "missing": b"",
    "minus": b"-0",
    "plus": b"+0",
    "prefix": b"0x0",
    "space before": b" 0",
    "space after": b"0 ",
    "underscore": b"0_0",
    "NUL": b"0\0",
    "semicolon alone": b"0;",
}
# "Funky Chunks": which bytes end a line of the framing. HTTP Garden server bugs 31, 36, 39, transducer bugs 3, 13, 17.
_TERMINATORS = {
    "LF": b"\n",
    "CR": b"\r",
    "CR X": b"\rX",
    "CR CR": b"\r\r",
    "LF CR": b"\n\r",
    "CR CR LF": b"\r\r\n",
}
_NO_TERMINATORS = {"two letters": b"XX", "nothing": b""}
_LINE_ENDS = {
    "after a size": b"5{}hello\r\n0\r\n\r\n",
    "after a size, then an extension": b"5{};a\r\nhello\r\n0\r\n\r\n",
    "in an extension": b"5;{}a\r\nhello\r\n0\r\n\r\n",
    "in an extension, hides a size": b"2;{}XX\r\n10\r\n1f\r\nAAAABBBBCCCC\r\n0\r\n\r\nDDDDEEEEFFFF\r\n0\r\n\r\n",
    "ends an extension": b"5;a{}hello\r\n0\r\n\r\n",
    "ends an extension, hides a size": b"2;{}XX\r\n22\r\nc\r\nAAAABBBBCCCC\r\n0\r\n\r\nDDDDEEEEFFFF\r\n0\r\n\r\n",
    "ends a quoted extension": b'5;a="b{}"\r\nhello\r\n0\r\n\r\n',
    "after the last size": b"5\r\nhello\r\n0{}\r\n",
    "ends the body": b"5\r\nhello\r\n0\r\n{}GET /evil HTTP/1.1\r\nHost: x\r\n\r\n",
}
_DATA_ENDS = {
    "after data": b"5\r\nhello{}0\r\n\r\n",
    "after data, hides a size": b"5\r\nAAAAA{}c\r\n17\r\nAAAABBBB\r\n0\r\n\r\nCCCCDDDD\r\n0\r\n\r\n",
    "after data, a size longer": b"2\r\nXX{}12\r\nXX\r\n19\r\nXXAAAABBBB\r\n0\r\n\r\nCCCCDDDD\r\n0\r\n\r\n",
}
_CHUNK_BODIES = {
    "data too long": b"5\r\nhello!!\r\n0\r\n\r\n",
    "data too short": b"5\r\nhell\r\n0\r\n\r\n" + _EVIL,
    "data and two bytes": b"5\r\nhello__0\r\n\r\n",
    "CR and a byte after data": b"5\r\nhello\r_0\r\n\r\n",
    "a byte and LF after data": b"5\r\nhello_\n0\r\n\r\n",
    "empty line after data": b"5\r\nhello\r\n\r\n0\r\n\r\n",
    "empty line first": b"\r\n5\r\nhello\r\n0\r\n\r\n",
    "no last chunk": b"5\r\nhello\r\n\r\n" + _EVIL,
    "request after the last chunk": b"0\r\n" + _EVIL,
    "two bytes end the body": b"0\r\nXX",
    "colon and request end the body": b"0\r\nX:POST / HTTP/1.1\r\nX Y: z\r\n\r\n",
    "size hides a request": b"0_2e\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "semicolon without a size": b";a\r\nhello\r\n0\r\n\r\n",
    "space and semicolon without a size": b" ;a=b\r\nhello\r\n0\r\n\r\n",
    "semicolon alone": b"5;\r\nhello\r\n0\r\n\r\n",
    "two semicolons": b"5;;\r\nhello\r\n0\r\n\r\n",
    "space before the semicolon": b"5 ;a\r\nhello\r\n0\r\n\r\n",
    "space after the semicolon": b"5; a\r\nhello\r\n0\r\n\r\n",
    "spaces around the equals sign": b"5;a = b\r\nhello\r\n0\r\n\r\n",
    "extension without semicolon": b"5 a=b\r\nhello\r\n0\r\n\r\n",
    "invalid extension name": b"5;a[=b\r\nhello\r\n0\r\n\r\n",
    "NUL in an extension": b"5;\0a\r\nhello\r\n0\r\n\r\n",
    "control character in an extension": b"5;a=\x01\r\nhello\r\n0\r\n\r\n",
    "non-ASCII in an extension": b"5;a=\xff\r\nhello\r\n0\r\n\r\n",
    "open quotes": b'5;a="b\r\nhello\r\n0\r\n\r\n',
    "line end in quotes": b'5;a="\r\n\r\n"\r\nhello\r\n0\r\n\r\n',
    "text after quotes": b'5;a="b"c\r\nhello\r\n0\r\n\r\n',
}
_USUAL_CHUNKS = {
    "two": b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
    "leading zeros": b"0005\r\nhello\r\n000\r\n\r\n",
    "extension": b"5;a\r\nhello\r\n0\r\n\r\n",
    "extension with a value": b"5;a=b;c=d\r\nhello\r\n0;e=f\r\n\r\n",
    "extension in quotes": b'5;a="b;c \\"d"\r\nhello\r\n0\r\n\r\n',
    "trailer": b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
    "trailers": b"5\r\nhello\r\n0\r\nX-Sum: 1\r\nX-Time:\t2 \r\n\r\n",
}

# RFC 9110 section 6.5.1; gunicorn, hyper, llhttp.
_TRAILERS = {
    "Content-Length": b"Content-Length: 5\r\n",
    "Transfer-Encoding": b"Transfer-Encoding: chunked\r\n",
    "Host": b"Host: y\r\n",
    "Host, another case": b"hOST: x\r\n",
    "no colon": b"GET / HTTP/1.1\r\n",
    "space in a name": b"X Y: z\r\n",
    "space before the colon": b"X : y\r\n",
    "empty name": b": y\r\n",
    "folded": b"X: y\r\n z\r\n",
    "space first": b" X: y\r\n",
    "LF": b"X: y\n",
    "LF in a value": b"X: a\nY: b\r\n",
    "CR in a value": b"X: a\rb\r\n",
    "NUL": b"X: \0\r\n",
    "LF LF": b"X: y\n\n" + _EVIL,
}

# RFC 9110 section 7.8, RFC 7540 section 3.2: "h2c smuggling"; llhttp reads no body of a request with an upgrade.
_H2C = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA")
_WEBSOCKET = (b"Connection: upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13")
_UPGRADES = {
    "h2c and a length": _get(*_H2C, _EVIL_LENGTH, body=_EVIL),
    "h2c and chunks": _get(*_H2C, _CHUNKED, body=_HELLO),
    "WebSocket and a length": _get(b"Content-Length: 5", *_WEBSOCKET, body=b"hello"),
    "WebSocket and chunks": _get(_CHUNKED, *_WEBSOCKET, body=_HELLO),
    "POST and a length": _request(b"POST / HTTP/1.1", _HOST, *_WEBSOCKET, _EVIL_LENGTH, body=_EVIL),
}
_UNUSED_UPGRADES = {
    "h2c": _get(*_H2C),
    "WebSocket": _get(*_WEBSOCKET),
    "unknown": _get(b"Upgrade: x/1, y", b"Connection: keep-alive, upgrade"),
    "length of zero": _get(*_H2C, b"Content-Length: 0"),
    "Upgrade alone": _get(b"Upgrade: h2c"),
    "Connection alone": _get(b"Connection: upgrade"),
}
_HALF_UPGRADES = {
    "Upgrade alone and a length": _get(b"Upgrade: h2c", _EVIL_LENGTH, body=_EVIL),
    "Connection alone and a length": _get(b"Connection: upgrade", _EVIL_LENGTH, body=_EVIL),
}

# CL.0, 0.CL and TE.0: "Browser-Powered Desync Attacks" and "HTTP/1.1 Must Die"; RFC 9110 section 10.1.1.
_HIDDEN = {
    "in a body": _get(_EVIL_LENGTH, body=_EVIL),
    "in a body of HEAD": _request(b"HEAD / HTTP/1.1", _HOST, _EVIL_LENGTH, body=_EVIL),
    "in a body with Expect": _get(b"Expect: 100-continue", _EVIL_LENGTH, body=_EVIL),
    "in a body with an unknown Expect": _get(b"Expect: 200-ok", _EVIL_LENGTH, body=_EVIL),
    "in a body with an obfuscated Expect": _get(b"Expect: y 100-continue", _EVIL_LENGTH, body=_EVIL),
    "in a body with two Expects": _get(b"Expect: 100-continue", b"Expect: x", _EVIL_LENGTH, body=_EVIL),
    "in a body with Range": _get(b"Range: bytes=0-0", _EVIL_LENGTH, body=_EVIL),
    "in a chunk": _chunks(_EVIL_CHUNK),
    "in a chunk with Expect": _chunks(_EVIL_CHUNK, b"Expect: 100-continue"),
}
_REST = (
    # A reader that knows no end here takes it for a part of the next request.
    Case("rest", "byte after a length of zero", _get(b"Content-Length: 0", body=b"X"), (200, 400)),
    Case("rest", "byte after a request without a body", _get(body=b"X"), (200, 400)),
    Case("rest", "byte after chunks", _chunks(_HELLO + b"\0"), (200, 400), body=b"hello"),
    Case("rest", "byte after a body", _get(b"Content-Length: 5", body=b"hello!"), (200, 400), body=b"hello"),
    Case("rest", "chunks without a coding", _get(b"TE: chunked", body=_HELLO), (200, 400)),
    Case("rest", "chunks after a length of zero", _get(b"Content-Length: 0", body=_HELLO), (200, 400)),
    Case("rest", "HTTP/2 after h2c", _get(*_H2C, body=b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), (200, 400)),
    Case("rest", "empty line in quotes", _get(b'X: "a\r\n\r\n"'), (200, 400)),
    Case("rest", "two empty lines", _get(body=b"\r\n\r\n"), (200, 400)),
    Case("rest", "LF", _get(body=b"\n"), (200, 400)),
    Case("rest", "empty line", _get(body=b"\r\n"), (200,), is_last=False),
    Case(
        "rest",
        "empty line after a body",
        _get(b"Content-Length: 5", body=b"hello\r\n"),
        (200,),
        is_last=False,
        body=b"hello",
    ),
    # RFC 9112 section 9.6.
    Case("rest", "after Connection: close", _get(b"Connection: close"), (200,)),
    Case("rest", "after close in a list", _get(b"Connection: TE, Close, x"), (200,)),
    Case("rest", "after close in the second line", _get(b"Connection: keep-alive", b"Connection: close"), (200,)),
    Case("rest", "invalid request after close", _get(b"Connection: close", body=b"nonsense\r\n\r\n"), (200,)),
    Case("rest", "after HTTP/1.0", _request(b"GET / HTTP/1.0"), (200,)),
    Case(
        "rest",
        "after HTTP/1.0 with keep-alive",
        _request(b"GET / HTTP/1.0", b"Connection: keep-alive"),
        (200,),
        is_last=False,
    ),
)

_CASES = (
    *_refused("request line", _each(_request(b"{}", _HOST), _REQUEST_LINES)),
    *_refused("version", _each(_request(b"{}", _HOST), _VERSIONS)),
    *_refused("protocol", _OTHER_PROTOCOLS),
    *_answered("request line", {"empty line before": b"\r\n" + _get()}),
    *_refused("target", _each(_request(b"GET {} HTTP/1.1", _HOST), _TARGETS)),
    *_refused("target", {"asterisk of OPTIONS": _request(b"OPTIONS * HTTP/1.1", _HOST)}),
    *_refused("CONNECT", _each(_request(b"{}", _HOST), _CONNECTS)),
    *_refused("CONNECT and a length", _each(_request(b"{}", _HOST, _EVIL_LENGTH, body=_EVIL), _CONNECTS)),
    *_answered("target", _each(_request(b"GET {} HTTP/1.1", _HOST), _UNUSUAL_TARGETS), 404),
    *_refused("Host", {name: _request(_GET, *lines) for name, lines in _HOSTS.items()}),
    *_refused("Host", {"twice in HTTP/1.0": _request(b"GET / HTTP/1.0", _HOST, _HOST)}),
    *_answered("Host", _each(_request(_GET, b"{}"), _USUAL_HOSTS)),
    *_refused("line", _LINES),
    *_refused("name", _each(_get(b"{}"), _NAMES)),
    *_answered("name", _each(_get(b"{}"), _UNUSUAL_NAMES)),
    *_refused("value", _VALUES),
    *_answered("value", _each(_get(b"X: a{}b"), _ALLOWED)),
    *_refused("length", _each(_get(b"Content-Length: {}", body=b"hello"), _LENGTHS)),
    *_refused("length", {name: _get(*lines, body=b"hello") for name, lines in _LENGTH_LINES.items()}),
    *_answered("length", _each(_get(b"{}", body=b"hello"), _USUAL_LENGTHS), body=b"hello"),
    *_refused("coding", {name: _get(*lines, body=_HELLO) for name, lines in _CODING_FORMS.items()}),
    *_refused(
        "coding and length",
        {name: _get(*lines, b"Content-Length: 5", body=b"0\r\n\r\n") for name, lines in _CODING_FORMS.items()},
    ),
    *_refused(
        "length and coding",
        {name: _get(b"Content-Length: 5", *lines, body=b"0\r\n\r\n") for name, lines in _CODING_FORMS.items()},
    ),
    *_refused(
        "coding in HTTP/1.0",
        {
            "close": _request(b"GET / HTTP/1.0", _CHUNKED, body=_HELLO),
            "keep-alive": _request(b"GET / HTTP/1.0", b"Connection: keep-alive", _CHUNKED, body=_HELLO),
            "length": _request(b"GET / HTTP/1.0", _CHUNKED, b"Content-Length: 5", body=_HELLO),
            "identity": _request(b"GET / HTTP/1.0", b"Transfer-Encoding: identity", body=_HELLO),
        },
    ),
    *_answered("coding", _each(_get(b"{}", body=_HELLO), _USUAL_CODINGS), body=b"hello"),
    *_refused("both", {name: _get(*lines, body=b"0\r\n\r\n" + _EVIL) for name, lines in _BOTH.items()}),
    *_refused("chunk size", _each(_chunks(b"{}\r\nhello\r\n0\r\n\r\n"), _SIZES)),
    *_refused("last chunk", _each(_chunks(b"5\r\nhello\r\n{}\r\n\r\n"), _LAST_SIZES)),
    *(
        case
        for templates, terminators in ((_LINE_ENDS, _TERMINATORS), (_DATA_ENDS, _TERMINATORS | _NO_TERMINATORS))
        for where, template in templates.items()
        for case in _refused(f"chunk line end {where}", _each(_chunks(template), terminators))
    ),
    *_refused("chunks", {name: _chunks(body) for name, body in _CHUNK_BODIES.items()}),
    *_answered("chunks", {name: _chunks(body) for name, body in _USUAL_CHUNKS.items()}, body=b"hello"),
    *_refused("trailer", _each(_chunks(b"5\r\nhello\r\n0\r\n{}\r\n"), _TRAILERS)),
    *_refused("upgrade", _UPGRADES),
    *_answered("upgrade", _UNUSED_UPGRADES),
    *_answered("upgrade", _HALF_UPGRADES, body=_EVIL),
    *_answered("hidden", _HIDDEN, body=_EVIL),
    *(
        case
        for form, framing, body in (("body", _EVIL_LENGTH, _EVIL), ("chunk", _CHUNKED, _EVIL_CHUNK))
        for method in _OTHER_METHODS
        for case in _answered(
            "hidden",
            {f"in a {form} of {method.decode()}": _request(method + b" / HTTP/1.1", _HOST, framing, body=body)},
            405,
            body=_EVIL,
        )
    ),
    *_REST,
    *_refused("limit", {"target": _request(b"GET /" + b"a" * 5000 + b" HTTP/1.1", _HOST)}, 414),
    *_refused(
        "limit",
        {
            "value": _get(b"X: " + b"a" * 9000),
            "name": _get(b"X" * 9000 + b": a"),
            "spaces before a value": _get(b"X:" + b" " * 70_000 + b"a"),
            "headers": _get(*[b"X: a"] * 120),
            "headers together": _get(*[b"X: " + b"a" * 8000] * 20),
            "extension": _chunks(b"5;" + b"a" * 70_000 + b"\r\nhello\r\n0\r\n\r\n"),
            "zeros of a size": _chunks(b"0" * 70_000 + b"5\r\nhello\r\n0\r\n\r\n"),
            "trailer": _chunks(b"0\r\nX: " + b"a" * 9000 + b"\r\n\r\n"),
            "trailers": _chunks(b"0\r\n" + b"X: a\r\n" * 120 + b"\r\n"),
        },
        431,
    ),
    *_refused("limit", {"empty lines": b"\r\n" * 40_000 + _get()}),
    # Of the body, and not in the parser: numbers that smaller integers cannot hold.
    *_refused(
        "limit",
        _each(
            _get(b"Content-Length: {}", body=b"hello"),
            {
                "2 ** 32 + 5": b"4294967301",
                "2 ** 63": b"9223372036854775808",
            },
        ),
        413,
    ),
)


def _grouped(cases: Iterable[Case]) -> dict[str, list[Case]]:
    groups = defaultdict(list)
    for case in cases:
        groups[case.group].append(case)
    return dict(groups)


#: Cases by group.
CASES = _grouped(_CASES)
