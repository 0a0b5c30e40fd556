"""Kubeconfigs that cannot be used, and what is wrong with them."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.client import Configuration

from webhook.kube import kubeconfig_credentials
from webhook.kube.access import Access
from webhook.kube.kubeconfig_credentials import UnusableKubeconfig


def _kubeconfig(**context: str) -> dict[str, Any]:
    return {
        "clusters": [{"name": "c1", "cluster": {"server": "https://192.0.2.1"}}],
        "users": [{"name": "u1", "user": {"token": "abc"}}],
        "contexts": [{"name": "ctx", "context": context}],
        "current-context": "ctx",
    }


def _problem(path: Path) -> UnusableKubeconfig:
    access = Access(kubeconfig=path)
    with pytest.raises(UnusableKubeconfig) as caught:
        kubeconfig_credentials.load(access, Configuration())
    return caught.value


@pytest.mark.parametrize(
    ("context", "message", "hint"),
    [
        ({"cluster": "c1", "user": "gone"}, 'user "gone" of context "ctx" not found', "known users: u1"),
        ({"cluster": "gone", "user": "u1"}, 'cluster "gone" of context "ctx" not found', "known clusters: c1"),
    ],
)
def test_load_context_with_unknown_name_error(tmp_path: Path, context: dict[str, str], message: str, hint: str) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(_kubeconfig(**context)))
    error = _problem(path)
    assert (error.message, error.hint) == (message, hint)


def test_load_invalid_yaml_line_named(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text("a: 1\nb: [}\n")
    assert _problem(path).message == "not a kubeconfig file: invalid YAML, line 2"


def test_load_unreadable_file_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_path: Path) -> str:
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "kubeconfig"
    path.write_text("a: 1")
    monkeypatch.setattr(Path, "read_text", refuse)
    assert _problem(path).message == "permission denied"
