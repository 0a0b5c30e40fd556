"""`registry-webhook report` and `plan` without a cluster, and with a small one."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from webhook.diagnostics.plan.analysis import GROUPS

_Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.mark.parametrize("command", ["report", "plan"])
def test_report_and_plan_no_cluster_one_line_exit_2(call: _Run, tmp_path: Path, command: str) -> None:
    ran = call(command, "--kubeconfig", str(tmp_path / "missing"))
    assert ran.returncode == 2
    line, hint = ran.stderr.splitlines()
    assert line.startswith("error: ")
    assert str(tmp_path / "missing") in line
    assert "--kubeconfig" in hint


@pytest.mark.parametrize(("command", "form"), [("report", "html"), ("report", "table"), ("plan", "json")])
def test_help_lists_output_formats(call: _Run, command: str, form: str) -> None:
    ran = call(command, "--help")
    assert ran.returncode == 0
    assert form in ran.stdout


@pytest.mark.parametrize("words", [("report", "--fail-on", "rain"), ("plan", "-o", "html")])
def test_option_unknown_value_refused(call: _Run, words: tuple[str, ...]) -> None:
    ran = call(*words)
    assert ran.returncode == 2
    assert f'"{words[-1]}"' in ran.stderr


@pytest.fixture
def cluster(api_objects: dict[str, Any]) -> dict[str, Any]:
    """An installation, a selected namespace with a Deployment, and one that is not selected with a bare Pod."""

    def pod(name: str, namespace: str, **metadata: Any) -> dict[str, Any]:
        spec = {"containers": [{"name": "app", "image": "nginx"}]}
        named = {"name": name, "namespace": namespace, "creationTimestamp": "2026-11-20T00:00:00Z", **metadata}
        return {"metadata": named, "spec": spec, "status": {"phase": "Running"}}

    def controlled(kind: str, name: str) -> list[dict[str, Any]]:
        return [{"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": f"uid-{name}", "controller": True}]

    def named(name: str, **metadata: Any) -> dict[str, Any]:
        return {"metadata": {"name": name, "uid": f"uid-{name}", "namespace": "team-a", **metadata}}

    replica_set = named("web-1", ownerReferences=controlled("Deployment", "web"))
    team_pods = [pod(f"web-1-{n}", "team-a", ownerReferences=controlled("ReplicaSet", "web-1")) for n in range(2)]
    deployment = named("web") | {"spec": {"template": {"spec": team_pods[0]["spec"]}}}
    selected, other = named("team-a", labels={"registry-webhook/enabled": "true"}), named("other")
    here, admission = "namespaces/team-a", "/apis/admissionregistration.k8s.io/v1"
    lists: dict[str, list[dict[str, Any]]] = {
        "/api/v1/namespaces": [selected, other],
        "/api/v1/pods": [*team_pods, pod("bare", "other")],
        f"/api/v1/{here}/pods": team_pods,
        "/apis/apps/v1/replicasets": [replica_set],
        f"/apis/apps/v1/{here}/replicasets": [replica_set],
        f"/apis/apps/v1/{here}/deployments": [deployment],
        f"{admission}/mutatingadmissionpolicies": [],
    }
    api_objects |= {path: {"metadata": {}, "items": items} for path, items in lists.items()}
    api_objects[f"/api/v1/{here}"] = selected
    api_objects["/api/v1/namespaces/registry-webhook/configmaps/registry-webhook"] = {
        "metadata": {"name": "registry-webhook", "namespace": "registry-webhook"},
        "data": {"config.yaml": "opencti: {daemon: {registry: {server: registry.example.com}}}"},
    }
    return api_objects


@pytest.mark.usefixtures("cluster")
def test_report_counts_drifted_pods_by_owner(call: _Run) -> None:
    ran = call("report", "--kubeconfig=kubeconfig", "--all-namespaces", "--output=json", "--fail-on=drift")
    found = json.loads(ran.stdout)
    assert (ran.returncode, ran.stderr) == (1, "")
    assert (found["totals"]["drifted"], found["totals"]["would_change"]) == (2, 1)
    (owner,) = found["namespaces"][0]["owners"]
    assert (owner["kind"], owner["name"], owner["pods"]) == ("Deployment", "web", 2)
    assert owner["command"] == "kubectl -n team-a rollout restart deployment/web"


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(("form", "first"), [("table", "2 of 2 Pods"), ("html", "<!doctype html>")])
def test_report_form_has_owner(call: _Run, form: str, first: str) -> None:
    ran = call("report", "--kubeconfig=kubeconfig", f"--output={form}")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert first in ran.stdout.splitlines()[0]
    assert "kubectl -n team-a rollout restart deployment/web" in ran.stdout


@pytest.mark.usefixtures("cluster")
def test_plan_lists_workload_once(call: _Run) -> None:
    ran = call("plan", "--kubeconfig=kubeconfig", "--namespace=team-a", "--no-ask", "--output=json")
    assert (ran.returncode, ran.stderr) == (0, "")
    found = json.loads(ran.stdout)
    (namespace,) = found["namespaces"]
    assert [(one["kind"], one["name"]) for one in namespace["steps"]] == [("Deployment", "web")]
    assert [(one["image"], one["status"]) for one in found["images"]] == [
        ("registry.example.com/nginx", "not asked"),
    ]


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(
    "words", [("team-a",), ("team-a", "-n", "team-a"), ("-n", "team-a"), ("--as", "jane", "team-a")]
)
def test_report_and_plan_namespace_as_argument(call: _Run, words: tuple[str, ...]) -> None:
    plan = json.loads(call("plan", "--kubeconfig=kubeconfig", "--no-ask", "--output=json", *words).stdout)
    report = json.loads(call("report", "--kubeconfig=kubeconfig", "--output=json", *words).stdout)
    assert [one["name"] for one in (*plan["namespaces"], *report["namespaces"])] == ["team-a", "team-a"]


@pytest.mark.parametrize("command", ["plan", "report"])
@pytest.mark.parametrize(
    "words",
    [
        ("team-a", "-n", "team-b"),
        ("team-a", "-A"),
        ("-A", "-n", "team-a"),
        ("--as-group", "dev"),
        ("--request-timeout", "soon"),
        ("--request-timeout", ""),
        ("-l", "app==,"),
        ("-l", "app in ()"),
        ("-l", "a b"),
    ],
)
def test_report_and_plan_options_that_conflict_refused(call: _Run, command: str, words: tuple[str, ...]) -> None:
    ran = call(command, "--kubeconfig=missing", *words)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert [line.partition(": ")[0] for line in ran.stderr.splitlines()] == ["error", "hint"]


@pytest.mark.parametrize(
    "words",
    [
        ("--request-timeout", "1m30s"),
        ("--request-timeout", "0"),
        ("--request-timeout", "2.5"),
        ("-l", "app=web,tier!=db,!canary,example.com/team in (a, b),x notin (c)"),
        ("-l", ""),
    ],
)
def test_report_and_plan_option_values_accepted(call: _Run, words: tuple[str, ...]) -> None:
    ran = call("plan", "--kubeconfig=missing", *words)
    assert ran.returncode == 2
    assert "missing" in ran.stderr


@pytest.mark.usefixtures("cluster")
def test_report_and_plan_selector_sent_to_api_server(call: _Run, api_queries: list[str]) -> None:
    call("plan", "--kubeconfig=kubeconfig", "--no-ask", "team-a", "-l", "app=web")
    assert any("/deployments?" in query and "labelSelector=app%3Dweb" in query for query in api_queries)
    api_queries.clear()
    call("report", "--kubeconfig=kubeconfig", "team-a", "-l", "app=web")
    (pods,) = [query for query in api_queries if "/namespaces/team-a/pods?" in query]
    assert "labelSelector=app%3Dweb" in pods


@pytest.fixture
def view_only(cluster: dict[str, Any], tmp_path: Path) -> None:
    """A user who may read `team-a`, the namespace of the context, and nothing elsewhere."""
    denied = {"kind": "Status", "code": 403, "reason": "Forbidden", "message": "no"}
    installed = "/api/v1/namespaces/registry-webhook/configmaps/registry-webhook"
    for path in [*cluster, installed, "/apis/apps/v1/namespaces/registry-webhook/deployments/registry-webhook"]:
        if "/namespaces/team-a" not in path and path != "/version":
            cluster[path] = denied
    kubeconfig = json.loads((tmp_path / "kubeconfig").read_text())
    kubeconfig["contexts"][0]["context"]["namespace"] = "team-a"
    (tmp_path / "kubeconfig").write_text(json.dumps(kubeconfig))


@pytest.mark.usefixtures("view_only")
@pytest.mark.parametrize("words", [(), ("-n", "team-a")])
@pytest.mark.parametrize("command", ["plan", "report"])
def test_report_and_plan_view_of_one_namespace_answer(call: _Run, command: str, words: tuple[str, ...]) -> None:
    ran = call(command, "--kubeconfig=kubeconfig", "--output=json", *words)
    assert (ran.returncode, ran.stderr) == (0, "")
    found = json.loads(ran.stdout)
    assert [one["name"] for one in found["namespaces"]] == ["team-a"]
    assert (found["server"], found["configuration"]) == ("registry.invalid", "assumed configuration")
    assert "registry.invalid/nginx" in ran.stdout
    (denied,) = [note for note in found["notes"] if note.startswith("no permission to ")]
    assert "ConfigMap" in denied


@pytest.mark.usefixtures("view_only")
def test_plan_view_of_one_namespace_uses_own_registry(call: _Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY__SERVER", "registry.example.com")
    ran = call("plan", "--kubeconfig=kubeconfig", "--output=json", "--no-ask")
    assert json.loads(ran.stdout)["images"][0]["image"] == "registry.example.com/nginx"


@pytest.mark.usefixtures("view_only")
def test_plan_nothing_permitted_error(call: _Run, cluster: dict[str, Any]) -> None:
    denied = {"kind": "Status", "code": 403, "reason": "Forbidden", "message": "no"}
    for kind, group in GROUPS.items():
        api = f"/apis/{group}/v1" if group else "/api/v1"
        cluster[f"{api}/namespaces/team-a/{kind.lower()}s"] = denied
    ran = call("plan", "--kubeconfig=kubeconfig", "--no-ask")
    assert (ran.returncode, ran.stdout) == (2, "")
    error, hint = ran.stderr.splitlines()
    assert error == "error: no permission to list Deployments in team-a"
    assert "kubectl auth can-i list deployments.apps -n team-a" in hint


@pytest.mark.usefixtures("view_only")
def test_report_all_namespaces_not_permitted_hint(call: _Run) -> None:
    ran = call("report", "--kubeconfig=kubeconfig", "--all-namespaces")
    assert ran.returncode == 2
    assert ran.stderr.startswith("error: no permission to list Namespaces")
    assert "hint: name one namespace with --namespace" in ran.stderr
