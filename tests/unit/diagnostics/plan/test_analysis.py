"""What opting a namespace in would change."""

from typing import Any, Literal

import msgspec
import pytest

from tests.support.pod_factory import SECRET, SERVER, document, owned_by, settings
from webhook.config.effective import EffectiveConfig
from webhook.constants import ENABLED_LABEL
from webhook.diagnostics.evaluate import namespace_status
from webhook.diagnostics.plan.analysis import (
    NamespacePlan,
    Workload,
    most_urgent_first,
    namespaces,
    planned_images,
)
from webhook.registry.image_lookup import ImageStatus
from webhook.settings import Configuration, NamespaceSettings, WebhookSettings

Made = tuple[str, Workload]


def workload(kind: str, name: str = "web", image: str = "nginx", **spec: Any) -> Made:
    """Make what makes Pods of one container."""
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "app", "image": image}]}}
    inner = {"jobTemplate": {"spec": {"template": template}}} if kind == "CronJob" else {"template": template}
    return kind, msgspec.convert(
        {"metadata": {"name": name, "namespace": "team-a"}, "spec": {**inner, **spec}}, Workload
    )


def bare(**changes: Any) -> Made:
    return "Pod", msgspec.convert(document(**changes), Workload)


def with_metadata(made: Made, **metadata: Any) -> Made:
    kind, one = made
    found = msgspec.to_builtins(one.metadata) | {"name": one.metadata.name, "namespace": "team-a"} | metadata
    return kind, Workload(msgspec.convert(found, type(one.metadata)), one.spec, one.status)


def planned(*workloads: Made, labels: dict[str, str] | None = None) -> NamespacePlan:
    decided = settings()
    (found,) = namespaces(decided, {"team-a": namespace_status(decided, "team-a", labels or {})}, workloads)
    return found


@pytest.mark.parametrize(
    ("made", "command", "note"),
    [
        (workload("Deployment"), "kubectl -n team-a rollout restart deployment/web", None),
        (workload("StatefulSet"), "kubectl -n team-a rollout restart statefulset/web", None),
        (workload("DaemonSet"), "kubectl -n team-a rollout restart daemonset/web", None),
        (workload("Deployment", paused=True), "kubectl -n team-a rollout restart deployment/web", "paused"),
        (
            workload("DaemonSet", updateStrategy={"type": "OnDelete"}),
            "kubectl -n team-a rollout restart daemonset/web",
            "OnDelete",
        ),
        (workload("CronJob"), None, ""),
        (workload("Job"), None, "Job"),
        (workload("ReplicaSet"), None, "Pods"),
        (workload("ReplicationController"), None, "Pods"),
        (bare(name="web"), None, ""),
    ],
)
def test_plan_workload_changes_and_command(made: Made, command: str | None, note: str | None) -> None:
    (step,) = planned(made).steps
    assert (str(step), step.command) == (f"{made[0]}/web", command)
    assert bool(step.note) == (note is not None)
    assert (note or "") in step.note
    assert [(one.written, one.resolved) for one in step.changes] == [("nginx", f"{SERVER}/nginx")]
    assert step.gets_secret


@pytest.mark.parametrize(
    "made",
    [
        with_metadata(workload("Deployment"), deletionTimestamp="2026-11-20T00:00:00Z"),
        ("Pod", msgspec.convert({**document(), "status": {"phase": "Succeeded"}}, Workload)),
        (
            "Pod",
            msgspec.convert(
                {**document(ownerReferences=owned_by("Database", "pg")), "status": {"phase": "Failed"}}, Workload
            ),
        ),
    ],
)
def test_plan_finished_workload_ignored(made: Made) -> None:
    assert planned(made).workloads == 0


def owned(made: Made, kind: str, name: str, **metadata: Any) -> Made:
    return with_metadata(made, ownerReferences=owned_by(kind, name), **metadata)


@pytest.mark.parametrize(
    ("top", "below"),
    [
        ("Deployment/web", owned(workload("ReplicaSet", "web-1"), "Deployment", "web")),
        ("CronJob/web", owned(workload("Job", "web-1"), "CronJob", "web")),
        ("ReplicaSet/web", bare(ownerReferences=owned_by("ReplicaSet", "web"))),
        ("Job/web", bare(ownerReferences=owned_by("Job", "web"))),
    ],
)
def test_plan_owned_by_listed_workload_counted_once(top: str, below: Made) -> None:
    kind, _, name = top.partition("/")
    above = with_metadata(workload(kind, name), uid=f"uid-{name}")
    assert [str(step) for step in planned(below, above).steps] == [top]


@pytest.mark.parametrize(
    "below",
    [
        owned(workload("ReplicaSet", "web-1"), "Rollout", "web"),
        owned(workload("Job", "web-1"), "Rollout", "web"),
        owned(workload("ReplicationController", "web-1"), "Rollout", "web"),
        bare(ownerReferences=owned_by("Rollout", "web")),
    ],
)
def test_plan_custom_resource_owner_named(below: Made) -> None:
    (step,) = planned(below).steps
    assert (str(step), step.command) == ("Rollout.example.com/web", None)
    assert "operator" in step.note
    assert [(one.written, one.resolved) for one in step.changes] == [("nginx", f"{SERVER}/nginx")]


def test_plan_custom_resource_groups_all_levels() -> None:
    pods = [bare(name=f"pg-{number}", ownerReferences=owned_by("Cluster", "pg")) for number in range(3)]
    backup = owned(workload("Job", "backup", "redis"), "Cluster", "pg", uid="uid-backup")
    of_backup = bare(name="backup-1", images=("redis",), ownerReferences=owned_by("Job", "backup"))
    alone = bare(name="other", ownerReferences=owned_by("Cluster", "other"))
    found = planned(*pods, backup, of_backup, alone)
    assert [(str(step), len(step.changes)) for step in found.steps] == [
        ("Cluster.example.com/other", 1),
        ("Cluster.example.com/pg", 2),
    ]
    assert found.workloads == 2


def test_plan_replica_set_scaled_to_zero_ignored() -> None:
    old = owned(workload("ReplicaSet", "web-1", "redis", replicas=0), "Rollout", "web")
    new = owned(workload("ReplicaSet", "web-2", replicas=2), "Rollout", "web")
    (step,) = planned(old, new).steps
    assert [one.written for one in step.changes] == ["nginx"]
    (step,) = planned(old).steps
    assert [one.written for one in step.changes] == ["redis"]


def test_plan_unlisted_owner_names_object_itself() -> None:
    (step,) = planned(owned(workload("ReplicaSet", "web-1"), "Deployment", "gone")).steps
    assert str(step) == "ReplicaSet/web-1"


def test_plan_kind_of_other_api_group_no_command() -> None:
    reference = [{**owned_by("Deployment", "web")[0], "apiVersion": "evil.example/v1"}]
    (step,) = planned(bare(ownerReferences=reference)).steps
    assert (str(step), step.command) == ("Deployment.evil.example/web", None)


def test_plan_completed_job_ignored() -> None:
    kind, job = workload("Job")
    ended = msgspec.convert({"conditions": [{"type": "Complete", "status": "True"}]}, type(job.status))
    assert planned((kind, Workload(job.metadata, job.spec, ended))).workloads == 0


def test_plan_operator_deployment_has_command() -> None:
    made = with_metadata(workload("Deployment"), ownerReferences=owned_by("Database", "web"))
    (step,) = planned(made).steps
    assert step.command is not None
    assert "Database.example.com/web" in step.note


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (workload("Deployment", image="registry.k8s.io/pause:3.10"), ""),
        (workload("Deployment", image="ghcr.io/a/b"), ""),
        (bare(labels={ENABLED_LABEL: "false"}), ENABLED_LABEL),
    ],
)
def test_plan_unchanged_workload_has_reason(made: Made, why: str) -> None:
    found = planned(made)
    (left,) = found.left_alone
    assert left.why
    assert why in left.why
    assert found.steps == ()


def test_plan_image_at_registry_gets_secret() -> None:
    (step,) = planned(workload("Deployment", image=f"{SERVER}/app")).steps
    assert (step.changes, step.gets_secret) == ((), True)


def test_plan_pod_with_secret_not_added_again() -> None:
    (step,) = planned(bare(secrets=(SECRET,))).steps
    assert not step.gets_secret


@pytest.mark.parametrize(
    ("labels", "mode", "command"),
    [
        ({}, "labelled", f"kubectl label namespace team-a {ENABLED_LABEL}=true --overwrite"),
        ({ENABLED_LABEL: "true"}, "labelled", None),
        ({ENABLED_LABEL: "false"}, "all", f"kubectl label namespace team-a {ENABLED_LABEL}-"),
        ({}, "all", None),
    ],
)
def test_plan_opt_in_command_only_if_needed(
    labels: dict[str, str], mode: Literal["labelled", "all"], command: str | None
) -> None:
    decided = EffectiveConfig(Configuration(webhook=WebhookSettings(namespaces=NamespaceSettings(mode))), "x")
    (found,) = namespaces(decided, {"team-a": namespace_status(decided, "team-a", labels)}, ())
    assert found.command == command


def test_plan_unselectable_namespace_reason_and_no_steps() -> None:
    decided = settings()
    pods = [("Pod", msgspec.convert(document(namespace=name), Workload)) for name in ("kube-system", "denied-1")]
    standings = {name: namespace_status(decided, name, {}) for name in ("kube-system", "denied-1", "team-a")}
    found = namespaces(decided, standings, pods)
    expected = [("team-a", True), ("denied-1", False), ("kube-system", False)]
    assert [(one.name, one.selectable) for one in found] == expected
    assert all(value in found[1].why for value in ("denied-1", "denied-*", "webhook.namespaces.deny"))
    assert "kube-system" in found[2].why
    assert all(one.steps == () and one.command is None for one in found[1:])


def test_planned_images_unique_and_missing_first() -> None:
    names = {"a": "redis", "b": "nginx", "c": "docker.io/library/busybox", "d": "nginx", "e": "quay.io/a/b"}
    found = planned(*(workload("Deployment", name, image) for name, image in names.items()))
    images = planned_images([found])
    assert [one.image for one in images] == [f"{SERVER}/nginx", f"{SERVER}/quay/a/b", f"{SERVER}/redis"]
    assert images[0].workloads == ("team-a Deployment/b", "team-a Deployment/d")
    assert {one.status for one in images} == {ImageStatus.NOT_ASKED}
    answers = {f"{SERVER}/redis": ImageStatus.MISSING, f"{SERVER}/nginx": ImageStatus.FOUND}
    known = most_urgent_first(msgspec.structs.replace(one, status=answers.get(one.image, one.status)) for one in images)
    assert [(one.image.removeprefix(f"{SERVER}/"), one.status) for one in known] == [
        ("redis", ImageStatus.MISSING),
        ("quay/a/b", ImageStatus.NOT_ASKED),
        ("nginx", ImageStatus.FOUND),
    ]
