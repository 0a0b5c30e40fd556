"""`plan` predicts the effect of a label, its commands have that effect, and `report` confirms it."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from webhook.constants import ENABLED_LABEL

from .cluster import Manifest, eventually
from .installation import Installation
from .pods import IMAGE, NOWHERE, REWRITTEN, SERVER, pod
from .program import program
from .refresher import new_password
from .registry import Registry
from .service_account import write_kubeconfig

_Configure = Callable[..., str]
_LACKED = "opencti/connector-that-nobody-pushed:1.0.0"


@pytest.fixture
def configure(tmp_path: Path) -> _Configure:
    """Give what makes an option that names a configuration with this login and these settings."""

    def configure(login: dict[str, str] | None = None, **settings: object) -> str:
        written = tmp_path / "config.yaml"
        registry = {"server": SERVER, **(login or {})}
        written.write_text(json.dumps({"opencti": {"daemon": {"registry": registry}}, "webhook": settings}))
        return f"--config={written}"

    return configure


@pytest.fixture
def namespace(installation: Installation) -> str:
    """Make a namespace that nobody opted in, with a Deployment that has a Pod."""
    name = installation.namespace(labelled=False)
    cluster = installation.cluster
    cluster.create(name, _deployment("web", app=IMAGE, other=_LACKED))
    eventually("the Deployment has its Pod", lambda: cluster.items(name, "pods", "app=web"))
    return name


def _deployment(name: str, **images: str) -> Manifest:
    """Make a Deployment of one Pod that no node fits; the old Pod goes before the new one comes."""
    containers = [{"name": container, "image": image} for container, image in images.items()]
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"nodeSelector": NOWHERE, "containers": containers}}
    spec = {"selector": {"matchLabels": labels}, "strategy": {"type": "Recreate"}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def test_plan_commands_have_planned_effect(installation: Installation, namespace: str, configure: _Configure) -> None:
    cluster, config = installation.cluster, configure()
    planned = program("plan", "--namespace", namespace, config, "--output=json")
    assert planned.status == 0, planned.stderr
    (plan,) = json.loads(planned.stdout)["namespaces"]
    (step,) = plan["steps"]
    assert {change["written"]: change["resolved"] for change in step["changes"]} == {
        IMAGE: REWRITTEN,
        _LACKED: f"{SERVER}/{_LACKED}",
    }
    assert "not asked" in json.loads(planned.stdout)["asked"]

    label, restart = (shlex.split(line) for line in (plan["command"], step["command"]))
    assert label == ["kubectl", "label", "namespace", namespace, f"{ENABLED_LABEL}=true", "--overwrite"]
    installation.label(namespace)
    drifted = program("report", "--namespace", namespace, config, "--fail-on=drift", "--output=json")
    assert drifted.status == 1, drifted.stderr
    (found,) = json.loads(drifted.stdout)["namespaces"]
    (owner,) = found["owners"]
    assert (owner["kind"], owner["name"], owner["drifted"]) == ("Deployment", "web", 1)
    assert (found["counts"]["images"], found["counts"]["lacking_secret"]) == (1, 1)

    cluster.kubectl(*restart[1:])

    def has_no_drift() -> bool:
        ran = program("report", "--namespace", namespace, config, "--fail-on=drift")
        # Between the old Pod and the new one there is none.
        return ran.status == 0 and ran.stdout.startswith("No drift: 1 Pod in 1 selected namespace")

    eventually("the new Pod is as it should be", has_no_drift)


def test_report_all_namespaces_lists_unselected(
    installation: Installation, namespace: str, configure: _Configure
) -> None:
    installation.cluster.create(namespace, pod("bare", app=IMAGE))
    config = configure()
    ran = program("report", "--all-namespaces", config, "--output=json")
    assert ran.status == 0, ran.stderr
    (found,) = (one for one in json.loads(ran.stdout)["namespaces"] if one["name"] == namespace)
    assert (found["selected"], found["counts"]["pods"], found["counts"]["would_change"]) == (False, 2, 2)
    page = program("report", "--all-namespaces", config, "--output=html").stdout
    assert page.startswith("<!doctype html>")
    assert namespace in page


@pytest.mark.parametrize(("command", "first"), [("report", "Pods"), ("plan", "Deployments")])
def test_report_and_plan_forbidden_one_line(  # noqa: PLR0913, PLR0917 - fixtures
    installation: Installation, namespace: str, account: Path, configure: _Configure, command: str, first: str
) -> None:
    # The sidecar's account may read Namespaces, and neither Pods nor what makes them.
    ran = program(command, "--namespace", namespace, configure(), kubeconfig=account)
    assert ran.status == 2
    assert f"no permission to list {first} in {namespace}" in ran.stderr
    assert installation.cluster.exists(namespace, "deployment/web")


def test_plan_system_namespace_reason_named(installation: Installation, configure: _Configure) -> None:
    assert installation.cluster.exists("default", "namespace/kube-system")
    ran = program("plan", "--namespace", "kube-system", configure())
    assert ran.status == 1
    assert re.search(r"^  kube-system: namespace kube-system ", ran.stdout, re.MULTILINE)


def test_plan_images_looked_up_in_registry(registry: Registry, namespace: str, configure: _Configure) -> None:
    password = new_password()
    registry.admit("planner", password)
    authority = str(registry.settings["webhook.verify_ca"])

    def presences(password: str) -> tuple[int, dict[str, str]]:
        config = configure({"username": "planner", "password": password}, verify_ca=authority)
        ran = program("plan", "--namespace", namespace, config, "--output=json")
        return ran.status, {one["image"]: one["status"] for one in json.loads(ran.stdout)["images"]}

    assert presences(password) == (1, {f"{SERVER}/{_LACKED}": "missing", REWRITTEN: "found"})
    assert presences(new_password()) == (1, {f"{SERVER}/{_LACKED}": "refused", REWRITTEN: "refused"})


_HOSTILE = "web; touch pwned #\n$(touch pwned)\x1b[2J\x1b]0;t\x07\x9b31m\u202e\u2028\u200b"


def _controlled(manifest: Manifest, kind: str, name: str, version: str = "example.com/v1") -> Manifest:
    uid = "11111111-1111-1111-1111-111111111111"
    reference = {"apiVersion": version, "kind": kind, "name": name, "uid": uid, "controller": True}
    return {**manifest, "metadata": {**manifest["metadata"], "ownerReferences": [reference]}}


def _replica_set(name: str) -> Manifest:
    deployment = _deployment(name, app=IMAGE)
    spec = {key: deployment["spec"][key] for key in ("selector", "template")}
    return {**deployment, "kind": "ReplicaSet", "spec": {**spec, "replicas": 1}}


def test_plan_operator_workloads_grouped_by_custom_resource(installation: Installation, configure: _Configure) -> None:
    name = installation.namespace(labelled=False)
    cluster = installation.cluster
    cluster.create(name, _controlled(_replica_set("web-1"), "Rollout", "web"))
    for number in range(2):
        cluster.create(name, _controlled(pod(f"pg-{number}", app=IMAGE), "Cluster", "pg"))
    eventually("the ReplicaSet has its Pod", lambda: len(cluster.items(name, "pods")) == 3)
    ran = program("plan", "--namespace", name, configure(), "--output=json")
    (plan,) = json.loads(ran.stdout)["namespaces"]
    assert [(one["group"], one["kind"], one["name"]) for one in plan["steps"]] == [
        ("example.com", "Cluster", "pg"),
        ("example.com", "Rollout", "web"),
    ]
    assert plan["workloads"] == 2
    assert all("operator" in one["note"] for one in plan["steps"])


@pytest.mark.parametrize(
    ("command", "form"),
    [(command, form) for command in ("report", "plan") for form in ("table", "json", "yaml")] + [("report", "html")],
)
def test_report_and_plan_hostile_owner_escaped(
    installation: Installation, configure: _Configure, command: str, form: str
) -> None:
    name = installation.namespace(labelled=True)
    for number, kind in enumerate(("Deployment", _HOSTILE)):
        hostile = _controlled(pod(f"hostile-{number}", app="nginx"), kind, _HOSTILE)
        hostile["metadata"]["labels"] = {ENABLED_LABEL: "no"}
        installation.cluster.create(name, hostile)
    ran = program(command, "--namespace", name, configure(pod_opt_out="ignore"), f"--output={form}")
    assert ran.status == 0, ran.stderr
    raw = set(_HOSTILE) - set(_HOSTILE.encode("ascii", "ignore").decode()) | {"\x1b", "\x07"}
    assert raw.isdisjoint(ran.stdout + ran.stderr)
    assert not [line for line in ran.stdout.splitlines() if line.strip().startswith(("kubectl", "$(touch"))]


def test_report_and_plan_view_of_one_namespace_answer(
    installation: Installation, namespace: str, tmp_path: Path
) -> None:
    # The role `view` in one namespace: neither the configuration nor the webhook configuration is readable.
    cluster = installation.cluster
    cluster.kubectl("create", "serviceaccount", "reader", f"--namespace={namespace}")
    subject = f"--serviceaccount={namespace}:reader"
    cluster.kubectl("create", "rolebinding", "reader", "--clusterrole=view", subject, f"--namespace={namespace}")
    path = write_kubeconfig(cluster, namespace, "reader", tmp_path / "kubeconfig")
    for command in ("report", "plan"):
        ran = program(command, "--output=json", kubeconfig=path)
        assert ran.status == 0, ran.stderr
        found = json.loads(ran.stdout)
        assert [one["name"] for one in found["namespaces"]] == [namespace]
        assert len([note for note in found["notes"] if note.startswith("no permission to ")]) == 1
        assert f"registry.invalid/{IMAGE}" in ran.stdout or command == "report"
