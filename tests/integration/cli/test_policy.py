"""`policy`: admission policies generated from the configuration."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

Run = Callable[..., "subprocess.CompletedProcess[str]"]

_MANIFESTS = Path(__file__).parents[3] / "manifests"
_CONFIGURATION = """\
opencti: {daemon: {registry: {server: registry.example.com}}}
webhook:
  rules:
    - from: quay.io
      to: registry.example.com/quay
"""


@pytest.fixture
def configured(tmp_path: Path) -> str:
    (tmp_path / "config.yaml").write_text(_CONFIGURATION)
    return "--config=config.yaml"


@pytest.mark.parametrize("which", ["mutate", "guard"])
def test_policy_components_match_shipped_configuration(call: Run, which: str) -> None:
    made = call("policy", which, "--config", str(_MANIFESTS / "base" / "config.yaml"))
    assert made.returncode == 0
    assert made.stdout == (_MANIFESTS / "components" / f"policy-{which}" / "policy.yaml").read_text()


@pytest.mark.parametrize("which", ["mutate", "guard"])
def test_policy_yaml_and_json_equal(call: Run, configured: str, which: str) -> None:
    text = call("policy", which, configured).stdout
    listed = json.loads(call("policy", which, configured, "--output=json").stdout)
    assert list(yaml.safe_load_all(text)) == listed["items"]


def test_policy_variables_commented_rules_located(call: Run, configured: str) -> None:
    lines = call("policy", "mutate", configured).stdout.splitlines()
    named = [number for number, line in enumerate(lines) if line.startswith("    - name: ")]
    assert len(named) > 20
    assert all(lines[number - 1].startswith("    # ") for number in named)
    assert "          'quay.io': 'registry.example.com/quay', // webhook.rules[0]" in lines


def test_guard_action_option_applied(call: Run, configured: str) -> None:
    made = call("policy", "guard", configured, "--action=Warn")
    _, binding = yaml.safe_load_all(made.stdout)
    assert binding["spec"]["validationActions"] == ["Warn"]


def test_policy_too_large_one_line_exit_2(call: Run, tmp_path: Path) -> None:
    patterns = [f"registry-{number}.*.org/*/team" for number in range(1000)]
    (tmp_path / "config.yaml").write_text(json.dumps({"webhook": {"exclude": patterns}}))
    made = call("policy", "mutate", "--config=config.yaml")
    assert (made.returncode, made.stdout) == (2, "")
    assert "error: webhook.exclude " in made.stderr
    assert made.stderr.count("error: ") == 1


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ((), None),
        (("--only-private",), "--only-private"),
        (("--action=Audit",), "--action Audit"),
        (("--only-private", "--action=Warn"), "--only-private --action Warn"),
    ],
)
def test_guard_options_recorded(call: Run, configured: str, words: tuple[str, ...], options: str | None) -> None:
    policy, _ = yaml.safe_load_all(call("policy", "guard", configured, *words).stdout)
    assert policy["metadata"]["annotations"].get("registry-webhook/policy-options") == options


@pytest.mark.parametrize(
    ("which", "version", "refused"),
    [
        ("guard", "1.30", "policy guard requires Kubernetes 1.33 or newer, not 1.30"),
        ("guard", "v1.32.9-gke.100", "policy guard requires Kubernetes 1.33 or newer, not 1.32"),
        ("guard", "1.33", None),
        ("mutate", "v1.35.0", "policy mutate requires Kubernetes 1.36 or newer, not 1.35"),
        ("mutate", "1.36", None),
        ("mutate", "2.0", None),
    ],
)
def test_policy_kubernetes_version_checked(
    call: Run, configured: str, which: str, version: str, refused: str | None
) -> None:
    made = call("policy", which, configured, "--kubernetes-version", version)
    if refused is None:
        assert (made.returncode, made.stderr) == (0, "")
        assert made.stdout == call("policy", which, configured).stdout
    else:
        assert (made.returncode, made.stdout) == (2, "")
        error, hint = made.stderr.splitlines()
        assert error == f"error: {refused} (--kubernetes-version)"
        assert hint.startswith("hint: use ")


@pytest.mark.parametrize("version", ["newest", "1", "1.x", "1.30\n", "-1.30"])
def test_policy_kubernetes_version_invalid_refused(call: Run, configured: str, version: str) -> None:
    made = call("policy", "guard", configured, f"--kubernetes-version={version}")
    assert (made.returncode, made.stdout) == (2, "")
    assert "--kubernetes-version must be a version such as 1.30" in made.stderr


# From a cluster.

_VARIABLES = {"WEBHOOK__ON_ERROR": "deny", "WEBHOOK__NAMESPACES__MODE": "all", "WEBHOOK__NAMESPACES__DENY": "x, y"}


def _objects(text: str) -> dict[str, Any]:
    env = [{"name": name, "value": value} for name, value in _VARIABLES.items()]
    spec = {"template": {"spec": {"containers": [{"name": "webhook", "env": env}, {"name": "refresher"}]}}}
    named = {"name": "registry-webhook", "namespace": "registry-webhook"}
    names = "namespaces/registry-webhook/{}/registry-webhook"
    return {
        "/version": {"gitVersion": "v1.37.0"},
        f"/api/v1/{names.format('configmaps')}": {"metadata": named, "data": {"config.yaml": text}},
        f"/apis/apps/v1/{names.format('deployments')}": {"metadata": named, "spec": spec},
    }


@pytest.fixture
def cluster(api_objects: dict[str, Any]) -> dict[str, Any]:
    """An API with an installation, as objects by their paths."""
    api_objects |= _objects(_CONFIGURATION)
    return api_objects


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("which", ["mutate", "guard"])
def test_from_cluster_same_as_file_with_variables(
    call: Run, monkeypatch: pytest.MonkeyPatch, configured: str, which: str
) -> None:
    # Variables of the environment do not count for an installation's configuration.
    monkeypatch.setenv("OPENCTI__DAEMON__REGISTRY__SERVER", "local.example.com")
    made = call("policy", which, "--from-cluster", "--kubeconfig=kubeconfig")
    assert (made.returncode, made.stderr) == (0, "")
    monkeypatch.delenv("OPENCTI__DAEMON__REGISTRY__SERVER")
    for name, value in _VARIABLES.items():
        monkeypatch.setenv(name, value)
    assert made.stdout == call("policy", which, configured).stdout


def test_from_cluster_too_old_refused_unless_version_given(call: Run, cluster: dict[str, Any]) -> None:
    cluster["/version"] = {"gitVersion": "v1.32.5"}
    words = ("policy", "guard", "--from-cluster", "--kubeconfig=kubeconfig")
    made = call(*words)
    assert (made.returncode, made.stdout) == (2, "")
    assert made.stderr.startswith("error: policy guard requires Kubernetes 1.33 or newer, not 1.32 (")
    # Before the cluster is upgraded.
    assert call(*words, "--kubernetes-version=1.33").returncode == 0
    # What cannot be compared is left to the API server.
    cluster["/version"] = {"gitVersion": "unknown"}
    assert call(*words).returncode == 0


def test_from_cluster_without_installation_one_line(call: Run, cluster: dict[str, Any]) -> None:
    for path in [path for path in cluster if "configmaps" in path]:
        del cluster[path]
    made = call("policy", "guard", "--from-cluster", "--kubeconfig=kubeconfig")
    assert (made.returncode, made.stdout, made.stderr.count("error: ")) == (2, "", 1)


def test_from_cluster_invalid_configuration_all_errors(call: Run, cluster: dict[str, Any]) -> None:
    cluster |= _objects("opencti: {daemon: {registry: {server: None}}}\nwebhook: {exclude: [nginx]}")
    made = call("policy", "mutate", "--from-cluster", "--kubeconfig=kubeconfig")
    assert (made.returncode, made.stdout) == (2, "")
    assert "webhook.exclude[0]" in made.stderr


@pytest.mark.parametrize(
    "words",
    [("--from-cluster", "--config=config.yaml"), ("--kubeconfig=kubeconfig",), ("--context=c", "--config=config.yaml")],
)
def test_contradicting_sources_refused(call: Run, words: tuple[str, ...]) -> None:
    assert call("policy", "guard", *words).returncode == 2
