"""What the processes in a Pod import: memory, start time and what could be attacked."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fake_registry import Server, Trust, answer, make_trust

#: Of the Kubernetes client, whose `__init__.py` would import several hundred modules.
_KUBERNETES = {
    "kubernetes",
    "kubernetes.client",
    "kubernetes.client.configuration",
    "kubernetes.client.exceptions",
    "kubernetes.client.rest",
    "kubernetes.config",
    "kubernetes.config.config_exception",
    "kubernetes.config.incluster_config",
    "kubernetes.utils",
    "kubernetes.utils._retry_base",
    "kubernetes.utils.keepalive",
    "kubernetes.utils.retry",
}
#: Of its dependencies and of ours, those that the refresher does not need.
_NOT_REFRESH = {
    *("certifi", "dateutil", "oauthlib", "pydantic", "requests", "websocket"),
    *("asyncio", "flask", "gunicorn", "jinja2", "jsonpatch", "uvloop", "werkzeug"),
}
_NOT_SERVE = {
    *("cryptography", "flask", "jinja2", "jsonpatch", "kubernetes", "pydantic", "requests", "urllib3", "werkzeug"),
    *("gunicorn.asgi", "gunicorn.dirty", "gunicorn.http2", "gunicorn.workers.gasgi", "multiprocessing"),
}

#: Reads from an API server as a Pod does, with a token and a CA in files.
_IN_CLUSTER = """
import sys
import webhook.cli.refresh
from webhook.kube.access import Access
from webhook.kube.client import Request, connect
import kubernetes.config.incluster_config as files
files.SERVICE_TOKEN_FILENAME, files.SERVICE_CERT_FILENAME = sys.argv[1:]
connect(Access(), lambda method, status: None).call(Request("read the version", "GET", "/version"))
print(*sys.modules, sep="\\n")
"""

_COMPLETE = """
import webhook.kube.client
import kubernetes
from kubernetes import watch
from kubernetes.utils import parse_quantity
assert kubernetes.client.V1Pod and kubernetes.config.load_kube_config and kubernetes.dynamic.DynamicClient
assert kubernetes.utils.parse_quantity is parse_quantity and watch.Watch
"""


def _python(code: str, *arguments: str, **variables: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "KUBECONFIG"} | variables
    command = [sys.executable, "-W", "error", "-c", code, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60).stdout


def _below(names: set[str], package: str) -> set[str]:
    return {name for name in names if name.partition(".")[0] == package}


@pytest.fixture
def trust(tmp_path: Path) -> Trust:
    return make_trust(tmp_path)


@pytest.fixture
def api(trust: Trust) -> Iterator[Server]:
    with Server(lambda _: answer(200, body=b"{}"), trust.server) as server:
        yield server


def test_serve_imports_nothing_unused() -> None:
    imported = set(_python("import sys, webhook.cli.serve; print(*sys.modules, sep='\\n')").split())
    assert "webhook.server.worker" in imported
    assert not _NOT_SERVE & imported


def test_refresh_in_cluster_imports_nothing_unused(tmp_path: Path, trust: Trust, api: Server) -> None:
    (tmp_path / "token").write_text("of-the-service-account")
    address = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(api.port)}
    imported = set(_python(_IN_CLUSTER, str(tmp_path / "token"), str(trust.ca_file), **address).split())
    assert _below(imported, "kubernetes") == _KUBERNETES
    assert not _NOT_REFRESH & imported
    (request,) = api.requests
    assert request.authorization == "bearer of-the-service-account"


def test_kubernetes_client_complete_for_others() -> None:
    _python(_COMPLETE)
