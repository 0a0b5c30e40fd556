"""Restart commands exist for valid names and known kinds only."""

import pytest

from webhook.diagnostics import restart_commands
from webhook.diagnostics.restart_commands import WorkloadName

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
def test_restart_invalid_name_no_command(name: str, kind: str) -> None:
    workload = WorkloadName(kind, name, "apps")
    assert restart_commands.command("team-a", workload) is None
    assert restart_commands.description(workload)
    assert restart_commands.command(name, WorkloadName(kind, "web", "apps")) is None


@pytest.mark.parametrize(
    ("kind", "group"),
    [("Deployment; sh", "apps"), ("Deployment", "evil.example"), ("Deployment", ""), ("Pod", ""), ("", "")],
)
def test_restart_unknown_kind_no_command(kind: str, group: str) -> None:
    assert restart_commands.command("team-a", WorkloadName(kind, "web", group)) is None


def test_restart_valid_name_command() -> None:
    line = restart_commands.command("team-a", WorkloadName("Deployment", "web.v2-1", "apps"))
    assert line == "kubectl -n team-a rollout restart deployment/web.v2-1"
