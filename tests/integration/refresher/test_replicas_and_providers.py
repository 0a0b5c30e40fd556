"""Real replicas: how often a wrong password is tried in total, and the effect of a failing provider."""

import base64
import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from tests.support.fake_registry import Request, Server, answer, make_trust
from tests.support.refresher_process import PASSWORD, Place, Sidecar, refreshing, wait_until

_LIMIT = 3


def refusing(*, token: bool) -> tuple[Callable[[Request], bytes], list[Request]]:
    """Behave as a registry and its token endpoint that refuse every login, and count them."""
    failed: list[Request] = []

    def behave(request: Request) -> bytes:
        if request.path == "/token" or request.authorization:
            failed.append(request)
            return answer(401)
        realm = f"https://{request.headers['host']}/token"
        return answer(401, f'WWW-Authenticate: Bearer realm="{realm}"' if token else "WWW-Authenticate: Basic")

    return behave, failed


def refused_again(sidecar: Sidecar, before: float) -> Callable[[], bool]:
    return lambda: sidecar.metric("refreshes_total", "refused") > before


@pytest.mark.parametrize("token", [True, False])
def test_replicas_wrong_password_logins_limited(place: Place, token: bool) -> None:
    trust = make_trust(place.folder)
    behave, failed = refusing(token=token)
    place.api.label("team")
    with Server(behave, trust.server) as registry, ExitStack() as stack:
        settings = {"verify": "warn", "verify_ca": str(trust.ca_file), "registry": {"server": registry.domain}}
        place.configure(**settings)
        first = stack.enter_context(refreshing(place, "first"))
        second = stack.enter_context(refreshing(place, "second"))
        wait_until(lambda: sum(one.metric("refreshes_total", "refused") for one in (first, second)) == 1)
        assert len(failed) == (2 if token else 1)
        time.sleep(3)
        assert len(failed) == (2 if token else 1)
        leader = first if first.metric("leading") else second
        for number in range(4):
            refused = leader.metric("refreshes_total", "refused")
            place.set_password(f"{PASSWORD}-{number}")
            wait_until(refused_again(leader, refused))
        assert len(failed) == _LIMIT
        # A configuration that changes, and a new leader: what was refused is remembered.
        place.configure(**settings, log_level="debug")
        time.sleep(3)
        leader.stop()
        other = second if leader is first else first
        wait_until(lambda: other.metric("leading") == 1)
        wait_until(lambda: other.metric("refreshes_total", "refused") >= 1)
        with refreshing(place, "third"):
            time.sleep(1)
        assert len(failed) == _LIMIT


_PROGRAM = """
import json, os, sys
answers = json.load(open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "answers.json")))
answer = answers.get(sys.stdin.read())
if not isinstance(answer, str):
    print("credentials not found in native keychain" if answer is None else "")
    sys.exit(1 if answer is None else answer)
print(json.dumps({"Username": "AWS", "Secret": answer}))
"""


def logins(place: Place) -> dict[str, str]:
    secret = place.api.secrets.get("team")
    if secret is None:
        return {}
    auths = json.loads(base64.b64decode(secret["data"][".dockerconfigjson"]))["auths"]
    return {key.partition("/")[0]: entry["password"] for key, entry in auths.items()}


@pytest.mark.parametrize("failure", [None, 2])
def test_helper_failing_for_registry_previous_entry_kept(place: Place, failure: int | None) -> None:
    server, ecr = "registry.example.com", "111122223333.dkr.ecr.eu-west-1.amazonaws.com"
    program = place.folder / "docker-credential-fake"
    program.write_text(f"#!{sys.executable}\n{_PROGRAM}")
    program.chmod(0o755)

    def tell(**answers: str | int | None) -> None:
        place.write("answers.json", json.dumps(answers))

    place.api.label("team")
    place.configure(
        registry={"username": None, "token_ttl": 10},
        credential={"helper": "fake"},
        rules=[{"from": "quay.io", "to": f"{ecr}/quay"}],
    )
    path = f"{place.folder}:{os.environ['PATH']}"
    tell(**{server: f"{PASSWORD}-1", ecr: f"{PASSWORD}-1"})
    with refreshing(place, "first", PATH=path) as sidecar:
        wait_until(lambda: logins(place) == {server: f"{PASSWORD}-1", ecr: f"{PASSWORD}-1"})
        tell(**{server: f"{PASSWORD}-2", ecr: failure})
        wait_until(lambda: logins(place) == {server: f"{PASSWORD}-2", ecr: f"{PASSWORD}-1"})
        wait_until(lambda: sidecar.metric("provider_failures_total", "none") >= 1)
        assert "ProviderFailed" in place.api.reasons("registry-webhook")
    tell(**{server: f"{PASSWORD}-3", ecr: failure})
    with refreshing(place, "second", PATH=path) as sidecar:
        wait_until(lambda: sidecar.metric("refreshes_total", "provider") >= 2)
        assert logins(place) == {server: f"{PASSWORD}-3", ecr: f"{PASSWORD}-1"}
        failed = sidecar.metric("refreshes_total", "provider")
        tell(**{server: failure, ecr: f"{PASSWORD}-4"})
        wait_until(lambda: logins(place) == {server: f"{PASSWORD}-3", ecr: f"{PASSWORD}-4"})
        wait_until(lambda: sidecar.metric("refreshes_total", "provider") > failed)
        tell(**{server: f"{PASSWORD}-3", ecr: failure})
        place.configure(registry={"username": None, "token_ttl": 10}, credential={"helper": "fake"})
        wait_until(lambda: logins(place) == {server: f"{PASSWORD}-3"})
