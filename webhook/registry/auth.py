"""Check whether a registry accepts a username and password, by logging in as a container runtime does.

The registry is asked for `/v2/`, which needs nothing but authentication (OCI distribution specification, "Determining
Support"). Its 401 names the methods: Basic (RFC 7617), or a token that another server issues for the credential
(https://distribution.github.io/distribution/spec/auth/oauth/ with POST,
https://distribution.github.io/distribution/spec/auth/token/ with GET). As in containerd, a token is preferred if both
are offered, and requested with GET if POST gives none. Once a method has given one, only that is used at the endpoint.
"""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import Enum
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

import msgspec

from webhook.constants import PROGRAM
from webhook.errors import FileError, RegistryWebhookError, one_line
from webhook.images.reference import DOCKER_HUB
from webhook.log import shorten
from webhook.registry import failure, www_authenticate
from webhook.registry import origin as registry_origin
from webhook.registry.failure import Failure
from webhook.registry.logins import Logins
from webhook.registry.origin import Origin
from webhook.registry.transport import NoReply, Reply, Request, Transport, trust

_API = "/v2/"
_GRANT = (("grant_type", "password"), ("client_id", PROGRAM))
#: Docker Hub's images have one host in their names and are served by this one.
_DOCKER_HUB_SERVER = "registry-1.docker.io"

_REFUSED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
#: Responses to an unsupported method: they prove nothing about the credential.
_NO_METHOD = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED})
#: RFC 6749, section 5.2: how an OAuth 2 token endpoint refuses a username and password, with status 400.
_INVALID_GRANT = "invalid_grant"
_REDIRECTS = frozenset({301, 302, 303, 307, 308})

# For realms and tokens, which are put into a request: a line break would begin another header.
_VISIBLE = re.compile(r"[!-~]+")
_SECONDS = re.compile(r"[0-9]{1,9}")
_SHOWN = 100


class Answer(Enum):
    """A registry's verdict on a credential."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNCLEAR = "unclear"
    DEFERRED = "deferred"
    """It was not asked: too many logins were refused recently."""


class Verdict(NamedTuple):
    """An answer and its reason."""

    answer: Answer
    detail: str
    """One line of printable ASCII, without anything that a server sent except host names."""
    retry_after: float | None = None
    """Seconds that the server asked to wait, without a limit."""
    failure: Failure | None = None

    @property
    def one_line(self) -> str:
        """The reason, and what to do about it."""
        return one_line(self.detail, failure.hint(self.failure))


class Unclear(RegistryWebhookError):
    """A response that proves nothing about the credential or image; the text is the verdict's detail."""

    def __init__(self, detail: str, retry_after: float | None = None, kind: Failure | None = None) -> None:
        super().__init__(detail, hint=failure.hint(kind))
        self.retry_after = retry_after
        self.kind = kind


class Deferred(RegistryWebhookError):
    """A login that must wait for `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__("the registry asks for a later attempt")
        self.seconds = seconds


class _Problem(msgspec.Struct):
    """A token server's error, RFC 6749, section 5.2."""

    error: str = ""


class _Token(msgspec.Struct):
    """A token server's response. The token's lifetime is ignored: it is used once, at once."""

    token: str | None = None
    access_token: str | None = None


class CredentialChecker:
    """Asks registries whether they accept a credential.

    Registries are verified with the CAs in `ca_file` (PEM, read at each check), or the system's. With
    `plain_http_on_loopback`, one on a loopback address that speaks no TLS is asked, and sent the credential, too.
    `environment` names the proxies. No request takes longer than `timeout` seconds, and a check makes five at most.
    `clock` returns POSIX time, for dates in `Retry-After`. `logins` counts refused logins, and may defer the next one.
    """

    def __init__(  # noqa: PLR0913 - dependencies, each by name
        self,
        *,
        ca_file: Path | None,
        plain_http_on_loopback: bool,
        environment: Mapping[str, str],
        timeout: float = 10.0,
        clock: Callable[[], float] = time.time,
        logins: Logins | None = None,
    ) -> None:
        self._ca_file = ca_file
        self._plain_http_on_loopback = plain_http_on_loopback
        self._environment = environment
        self._timeout = timeout
        self._clock = clock
        self._logins = logins or Logins(clock)

    def check(self, registry: str, username: str, password: str) -> Verdict:
        """Ask `registry`, a normalized prefix, whether it accepts a credential.

        Raises nothing for anything that the network or a server does. Only a 401 or 403 to the credential is a refusal.
        A registry that allows anonymous access accepts every credential.
        """
        domain = registry.partition("/")[0]
        name = shorten(domain, _SHOWN)
        try:
            (username + password).encode()
            transport = Transport(trust(self._ca_file), self._environment, self._timeout)
            client = AuthClient(
                transport=transport,
                plain_http_on_loopback=self._plain_http_on_loopback,
                clock=self._clock,
                name=name,
                username=username,
                password=password,
                logins=self._logins,
            )
            return client.run(host_of(domain))
        except UnicodeEncodeError:
            return Verdict(Answer.UNCLEAR, f"{name} was not asked: the credential is not UTF-8")
        except FileError as error:
            return Verdict(Answer.UNCLEAR, f"{name} was not asked: {shorten(str(error), 4 * _SHOWN)}")
        except Unclear as unclear:
            return Verdict(Answer.UNCLEAR, str(unclear), unclear.retry_after, unclear.kind)
        except Deferred as deferred:
            detail = f"{name} was not asked: too many logins were refused in the last minutes"
            return Verdict(Answer.DEFERRED, detail, deferred.seconds)


def host_of(domain: str) -> str:
    """Return the host that serves a registry."""
    return _DOCKER_HUB_SERVER if domain == DOCKER_HUB else domain


class Authorization(NamedTuple):
    """Authorization that a registry accepts."""

    header: str
    """The value of `Authorization`."""
    description: str
    """Its description in a message."""
    is_login: bool = False
    """Whether it is the username and password themselves."""

    def __repr__(self) -> str:
        """Show no credential."""
        return f"Authorization({self.description})"


class _TokenResponse(NamedTuple):
    """The result of one token request."""

    problem: Unclear
    """Why there is neither a token nor a refusal."""
    status: int = 0
    refusal: Verdict | None = None
    token: str | None = None
    answered: bool = True
    """Whether there was a response of any kind."""

    def __repr__(self) -> str:
        """Show no token."""
        return f"_TokenResponse(status={self.status})"


@dataclass(frozen=True)
class AuthClient:
    """Presents one credential to one registry."""

    transport: Transport
    plain_http_on_loopback: bool
    clock: Callable[[], float]
    name: str
    """The registry's name in messages."""
    username: str = field(repr=False)
    """Empty, like the password, for anonymous access."""
    password: str = field(repr=False)
    logins: Logins = field(repr=False)

    def run(self, domain: str) -> Verdict:
        """Probe the registry, and authenticate with a method that it names."""
        origin, reply = self.probe(domain, lambda origin: Request(origin, _API))
        if reply.status == HTTPStatus.OK:
            return Verdict(Answer.ACCEPTED, f"{self.name} allows anonymous access and does not check credentials")
        if reply.status != HTTPStatus.UNAUTHORIZED:
            raise self.unclear_error(self.name, reply)
        access = self.authenticate(reply)
        if isinstance(access, Verdict):
            return access
        reply = self.ask(self.name, Request(origin, _API, access.header))
        if access.is_login and reply.status in _REFUSED:
            self.logins.refused()
        return self._verdict(self.name, reply, access.description)

    def probe(self, domain: str, request: Callable[[Origin], Request]) -> tuple[Origin, Reply]:
        """Send a request without a credential, and detect whether the registry speaks TLS. Raises `Unclear`."""
        origin = registry_origin.parse(domain, secure=True)
        if origin is None:
            raise Unclear(f"{self.name} was not asked: not a host with an optional port")
        try:
            return origin, self.transport.ask(request(origin))
        except NoReply as no_reply:
            origin = origin._replace(secure=False)
            if not (no_reply.handshake and self._may_receive_credential(origin)):
                raise Unclear(f"{self.name} {no_reply}", kind=no_reply.kind) from None
        return origin, self.ask(self.name, request(origin))

    def authenticate(self, refusal: Reply) -> Authorization | Verdict:
        """Obtain the authorization that a 401 asks for, or a verdict if that is refused. Raises `Unclear`."""
        # The first of several with the same scheme counts.
        lines = refusal.headers.getlist("WWW-Authenticate")
        offers = {offer.scheme: offer for offer in reversed(www_authenticate.parse(lines))}
        if "bearer" in offers:
            return self._token(offers["bearer"].parameters)
        if "basic" not in offers:
            raise self.unclear_error(self.name, refusal, "and offers neither Basic nor Bearer authentication")
        if self._is_anonymous:
            return Verdict(Answer.REFUSED, f"{self.name} requires a credential, and none is configured")
        self._check_login_allowed()
        return Authorization(self._basic, "credential", is_login=True)

    def _token(self, parameters: Mapping[str, str]) -> Authorization | Verdict:
        """Request a token with the method known to work, or else with POST and, if that gives none, GET."""
        origin, path, query = self._realm(parameters.get("realm", ""))
        name = f"{self.name}'s token endpoint {self._shown(origin.host)}"
        wanted = [(key, parameters[key]) for key in ("service", "scope") if parameters.get(key)]
        form = urlencode([*_GRANT, *wanted, ("username", self.username), ("password", self.password)])
        # With GET, several scopes are separate parameters; see "Requesting a Token".
        pairs = [(key, part) for key, value in wanted for part in (value.split() if key == "scope" else [value])]
        authorization = None if self._is_anonymous else self._basic
        post = Request(origin, _target(path, query), form=form, with_body=True)
        get = Request(origin, _target(path, query, urlencode(pairs)), authorization, with_body=True)
        endpoint = (origin, path)
        known = "GET" if self._is_anonymous else self.logins.methods.get(endpoint)
        if known == "GET":
            given, posted = self._request_token(name, get), None
        else:
            given, posted = self._request_token(name, post), None
            if given.token is None and given.answered and not (known and given.refusal):
                given, posted = self._request_token(name, get), given
        if given.token is not None:
            if not self._is_anonymous:
                self.logins.methods[endpoint] = "POST" if posted is None and known != "GET" else "GET"
            what = "anonymous token" if self._is_anonymous else "token for the credential"
            return Authorization(f"Bearer {given.token}", what)
        refusal = given.refusal or (posted.refusal if posted else None)
        if refusal is not None:
            return refusal
        if known == "GET":
            self.logins.methods.pop(endpoint, None)
        if posted is not None and given.status in _NO_METHOD:
            given = posted
        raise given.problem

    def _request_token(self, name: str, request: Request) -> _TokenResponse:
        if not self._is_anonymous:
            self._check_login_allowed()
        try:
            reply = self.transport.ask(request)
        except NoReply as no_reply:
            return _TokenResponse(Unclear(f"{name} {no_reply}", kind=no_reply.kind), answered=no_reply.answered)
        if HTTPStatus.OK <= reply.status < HTTPStatus.MULTIPLE_CHOICES:
            try:
                return _TokenResponse(Unclear(name), token=_token(name, reply))
            except Unclear as problem:
                return _TokenResponse(problem, reply.status)
        if not _refuses(reply):
            return _TokenResponse(self.unclear_error(name, reply), reply.status)
        if not self._is_anonymous:
            self.logins.refused()
        what = "request without a credential" if self._is_anonymous else "credential"
        detail = f"{name} refused the {what} ({reply.status})"
        kind = None if self._is_anonymous else failure.of_refusal(reply.status)
        refusal = Verdict(Answer.REFUSED, detail, self._retry_after(reply), kind)
        return _TokenResponse(Unclear(detail), reply.status, refusal)

    def _check_login_allowed(self) -> None:
        """Raise `Deferred` while too many logins were refused."""
        if seconds := self.logins.wait():
            raise Deferred(seconds)

    def _realm(self, realm: str) -> tuple[Origin, str, str]:
        """Split the URL of a token endpoint: server, path and query. Raises `Unclear`."""
        try:
            parts = urlsplit(realm)
        except ValueError:
            parts = urlsplit("")
        origin = registry_origin.parse(parts.netloc, secure=parts.scheme == "https")
        if origin is None or parts.scheme not in {"http", "https"} or not _VISIBLE.fullmatch(realm):
            raise Unclear(f"{self.name} named an invalid token endpoint")
        if not self._may_receive_credential(origin):
            name = f"{self.name}'s token endpoint {self._shown(origin.host)}"
            raise Unclear(f"{name} was not asked: the credential would be sent without TLS")
        return origin, parts.path or "/", parts.query

    @property
    def _is_anonymous(self) -> bool:
        return not (self.username or self.password)

    @property
    def _basic(self) -> str:
        return www_authenticate.basic(self.username, self.password)

    def _shown(self, host: str) -> str:
        """Return a host that a server names, unless the server put the password into it."""
        return "(not shown)" if self.password and self.password.lower() in host.lower() else shorten(host, _SHOWN)

    def _may_receive_credential(self, origin: Origin) -> bool:
        return origin.secure or (self.plain_http_on_loopback and registry_origin.is_loopback(origin.host))

    def ask(self, name: str, request: Request) -> Reply:
        """Send a request. Raises `Unclear`."""
        try:
            return self.transport.ask(request)
        except NoReply as no_reply:
            raise Unclear(f"{name} {no_reply}", kind=no_reply.kind) from None

    def _verdict(self, name: str, reply: Reply, what: str) -> Verdict:
        """Interpret the response to a credential, or to a token that was issued for it."""
        if reply.status == HTTPStatus.OK:
            return Verdict(Answer.ACCEPTED, f"{self.name} accepted the credential")
        if reply.status in _REFUSED:
            detail = f"{name} refused the {what} ({reply.status})"
            return Verdict(Answer.REFUSED, detail, self._retry_after(reply), failure.of_refusal(reply.status))
        raise self.unclear_error(name, reply)

    def unclear_error(self, name: str, reply: Reply, words: str = "") -> Unclear:
        """Return an error for a response that proves nothing."""
        if reply.status in _REDIRECTS:
            words = f"with a redirect to {self._redirected(reply)}, which is not followed"
        # No setting names a token endpoint.
        kind = failure.of_status(reply.status) if name == self.name else None
        return Unclear(f"{name} answered {reply.status} {words}".rstrip(), self._retry_after(reply), kind)

    def _redirected(self, reply: Reply) -> str:
        """Name only the host of a redirect: the rest may contain what was sent."""
        try:
            host = urlsplit(reply.headers.get("Location", "")).hostname
        except ValueError:
            return "an invalid address"
        return "another path" if host is None else self._shown(host)

    def _retry_after(self, reply: Reply) -> float | None:
        """Parse `Retry-After` (RFC 9110, section 10.2.3), seconds or a date; None for anything else."""
        text = reply.headers.get("Retry-After", "").strip()
        if _SECONDS.fullmatch(text):
            return float(text)
        try:
            date = parsedate_to_datetime(text)
            # Its grammar has every date in GMT: treat one without a zone as GMT.
            stamp = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
        except (ValueError, TypeError, OverflowError):
            return None
        return max(0.0, stamp - self.clock())


def _target(path: str, *queries: str) -> str:
    query = "&".join(filter(None, queries))
    return f"{path}?{query}" if query else path


def _refuses(reply: Reply) -> bool:
    if reply.status in _REFUSED:
        return True
    try:
        code = msgspec.json.decode(reply.body, type=_Problem).error
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False
    return reply.status == HTTPStatus.BAD_REQUEST and code == _INVALID_GRANT


def _token(name: str, reply: Reply) -> str:
    try:
        answer = msgspec.json.decode(reply.body, type=_Token)
    except msgspec.ValidationError:
        raise Unclear(f"{name} answered {reply.status} with unexpected JSON") from None
    except (ValueError, RecursionError):
        raise Unclear(f"{name} answered {reply.status} with invalid JSON") from None
    token = answer.token or answer.access_token
    if not token:
        raise Unclear(f"{name} answered {reply.status} without a token")
    if not _VISIBLE.fullmatch(token):
        raise Unclear(f"{name} answered {reply.status} with an invalid token")
    return token
