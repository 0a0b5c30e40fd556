"""`doctor` on a healthy and a broken installation: the broken part is the first line."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.cluster import Cluster, Ran, eventually
from tests.e2e.pods import PULL_SECRET
from tests.e2e.program import program
from tests.e2e.refresher import without_rights
from tests.e2e.service_account import pull_secret, write_kubeconfig
from webhook.constants import DEFAULT_NAMESPACE, ENABLED_LABEL, PROGRAM

from .installation import CONFIGURATION, DEPLOYMENT, Installation

_NO_BUNDLE = [{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}]
_SOON = 60.0


def _doctor(kubeconfig: Path | None = None) -> Ran:
    return program("doctor", "--output=json", kubeconfig=kubeconfig)


def _first(ran: Ran) -> tuple[str, str, list[str]]:
    """Return the code, the message and the commands of the first finding, the most severe one."""
    assert ran.stderr == ""
    first = json.loads(ran.stdout)["findings"][0]
    return first["code"], first["message"], first["commands"]


@contextmanager
def _configured(installed: Installation, text: str) -> Iterator[None]:
    """Have another configuration in the ConfigMap, for as long as no kubelet has taken it up."""
    words = ("patch", "configmap", PROGRAM, "--namespace", DEFAULT_NAMESPACE, "--type=merge")
    installed.cluster.kubectl(*words, f"--patch={json.dumps({'data': {'config.yaml': text}})}")
    try:
        yield
    finally:
        installed.apply()


@pytest.mark.usefixtures("installed")
def test_doctor_healthy_sample_rewritten(served: str) -> None:
    ran = program("doctor", "--output=json")
    assert ran.status == 0, ran.stdout
    findings = json.loads(ran.stdout)["findings"]
    # The refresher may not have the registry's CA.
    problems = {finding["code"]: finding["message"] for finding in findings if finding["mark"] != "ok"}
    assert problems.keys() <= {"RW-CREDENTIAL-UNTRUSTED", "RW-CREDENTIAL-UNCHECKED"}, problems
    (sample,) = [finding["message"] for finding in findings if finding["code"] == "RW-DRYRUN-OK"]
    assert sample.endswith("is rewritten to registry.example.com/registry-webhook/sample")
    assert served


@pytest.mark.usefixtures("installed", "served")
def test_doctor_foreign_secret_reported(cluster: Cluster) -> None:
    namespace = cluster.make_namespace({})
    cluster.create(namespace, pull_secret())
    cluster.kubectl("label", "namespace", namespace, f"{ENABLED_LABEL}=true")
    ran = _doctor()
    cluster.kubectl("delete", "secret", PULL_SECRET, "--namespace", namespace)
    assert ran.status == 1
    code, message, commands = _first(ran)
    assert code == "RW-SECRET-FOREIGN"
    assert message.endswith(namespace)
    assert commands == [f"kubectl -n {namespace} delete secret {PULL_SECRET}"]


def test_doctor_invalid_or_outdated_configuration_reported(installed: Installation) -> None:
    with _configured(installed, "opencti: {}\nwebhook: {exclud: [x]}\n"):
        ran = _doctor()
        assert ran.status == 1
        code, message, _ = _first(ran)
        assert code == "RW-CONFIG-INVALID"
        assert "webhook.exclud" in message
        assert f"ConfigMap {DEFAULT_NAMESPACE}/{PROGRAM}, config.yaml:2" in message
    changed = {"opencti": {"daemon": {"registry": {"server": "registry.example.com/changed"}}}}
    with _configured(installed, json.dumps(changed)):
        found = json.loads(program("doctor", "--output=json").stdout)["findings"]
        (late,) = [finding["message"] for finding in found if finding["code"] == "RW-CONFIG-OUTDATED"]
        # Some replicas may have it already: the kubelet updates them one by one.
        assert any(pod in late for pod in installed.pods())
    eventually("nothing fails", lambda: _doctor().status == 0, _SOON)


def test_doctor_missing_permissions_and_bundle_reported(installed: Installation, cluster: Cluster) -> None:
    was = installed.webhook()["webhooks"][0]["clientConfig"]["caBundle"]
    with without_rights(cluster):
        ran = _doctor()
        assert ran.status == 1
        code, message, _ = _first(ran)
        assert code == "RW-RBAC-MISSING"
        assert "get, list, watch namespaces; " in message
        cluster.kubectl("patch", CONFIGURATION, "--type=json", f"--patch={json.dumps(_NO_BUNDLE)}")
        try:
            assert _first(_doctor())[0] == "RW-CABUNDLE-EMPTY"
        finally:
            put = [{"op": "add", "path": _NO_BUNDLE[0]["path"], "value": was}]
            cluster.kubectl("patch", CONFIGURATION, "--type=json", f"--patch={json.dumps(put)}")
    eventually("nothing fails", lambda: _doctor().status == 0, _SOON)


def test_doctor_scaled_to_zero_reported(installed: Installation, cluster: Cluster) -> None:
    scale = ("scale", DEPLOYMENT, "--namespace", DEFAULT_NAMESPACE)
    cluster.kubectl(*scale, "--replicas=0")
    try:
        ran = _doctor()
    finally:
        cluster.kubectl(*scale, "--replicas=2")
        installed.wait()
    assert ran.status == 1
    code, _, commands = _first(ran)
    assert code == "RW-DEPLOY-SCALED-DOWN"
    assert commands == [f"kubectl -n {DEFAULT_NAMESPACE} scale --replicas=2 deployment/{PROGRAM}"]


@pytest.mark.usefixtures("installed")
def test_doctor_unprivileged_user_checks_unknown(cluster: Cluster, tmp_path: Path) -> None:
    namespace = cluster.make_namespace({})
    ran = _doctor(write_kubeconfig(cluster, namespace, "default", tmp_path / "kubeconfig"))
    assert ran.status == 2
    assert _first(ran)[0] == "RW-CONFIG-UNKNOWN"
    findings = json.loads(ran.stdout)["findings"]
    assert {finding["mark"] for finding in findings} == {"?"}
    assert "RW-RBAC-UNKNOWN" in {finding["code"] for finding in findings}


def test_doctor_api_server_unreachable_one_line(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    cluster = {"name": "x", "cluster": {"server": "https://127.0.0.1:1"}}
    context = {"name": "x", "context": {"cluster": "x", "user": "x"}}
    users = [{"name": "x", "user": {}}]
    path.write_text(json.dumps({"clusters": [cluster], "contexts": [context], "users": users, "current-context": "x"}))
    ran = _doctor(path)
    assert (ran.status, ran.stdout) == (2, "")
    assert ran.stderr.startswith("error: ")
    assert "https://127.0.0.1:1" in ran.stderr
