"""The refresher for a single refresh: as a Job, or as a dry run."""

import base64
import json
import secrets
from collections.abc import Callable

import pytest
import yaml

from webhook.constants import ENABLED_LABEL

from .audit import AuditLog
from .cluster import Cluster
from .node import runs, written
from .pods import PULL_SECRET
from .refresher import SECRET, Settings, Sidecar, new_password, password_in, published, version, without_rights
from .registry import Registry

pytestmark = pytest.mark.usefixtures("discreet")

_MakeSidecar = Callable[[Settings], Sidecar]
_USERNAME = "opencti.daemon.registry.username"


@pytest.fixture
def namespace(cluster: Cluster) -> str:
    """Make a namespace that is opted in."""
    return cluster.make_namespace({ENABLED_LABEL: "true"})


@pytest.fixture
def sidecar(make_sidecar: _MakeSidecar, namespace: str) -> Sidecar:
    """Make a sidecar for one namespace, which asks no registry."""
    sidecar = make_sidecar({"webhook.namespaces.allow": [namespace]})
    sidecar.set_password()
    return sidecar


def test_dry_run_shows_changes_writes_nothing(
    cluster: Cluster, sidecar: Sidecar, namespace: str, audit: AuditLog | None
) -> None:
    start = audit.end() if audit else 0
    ran = sidecar.run("--dry-run")
    assert ran.status == 0, ran.stderr
    shown = yaml.safe_load(ran.stdout)
    assert shown["metadata"]["name"] == PULL_SECRET
    assert shown["data"] == {".dockerconfigjson": "********"}
    assert f"# create in {namespace}: the Secret does not exist" in ran.stdout.splitlines()
    assert published(cluster, namespace) is None
    assert audit is None or audit.secrets_written(start) == []


def test_once_publishes_then_changes_nothing(cluster: Cluster, sidecar: Sidecar, namespace: str) -> None:
    said = "pull secret current in 1 of 1 selected namespaces"
    versions = []
    for _ in range(2):
        ran = sidecar.run("--once")
        assert (ran.status, ran.stdout.splitlines()[-1]) == (0, said), ran.stderr
        versions.append(version(cluster, namespace))
    assert versions[0] == versions[1]
    assert password_in(published(cluster, namespace)) == sidecar.password
    assert f"# keep in {namespace}" in sidecar.run("--dry-run").stdout


def test_once_foreign_secret_reported(cluster: Cluster, sidecar: Sidecar, namespace: str) -> None:
    secret = {"metadata": {"name": PULL_SECRET}, "type": "Opaque"}
    cluster.create(namespace, {"apiVersion": "v1", "kind": "Secret", **secret})
    ran = sidecar.run("--once")
    assert ran.status == 1
    assert f"{namespace}: Secret {PULL_SECRET} exists but is not managed by " in ran.stdout
    assert cluster.get(namespace, SECRET)["type"] == "Opaque"


def test_once_permissions_missing_one_line(cluster: Cluster, sidecar: Sidecar, namespace: str) -> None:
    with without_rights(cluster):
        ran = sidecar.run("--once")
    assert ran.status == 1
    assert "cannot list namespaces" in ran.stdout
    assert "Traceback" not in ran.stderr
    assert published(cluster, namespace) is None


#: A password as a file has it, with how the file ends, or as a variable has it.
_AWKWARD = [
    ("robot$team+name", 'a:b"c\\d$e f', "\n"),
    ("robot$team+name", "pâss wörd €uro 密 \\n %41 ", "\r\n"),
    ("e2e", "$HOME ${PATH} `id` 'x' \"y\" \\ : ", None),
]


@pytest.mark.parametrize(("username", "password", "end"), _AWKWARD)
def test_once_password_special_characters_pull_succeeds(  # noqa: PLR0913, PLR0917 - three of them are a row of the table
    cluster: Cluster,
    registry: Registry,
    make_sidecar: _MakeSidecar,
    namespace: str,
    username: str,
    password: str,
    end: str | None,
) -> None:
    password = f"{secrets.token_hex(6)}{password}"
    registry.admit(username, password)
    settings = {**registry.settings, _USERNAME: username, "webhook.namespaces.allow": [namespace]}
    if end is None:
        sidecar = make_sidecar({**settings, "webhook.credential.file": None})
        sidecar.set_password(password)
        ran = sidecar.run("--once", OPENCTI__DAEMON__REGISTRY__PASSWORD=password)
    else:
        sidecar = make_sidecar(settings)
        sidecar.set_password(password, end)
        ran = sidecar.run("--once")
    assert ran.status == 0, ran.stdout + ran.stderr
    assert "registry.example.com accepted the credential" in ran.stdout
    secret = cluster.get(namespace, SECRET)
    content = json.loads(base64.b64decode(secret["data"][".dockerconfigjson"]))
    assert content["auths"]["registry.example.com"]["username"] == username
    assert password_in(secret) == password
    runs(cluster, namespace, written("awkward", secret=True))


def test_once_password_refused_secret_unchanged(
    cluster: Cluster, registry: Registry, make_sidecar: _MakeSidecar, namespace: str
) -> None:
    sidecar = make_sidecar({**registry.settings, "webhook.namespaces.allow": [namespace]})
    good = sidecar.set_password()
    registry.admit(sidecar.username, good)
    assert sidecar.run("--once").status == 0
    before = version(cluster, namespace)
    sidecar.set_password(new_password())
    ran = sidecar.run("--once")
    assert ran.status == 1
    assert "refused" in ran.stdout
    assert version(cluster, namespace) == before
