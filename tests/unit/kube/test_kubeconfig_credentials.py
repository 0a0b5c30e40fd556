"""Kubeconfigs: what is read from them, and what is wrong with those that cannot be used."""

import base64
import gc
import json
import os
import stat
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
    assert _problem(path).message == "cannot read the kubeconfig: permission denied"


def _load(*paths: Path) -> Configuration:
    settings = Configuration()
    kubeconfig_credentials.load(Access(kubeconfig=Path(os.pathsep.join(map(str, paths)))), settings)
    return settings


def _write(path: Path, **parts: Any) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(parts))
    return path


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _plugin(folder: Path, **status: str) -> dict[str, Any]:
    path = folder / "plugin"
    answer = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps(answer)}\nEND\n")
    path.chmod(0o700)
    return {"exec": {"apiVersion": answer["apiVersion"], "command": str(path)}}


def test_load_several_files_first_wins_paths_relative_to_each(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "ca.crt").write_text(folder)
        (tmp_path / folder / "token").write_text(f"{folder}\n")
    one = _write(
        tmp_path / "one" / "config",
        **{"current-context": "dev"},
        users=[{"name": "me", "user": {"tokenFile": "token", "token": "ignored"}}],
    )
    two = _write(
        tmp_path / "two" / "config",
        **{"current-context": "prod"},
        clusters=[{"name": "c", "cluster": {"server": "https://192.0.2.1/", "certificate-authority": "ca.crt"}}],
        contexts=[{"name": "dev", "context": {"cluster": "c", "user": "me"}}],
        users=[{"name": "me", "user": {"token": "not used"}}],
    )
    settings = _load(one, tmp_path / "missing", two)
    assert settings.host == "https://192.0.2.1"
    assert settings.ssl_ca_cert == str(tmp_path / "two" / "ca.crt")
    assert settings.api_key == {"BearerToken": "Bearer one"}


def test_load_embedded_certificate_private_file_deleted_after_use(tmp_path: Path) -> None:
    config = _kubeconfig(cluster="c1", user="u1")
    config["users"][0]["user"] = {
        "client-certificate-data": _encoded("certificate"),
        "client-key-data": _encoded("key"),
        "client-key": "not used",
    }
    config["clusters"][0]["cluster"]["certificate-authority-data"] = _encoded("ca")
    settings = _load(_write(tmp_path / "config", **config))
    files = [Path(str(one)) for one in (settings.cert_file, settings.key_file)]
    assert [one.read_text() for one in files] == ["certificate", "key"]
    assert {stat.S_IMODE(one.parent.stat().st_mode) for one in files} == {0o700}
    assert settings.ca_cert_data == "ca"
    del settings
    gc.collect()
    assert not any(one.parent.exists() for one in files)


@pytest.mark.parametrize("token", ["", "abc"])
def test_load_plugin_certificate_used_with_token(tmp_path: Path, token: str) -> None:
    config = _kubeconfig(cluster="c1", user="u1")
    certificate = {"clientCertificateData": "certificate", "clientKeyData": "key"}
    config["users"][0]["user"] = _plugin(tmp_path, token=token, **certificate)
    settings = _load(_write(tmp_path / "config", **config))
    assert Path(str(settings.key_file)).read_text() == "key"
    assert settings.api_key == ({"BearerToken": "Bearer abc"} if token else {})


def test_load_plugin_certificate_without_key_error(tmp_path: Path) -> None:
    config = _kubeconfig(cluster="c1", user="u1")
    config["users"][0]["user"] = _plugin(tmp_path, clientCertificateData="certificate")
    assert "clientKeyData" in _problem(_write(tmp_path / "config", **config)).message


def test_load_password_sent_as_basic(tmp_path: Path) -> None:
    config = _kubeconfig(cluster="c1", user="u1")
    config["users"][0]["user"] = {"username": "me", "password": "kept-secret"}
    settings = _load(_write(tmp_path / "config", **config))
    assert settings.api_key == {"BearerToken": f"Basic {_encoded('me:kept-secret')}"}


def test_load_auth_provider_token_of_client(tmp_path: Path) -> None:
    token = f"x.{_encoded('{}')}.x".replace("=", "")
    config = _kubeconfig(cluster="c1", user="u1")
    config["users"][0]["user"] = {"auth-provider": {"name": "oidc", "config": {"id-token": token}}}
    settings = _load(_write(tmp_path / "config", **config))
    assert (settings.host, settings.api_key) == ("https://192.0.2.1", {"BearerToken": f"Bearer {token}"})
