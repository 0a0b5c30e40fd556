"""Checking a credential with a registry: whatever it does, the result is one harmless line, in time."""

import base64
import gzip
import re
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote

import pytest

from tests.support.fake_registry import Behaviour, Proxy, Request, Server, Trust, answer, make_trust
from webhook.pki import ca
from webhook.registry.auth import Answer, CredentialChecker
from webhook.registry.failure import Failure
from webhook.registry.logins import Logins

USER = "robot$team+name"
PASSWORD = "kept-secret"  # noqa: S105 - a test's
TOKEN = "kept-secret-token.a-b_c~d+e/f=="  # noqa: S105 - a test's
NOW = 1_750_000_000.0
#: Seconds in which a slow server is given up; and in which, on a machine however busy, that must have happened.
SHORT, SURELY = 0.4, 15.0
NO_TUNNEL = "was not asked: the proxy of https_proxy"
BROKE_OFF, NOT_HTTP = "closed the connection before it answered", "sent a response that is not HTTP"
NEITHER = "answered 401 and offers neither Basic nor Bearer authentication"
ACCEPTED, REFUSED, UNCLEAR = Answer.ACCEPTED, Answer.REFUSED, Answer.UNCLEAR

Serve = Callable[..., Server]


class Checked(NamedTuple):
    """A verdict without the class of its failure."""

    answer: Answer
    detail: str
    retry_after: float | None


Check = Callable[..., Checked]


def basic(username: str = USER, password: str = PASSWORD) -> str:
    """What Basic sends."""
    return "Basic " + base64.b64encode(f"{username}:{password}".encode(errors="surrogateescape")).decode()


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Trust:
    """An authority, and a certificate that every server here shows."""
    return make_trust(tmp_path_factory.mktemp("trust"))


@pytest.fixture
def serve(trust: Trust) -> Iterator[Serve]:
    """Start a server that behaves as it is told, until the test ends."""
    with ExitStack() as stack:

        def start(behave: Behaviour, *, secure: bool = True, host: str = "127.0.0.1") -> Server:
            return stack.enter_context(Server(behave, trust.server if secure else None, host))

        yield start


@pytest.fixture
def check(trust: Trust, caplog: pytest.LogCaptureFixture) -> Check:
    """Ask about the credential, and see that the verdict shows nothing that it must not."""
    caplog.set_level("DEBUG")

    def ask(  # noqa: PLR0913 - what a test may vary
        registry: str,
        username: str = USER,
        password: str = PASSWORD,
        *,
        ca_file: Path | None = trust.ca_file,
        plain: bool = False,
        environment: dict[str, str] | None = None,
        timeout: float = SURELY,
    ) -> Checked:
        asked = CredentialChecker(
            ca_file=ca_file,
            plain_http_on_loopback=plain,
            environment=environment or {},
            timeout=timeout,
            clock=lambda: NOW,
        )
        verdict = asked.check(registry, username, password)
        assert re.fullmatch(r"[ -~]{1,500}", verdict.detail)
        assert re.fullmatch(r"[ -~]{1,700}", verdict.one_line)
        quoted = quote(password, errors="surrogateescape")
        shown = "\n".join([verdict.detail, repr(verdict), repr(asked), caplog.text])
        for secret in (password, TOKEN, basic(username, password)[6:], quoted, quoted.replace("%20", "+")):
            assert not secret or secret.lower() not in shown.lower()
        return Checked(*verdict[:3])

    return ask


@pytest.fixture
def closed() -> Iterator[int]:
    """A port of this machine on which nobody listens, nor can begin to."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def asks(challenge: str, accepted: str, refusal: int = 401) -> Behaviour:
    """Behave as a registry that wants one certain authorization."""

    def behave(request: Request) -> bytes:
        if request.authorization is None:
            return answer(401, f"WWW-Authenticate: {challenge}", body=b'{"errors": []}')
        return answer(200 if request.authorization == accepted else refusal, "WWW-Authenticate: Basic")

    return behave


def asks_for_token(realm: str, rest: str = "", refusal: int = 401) -> Behaviour:
    """Behave as a registry that wants the token."""
    return asks(f'Bearer realm="{realm}"{rest}', f"Bearer {TOKEN}", refusal)


def always(said: bytes | Iterable[bytes]) -> Behaviour:
    """Behave always the same."""
    return lambda _: said


def gives(body: str, *headers: str, status: int = 200) -> Behaviour:
    """Behave as a token endpoint with just one answer."""
    return always(answer(status, *headers, body=body.encode()))


GIVES_TOKEN = gives(f'{{"token": "{TOKEN}"}}')


def by_get(post_status: int, get: Behaviour) -> Behaviour:
    """Behave as a token endpoint that knows no POST."""
    return lambda request: answer(post_status) if request.method == "POST" else get(request)


def drips(request: Request) -> Iterator[bytes]:
    """Never come to the end of the headers, nor stay silent."""
    yield b"HTTP/1.1 200 OK\r\nDate: "
    while not request.stopped.wait(0.02):
        yield b"x"


# Basic


@pytest.mark.parametrize(
    ("suffix", "refusal", "expected"),
    [
        ("", 401, (ACCEPTED, "accepted the credential")),
        (", but wrong", 401, (REFUSED, "refused the credential (401)")),
        (", but wrong", 403, (REFUSED, "refused the credential (403)")),
        (", but wrong", 204, (UNCLEAR, "answered 204")),
        (", but wrong", 404, (UNCLEAR, "answered 404")),
        (", but wrong", 500, (UNCLEAR, "answered 500")),
    ],
)
def test_check_basic_accepted_or_refused(
    serve: Serve, check: Check, suffix: str, refusal: int, expected: tuple[Answer, str]
) -> None:
    password = PASSWORD + suffix
    registry = serve(asks('Basic realm="a registry"', basic(), refusal))
    assert check(f"{registry.domain}/team/app", USER, password) == (
        expected[0],
        f"{registry.domain} {expected[1]}",
        None,
    )
    assert [request.target for request in registry.requests] == ["/v2/", "/v2/"]
    assert registry.requests[0].authorization is None


@pytest.mark.parametrize(
    ("username", "password"),
    [
        ("Jürgen", "kept-secret-pässwörd-密码-🔑"),
        (USER, "kept-secret" + "".join(map(chr, range(32, 127)))),
        (USER, "kept-secret:with:colons"),
        (USER, "kept-secret\r\nX-Injected: yes\x00\t"),
        (USER, "kept-secret" * 400),
        ("<token>", "kept-secret%20&grant_type=x&a=b+c"),
    ],
    ids=["non-ASCII", "every ASCII", "colons", "lines", "long", "form"],
)
def test_check_credential_characters_sent_unchanged(serve: Serve, check: Check, username: str, password: str) -> None:
    registry = serve(asks("Basic", basic(username, password)))
    assert check(registry.domain, username, password).answer is ACCEPTED
    assert "x-injected" not in registry.requests[1].headers

    endpoint = serve(by_get(404, GIVES_TOKEN))
    registry = serve(asks_for_token(endpoint.url))
    assert check(registry.domain, username, password).answer is ACCEPTED
    posted, got = endpoint.requests
    form = dict(parse_qsl(posted.body.decode("ascii"), keep_blank_values=True, strict_parsing=True))
    assert (form["username"], form["password"]) == (username, password)
    assert got.authorization == basic(username, password)


def test_check_credential_not_utf8_not_sent(serve: Serve, check: Check) -> None:
    registry = serve(asks("Basic", basic()))
    verdict = check(registry.domain, USER, "kept-secret\udcff")
    assert verdict == (UNCLEAR, f"{registry.domain} was not asked: the credential is not UTF-8", None)
    assert registry.requests == []


# Neither


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (answer(200), (ACCEPTED, "allows anonymous access and does not check credentials")),
        (answer(403), (UNCLEAR, "answered 403")),
        (answer(404), (UNCLEAR, "answered 404")),
        (answer(204), (UNCLEAR, "answered 204")),
        (answer(304), (UNCLEAR, "answered 304")),
        (answer(401), (UNCLEAR, NEITHER)),
        (answer(401, 'WWW-Authenticate: Digest realm="x"'), (UNCLEAR, NEITHER)),
        (answer(401, "WWW-Authenticate: Bearer"), (UNCLEAR, "named an invalid token endpoint")),
        (b"", (UNCLEAR, BROKE_OFF)),
        (b"HTTP/1.1 20", (UNCLEAR, NOT_HTTP)),
        (b"SSH-2.0-OpenSSH\r\n", (UNCLEAR, NOT_HTTP)),
        (b"HTTP/1.1 \xff\xfe\r\n\r\n", (UNCLEAR, NOT_HTTP)),
        (b"HTTP/1.1 200 OK\r\nno header\r\n\r\n", (UNCLEAR, NOT_HTTP)),
        (b"HTTP/1.1 200 OK\r\nA: " + b"x" * 100_000 + b"\r\n\r\n", (UNCLEAR, NOT_HTTP)),
    ],
)  # fmt: skip
def test_check_no_challenge_credential_not_sent(
    serve: Serve, check: Check, said: bytes, expected: tuple[Answer, str]
) -> None:
    registry = serve(always(said))
    assert check(registry.domain) == (expected[0], f"{registry.domain} {expected[1]}", None)
    assert [request.authorization for request in registry.requests] == [None]


# Bearer


def test_check_token_requested_by_post(serve: Serve, check: Check) -> None:
    endpoint = serve(GIVES_TOKEN)
    rest = ',service="registry, the \\"first\\"",scope="registry:catalog:* repository:a/b:pull"'
    registry = serve(asks_for_token(f"{endpoint.url}/auth/token?kind=a%20b", rest))
    assert check(registry.domain) == (ACCEPTED, f"{registry.domain} accepted the credential", None)
    (posted,) = endpoint.requests
    assert (posted.method, posted.target, posted.authorization) == ("POST", "/auth/token?kind=a%20b", None)
    assert posted.headers["content-type"] == "application/x-www-form-urlencoded"
    assert dict(parse_qsl(posted.body.decode(), strict_parsing=True)) == {
        "grant_type": "password",
        "client_id": "registry-webhook",
        "service": 'registry, the "first"',
        "scope": "registry:catalog:* repository:a/b:pull",
        "username": USER,
        "password": PASSWORD,
    }
    assert [request.authorization for request in registry.requests] == [None, f"Bearer {TOKEN}"]


def test_check_challenge_without_scope_omitted(serve: Serve, check: Check) -> None:
    endpoint = serve(by_get(405, GIVES_TOKEN))
    assert check(serve(asks_for_token(endpoint.url)).domain).answer is ACCEPTED
    posted, got = endpoint.requests
    assert {name for name, _ in parse_qsl(posted.body.decode())} == {"grant_type", "client_id", "username", "password"}
    assert (posted.target, got.target) == ("/", "/")


@pytest.mark.parametrize("post_status", [400, 401, 404, 405, 501])
def test_check_post_unsupported_token_by_get(serve: Serve, check: Check, post_status: int) -> None:
    right = serve(by_get(post_status, GIVES_TOKEN))
    registry = serve(asks_for_token(f"{right.url}/token?a=b", ',service="the registry",scope="x:y:* z"'))
    assert check(registry.domain).answer is ACCEPTED
    got = right.requests[1]
    assert (got.method, got.path, got.authorization, got.body) == ("GET", "/token", basic(), b"")
    assert parse_qsl(got.target.partition("?")[2]) == [
        ("a", "b"),
        ("service", "the registry"),
        ("scope", "x:y:*"),
        ("scope", "z"),
    ]


@pytest.mark.parametrize(
    ("get", "expected"),
    [
        (answer(401), (REFUSED, "refused the credential (401)", None)),
        (answer(403, "Retry-After: 7"), (REFUSED, "refused the credential (403)", 7.0)),
        (answer(400), (UNCLEAR, "answered 400", None)),
        (answer(404), (UNCLEAR, "answered 404", None)),
        (answer(429, "Retry-After: 120"), (UNCLEAR, "answered 429", 120.0)),
    ],
)
def test_check_token_endpoint_get_refused(
    serve: Serve, check: Check, get: bytes, expected: tuple[Answer, str, float | None]
) -> None:
    registry = serve(asks_for_token(serve(by_get(404, always(get))).url))
    kind, words, retry_after = expected
    assert check(registry.domain) == (kind, f"{registry.domain}'s token endpoint 127.0.0.1 {words}", retry_after)
    assert len(registry.requests) == 1


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        (401, (REFUSED, "refused the token for the credential (401)")),
        (403, (REFUSED, "refused the token for the credential (403)")),
        (500, (UNCLEAR, "answered 500")),
        (429, (UNCLEAR, "answered 429")),
    ],
)
def test_check_token_refused_by_registry(
    serve: Serve, check: Check, refusal: int, expected: tuple[Answer, str]
) -> None:
    endpoint = serve(gives('{"token": "another"}'))
    registry = serve(asks_for_token(endpoint.url, refusal=refusal))
    assert check(registry.domain) == (expected[0], f"{registry.domain} {expected[1]}", None)


@pytest.mark.parametrize(
    "body",
    [
        f'{{"token": "{TOKEN}", "expires_in": 30}}',
        f'{{"access_token": "{TOKEN}", "expires_in": -5, "issued_at": "1999-01-01T00:00:00Z"}}',
        f'{{"token": "{TOKEN}", "access_token": "another", "expires_in": 0}}',
        f'{{"token": "", "access_token": "{TOKEN}", "expires_in": "soon", "issued_at": ["never"]}}',
        f'{{"token": null, "access_token": "{TOKEN}", "expires_in": 1e400, "refresh_token": 1}}',
    ],
)
def test_check_token_lifetime_ignored(serve: Serve, check: Check, body: str) -> None:
    endpoint = serve(gives(body))
    assert check(serve(asks_for_token(endpoint.url)).domain).answer is ACCEPTED
    assert len(endpoint.requests) == 1


def redirects(status: int, *location: str) -> Behaviour:
    return gives("", *(f"Location: {place}" for place in location), status=status)


def redirected(status: int, where: str) -> str:
    return f"answered {status} with a redirect to {where}, which is not followed"


BAD_TOKENS: list[tuple[Behaviour, str]] = [
    (gives("<html>log in</html>", "Content-Type: text/html"), "answered 200 with invalid JSON"),
    (gives(""), "answered 200 with invalid JSON"),
    (gives("[" * 60_000), "answered 200 with unexpected JSON"),
    (gives(f'{{"x": {"[" * 30_000}'), "answered 200 with invalid JSON"),
    (always(answer(200, body=b'{"token": "\xff"}')), "answered 200 with invalid JSON"),
    (
        always(answer(200, "Content-Encoding: gzip", body=gzip.compress(b" " * 20_000_000))),
        "answered 200 with more than 64 KiB",
    ),
    (always(answer(200, "Content-Encoding: gzip", body=b'{"token": "x"}')), NOT_HTTP),
    (always(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 6 + b"HTTP/1.1 200 OK\r\n\r\n"), NOT_HTTP),
    (gives('"token"'), "answered 200 with unexpected JSON"),
    (gives('{"token": {"token": "x"}}'), "answered 200 with unexpected JSON"),
    (gives("{}"), "answered 200 without a token"),
    (gives('{"token": null, "access_token": ""}'), "answered 200 without a token"),
    (gives('{"token": "kept-secret\\r\\nX-Injected: yes"}'), "answered 200 with an invalid token"),
    (gives('{"token": "kept-secret and more"}'), "answered 200 with an invalid token"),
    (gives('{"token": "kept-secret-ü"}'), "answered 200 with an invalid token"),
    (gives(" " * 70_000), "answered 200 with more than 64 KiB"),
    (always(answer(200, "Transfer-Encoding: chunked")), BROKE_OFF),
    (always(b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"token": "x"}'), BROKE_OFF),
    (always(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), BROKE_OFF),
    (always(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"tok'), BROKE_OFF),
    (redirects(302), redirected(302, "another path")),
    (redirects(303, "/login?secret=x"), redirected(303, "another path")),
    (redirects(307, "https://[::1/"), redirected(307, "an invalid address")),
    (redirects(308, f"https://u:p@{'Else' * 50}.test/?q=kept-secret"), redirected(308, f"{('else' * 50)[:97]}...")),
    (redirects(301, "https://\xe9\x85.test/"), redirected(301, "\\xe9\\x85.test")),
    (redirects(301, f"https://{PASSWORD.upper()}.test/"), redirected(301, "(not shown)")),
    (gives("", status=500), "answered 500"),
    (gives("", status=201), "answered 201 with invalid JSON"),
]  # fmt: skip


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize(("endpoint", "words"), BAD_TOKENS)
def test_check_token_endpoint_without_token_unclear(
    serve: Serve, check: Check, endpoint: Behaviour, words: str, method: str
) -> None:
    url = serve(endpoint if method == "POST" else by_get(405, endpoint)).url
    registry = serve(asks_for_token(url))
    assert check(registry.domain) == (UNCLEAR, f"{registry.domain}'s token endpoint 127.0.0.1 {words}", None)
    assert len(registry.requests) == 1


GIVEN, LOGIN_PAGE = answer(200, body=f'{{"token": "{TOKEN}"}}'.encode()), answer(200, body=b"<html>log in</html>")
#: As container runtimes have it, any status of success may come with a token.
CREATED = answer(201, body=f'{{"token": "{TOKEN}"}}'.encode())
INVALID_GRANT = answer(400, body=b'{"error": "invalid_grant"}')
REFUSALS = [answer(401), answer(403), INVALID_GRANT]
#: Answers without a token that say nothing of the credential.
ODD = [
    *(answer(status) for status in (201, 204, 400, 404, 405, 409, 415, 422, 429, 500, 501, 502, 503)),
    answer(400, body=b'{"error": "unsupported_grant_type"}'),
    answer(302, "Location: https://login.example.com/"),
    answer(200, body=b"{}"),
    answer(200, body=b" " * 70_000),
    LOGIN_PAGE,
    b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{",
    b"nonsense\r\n\r\n",
]


@pytest.mark.parametrize(
    "case",
    [
        ([GIVEN, CREATED], [answer(500)], ACCEPTED, ["POST"]),
        ([*REFUSALS, *ODD], [GIVEN, CREATED], ACCEPTED, ["POST", "GET"]),
        ([*REFUSALS, *ODD], REFUSALS, REFUSED, ["POST", "GET"]),
        (REFUSALS, ODD, REFUSED, ["POST", "GET"]),
        (ODD, ODD, UNCLEAR, ["POST", "GET"]),
    ],
    ids=["post-gives", "get-gives", "get-refuses", "post-refuses", "neither-says"],
)
def test_check_token_endpoint_post_and_get_answers(
    serve: Serve, check: Check, case: tuple[list[bytes], list[bytes], Answer, list[str]]
) -> None:
    posts, gets, verdict, methods = case
    said = {"POST": GIVEN, "GET": GIVEN}
    endpoint = serve(lambda request: said[request.method])
    registry = serve(asks_for_token(endpoint.url))
    # Each answer in turn: all pairs of the odd ones would be 400 checks over TLS that show no more.
    for number in range(max(len(posts), len(gets))):
        post, get = posts[number % len(posts)], gets[-1 - number % len(gets)]
        said.update(POST=post, GET=get)
        endpoint.requests.clear()
        assert check(registry.domain).answer is verdict, (post, get)
        assert [request.method for request in endpoint.requests] == methods, (post, get)


@pytest.mark.parametrize("known", ["POST", "GET"])
@pytest.mark.parametrize("refusal", REFUSALS)
def test_check_token_endpoint_with_known_method_one_attempt(
    serve: Serve, trust: Trust, known: str, refusal: bytes
) -> None:
    said = {"POST": GIVEN if known == "POST" else answer(401), "GET": GIVEN}
    endpoint = serve(lambda request: said[request.method])
    registry = serve(asks_for_token(endpoint.url))
    asked = CredentialChecker(ca_file=trust.ca_file, plain_http_on_loopback=False, environment={}, clock=lambda: NOW)
    assert asked.check(registry.domain, USER, PASSWORD).answer is ACCEPTED
    endpoint.requests.clear()
    said.update(POST=refusal, GET=refusal)
    assert asked.check(registry.domain, USER, "another").answer is REFUSED
    assert [request.method for request in endpoint.requests] == [known]


@pytest.mark.parametrize("token", [True, False])
def test_check_after_three_refused_logins_deferred(serve: Serve, trust: Trust, token: bool) -> None:
    now = [NOW]
    endpoint = serve(always(answer(401)))
    registry = serve(asks_for_token(endpoint.url) if token else asks("Basic", basic()))
    logins = Logins(lambda: now[0])

    def ask() -> Checked:
        # A registry of its own each time: what a restart and another replica are.
        one = CredentialChecker(ca_file=trust.ca_file, plain_http_on_loopback=False, environment={}, logins=logins)
        return Checked(*one.check(registry.domain, USER, "wrong")[:3])

    answers = [ask() for _ in range(6)]
    server = endpoint if token else registry
    assert len([one for one in server.requests if one.authorization or one.method == "POST"]) == 3
    assert answers[-1].answer is Answer.DEFERRED
    assert answers[-1].retry_after == 300.0
    now[0] += 300.0
    assert ask().answer is REFUSED


@pytest.mark.parametrize(
    ("ago", "wait"),
    [
        ([], 0),
        ([1, 2], 0),
        ([1, 2, 3], 297),
        ([1, 2, 299.9], 0.1),
        ([1, 2, 300], 0),
        ([-20, -20, -20], 300),  # another machine's clock is ahead
        ([400, 500, 600, 700, 1000], 800),
        ([400, 500, 600, 700, 1800], 0),
        ([-2000] * 9, 0),  # a clock was set back
    ],
)
def test_logins_wait_until_few_enough_were_refused(ago: list[float], wait: float) -> None:
    logins = Logins(lambda: NOW)
    logins.merge(NOW - seconds for seconds in ago)
    logins.merge(NOW - seconds for seconds in ago)
    assert logins.wait() == pytest.approx(wait)


def test_logins_refused_counts_at_once() -> None:
    for fraction in range(20):
        logins = Logins(lambda now=NOW + fraction / 7919: now)  # type: ignore[misc]
        for _ in range(3):
            logins.refused()
        assert logins.wait() > 299


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n" + GIVEN,
        b"HTTP/1.1 102 Processing\r\n\r\n" * 5 + GIVEN,
        answer(200, "Content-Encoding: gzip", body=gzip.compress(f'{{"token": "{TOKEN}"}}'.encode())),
        answer(200, "Content-Encoding: deflate", body=zlib.compress(f'{{"token": "{TOKEN}"}}'.encode())),
        answer(200, "Content-Encoding: identity", body=f'{{"token": "{TOKEN}"}}'.encode()),
    ],
)
@pytest.mark.parametrize("method", ["POST", "GET"])
def test_check_token_in_any_encoding_accepted(serve: Serve, check: Check, said: bytes, method: str) -> None:
    endpoint = serve(always(said) if method == "POST" else by_get(405, always(said)))
    assert check(serve(asks_for_token(endpoint.url)).domain).answer is ACCEPTED
    assert endpoint.requests[-1].method == method


def test_check_bearer_preferred_over_basic(serve: Serve, check: Check) -> None:
    endpoint = serve(GIVES_TOKEN)

    def behave(request: Request) -> bytes:
        if request.authorization == f"Bearer {TOKEN}":
            return answer(200)
        bearer = f'wWw-aUthenticate: Negotiate abc==, bEARER Realm="{endpoint.url}"'
        return answer(401, 'WWW-Authenticate: Basic realm="x"', "WWW-Authenticate: ,,broken=", bearer)

    assert check(serve(behave).domain).answer is ACCEPTED


# Where a credential is not sent


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("host", ["auth.test", "10.0.0.1", "127.0.0.1.test", "localhost.test", "[::2]"])
def test_check_plain_http_token_endpoint_not_asked(serve: Serve, check: Check, host: str, plain: bool) -> None:
    registry = serve(asks_for_token(f"http://{host}:1/token"))
    name = f"{registry.domain}'s token endpoint {host.strip('[]')}"
    detail = f"{name} was not asked: the credential would be sent without TLS"
    assert check(registry.domain, plain=plain) == (UNCLEAR, detail, None)


def test_check_loopback_http_token_endpoint_needs_option(serve: Serve, check: Check) -> None:
    endpoint = serve(GIVES_TOKEN, secure=False)
    registry = serve(asks_for_token(endpoint.url))
    verdict = check(registry.domain)
    assert verdict.answer is UNCLEAR
    assert verdict.detail.endswith("127.0.0.1 was not asked: the credential would be sent without TLS")
    assert endpoint.requests == []
    assert check(registry.domain, plain=True).answer is ACCEPTED


@pytest.mark.parametrize(
    "realm",
    [
        "", "token", "/token", "//127.0.0.1/token", "https://", "https:///token", "https://user@{}/", "https://u:p@{}/",
        "ftp://{}/", "file:///etc/passwd", "https:{}", "https://{}\\@127.0.0.1/", "https://{}/a b", "https://{}/\xfc",
        "https://{}/\t", "https://[::1/", "https://127.0.0.1:0/", "https://127.0.0.1:70000/", "https://127.0.0.1:x/",
        "https://127.0.0.1%2f/", "https://\xff.test/", "unix:///run/x", "javascript:x",
    ],
)  # fmt: skip
def test_check_realm_not_url_not_asked(serve: Serve, check: Check, realm: str) -> None:
    endpoint = serve(GIVES_TOKEN)
    quoted = realm.format(endpoint.domain).replace("\\", "\\\\")
    registry = serve(asks_for_token(quoted))
    verdict = check(registry.domain, plain=True)
    assert verdict == (UNCLEAR, f"{registry.domain} named an invalid token endpoint", None)
    assert endpoint.requests == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("place", ["knock", "basic", "post", "get", "token"])
def test_check_redirect_not_followed(serve: Serve, check: Check, status: int, place: str) -> None:
    beyond = serve(always(answer(200)))
    redirect = answer(status, f"Location: https://user:password@localhost:{beyond.port}/v2/?kept-secret#x")
    moved = always(redirect)
    endpoint = serve({"post": moved, "get": by_get(404, moved)}.get(place, GIVES_TOKEN))
    challenge = "Basic" if place == "basic" else f'Bearer realm="{endpoint.url}"'

    def behave(request: Request) -> bytes:
        if place == "knock" or request.authorization:
            return redirect
        return answer(401, f"WWW-Authenticate: {challenge}")

    verdict = check(serve(behave).domain)
    assert verdict.answer is UNCLEAR
    assert verdict.detail.endswith(f"answered {status} with a redirect to localhost, which is not followed")
    assert beyond.requests == []


# Bounds


@pytest.mark.parametrize(
    ("retry_after", "expected"),
    [
        ("120", 120.0),
        ("0", 0.0),
        (datetime.fromtimestamp(NOW + 90, UTC).strftime("%a, %d %b %Y %H:%M:%S GMT"), 90.0),
        (datetime.fromtimestamp(NOW + 90, UTC).strftime("%A, %d-%b-%y %H:%M:%S GMT"), 90.0),
        (datetime.fromtimestamp(NOW + 90, UTC).strftime("%a %b %d %H:%M:%S %Y"), 90.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("1e9", None),
        ("9" * 400, None),
        ("Mon, 99 Foo 99999 99:99:99 GMT", None),
        ("\xb2", None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_check_retry_after_parsed(
    serve: Serve, check: Check, status: int, retry_after: str, expected: float | None
) -> None:
    registry = serve(always(answer(status, f"Retry-After: {retry_after}")))
    assert check(registry.domain) == (UNCLEAR, f"{registry.domain} answered {status}", expected)


def endless_interim(request: Request) -> Iterator[bytes]:
    while not request.stopped.is_set():
        yield b"HTTP/1.1 100 Continue\r\n\r\n" * 100


def endless_headers(request: Request) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\n"
    while not request.stopped.is_set():
        yield b"A: b\r\n" * 1000


def endless_body(request: Request) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\n\r\n"
    while not request.stopped.is_set():
        yield b" " * 65536


def dripping_body(request: Request) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\n\r\n"
    while not request.stopped.wait(0.02):
        yield b" "


def endless_chunk_length(request: Request) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    while not request.stopped.is_set():
        yield b"0" * 65536


def silent(request: Request) -> Iterator[bytes]:
    request.stopped.wait()
    yield b""


@pytest.mark.parametrize("behave", [drips, dripping_body, endless_interim, silent])
def test_check_endless_answer_times_out(serve: Serve, check: Check, behave: Behaviour) -> None:
    registry = serve(asks_for_token(serve(behave).url))
    began = time.monotonic()
    verdict = check(registry.domain, timeout=SHORT)
    assert SHORT <= time.monotonic() - began < SURELY
    assert verdict.answer is UNCLEAR
    # On a machine busy enough it is not even the token endpoint that was too slow.
    assert verdict.detail.endswith(" did not answer within 0.4 s")


@pytest.mark.parametrize(
    ("behave", "words"),
    [
        (endless_headers, NOT_HTTP),
        (endless_body, "answered 200 with more than 64 KiB"),
        (endless_chunk_length, BROKE_OFF),
    ],
)
def test_check_answer_too_large_unclear(serve: Serve, check: Check, behave: Behaviour, words: str) -> None:
    registry = serve(asks_for_token(serve(behave).url))
    assert check(registry.domain) == (UNCLEAR, f"{registry.domain}'s token endpoint 127.0.0.1 {words}", None)


def test_check_timeout_closes_connection(serve: Serve, check: Check) -> None:
    gone: list[bool] = []

    def notice(request: Request) -> Iterator[bytes]:
        try:
            yield from drips(request)
        finally:
            gone.append(not request.stopped.is_set())

    registry = serve(notice)
    for timeout in (SHORT, 5 * SHORT, SURELY):
        check(registry.domain, timeout=timeout)
        if registry.requests:
            break
    deadline = time.monotonic() + SURELY
    while not gone and time.monotonic() < deadline:
        time.sleep(0.02)
    assert gone == [True]


def test_check_echoed_credential_not_in_detail(serve: Serve, check: Check) -> None:
    def echo(request: Request) -> bytes:
        told = f"{request.authorization} {request.body.decode()} {request.target}"
        lines = [f"HTTP/1.1 418 {told}", f"X-Told: {told}", f"no header {told}", f"Location: {told}", "", told]
        return "\r\n".join(lines).encode("latin-1")

    for behave in (echo, by_get(404, echo)):
        registry = serve(asks_for_token(serve(behave).url))
        assert check(registry.domain).answer is UNCLEAR

    def basic_echo(request: Request) -> bytes:
        return echo(request) if request.authorization else answer(401, "WWW-Authenticate: Basic")

    assert check(serve(basic_echo).domain).answer is UNCLEAR


def test_check_requests_stateless(serve: Serve, check: Check) -> None:
    def behave(request: Request) -> bytes:
        status = 200 if request.authorization == basic() else 401
        return answer(status, "WWW-Authenticate: Basic", "Set-Cookie: kept-secret=1; Path=/")

    registry = serve(behave)
    assert check(registry.domain).answer is ACCEPTED
    for request in registry.requests:
        assert "cookie" not in request.headers
        assert (request.headers["connection"], request.headers["accept-encoding"]) == ("close", "identity")


# Reaching it


def test_check_registry_unreachable_unclear(check: Check, closed: int) -> None:
    for domain in (f"127.0.0.1:{closed}", f"localhost:{closed}"):
        for plain in (False, True):
            detail = f"{domain} cannot be reached: connection refused"
            assert check(domain, plain=plain) == (UNCLEAR, detail, None)


def test_check_token_endpoint_unreachable_unclear(serve: Serve, check: Check, closed: int) -> None:
    registry = serve(asks_for_token(f"https://127.0.0.1:{closed}"))
    detail = f"{registry.domain}'s token endpoint 127.0.0.1 cannot be reached: connection refused"
    assert check(registry.domain) == (UNCLEAR, detail, None)


@pytest.mark.parametrize(
    "name",
    [
        ".".join(["a" * 60] * 5),  # too long for a resolver to ask anybody
        "a" * 64 + ".test",
    ],
)
def test_check_name_unresolvable_unclear(check: Check, name: str) -> None:
    verdict = check(f"{name}:5000")
    assert verdict.answer is UNCLEAR
    assert verdict.detail.endswith(" cannot be reached: the host name cannot be resolved")
    with Proxy(refusal=answer(502)) as proxy:
        environment = {"https_proxy": f"127.0.0.1:{proxy.port}"}
        assert check(f"{name}:5000", environment=environment).answer is UNCLEAR
        assert check("registry.test", environment={"https_proxy": f"{name}:1"}).detail.endswith(
            " was not asked: the proxy of https_proxy cannot be reached: the host name cannot be resolved"
        )


def test_check_slow_name_resolution_times_out(serve: Serve, check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = serve(asks("Basic", basic()))
    look_up, answered, connected = socket.getaddrinfo, threading.Event(), threading.Event()

    def late(*arguments: Any) -> Any:
        answered.wait(SURELY)
        connected.set()
        return look_up("127.0.0.1", *arguments[1:])

    monkeypatch.setattr(socket, "getaddrinfo", late)  # no resolver could be made as slow without being asked
    began = time.monotonic()
    verdict = check(registry.domain, timeout=SHORT)
    assert SHORT <= time.monotonic() - began < SURELY
    assert verdict == (UNCLEAR, f"{registry.domain} did not answer within 0.4 s", None)
    # Nor is anything said to whom the name leads to in the end.
    answered.set()
    assert connected.wait(SURELY)
    for thread in threading.enumerate():
        if thread.daemon and thread.name == "registry":
            thread.join(SURELY)
    assert registry.requests == []


@pytest.mark.parametrize("registry", ["127.0.0.1:99999", "127.0.0.1:x", "user@127.0.0.1", "", "a b", "[::1", "\r\n"])
def test_check_registry_invalid_not_asked(check: Check, registry: str) -> None:
    verdict = check(registry)
    assert verdict.answer is UNCLEAR
    assert verdict.detail.endswith(" was not asked: not a host with an optional port")


def test_check_registry_silent_times_out(check: Check) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        domain = f"127.0.0.1:{listener.getsockname()[1]}"
        for plain in (False, True):
            verdict = check(domain, plain=plain, timeout=SHORT)
            assert verdict == (UNCLEAR, f"{domain} did not answer within 0.4 s", None)


def test_check_failure_class(serve: Serve, trust: Trust) -> None:
    def failure_of(domain: str, ca_file: Path | None = trust.ca_file, **environment: str) -> Failure | None:
        asked = CredentialChecker(ca_file=ca_file, plain_http_on_loopback=False, environment=environment)
        return asked.check(domain, USER, PASSWORD).failure

    registry = serve(asks("Basic", "Basic other"))
    assert failure_of(registry.domain) is Failure.UNAUTHORIZED
    assert failure_of(registry.domain, None) is Failure.UNTRUSTED
    # What is wrong is the proxy, whose certificate no setting is about.
    proxy = f"https://{registry.domain}"
    assert failure_of("registry.test", None, https_proxy=proxy) is Failure.PROXY
    assert failure_of("registry.test", https_proxy="proxy.invalid:1") is Failure.PROXY
    # Nothing is known about the credential, which was not sent.
    assert failure_of(serve(asks("Digest", "")).domain) is Failure.NOT_A_REGISTRY
    assert failure_of(serve(always(answer(403))).domain) is Failure.NOT_A_REGISTRY


# TLS


def test_check_certificate_other_ca_untrusted(serve: Serve, check: Check, tmp_path: Path) -> None:
    registry = serve(asks("Basic", basic()))
    (tmp_path / "other.pem").write_bytes(make_trust(tmp_path).ca_file.read_bytes())
    for ca_file in (tmp_path / "other.pem", None):
        for plain in (False, True):
            verdict = check(registry.domain, ca_file=ca_file, plain=plain)
            assert verdict.answer is UNCLEAR
            assert verdict.detail.startswith(f"{registry.domain} has a certificate that is not trusted: ")
    assert registry.requests == []


def test_check_certificate_other_name_untrusted(serve: Serve, check: Check) -> None:
    registry = serve(asks("Basic", basic()))
    verdict = check(f"127.0.0.2:{registry.port}")
    assert "127.0.0.2" in verdict.detail
    assert verdict.answer is UNCLEAR


def test_check_ca_file_read_at_each_check(serve: Serve, trust: Trust, tmp_path: Path) -> None:
    registry = serve(asks("Basic", basic()))
    file = tmp_path / "rotated.pem"
    file.write_text("# Zertifikate für dieses Haus\n" + make_trust(tmp_path).ca_file.read_text())
    asked = CredentialChecker(ca_file=file, plain_http_on_loopback=False, environment={})
    assert asked.check(registry.domain, USER, PASSWORD).answer is UNCLEAR
    file.write_text("# Zertifikate für dieses Haus\n" + trust.ca_file.read_text())
    assert asked.check(registry.domain, USER, PASSWORD).answer is ACCEPTED


@pytest.mark.parametrize("content", [None, b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nx\n", b"\x00\xff"])
def test_check_ca_file_invalid_named(serve: Serve, check: Check, tmp_path: Path, content: bytes | None) -> None:
    registry = serve(asks("Basic", basic()))
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    verdict = check(registry.domain, ca_file=file)
    assert verdict.answer is UNCLEAR
    assert str(file) in verdict.detail
    assert registry.requests == []


def test_check_leaf_certificate_in_ca_file_trusted(check: Check, tmp_path: Path) -> None:
    now, hour = datetime.now(UTC), timedelta(hours=1)
    pair = ca.sign(ca.create_ca("unknown", now, hour), ("127.0.0.1",), now, hour)
    (tmp_path / "pair.pem").write_bytes(pair.certificate + pair.key)
    (tmp_path / "leaf.pem").write_bytes(pair.certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "pair.pem")
    with Server(asks("Basic", basic()), context) as registry:
        assert check(registry.domain, ca_file=tmp_path / "leaf.pem").answer is ACCEPTED


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
def test_check_old_tls_refused(check: Check, trust: Trust, tmp_path: Path) -> None:
    ca_file, context = make_trust(tmp_path)
    assert ca_file != trust.ca_file
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with Server(asks("Basic", basic()), context) as registry:
        verdict = check(registry.domain, ca_file=ca_file)
        assert verdict.answer is UNCLEAR
        assert verdict.detail.startswith(f"{registry.domain} failed the TLS handshake: ")
        assert registry.requests == []


# Plain HTTP


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LocalHost"])
def test_check_loopback_http_needs_option(serve: Serve, check: Check, host: str) -> None:
    registry = serve(asks("Basic", basic()), secure=False)
    domain = f"{host}:{registry.port}"
    verdict = check(domain)
    assert verdict.answer is UNCLEAR
    assert verdict.detail.startswith(f"{domain} failed the TLS handshake: ")
    assert not any(request.method == "GET" for request in registry.requests)
    assert check(domain, plain=True).answer is ACCEPTED
    assert check(domain, USER, "kept-secret, but wrong", plain=True).answer is REFUSED


def test_check_loopback_tls_preferred(serve: Serve, check: Check) -> None:
    registry = serve(asks("Basic", basic()))
    assert check(registry.domain, plain=True).answer is ACCEPTED
    assert len(registry.requests) == 2


def test_check_plain_http_only_on_loopback(serve: Serve, check: Check) -> None:
    # On Linux a connection to this address ends on this machine, but a loopback address it is not.
    registry = serve(asks("Basic", basic()), secure=False, host="0.0.0.0")  # noqa: S104 - that is what it is about
    verdict = check(registry.domain, plain=True)
    assert verdict.answer is UNCLEAR
    assert verdict.detail.startswith(f"{registry.domain} failed the TLS handshake: ")
    assert not any(request.method == "GET" for request in registry.requests)


# Proxies


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with Proxy() as proxy:
        yield proxy


@pytest.mark.parametrize(
    ("variable", "user", "expected"),
    [
        ("https_proxy", "", None),
        ("HTTPS_PROXY", "us%40er:kept-secret-%C3%BC@", basic("us@er", "kept-secret-ü")),
    ],
)
def test_check_proxy_tunnel_requested(  # noqa: PLR0913, PLR0917 - fixtures and a table
    serve: Serve, check: Check, proxy: Proxy, variable: str, user: str, expected: str | None
) -> None:
    endpoint = serve(GIVES_TOKEN)
    registry = serve(asks_for_token(f"https://auth.test:{endpoint.port}/token"))
    domain = f"registry.test:{registry.port}"
    verdict = check(domain, environment={variable: f"http://{user}127.0.0.1:{proxy.port}"})
    assert verdict == (ACCEPTED, f"{domain} accepted the credential", None)
    told = [(request.method, request.target, request.headers.get("proxy-authorization")) for request in proxy.requests]
    assert told == [
        ("CONNECT", f"registry.test:{registry.port}", expected),
        ("CONNECT", f"auth.test:{endpoint.port}", expected),
        ("CONNECT", f"registry.test:{registry.port}", expected),
    ]
    assert not any("proxy-authorization" in request.headers for request in registry.requests)
    assert not any(PASSWORD in str(request) for request in proxy.requests if expected is None)


def test_check_docker_hub_host_mapped(check: Check) -> None:
    with Proxy(refusal=answer(502)) as proxy:
        verdict = check("docker.io", environment={"https_proxy": f"127.0.0.1:{proxy.port}"})
    assert verdict == (UNCLEAR, "docker.io was not asked: the proxy of https_proxy answered 502", None)
    assert [request.target for request in proxy.requests] == ["registry-1.docker.io:443"]


def test_check_proxy_over_tls_accepted(serve: Serve, check: Check, trust: Trust) -> None:
    registry = serve(asks("Basic", basic()))
    domain = f"registry.test:{registry.port}"
    with Proxy(trust.server) as proxy:
        environment = {"https_proxy": f"https://localhost:{proxy.port}"}
        assert check(domain, environment=environment).answer is ACCEPTED
        assert len(proxy.requests) == 2
        slow = serve(drips)
        verdict = check(f"registry.test:{slow.port}", environment=environment, timeout=SHORT)
        assert verdict.detail.endswith("did not answer within 0.4 s")


@pytest.mark.parametrize(
    ("no_proxy", "proxied"),
    [("", True), ("example.com", True), ("0.0.0.0/8", False), ("example.com, 0.0.0.0", False), ("*", False)],
)
def test_check_no_proxy_bypasses_proxy(serve: Serve, check: Check, proxy: Proxy, no_proxy: str, proxied: bool) -> None:
    registry = serve(asks("Basic", basic()), host="0.0.0.0")  # noqa: S104 - an address that is not loopback
    environment = {"https_proxy": f"http://127.0.0.1:{proxy.port}", "no_proxy": no_proxy}
    assert check(registry.domain, environment=environment).answer is ACCEPTED
    assert bool(proxy.requests) is proxied


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (
            b"HTTP/1.1 407 kept-secret\r\nX: kept-secret\r\n\r\n",
            "was not asked: the proxy of https_proxy answered 407",
        ),
        (b"HTTP/1.1 503 No\r\n\r\n", "was not asked: the proxy of https_proxy answered 503"),
        (b"HTTP/1.1 2", "(through the proxy of https_proxy) sent a response that is not HTTP"),
        (b"HTTP/1.1 200 Go on\r\n\r\n", "(through the proxy of https_proxy) "),
    ],
    ids=["407", "503", "half", "closed"],
)
def test_check_proxy_refusing_unclear(check: Check, refusal: bytes, words: str) -> None:
    with Proxy(refusal=refusal) as proxy:
        environment = {"https_proxy": f"http://user:kept-secret@127.0.0.1:{proxy.port}"}
        verdict = check("registry.test", environment=environment)
        assert verdict.answer is UNCLEAR
        assert verdict.detail.startswith(f"registry.test {words}")


def test_check_proxy_unreachable_unclear(check: Check, closed: int) -> None:
    verdict = check("registry.test", environment={"https_proxy": f"http://user:kept-secret@127.0.0.1:{closed}"})
    words = "was not asked: the proxy of https_proxy cannot be reached: connection refused"
    assert verdict == (UNCLEAR, f"registry.test {words}", None)


@pytest.mark.parametrize(
    "url",
    ["socks5://{}@127.0.0.1:1", "http://[{}", "http://127.0.0.1:{}", "http://", "http://{}:{}@"],
)
def test_check_proxy_unusable_not_bypassed(check: Check, url: str) -> None:
    verdict = check("registry.test", environment={"https_proxy": url.format(PASSWORD, PASSWORD)})
    assert verdict.answer is UNCLEAR
    assert verdict.detail.startswith("registry.test was not asked: ")


def test_check_ipv6_address_bracketed(check: Check, proxy: Proxy) -> None:
    environment = {"https_proxy": f"http://127.0.0.1:{proxy.port}"}
    assert check("[fd00::1]:65535", environment=environment).answer is UNCLEAR
    assert [request.target for request in proxy.requests] == ["[fd00::1]:65535"]
