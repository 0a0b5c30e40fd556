"""Command lines are given for valid names alone."""

import shlex

import pytest

from webhook.diagnostics import restart_commands
from webhook.kube.objects import Owner
from webhook.output import kubectl

BAD = [
    "web; touch pwned #",
    "$(touch pwned)",
    "`touch pwned`",
    "web\ntouch pwned",
    "web|sh",
    "web&",
    "web>pwned",
    "'web",
    'we"b',
    "web web",
    "-web",
    "--all",
    "web-",
    "Web",
    "web.",
    "..",
    "",
    "w\u00ebb",
    "web\u202e",
    "web\x1b[2J",
    "!web",
    "web\n",
    "a" * 254,
]


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet"])
def test_restart_invalid_name_has_no_command(name: str, kind: str) -> None:
    owner = Owner(kind=kind, name=name, api_version="apps/v1")
    assert restart_commands.command("team-a", owner) is None
    assert restart_commands.description(owner)
    assert restart_commands.command(name, Owner(kind=kind, name="web", api_version="apps/v1")) is None


@pytest.mark.parametrize(
    ("kind", "version"),
    [("Deployment; sh", "apps/v1"), ("Deployment", "evil.example/v1"), ("Deployment", "v1"), ("Pod", "v1"), ("", "")],
)
def test_restart_unknown_kind_has_no_command(kind: str, version: str) -> None:
    assert restart_commands.command("team-a", Owner(kind=kind, name="web", api_version=version)) is None


def test_restart_valid_name_has_command() -> None:
    line = restart_commands.command("team-a", Owner(kind="Deployment", name="web.v2-1", api_version="apps/v1"))
    assert line == "kubectl -n team-a rollout restart deployment/web.v2-1"


@pytest.mark.parametrize("name", ["team.a", "a" * 64])
def test_namespace_is_a_label(name: str) -> None:
    assert not kubectl.is_namespace(name)
    assert kubectl.is_name(name)


def test_line_quotes_words() -> None:
    line = kubectl.line("label", "a b", "$x;", name="web", kind="deployment")
    assert line is not None
    assert shlex.split(line) == ["kubectl", "label", "a b", "$x;", "deployment/web"]
