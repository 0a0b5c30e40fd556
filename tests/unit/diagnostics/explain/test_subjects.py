"""Arguments of `explain` are read as kubectl reads them."""

import pytest

from webhook.diagnostics.explain import subjects
from webhook.errors import RegistryWebhookError


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["web"], [("Pod", "web")]),
        (["pod/web"], [("Pod", "web")]),
        (["pod", "web"], [("Pod", "web")]),
        (["po", "a", "b", "a"], [("Pod", "a"), ("Pod", "b")]),
        (["Pods", "web"], [("Pod", "web")]),
        (["pods.v1/web"], [("Pod", "web")]),
        (["deploy/web", "sts/db"], [("Deployment", "web"), ("StatefulSet", "db")]),
        (["deployment.apps/web"], [("Deployment", "web")]),
        (["deployments.v1.apps", "web"], [("Deployment", "web")]),
        (
            ["rs/a", "ds/b", "job/c", "cj/d", "rc/e"],
            [("ReplicaSet", "a"), ("DaemonSet", "b"), ("Job", "c"), ("CronJob", "d"), ("ReplicationController", "e")],
        ),
    ],
)
def test_parse_as_kubectl(words: list[str], found: list[tuple[str, str]]) -> None:
    assert [(one.kind.name, one.name) for one in subjects.parse(words)] == found


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["deplyoment/web"], "deployment"),
        (["podd", "web"], "pod"),
        (["service/web"], "deployment"),
        (["deployment.extensions/web"], "deployment"),
        (["pod"], "pod/NAME"),
        (["deployment/"], "KIND/NAME"),
        (["/web"], "KIND/NAME"),
        (["pod/web", "db"], "KIND/NAME"),
        (["pod/$(reboot)"], "pod/web-1"),
        (["Web_1"], "pod/web-1"),
    ],
)
def test_parse_invalid_has_hint(words: list[str], hint: str) -> None:
    with pytest.raises(RegistryWebhookError) as raised:
        subjects.parse(words)
    assert hint in raised.value.hint


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("po", "/api/v1/namespaces/team-a/pods/x"),
        ("deploy", "/apis/apps/v1/namespaces/team-a/deployments/x"),
        ("cj", "/apis/batch/v1/namespaces/team-a/cronjobs/x"),
        ("rc", "/api/v1/namespaces/team-a/replicationcontrollers/x"),
    ],
)
def test_find_kind_path(kind: str, path: str) -> None:
    assert subjects.find_kind(kind).resource.path("team-a", "x") == path
