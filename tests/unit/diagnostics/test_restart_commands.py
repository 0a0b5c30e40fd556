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


@pytest.mark.parametrize(
    ("owner", "commands"),
    [
        (WorkloadName("Deployment", "web", "apps"), ["kubectl -n team-a rollout restart deployment/web"]),
        (WorkloadName("ReplicaSet", "web-1", "apps"), ["kubectl -n team-a delete pod web-1-x"]),
        (WorkloadName("Job", "once", "batch"), ["kubectl -n team-a delete pod web-1-x"]),
        (
            WorkloadName("CronJob", "nightly", "batch"),
            ["kubectl -n team-a create job nightly-now --from=cronjob/nightly"],
        ),
        (WorkloadName("Rollout", "web", "argoproj.io"), ["kubectl -n team-a delete pod web-1-x"]),
        (
            WorkloadName("Pod", "web-1-x"),
            ["kubectl -n team-a get pod web-1-x -o yaml | kubectl replace --force -f -"],
        ),
        (None, []),
    ],
)
def test_of_pod_command_by_owner(owner: WorkloadName | None, commands: list[str]) -> None:
    remedy = restart_commands.of_pod("team-a", "web-1-x", owner)
    assert remedy.hint
    assert list(remedy.commands) == commands


_OWNERS = [("Deployment", "apps"), ("CronJob", "batch"), ("Job", "batch"), ("Pod", ""), ("Rollout", "argoproj.io")]


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize(("kind", "group"), _OWNERS)
def test_of_pod_invalid_name_no_command(name: str, kind: str, group: str) -> None:
    for namespace, pod, owner in ((name, "web", "web"), ("team-a", name, name)):
        workload = WorkloadName(kind, owner, group)
        assert restart_commands.of_pod(namespace, pod, workload).commands == ()
        assert restart_commands.without_label(namespace, pod, workload, "a/b").commands == ()


@pytest.mark.parametrize(
    ("owner", "command"),
    [
        (
            WorkloadName("Deployment", "web", "apps"),
            (
                "kubectl -n team-a patch deployment/web --type=json -p "
                """'[{"op":"remove","path":"/spec/template/metadata/labels/a~1b"}]'"""
            ),
        ),
        (
            WorkloadName("CronJob", "web", "batch"),
            (
                "kubectl -n team-a patch cronjob/web --type=json -p "
                """'[{"op":"remove","path":"/spec/jobTemplate/spec/template/metadata/labels/a~1b"}]'"""
            ),
        ),
        (WorkloadName("Pod", "web"), "kubectl -n team-a label pod web a/b-"),
        (WorkloadName("Job", "web", "batch"), None),
    ],
)
def test_without_label_command_by_owner(owner: WorkloadName, command: str | None) -> None:
    remedy = restart_commands.without_label("team-a", "web", owner, "a/b")
    assert remedy.commands == (() if command is None else (command,))


@pytest.mark.parametrize("ready", [True, False])
def test_of_pod_stateful_set_deletes_pod_that_is_not_ready(ready: bool) -> None:
    restart, delete = "kubectl -n team-a rollout restart statefulset/db", "kubectl -n team-a delete pod db-0"
    remedy = restart_commands.of_pod("team-a", "db-0", WorkloadName("StatefulSet", "db", "apps"), ready=ready)
    assert remedy.commands == ((restart,) if ready else (restart, delete))
