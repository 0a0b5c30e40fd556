"""Looking up images in a registry: existing, missing and denied ones differ, and nothing secret is shown."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.fake_registry import Behaviour, Request, Server, Trust, answer, make_trust
from webhook.registry.image_lookup import ImageLookup, ImageStatus, LookupResult
from webhook.registry.www_authenticate import basic

USER = "robot"
PASSWORD = "kept-secret"  # noqa: S105 - a test's
TOKEN = "kept-secret-token"  # noqa: S105 - a test's
DIGEST = "sha256:bb142a9c18ac18a16713c1491d779697b4e107c22a97266616099d288237ef47"

Serve = Callable[[Behaviour], Server]


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Trust:
    return make_trust(tmp_path_factory.mktemp("trust"))


@pytest.fixture
def serve(trust: Trust) -> Iterator[Serve]:
    with ExitStack() as stack:
        yield lambda behave: stack.enter_context(Server(behave, trust.server))


def look(trust: Trust, image: str, *login: str, ca_file: Path | None = None) -> LookupResult:
    images = ImageLookup(ca_file=ca_file or trust.ca_file, plain_http_on_loopback=False, environment={}, timeout=15)
    found = images.check(image, *login)
    assert re.fullmatch(r"[ -~]{1,300}", found.detail)
    assert "kept-secret" not in f"{found!r} {images!r}"
    return found


def wants(challenge: str, authorization: str, status: int, otherwise: int = 401) -> Behaviour:
    """Behave as a registry that answers `status` to who shows the one authorization."""

    def behave(request: Request) -> bytes:
        if request.authorization == authorization:
            return answer(status)
        return answer(401 if request.authorization is None else otherwise, f"WWW-Authenticate: {challenge}")

    return behave


@pytest.mark.parametrize(
    ("suffix", "identifier"),
    [("", "latest"), (":1.0.0", "1.0.0"), (f"@{DIGEST}", DIGEST), (f":1.0.0@{DIGEST}", DIGEST)],
)
def test_lookup_manifest_head_by_tag_or_digest(trust: Trust, serve: Serve, suffix: str, identifier: str) -> None:
    server = serve(lambda _: answer(200))
    found = look(trust, f"127.0.0.1:{server.port}/opencti/connector{suffix}")
    assert found.status is ImageStatus.FOUND
    (request,) = server.requests
    assert (request.method, request.target) == ("HEAD", f"/v2/opencti/connector/manifests/{identifier}")
    assert "application/vnd.oci.image.index.v1+json" in request.headers["accept"]


@pytest.mark.parametrize(
    ("status", "presence", "said"),
    [
        (200, ImageStatus.FOUND, "has it"),
        (404, ImageStatus.MISSING, "does not have it"),
        (401, ImageStatus.REFUSED, "refused the credential (401)"),
        (403, ImageStatus.REFUSED, "denied access to the image (403)"),
        (429, ImageStatus.UNCLEAR, "answered 429"),
        (503, ImageStatus.UNCLEAR, "answered 503"),
    ],
)
def test_lookup_status_mapped_to_result(
    trust: Trust, serve: Serve, status: int, presence: ImageStatus, said: str
) -> None:
    server = serve(wants("Basic", basic(USER, PASSWORD), status))
    found = look(trust, f"127.0.0.1:{server.port}/app", USER, PASSWORD)
    assert found == LookupResult(presence, f"127.0.0.1:{server.port} {said}")


def test_lookup_token_scope_from_challenge(trust: Trust, serve: Serve) -> None:
    tokens = serve(lambda _: answer(200, body=f'{{"token": "{TOKEN}"}}'.encode()))
    realm = f'Bearer realm="https://127.0.0.1:{tokens.port}/token",service="x",scope="repository:app:pull"'
    server = serve(wants(realm, f"Bearer {TOKEN}", 404))
    assert look(trust, f"127.0.0.1:{server.port}/app", USER, PASSWORD).status is ImageStatus.MISSING
    (asked,) = tokens.requests
    assert asked.method == "POST"
    assert b"scope=repository%3Aapp%3Apull" in asked.body


def test_lookup_no_credential_anonymous_token(trust: Trust, serve: Serve) -> None:
    tokens = serve(lambda _: answer(200, body=f'{{"token": "{TOKEN}"}}'.encode()))
    server = serve(wants(f'Bearer realm="https://127.0.0.1:{tokens.port}/token"', f"Bearer {TOKEN}", 200))
    assert look(trust, f"127.0.0.1:{server.port}/app").status is ImageStatus.FOUND
    (asked,) = tokens.requests
    assert (asked.method, asked.authorization) == ("GET", None)


def test_lookup_no_credential_basic_refused(trust: Trust, serve: Serve) -> None:
    server = serve(wants("Basic", basic(USER, PASSWORD), 200))
    found = look(trust, f"127.0.0.1:{server.port}/app")
    assert found == LookupResult(
        ImageStatus.REFUSED, f"127.0.0.1:{server.port} requires a credential, and none is configured"
    )
    assert len(server.requests) == 1


def test_lookup_token_endpoint_refusing_refused(trust: Trust, serve: Serve) -> None:
    tokens = serve(lambda _: answer(401))
    server = serve(wants(f'Bearer realm="https://127.0.0.1:{tokens.port}/token"', f"Bearer {TOKEN}", 200))
    assert look(trust, f"127.0.0.1:{server.port}/app", USER, PASSWORD).status is ImageStatus.REFUSED


def test_lookup_certificate_untrusted_nothing_sent(trust: Trust, serve: Serve, tmp_path: Path) -> None:
    server = serve(lambda _: answer(200))
    other = make_trust(tmp_path)
    found = look(trust, f"127.0.0.1:{server.port}/app", USER, PASSWORD, ca_file=other.ca_file)
    assert found.status is ImageStatus.UNCLEAR
    assert "certificate that is not trusted" in found.detail
    assert "webhook.verify_ca" in found.hint
    assert server.requests == []


def test_lookup_invalid_image_unclear(trust: Trust) -> None:
    assert look(trust, "Not/An Image").status is ImageStatus.UNCLEAR


def test_lookup_after_refused_login_asks_no_more(trust: Trust, serve: Serve) -> None:
    server = serve(wants("Basic", basic(USER, "another"), 200))
    images = ImageLookup(ca_file=trust.ca_file, plain_http_on_loopback=False, environment={}, timeout=15)
    with ThreadPoolExecutor(8) as pool:
        names = [f"127.0.0.1:{server.port}/app-{number}" for number in range(20)]
        found = list(pool.map(lambda name: images.check(name, USER, PASSWORD), names))
    assert {one.status for one in found} == {ImageStatus.REFUSED}
    assert len([request for request in server.requests if request.authorization]) == 1


def test_lookup_image_forbidden_others_asked(trust: Trust, serve: Serve) -> None:
    def behave(request: Request) -> bytes:
        if request.authorization is None:
            return answer(401, "WWW-Authenticate: Basic")
        return answer(403 if "/secret/" in request.target else 200)

    server = serve(behave)
    images = ImageLookup(ca_file=trust.ca_file, plain_http_on_loopback=False, environment={}, timeout=15)
    names = ["secret/a", "secret/b", "open", "secret/c", "secret/d", "open"]
    found = [images.check(f"127.0.0.1:{server.port}/{name}", USER, PASSWORD).status for name in names]
    refused, there = ImageStatus.REFUSED, ImageStatus.FOUND
    assert found == [refused, refused, there, refused, refused, there]
