"""What processes and commands import: memory, start time and what could be attacked."""

import json
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

#: What `resolve` does not need. OpenSSL, `logging` and compression are slow to import for their use.
_NOT_RESOLVE = {
    *("cryptography", "flask", "gunicorn", "httptools", "jinja2", "jsonpatch", "kubernetes", "prometheus_client"),
    *("_hashlib", "asyncio", "email", "http", "logging", "shutil", "socket", "ssl", "subprocess", "urllib3", "uvloop"),
}
#: What the commands that read a cluster do not need, of the client's dependencies too.
_NOT_CLUSTER = {
    *("aiohttp", "certifi", "dateutil", "oauthlib", "pydantic", "requests", "requests_oauthlib", "websocket"),
    *("asyncio", "flask", "gunicorn", "httptools", "jinja2", "jsonpatch", "uvloop", "werkzeug"),
    *("webhook.kube.kubernetes_yaml", "webhook.log.configuration"),
}

#: Runs a command as a user does, and prints what it has imported to standard error.
_COMMAND = """
import atexit, sys
atexit.register(lambda: print("imported:", *sys.modules, file=sys.stderr))
from webhook.cli import main
main()
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


def _imported_by(*arguments: str, status: int = 0, **variables: str) -> set[str]:
    environment = {name: value for name, value in os.environ.items() if name != "KUBECONFIG"} | variables
    command = [sys.executable, "-W", "error", "-c", _COMMAND, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == status, done.stderr
    return set(done.stderr.partition("imported:")[2].split())


@pytest.mark.parametrize("options", [[], ["--config", "config.yaml"]], ids=" ".join)
def test_resolve_imports_nothing_unused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text("registry: {server: registry.example.com}\n")
    imported = _imported_by("resolve", *options, "nginx", REGISTRY__SERVER="" if options else "registry.example.com")
    assert "webhook.images.resolver" in imported
    assert _NOT_RESOLVE & imported == set()


def test_version_imports_nothing_unused() -> None:
    assert {*_NOT_RESOLVE, "webhook.diagnostics"} & _imported_by("version") == set()


@pytest.mark.parametrize("command", [["explain", "pod/web"], ["doctor"], ["plan"], ["report"]], ids=" ".join)
def test_cluster_commands_import_nothing_unused(tmp_path: Path, trust: Trust, api: Server, command: list[str]) -> None:
    cluster = {"server": f"https://127.0.0.1:{api.port}", "certificate-authority": str(trust.ca_file)}
    config = {
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": {"token": "of-a-user"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    (tmp_path / "config").write_text(json.dumps(config))
    imported = _imported_by(*command, status=2, KUBECONFIG=str(tmp_path / "config"))
    assert _below(imported, "kubernetes") == _KUBERNETES
    assert _NOT_CLUSTER & imported == set()
    assert api.requests[0].authorization == "Bearer of-a-user"


def test_kubernetes_client_complete_for_others() -> None:
    _python(_COMPLETE)
