"""Requests to the API server, with the configuration, authentication and connections of the Kubernetes client.

The client's classes for objects are not used: they would take most of the memory and drop unknown fields.
"""

import os
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import msgspec
import urllib3

from webhook import __version__
from webhook.constants import PROGRAM
from webhook.errors import ClusterError, Conflict, Expired, Forbidden, Invalid, NotFound, TooLarge, Unreachable
from webhook.kube import kubeconfig_credentials
from webhook.kube.access import SERVER_HINT, Access
from webhook.kube.kubernetes_client import (
    SERVICE_HOST_ENV_NAME,
    ApiException,
    ConfigException,
    Configuration,
    RESTClientObject,
    load_incluster_config,
    tcp_keepalive_socket_options,
)
from webhook.kube.objects import Status
from webhook.log import shorten
from webhook.registry import proxy

JSON, APPLY, MERGE = "application/json", "application/apply-patch+yaml", "application/merge-patch+json"
#: Metadata only, for an object or a watch, and for a list.
#: https://kubernetes.io/docs/reference/using-api/api-concepts/#metadata-only-fetches
METADATA = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"

_CONNECT, _READ = 3.0, 10.0
#: Pooled connections: for the workers, the Lease, the watches and a full reconcile.
_CONNECTIONS = 16
#: A peer that has disappeared is detected after 25 s.
_KEEPALIVE = {"idle": 10, "interval": 5, "count": 3}
_SHOWN = 300
_DEFAULT_NAMESPACE = "default"
_SERVICE_ACCOUNT_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_ERROR_BYTES = 65536
_WATCH = ("watch", "true")
_PIECE = 65536
#: Limit in bytes for one object as JSON: etcd stores 1.5 MiB, which escapes in JSON can enlarge sixfold.
OBJECT_BYTES = 16 * 1024 * 1024

_ERRORS = {401: Forbidden, 403: Forbidden, 404: NotFound, 409: Conflict, 410: Expired, 422: Invalid}
_UNAUTHORIZED, _TOO_MANY, _INTERNAL = 401, 429, 500
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
#: Exceptions of the Kubernetes client when there is no response.
_NO_ANSWER = (ApiException, ConfigException, urllib3.exceptions.HTTPError, OSError, ValueError)
#: Minimum seconds between reloads of rejected credentials.
_RELOAD = 5.0
#: A warning's header, RFC 7234 section 5.5: `299 - "text"`.
_WARNING = re.compile(r'\A299 \S+ "(.*)"\Z', re.DOTALL)


class Request(NamedTuple):
    """A request to the API server."""

    action: str
    """For error messages, after "cannot": `update Lease registry-webhook-refresher`."""
    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: dict[str, Any] | None = None
    content_type: str = JSON
    accept: str = JSON
    timeout: float = _READ
    """Seconds to the first byte of the response, and between two reads."""
    any_status: bool = False
    """Return the body of non-2xx responses as well."""
    limit: int = OBJECT_BYTES
    """Bytes of the response; a larger one raises `TooLarge`."""


class Connection(NamedTuple):
    """A configured Kubernetes client."""

    settings: Configuration
    client: RESTClientObject
    proxy: str = ""
    """The variable or kubeconfig field that sets the proxy, if any."""
    headers: tuple[tuple[str, str], ...] = ()
    """Sent with each request, to impersonate a user."""
    timeout: float | None = None
    """Replaces the timeout of each request except for watches; 0 for none."""
    where: str = ""
    """Where the address comes from: `context "dev" in FILE`."""

    @property
    def address(self) -> str:
        """The server's URL, without username and password."""
        scheme, _, rest = str(self.settings.host).partition("://")
        return f"{scheme}://{rest.rpartition('@')[2]}"


class Client:
    """A connection to an API server. Thread-safe.

    If the server rejects the credentials or TLS fails, the credentials are reloaded, because they may have rotated, and
    the request is repeated.
    """

    def __init__(self, load: Callable[[], Connection], count: Callable[[str, str], None]) -> None:
        """`count` is called with the method and status (`none`: no response) of each request.

        Raises `ClusterError`.
        """
        self._load = load
        self._count = count
        self._lock = threading.Lock()
        self._loaded = time.monotonic()
        self._connection = load()

    def call(self, request: Request) -> bytes:
        """Send a request and return the body of the response. Raises `ClusterError`."""
        return self.call_with_warnings(request)[0]

    def call_with_warnings(self, request: Request) -> tuple[bytes, tuple[str, ...]]:
        """Send a request and return the body and the warnings of the response. Raises `ClusterError`."""
        response = self.stream(request)
        try:
            answer = _read(request, response)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Unreachable(f"cannot {request.action}: the answer broke off ({type(error).__name__})") from None
        finally:
            response.release_conn()
        return answer, tuple(_WARNING.sub(r"\1", header) for header in response.headers.getlist("Warning"))

    def stream(self, request: Request) -> urllib3.BaseHTTPResponse:
        """Send a request and return the response with its body unread. Raises `ClusterError`."""
        headers = {"Accept": request.accept}
        body: Any = request.body
        if body is not None:
            headers["Content-Type"] = request.content_type
            if request.content_type == APPLY:  # the client encodes the other types
                body = msgspec.json.encode(body)
        connection = self._connection
        answer: urllib3.BaseHTTPResponse | None
        try:
            answer = self._send(connection, request, headers, body)
        except (urllib3.exceptions.SSLError, ApiException) as error:
            answer = self._resend(connection, request, headers, body)
            if answer is None:
                raise self._unreachable(request, connection, error) from None
        except _NO_ANSWER as error:
            raise self._unreachable(request, connection, error) from None
        if answer.status == _UNAUTHORIZED:
            again = self._resend(connection, request, headers, body)
            if again is not None:
                self._count(request.method, str(answer.status))
                answer = again
        self._count(request.method, str(answer.status))
        if not (request.any_status or 200 <= answer.status < 300):  # noqa: PLR2004
            raise _refusal(request, answer)
        return answer

    def _unreachable(self, request: Request, connection: Connection, error: Exception) -> Unreachable:
        self._count(request.method, "none")
        failed = f"cannot {request.action}: " if request.action else ""
        reason, hint = _reason(error, connection.proxy)
        return Unreachable(
            f"{failed}cannot connect to {connection.address}: {reason}", where=connection.where, hint=hint
        )

    @staticmethod
    def _send(connection: Connection, request: Request, headers: dict[str, str], body: Any) -> urllib3.BaseHTTPResponse:
        url = f"{connection.settings.host}{request.path}"
        if request.query:
            url += f"?{urlencode(request.query, safe='/', quote_via=quote)}"
        complete = urllib3.HTTPHeaderDict(headers)
        if token := connection.settings.get_api_key_with_prefix("BearerToken"):
            complete["Authorization"] = token
        complete["User-Agent"] = f"{PROGRAM}/{__version__}"
        for name, value in connection.headers:
            complete.add(name, value)  # a header can occur several times
        answer = connection.client.request(  # type: ignore[no-untyped-call]
            request.method, url, complete, body, _request_timeout=_timeouts(request, connection.timeout)
        )
        response: urllib3.BaseHTTPResponse = answer.response
        return response

    def _resend(
        self, refused: Connection, request: Request, headers: dict[str, str], body: Any
    ) -> urllib3.BaseHTTPResponse | None:
        """Send a request with reloaded credentials. Returns None if they were not reloaded.

        Raises `Unreachable`.
        """
        try:
            connection = self._reloaded(refused)
            return None if connection is None else self._send(connection, request, headers, body)
        except ClusterError as error:
            raise Unreachable(f"cannot {request.action}: {error}") from None
        except _NO_ANSWER as error:
            raise self._unreachable(request, refused, error) from None

    def _reloaded(self, refused: Connection) -> Connection | None:
        """Reload the credentials unless another thread did; None if it is too soon. Raises `ClusterError`."""
        with self._lock:
            if self._connection is refused:
                if time.monotonic() - self._loaded < _RELOAD:
                    return None
                self._loaded = time.monotonic()
                self._connection = self._load()
            return self._connection

    def close(self) -> None:
        self._connection.client.close()


def _timeouts(request: Request, limit: float | None) -> tuple[float | None, float | None]:
    """Return the seconds to connect and to the first byte, None for no limit."""
    if limit is None or _WATCH in request.query:
        return _CONNECT, request.timeout
    return limit or None, limit or None


def connect(access: Access, count: Callable[[str, str], None]) -> Client:
    """Create a client from a Pod's ServiceAccount, or from a kubeconfig if `access` or KUBECONFIG names one.

    `count` is called with the method and status of each request. No request is sent yet. Raises `ClusterError` if there
    is neither, or if it cannot be used.
    """
    return Client(lambda: _load(access), count)


def _uses_service_account(access: Access) -> bool:
    named = access.chooses_kubeconfig or "KUBECONFIG" in os.environ
    return SERVICE_HOST_ENV_NAME in os.environ and not named


def _load(access: Access) -> Connection:
    settings = Configuration(host="", proxy="", no_proxy="")
    user: Mapping[str, Any] = {}
    where = ""
    try:
        if _uses_service_account(access):
            load_incluster_config(client_configuration=settings)  # type: ignore[no-untyped-call]
        else:
            user, context = kubeconfig_credentials.load(access, settings)
            where = f'context "{shorten(context, 100)}" in {kubeconfig_credentials.name(access)}'
        proxy_origin = _proxy(settings)
        settings.retries = False  # callers retry
        settings.connection_pool_maxsize = _CONNECTIONS
        settings.socket_options = tcp_keepalive_socket_options(**_KEEPALIVE)
        client = RESTClientObject(settings)
    except proxy.UnusableProxy as error:
        raise ClusterError(f"cannot use the proxy: {error}", hint=error.hint) from None
    except kubeconfig_credentials.UnusableKubeconfig as error:
        raise ClusterError(error.message, where=kubeconfig_credentials.name(access), hint=error.hint) from None
    except Exception as error:  # noqa: BLE001 - the client raises anything for a file that is not a kubeconfig
        is_readable = isinstance(error, ConfigException | OSError | ValueError)
        reason = shorten(str(error).rstrip("."), _SHOWN) if is_readable else "its structure is not that of a kubeconfig"
        if _uses_service_account(access):
            hint = "mount a token of the ServiceAccount, or pass --kubeconfig FILE"
            raise ClusterError(f"cannot use the ServiceAccount: {reason}", hint=hint) from None
        where = kubeconfig_credentials.name(access)
        raise ClusterError(f"cannot use the kubeconfig: {reason}", where=where) from None
    timeout = access.request_timeout
    return Connection(settings, client, proxy_origin, _impersonation(access, user), timeout, where)


def _impersonation(access: Access, user: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return the headers for a user to impersonate, of the options or else of the kubeconfig.

    https://kubernetes.io/docs/reference/access-authn-authz/user-impersonation/
    """
    if access.impersonate is not None:
        user = {"as": access.impersonate, "as-groups": access.groups}
    name, uid, groups = user.get("as"), user.get("as-uid"), user.get("as-groups") or ()
    if not name:
        return ()
    headers = [("Impersonate-User", name), *(("Impersonate-Group", group) for group in groups)]
    return tuple((header, str(value)) for header, value in [*headers, *([("Impersonate-Uid", uid)] if uid else [])])


def _proxy(settings: Configuration) -> str:
    """Set the proxy and return its origin. Raises `UnusableProxy` and `UnusableKubeconfig`.

    As in kubectl, the proxy of a kubeconfig also applies to servers that NO_PROXY exempts.
    """
    server = kubeconfig_credentials.server(settings.host)
    chosen = (
        proxy.parse(settings.proxy, "proxy-url of the cluster in the kubeconfig")
        if settings.proxy
        else proxy.choose(os.environ, server.host, server.port, secure=server.secure)
    )
    settings.proxy, settings.no_proxy = "", ""
    if chosen is None:
        return ""
    settings.proxy = chosen.url
    settings.proxy_headers = {"Proxy-Authorization": chosen.authorization} if chosen.authorization else None
    return chosen.origin


def current_namespace(access: Access) -> str:
    """Return the namespace of the kubeconfig's context, or in a Pod that of its ServiceAccount, as kubectl does.

    `default` if there is none.
    """
    if not _uses_service_account(access):
        return kubeconfig_credentials.namespace(access) or _DEFAULT_NAMESPACE
    with suppress(OSError, ValueError):
        return _SERVICE_ACCOUNT_NAMESPACE.read_text().strip() or _DEFAULT_NAMESPACE
    return _DEFAULT_NAMESPACE


def api_error(status: int, what: str, body: bytes) -> ClusterError:
    """Return the error for a response with a Status."""
    hint = _UNAUTHORIZED_HINT if status == _UNAUTHORIZED else ""
    try:
        message = _STATUS.decode(body).message
    except (msgspec.MsgspecError, ValueError, RecursionError):
        message = ""
        if body.lstrip()[:1] == b"<":
            message, hint = "the response is a web page; is this a Kubernetes API server?", SERVER_HINT
        elif body.isascii() and len(body) <= _SHOWN:
            message = " ".join(body.decode().split())
    retryable = status == _TOO_MANY or status >= _INTERNAL
    kind = Unreachable if retryable else _ERRORS.get(status, ClusterError)
    reason = shorten(message, _SHOWN) or "no reason given"
    if status == _UNAUTHORIZED:
        reason = "the API server rejected the credentials"
    elif status in _REDIRECTS and not message:
        reason, hint = "the response is a redirect; is this a Kubernetes API server?", SERVER_HINT
    return kind(
        f"cannot {what or 'reach the API server'}: {reason} ({status})",
        hint=hint,
    )


def _read(request: Request, response: urllib3.BaseHTTPResponse) -> bytes:
    """Read a body in pieces, up to the limit."""
    pieces: list[bytes] = []
    left = request.limit
    while left >= 0 and (piece := response.read(_PIECE)):
        pieces.append(piece)
        left -= len(piece)
    if left < 0:
        response.close()
        raise TooLarge(f"cannot {request.action}: the answer has more than {request.limit // 1024} KiB")
    return b"".join(pieces)


def _refusal(request: Request, response: urllib3.BaseHTTPResponse) -> ClusterError:
    try:
        text = response.read(_ERROR_BYTES)
    except (urllib3.exceptions.HTTPError, OSError):
        text = b""
    response.drain_conn() if len(text) < _ERROR_BYTES else response.close()
    response.release_conn()
    return api_error(response.status, request.action, text)


def _reason(error: Exception, proxy_origin: str) -> tuple[str, str]:
    """Describe a failure, with a hint. The client's own message could include a URL with a password."""
    match error:
        case ConfigException():
            return "the token or the kubeconfig cannot be used", "kubectl config view --minify"
        case urllib3.exceptions.ProxyError():
            return f"the proxy of {proxy_origin} cannot be reached, or refuses", f"check {proxy_origin}, or NO_PROXY"
        case urllib3.exceptions.SSLError() | ApiException():
            return _tls_reason(error)
        case urllib3.exceptions.NameResolutionError():
            return "unknown host", "check the server in the kubeconfig, and DNS or VPN"
        case urllib3.exceptions.TimeoutError() if not isinstance(error, urllib3.exceptions.NewConnectionError):
            return "timed out", "check the network, or set --request-timeout"
        case urllib3.exceptions.NewConnectionError():
            refused = any(isinstance(one, ConnectionRefusedError) for one in _causes(error))
            reason = "connection refused" if refused else "no connection"
            return (
                reason,
                "check that the cluster runs, and the context: kubectl config get-contexts",
            )
        case urllib3.exceptions.ProtocolError():
            return "the connection was closed without a response", ""
        case _:
            return "no response", ""


def _tls_reason(error: Exception) -> tuple[str, str]:
    """Describe a TLS failure in the words of Go's x509 errors, which users search for."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            known = _VERIFY_ERRORS.get(cause.verify_code, f"the certificate is not valid: {cause.verify_message}")
            return f"TLS: x509: {known}", _CERTIFICATE_HINTS.get(cause.verify_code, "")
        if isinstance(cause, ssl.SSLError) and cause.reason in _NOT_TLS:
            return "TLS: the server does not speak TLS", "check the port, or write http:// for the server"
        if isinstance(cause, ssl.SSLError) and "ALERT" in str(cause.reason):
            return "TLS: the server rejected the client certificate", "renew the user's credentials in the kubeconfig"
    return "TLS: the server's certificate or the client certificate cannot be used", ""


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and those that it was raised from or during, also those in its arguments."""
    seen: list[BaseException] = []
    left = [error]
    while left:
        one = left.pop(0)
        if isinstance(one, BaseException) and not any(one is known for known in seen):
            seen.append(one)
            yield one
            left += [one.__cause__, one.__context__, *(part for part in one.args if isinstance(part, BaseException))]


_UNAUTHORIZED_HINT = "the credentials of the kubeconfig user are missing or expired: kubectl auth whoami"
#: OpenSSL's codes (openssl-verification-options(1)).
_UNKNOWN_CA = (18, 19, 20, 21)
_EXPIRED, _NOT_YET, _OTHER_NAME, _OTHER_ADDRESS = 10, 9, 62, 64
_VERIFY_ERRORS = {
    **dict.fromkeys(_UNKNOWN_CA, "certificate signed by an unknown CA"),
    _EXPIRED: "certificate has expired",
    _NOT_YET: "certificate is not yet valid",
    _OTHER_NAME: "certificate is not valid for this host name",
    _OTHER_ADDRESS: "certificate is not valid for this IP address",
}
_CERTIFICATE_HINTS = {
    **dict.fromkeys(_UNKNOWN_CA, "check the CA of the cluster in the kubeconfig"),
    _EXPIRED: "renew the API server's certificate, and check the clock of this machine",
    _NOT_YET: "check the clock of this machine",
    **dict.fromkeys((_OTHER_NAME, _OTHER_ADDRESS), "check server and tls-server-name of the cluster in the kubeconfig"),
}
_NOT_TLS = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"})
_STATUS = msgspec.json.Decoder(Status)
