"""The credential of `plan`: the cluster's configuration names the server, the user's has the password."""

import json
from pathlib import Path
from typing import Any

import pytest

from webhook.config.load import load
from webhook.credentials.factory import create_provider
from webhook.diagnostics.plan.collect import with_own_credential
from webhook.settings import Configuration

_LOGIN = {"username": "robot", "password": "kept-secret"}


def configuration(registry: dict[str, Any], **webhook: Any) -> Configuration:
    text = json.dumps({"opencti": {"daemon": {"registry": registry}}, "webhook": webhook})
    return load(text.encode(), "config.yaml", {}).configuration


def keys(configuration: Configuration) -> list[str]:
    chosen = create_provider(configuration, environment={})
    return [] if chosen is None else [entry.key for entry in chosen.read().credential.entries]


@pytest.mark.parametrize(
    ("own", "theirs", "sent_to"),
    [
        ("registry.example.com", "registry.example.com", ["registry.example.com"]),
        ("Registry.example.com:443/team", "registry.example.com/other", ["registry.example.com/other/"]),
        ("registry.example.com", "127.0.0.1:8999", []),
        ("registry.example.com", "registry.example.com:8443", []),
        ("registry.example.com", "registry.example.com.evil.example", []),
        ("registry.example.com", None, []),
        (None, "registry.example.com", []),
    ],
)
@pytest.mark.parametrize("in_file", [False, True])
def test_plan_local_login_only_for_own_server(
    tmp_path: Path, own: str | None, theirs: str | None, sent_to: list[str], in_file: bool
) -> None:
    (tmp_path / "password").write_text("kept-secret")
    login = {"username": "robot"} if in_file else _LOGIN
    credential = {"file": str(tmp_path / "password")} if in_file else {}
    local = configuration(({"server": own} if own else {}) | login, credential=credential)
    cluster = configuration({"server": theirs} if theirs else {}, pull_secret={"registries": ["b.example.com"]})
    assert keys(with_own_credential(cluster, local)) == sent_to


def test_plan_verification_settings_from_local_config() -> None:
    cluster = configuration({"server": "127.0.0.1:5000"}, verify_plain_http="loopback", verify_ca="/theirs")
    merged = with_own_credential(cluster, configuration({"server": "127.0.0.1:5000", **_LOGIN}))
    assert (merged.webhook.verify_plain_http, merged.webhook.verify_ca) == ("never", None)
