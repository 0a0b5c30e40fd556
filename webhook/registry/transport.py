"""Send one request: limited in time and size, over verified TLS, never repeated, never redirected.

This uses urllib3's connection without its pool, because no connection is kept alive, no request retried and no redirect
followed. Errors are described by their class: their messages may quote a header, a URL or a password of a proxy.
"""

import http.client
import os
import queue
import re
import socket
import ssl
import threading
import zlib
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

from urllib3 import HTTPHeaderDict
from urllib3 import exceptions as failures
from urllib3.connection import HTTPConnection, HTTPSConnection, ProxyConfig
from urllib3.util import Url
from urllib3.util.response import assert_header_parsing

from webhook import __version__
from webhook.config import files
from webhook.constants import PROGRAM
from webhook.errors import FileError, RegistryWebhookError
from webhook.log import shorten
from webhook.registry import failure, proxy
from webhook.registry.failure import Failure
from webhook.registry.origin import Origin

#: More than any token response; http.client itself limits the headers, to 100 lines of 64 KiB.
_BODY_LIMIT = 64 * 1024
_TUNNEL_REFUSED = re.compile(r"Tunnel connection failed: ([0-9]{3})\b")
_COMPRESSED = frozenset({"gzip", "x-gzip", "deflate"})
_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32
#: Interim responses before the final one at most, as in Go's client.
_INTERIM = 5
_CERTIFICATES = {
    Failure.UNTRUSTED: "has a certificate that is not trusted",
    Failure.EXPIRED: "has a certificate that is not valid now",
    Failure.WRONG_HOST: "has a certificate for another host",
}
_NO_NAME = "cannot be reached: the host name cannot be resolved"
_FORM = "application/x-www-form-urlencoded"
# http.client adds "Accept-Encoding: identity".
_HEADERS = {
    "User-Agent": f"{PROGRAM}/{__version__}",
    "Connection": "close",
}


class NoReply(RegistryWebhookError):
    """There is no usable response; the text continues a sentence about the server.

    `handshake`: it answered, but not with TLS. `answered`: it accepted the request.
    """

    def __init__(self, words: str, kind: Failure, *, handshake: bool = False, answered: bool = False) -> None:
        super().__init__(words, hint=failure.hint(kind))
        self.kind = kind
        self.handshake = handshake
        self.answered = answered


@dataclass(frozen=True)
class Request:
    """A GET or HEAD, or the POST of a form."""

    origin: Origin
    target: str
    """Path and query."""
    authorization: str | None = field(default=None, repr=False)
    form: str | None = field(default=None, repr=False)
    with_body: bool = False
    """Whether to read the response's body."""
    head: bool = False
    """Whether to send HEAD instead of GET."""
    accept: str = "application/json"


@dataclass(frozen=True)
class Reply:
    """A response, with its body if that was requested."""

    status: int
    headers: HTTPHeaderDict = field(repr=False)
    body: bytes = field(default=b"", repr=False)


def trust(ca_file: Path | None) -> ssl.SSLContext:
    """Create the context to verify servers with: TLS 1.2 or later, and the CAs in a PEM file or the system's.

    Raises `FileError`.
    """
    # Not ssl.create_default_context, which from Python 3.13 on requires extensions that registries' own CAs often lack.
    # As in container runtimes, a certificate in the file is trusted even if it is not a CA's.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if ca_file is None:
        context.load_default_certs()
        return context
    content = files.read(ca_file)
    try:
        # Between the certificates there may be names in any script.
        context.load_verify_locations(cadata=content.decode("ascii", "ignore"))
    except (ssl.SSLError, ValueError):
        raise FileError("contains no PEM certificates", where=str(ca_file)) from None
    return context


class Transport:
    """Sends requests, each within `timeout` seconds in all, through the proxies that `environment` names."""

    def __init__(self, context: ssl.SSLContext, environment: Mapping[str, str], timeout: float) -> None:
        self._context = context
        self._environment = environment
        self._timeout = timeout

    def ask(self, request: Request) -> Reply:
        """Send a request and return the response. Raises `NoReply`."""
        line = _Connection()
        connection = self._connection(request.origin, line)
        outcome: queue.SimpleQueue[Reply | NoReply] = queue.SimpleQueue()

        def work() -> None:
            outcome.put(self._exchange(connection, line, request))

        # No socket timeout limits a name lookup, or a response that arrives byte by byte. After an abort the thread
        # ends by itself, at once if it waits for a socket.
        threading.Thread(target=work, name="registry", daemon=True).start()
        try:
            result = outcome.get(timeout=self._timeout)
        except queue.Empty:
            line.abort()
            result = NoReply(self._timed_out, Failure.TIMEOUT)
        if isinstance(result, NoReply):
            raise result
        return result

    @property
    def _timed_out(self) -> str:
        return f"did not answer within {self._timeout:g} s"

    def _connection(self, origin: Origin, line: "_Connection") -> "_Plain":
        if not origin.secure:
            return _Plain(line, origin.host, origin.port, timeout=self._timeout)
        try:
            via = proxy.choose(self._environment, origin.host, origin.port)
        except proxy.UnusableProxy as error:
            raise NoReply(f"was not asked: {error.one_line}", Failure.PROXY) from None
        if via is None:
            return _Secure(line, origin.host, origin.port, timeout=self._timeout, ssl_context=self._context)
        connection = _Secure(
            line,
            via.host,
            via.port,
            timeout=self._timeout,
            ssl_context=self._context,
            via=via.origin,
            proxy=Url(scheme=via.scheme, host=via.host, port=via.port),
            proxy_config=ProxyConfig(
                self._context, use_forwarding_for_https=False, assert_hostname=None, assert_fingerprint=None
            ),
        )
        authorization = {} if via.authorization is None else {"Proxy-Authorization": via.authorization}
        try:
            connection.set_tunnel(origin.host, origin.port, authorization, via.scheme)
        except ValueError:
            raise NoReply(_NO_NAME, Failure.DNS) from None
        return connection

    def _exchange(self, connection: "_Plain", line: "_Connection", request: Request) -> Reply | NoReply:
        connected = False
        try:
            connection.connect()
            connected = True
            connection.request(
                "HEAD" if request.head else "GET" if request.form is None else "POST",
                request.target,
                body=request.form,
                headers=_headers(request),
                preload_content=False,
                decode_content=False,
            )
            with closing(connection.getresponse()) as response:
                body = b""
                while request.with_body and len(body) <= _BODY_LIMIT and (part := response.read(_BODY_LIMIT)):
                    body += part
                body = _decoded(body, response.headers.get("Content-Encoding", ""))
        except Exception as error:  # noqa: BLE001 - any error that a server causes means that there is no response
            words, kind = self._explain(error)
            if connection.proxy is not None:
                # A refused tunnel is closed, as if there had been no connection.
                reached = connected or connection.has_connected_to_proxy
                via = f"the proxy of {connection.via}"
                if reached:
                    words = f"(through {via}) {words}"
                else:
                    words, kind = f"was not asked: {via} {words}", Failure.PROXY
            refused_tls = isinstance(error, OSError) and not isinstance(
                error, TimeoutError | ssl.SSLCertVerificationError
            )
            timed_out = isinstance(error, TimeoutError | failures.TimeoutError)
            return NoReply(words, kind, handshake=refused_tls and not connected, answered=connected and not timed_out)
        finally:
            connection.close()
            line.release()
        if len(body) > _BODY_LIMIT:
            words = f"answered {response.status} with more than {_BODY_LIMIT // 1024} KiB"
            return NoReply(words, Failure.NOT_A_REGISTRY, answered=True)
        return Reply(response.status, response.headers, body)

    def _explain(self, error: Exception) -> tuple[str, Failure]:
        match error:
            case failures.NameResolutionError() | failures.LocationParseError():
                return _NO_NAME, Failure.DNS
            case failures.NewConnectionError(__cause__=OSError(errno=int(number))):
                return f"cannot be reached: {os.strerror(number).lower()}", Failure.NETWORK
            case failures.NewConnectionError():
                return "cannot be reached", Failure.NETWORK
            case TimeoutError() | failures.TimeoutError():
                return self._timed_out, Failure.TIMEOUT
            case ssl.SSLCertVerificationError():
                found = failure.of_verify_code(error.verify_code)
                return f"{_CERTIFICATES[found]}: {shorten(error.verify_message, 120)}", found
            case ssl.SSLError():
                reason = shorten(error.reason or "no reason given", 60).replace("_", " ").lower()
                return f"failed the TLS handshake: {reason}", Failure.TLS
            case OSError() if refused := _TUNNEL_REFUSED.match(str(error)):
                return f"answered {refused[1]}", Failure.PROXY
            case OSError() | failures.ProtocolError() | failures.SSLError():
                return "closed the connection before it answered", Failure.NETWORK
            case http.client.HTTPException() | failures.HTTPError():
                return "sent a response that is not HTTP", Failure.NOT_A_REGISTRY
            case _:
                return f"failed with an unexpected error ({type(error).__name__})", Failure.NETWORK


def _headers(request: Request) -> dict[str, str]:
    kind = {} if request.form is None else {"Content-Type": _FORM}
    authorization = {} if request.authorization is None else {"Authorization": request.authorization}
    return {**_HEADERS, "Accept": request.accept, **kind, **authorization}


class _Connection:
    """The socket of a connection that one thread waits for and another can abort."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_aborted = False
        self._socket: socket.socket | None = None

    def hold(self, connected: socket.socket) -> None:
        """Store what is needed to abort a connection, or close it if it was aborted already."""
        with self._lock:
            if self._is_aborted:
                connected.close()
                raise TimeoutError
            # A duplicate, because TLS takes over the first descriptor.
            self._socket = connected.dup()

    def abort(self) -> None:
        """End the connection in whatever state it is, now or as soon as it exists."""
        with self._lock:
            self._is_aborted = True
            if self._socket is not None:
                with suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)

    def release(self) -> None:
        """Forget a closed connection."""
        with self._lock:
            if self._socket is not None:
                self._socket.close()
                self._socket = None


def _decoded(body: bytes, encoding: str) -> bytes:
    """Decompress a body that is compressed although that was not requested, up to one byte more than the limit.

    Raises `HTTPException`.
    """
    if not body or encoding.strip().lower() not in _COMPRESSED:
        return body
    try:
        return zlib.decompressobj(_GZIP_OR_ZLIB).decompress(body, _BODY_LIMIT + 1)
    except zlib.error:
        raise http.client.HTTPException from None


class _WellFormed(http.client.HTTPResponse):
    """A response whose headers can all be parsed: urllib3 would log the others, with their content."""

    def begin(self) -> None:
        """Read the status and headers, after those of interim responses (RFC 9110, section 15.2)."""
        super().begin()
        interim = 0
        while HTTPStatus.SWITCHING_PROTOCOLS < self.status < HTTPStatus.OK:
            interim += 1
            if interim > _INTERIM:
                raise http.client.HTTPException
            # http.client reads another response only without the headers of this one.
            self.headers = self.msg = None  # type: ignore[assignment]
            super().begin()
        try:
            assert_header_parsing(self.msg)
        except failures.HeaderParsingError:
            raise http.client.HTTPException from None


class _Plain(HTTPConnection):
    """A connection that can be aborted. `via` is the variable that names the proxy, if there is one."""

    response_class = _WellFormed

    def __init__(self, line: _Connection, *arguments: Any, via: str = "", **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._line = line
        self.via = via

    def _new_conn(self) -> socket.socket:
        # A private name of urllib3, which urllib3<3 keeps; a test with a slow response fails if it changes.
        connected = super()._new_conn()
        self._line.hold(connected)
        return connected


class _Secure(_Plain, HTTPSConnection):
    """The same over TLS."""
