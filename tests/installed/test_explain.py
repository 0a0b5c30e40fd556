"""`explain` on a healthy and a broken installation: the deciding step is first."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.e2e import node
from tests.e2e.cluster import Cluster, Manifest, Ran, eventually
from tests.e2e.installation import environment
from tests.e2e.pods import IMAGE, PULL_SECRET, REWRITTEN, becomes, pod
from tests.e2e.program import program
from tests.e2e.refresher import new_password, without_rights
from tests.e2e.registry import Registry
from tests.e2e.service_account import pull_secret, write_kubeconfig
from webhook.constants import DEFAULT_NAMESPACE, ENABLED_LABEL, PROGRAM
from webhook.pki import ca

from .installation import CONFIGURATION, DEPLOYMENT, Installation, Variant

_EXCLUDED = "registry.k8s.io/pause:3.10"
_PATIENCE = 60.0

pytestmark = pytest.mark.usefixtures("explained")


@pytest.fixture(scope="module")
def explained(installed: Installation) -> Iterator[None]:
    """Have one image excluded, as long as these tests run."""
    installed.write(Variant(settings={"exclude": ["registry.k8s.io/**"]}))
    installed.apply()
    yield
    installed.write(Variant())
    installed.apply()
    installed.wait()


def _stored(cluster: Cluster, namespace: str, manifest: Manifest) -> str:
    """Store a Pod, and give its name."""
    cluster.create(namespace, manifest)
    return str(manifest["metadata"]["name"])


def _explain(namespace: str, name: str, *words: str, kubeconfig: Path | None = None) -> Ran:
    return program("explain", f"pod/{name}", "--namespace", namespace, *words, kubeconfig=kubeconfig)


def _said(ran: Ran) -> tuple[str, str]:
    """Give the verdict and its cause."""
    assert ran.stderr == ""
    verdict, cause, *_ = (*ran.stdout.splitlines(), "")
    return verdict, cause.removeprefix("cause: ")


def _commands(ran: Ran) -> list[str]:
    """Give the commands, each of which is a line."""
    return [line.strip() for line in ran.stdout.splitlines() if line.startswith("    ")]


def _paste(*commands: str) -> None:
    """Run commands as somebody who pastes them into a shell."""
    for command in commands:
        done = subprocess.run(["bash", "-c", command], env=environment(), capture_output=True, text=True, check=False)  # noqa: S607
        assert done.returncode == 0, (command, done.stderr)


def _steps(ran: Ran) -> dict[str, str]:
    """Give for each step of a command's JSON what it came to, and why."""
    (explanation,) = json.loads(ran.stdout)
    return {step["subject"]: f"{step['mark']} {step['message']}" for step in explanation["steps"]}


def test_explain_running_pod_no_obstacle(cluster: Cluster, served: str) -> None:
    name = _stored(cluster, served, node.written("runs", secret=False))
    eventually("it runs", lambda: node.state(cluster, served, name) == "running", _PATIENCE)
    ran = _explain(served, name, "--dry-run", "--output=json")
    assert ran.status == 0
    (explanation,) = json.loads(ran.stdout)
    assert explanation["verdict"] == "was rewritten: 1 of 1 image, and no problem was found"
    assert (explanation["exists"], explanation["owner"]) == (True, f"Pod/{name}")
    assert {step["mark"] for step in explanation["steps"]} == {"ok"}
    steps = _steps(ran)
    assert steps["pull secret entry"] == f"ok registry.example.com for {REWRITTEN}"
    assert steps["dry run"] == "ok rewritten: app"
    assert steps["pull for container app"].endswith(f" has {REWRITTEN}")
    node.remove(cluster, served, name)


def test_explain_unlabelled_namespace_fixed_by_commands(cluster: Cluster) -> None:
    namespace = cluster.make_namespace({})
    cluster.kubectl("create", "deployment", "web", f"--image={IMAGE}", "--namespace", namespace)
    named = ("--namespace", namespace, "deployment/web")
    eventually("there is a Pod", lambda: "Pod" in program("explain", *named).stdout)
    ran = program("explain", *named)
    assert ran.status == 1
    verdict, cause = _said(ran)
    assert verdict.startswith(f"Pod {namespace}/web-")
    assert cause == f"namespace {namespace} does not have the label {ENABLED_LABEL}=true"
    commands = _commands(ran)
    assert commands == [
        f"kubectl label namespace {namespace} {ENABLED_LABEL}=true --overwrite",
        f"kubectl -n {namespace} rollout restart deployment/web",
    ]
    _paste(*commands)

    def is_rewritten() -> bool:
        pods = cluster.items(namespace, "pods")
        return any(pod["spec"]["containers"][0]["image"] == REWRITTEN for pod in pods)

    eventually("its Pods are rewritten", is_rewritten, _PATIENCE)


def test_explain_pod_older_than_label_named(cluster: Cluster) -> None:
    namespace = cluster.make_namespace({})
    name = _stored(cluster, namespace, pod("early", app=IMAGE))
    created = cluster.get(namespace, f"pod/{name}")["metadata"]["creationTimestamp"]
    # Times are to the second.
    eventually("a second is over", lambda: datetime.fromisoformat(created) + timedelta(seconds=1) < datetime.now(UTC))
    cluster.kubectl("label", "namespace", namespace, f"{ENABLED_LABEL}=true")
    ran = _explain(namespace, name)
    verdict, cause = _said(ran)
    assert verdict == f"Pod {namespace}/{name} was not rewritten"
    assert cause.startswith(f"the Pod was created at {created}, before the labels of namespace {namespace} ")
    _paste(*_commands(ran))
    eventually(
        "it is made again",
        lambda: cluster.get(namespace, f"pod/{name}")["spec"]["containers"][0]["image"] == REWRITTEN,
        _PATIENCE,
    )


def test_explain_pod_opted_out_named(cluster: Cluster, served: str) -> None:
    manifest = pod("opted-out", app=IMAGE)
    manifest["metadata"]["labels"] = {ENABLED_LABEL: "false"}
    ran = _explain(served, _stored(cluster, served, manifest))
    assert ran.status == 1
    cause = f"the Pod is opted out by its label {ENABLED_LABEL}=false"
    assert _said(ran) == (f"Pod {served}/opted-out was not rewritten", cause)
    _paste(*_commands(ran))
    eventually(
        "it is made again",
        lambda: cluster.get(served, "pod/opted-out")["spec"]["containers"][0]["image"] == REWRITTEN,
        _PATIENCE,
    )


def test_explain_image_excluded_named(cluster: Cluster, served: str) -> None:
    ran = _explain(served, _stored(cluster, served, pod("excluded", app=_EXCLUDED)))
    assert ran.status == 1
    verdict, cause = _said(ran)
    assert verdict.startswith(f"Pod {served}/excluded was not rewritten")
    assert f"{_EXCLUDED} " in cause
    assert "excluded by registry.k8s.io/**" in cause


def test_explain_system_namespace_named(cluster: Cluster) -> None:
    name = _stored(cluster, "kube-system", pod("explained", app=IMAGE))
    try:
        ran = _explain("kube-system", name, "--dry-run")
    finally:
        node.remove(cluster, "kube-system", name)
    assert ran.status == 1
    verdict, cause = _said(ran)
    assert verdict == "Pod kube-system/explained was not rewritten"
    assert cause.startswith("namespace kube-system is a system namespace")


def test_explain_new_workload_would_be_rewritten(served: str) -> None:
    template = {"metadata": None, "spec": pod("x", app=IMAGE)["spec"]}
    deployment = {
        "kind": "Deployment",
        "metadata": {"name": "shop", "namespace": served},
        "spec": {"template": template},
    }
    ran = program("explain", "--filename=-", "--dry-run", "--verbose", stdin=deployment)
    assert ran.status == 0, ran.stdout
    assert _said(ran)[0] == f"Deployment {served}/shop would be rewritten: 1 of 1 image"
    assert "rewritten: app" in ran.stdout


def test_explain_password_refused_named(
    installed: Installation, cluster: Cluster, served: str, registry: Registry
) -> None:
    username, password = installed.credential
    registry.admit(username, new_password())
    try:
        name = _stored(cluster, served, node.written("refused", secret=False))
        eventually("the pull fails", lambda: node.state(cluster, served, name) in node.NOT_PULLED, _PATIENCE)
        ran = _explain(served, name)
    finally:
        registry.admit(username, password)
    assert ran.status == 1
    verdict, cause = _said(ran)
    assert verdict == f"Pod {served}/{name} was rewritten, but its images cannot be pulled"
    assert f" cannot pull {REWRITTEN}: the registry requires a valid credential: " in cause
    assert "401 Unauthorized" in cause
    assert password not in ran.stdout
    node.remove(cluster, served, name)


def test_explain_foreign_secret_named(cluster: Cluster) -> None:
    namespace = cluster.make_namespace({})
    cluster.create(namespace, pull_secret())
    cluster.kubectl("label", "namespace", namespace, f"{ENABLED_LABEL}=true")
    name = _made(cluster, namespace)
    ran = _explain(namespace, name)
    # An installation that is removed leaves it, for it is somebody else's: nobody is to wait for that.
    cluster.kubectl("delete", "secret", PULL_SECRET, "--namespace", namespace)
    assert ran.status == 1
    verdict, cause = _said(ran)
    assert verdict == f"Pod {namespace}/{name} was rewritten, but its images cannot be pulled"
    assert cause == (
        f"Secret {namespace}/{PULL_SECRET} is not managed by {PROGRAM} (type kubernetes.io/dockerconfigjson)"
    )
    assert _commands(ran) == [f"kubectl -n {namespace} delete secret {PULL_SECRET}"]


def _made(cluster: Cluster, namespace: str) -> str:
    """Store a Pod once the API server calls the webhook for its namespace, and give its name."""
    eventually("the webhook is called", lambda: becomes(cluster, namespace) == REWRITTEN)
    return _stored(cluster, namespace, pod("made", app=IMAGE))


def _put_bundle(cluster: Cluster, bundle: bytes) -> None:
    """Have another `caBundle`, which the sidecar replaces as soon as it may."""
    value = base64.b64encode(bundle).decode()
    operation = {"op": "replace", "path": "/webhooks/0/clientConfig/caBundle", "value": value}
    cluster.kubectl("patch", CONFIGURATION, "--type=json", f"--patch={json.dumps([operation])}")


def _unanswered(cluster: Cluster, namespace: str, name: str) -> str:
    """Store a Pod that comes to nobody, once none does."""
    eventually("nothing is rewritten", lambda: becomes(cluster, namespace) == IMAGE, _PATIENCE)
    return _stored(cluster, namespace, pod(name, app=IMAGE))


def _authority(days: int) -> bytes:
    """Make an authority that began ten days ago, and is good for so many."""
    return ca.create_ca("foreign", datetime.now(UTC) - timedelta(days=10), timedelta(days=days)).certificate


def test_explain_no_secret_or_untrusted_webhook_named(installed: Installation, cluster: Cluster, served: str) -> None:
    without = "so Pods are created unchanged (failurePolicy: Ignore)"
    believed = installed.bundle()
    with without_rights(cluster):
        namespace = cluster.make_namespace({ENABLED_LABEL: "true"})
        ran = _explain(namespace, _made(cluster, namespace))
        assert ran.status == 1
        assert _said(ran) == (
            f"Pod {namespace}/made was rewritten, but its images cannot be pulled",
            f"Secret {namespace}/{PULL_SECRET} does not exist",
        )
        assert "logs -l app.kubernetes.io/name=registry-webhook -c refresher" in _commands(ran)[0]

        _put_bundle(cluster, b"")
        verdict, cause = _said(_explain(served, _unanswered(cluster, served, "no-bundle")))
        assert verdict == f"Pod {served}/no-bundle was not rewritten"
        assert cause == f"the webhook configuration has an empty caBundle, {without}"
        _put_bundle(cluster, _authority(days=5))
        _, cause = _said(_explain(served, _unanswered(cluster, served, "expired")))
        assert cause.startswith("the last CA in caBundle expired at 20")
        assert cause.endswith(without)
        _put_bundle(cluster, _authority(days=20))
        _, cause = _said(_explain(served, _unanswered(cluster, served, "not-believed"), "--dry-run"))
        assert cause == "all checks pass, but a dry run is not rewritten"
    eventually("the sidecar has put it back", lambda: installed.bundle() == believed, _PATIENCE)
    again = "a dry run is rewritten now"
    eventually("it is called again", lambda: again in _said(_explain(served, "not-believed", "--dry-run"))[1])


def test_explain_webhook_scaled_to_zero_named(installed: Installation, cluster: Cluster, served: str) -> None:
    scale = ("scale", DEPLOYMENT, "--namespace", DEFAULT_NAMESPACE)
    cluster.kubectl(*scale, "--replicas=0")
    try:
        name = _unanswered(cluster, served, "nobody")
        ran = _explain(served, name)
        assert ran.status == 1
        assert _said(ran) == (
            f"Pod {served}/{name} was not rewritten",
            (
                f"Service {DEFAULT_NAMESPACE}/{PROGRAM} has no ready endpoint, so Pods are created unchanged "
                "(failurePolicy: Ignore)"
            ),
        )
    finally:
        cluster.kubectl(*scale, "--replicas=2")
        installed.wait()


@pytest.fixture(scope="module")
def newcomer(cluster: Cluster, served: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a kubeconfig of somebody who may read the Pods of one namespace, and nothing else."""
    cluster.kubectl("create", "serviceaccount", "newcomer", "--namespace", served)
    cluster.kubectl("create", "role", "newcomer", "--namespace", served, "--verb=get", "--resource=pods")
    account = f"--serviceaccount={served}:newcomer"
    cluster.kubectl("create", "rolebinding", "newcomer", "--namespace", served, "--role=newcomer", account)
    return write_kubeconfig(cluster, served, "newcomer", tmp_path_factory.mktemp("newcomer") / "kubeconfig")


def test_explain_unprivileged_user_unknown(cluster: Cluster, served: str, newcomer: Path) -> None:
    manifest = pod("unreadable", app=IMAGE)
    manifest["metadata"]["labels"] = {ENABLED_LABEL: "false"}
    name = _stored(cluster, served, manifest)
    ran = _explain(served, name, kubeconfig=newcomer)
    assert ran.status == 1
    assert _said(ran)[1] == f"the Pod is opted out by its label {ENABLED_LABEL}=false"
    assert "not checked: no permission to read the labels of namespace " in ran.stdout
    assert "(ask an administrator for the role registry-webhook-reader" in ran.stdout
    steps = _steps(_explain(served, name, "--output=json", kubeconfig=newcomer))
    unknown = f"no permission to read ConfigMaps {DEFAULT_NAMESPACE}/{PROGRAM}"
    assert steps["namespace settings"] == f"? {unknown}"
    assert steps["webhook configuration"] == (f"? no permission to read MutatingWebhookConfigurations {PROGRAM}")
    missing = _explain(served, "unheard-of", kubeconfig=newcomer).stderr
    assert missing.splitlines()[0] == f"error: Pod {served}/unheard-of does not exist"
    assert "no permission to read Pods" in _explain("default", "x", kubeconfig=newcomer).stderr


def test_explain_viewer_of_one_namespace_gets_cause(cluster: Cluster) -> None:
    namespace = cluster.make_namespace({})
    cluster.kubectl("create", "rolebinding", "dev", "--namespace", namespace, "--clusterrole=view", "--user=dev")
    _stored(cluster, namespace, pod("web", app=IMAGE))
    ran = _explain(namespace, "web", "--as=dev")
    assert ran.status == 1
    assert _said(ran)[1].startswith(f"namespace {namespace} does not have the label {ENABLED_LABEL}=true")
    assert ran.stdout.count("not checked: ") == 1
    assert _commands(ran)[0] == f"kubectl label namespace {namespace} {ENABLED_LABEL}=true --overwrite"


def test_explain_as_kubectl_plugin_runs_and_completes(served: str, tmp_path: Path) -> None:
    for name, module, function in (
        ("kubectl-registry_webhook", "webhook.cli", "main"),
        ("kubectl_complete-registry_webhook", "webhook.cli.completion", "complete_for_kubectl"),
    ):
        script = tmp_path / name
        script.write_text(f"#!{sys.executable}\nfrom {module} import {function}\n{function}()\n")
        script.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"

    def kubectl(*words: str) -> str:
        variables = environment() | {"PATH": path}
        done = subprocess.run(["kubectl", *words], env=variables, capture_output=True, text=True, check=False)  # noqa: S607
        return done.stdout

    said = kubectl("registry-webhook", "explain", "pod/excluded", "--namespace", served)
    assert said.startswith(f"Pod {served}/excluded was not rewritten")
    assert kubectl("__complete", "registry-webhook", "explain", "--dry").splitlines()[0].startswith("--dry-run\t")
