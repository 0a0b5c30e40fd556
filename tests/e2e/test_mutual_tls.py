"""A server that accepts only clients with a certificate, and two API servers, of which one presents it.

Its configuration is the one in docs/how-to/mutual-tls.md, except for folders and the webhook's name.
"""

import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from tests.support.doc_pages import CHECKOUT, blocks
from webhook.pki import ca

from .apiserver import second
from .cluster import Cluster, Ran, eventually, find_kubectl
from .installation import Installation, installed
from .pods import IMAGE, REWRITTEN, images, pod

PAGE = CHECKOUT / "docs/how-to/mutual-tls.md"
_FOLDER = "/etc/kubernetes/registry-webhook"
_SERVICE = "registry-webhook.registry-webhook.svc"


class Asked(NamedTuple):
    """An installation that asks for certificates, seen through either API server, and a namespace that it serves."""

    plain: Installation
    presenting: Installation
    namespace: str


@pytest.fixture(scope="module")
def asked(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    """Put a webhook in force without which no Pod is made, and start an API server that presents a certificate."""
    pid_file = os.environ.get("E2E_APISERVER_PID")
    if not pid_file:
        pytest.skip("E2E_APISERVER_PID does not say which process the API server is")
    pki, folder = tmp_path_factory.mktemp("pki"), tmp_path_factory.mktemp("server")
    _make_certificates(pki)
    options = (f"--client-ca={pki / 'ca.crt'}", "--client-name=kube-apiserver")
    with installed(cluster, "127.0.0.1", folder, *options, failurePolicy="Fail") as plain:
        flags = {"--admission-control-config-file": str(_write_as_shown(pki, plain.server.url))}
        with second(cluster, Path(pid_file), tmp_path_factory.mktemp("apiserver"), flags) as kubeconfig:
            kubectl = find_kubectl()
            assert kubectl is not None
            presenting = plain._replace(cluster=Cluster(kubectl, kubeconfig))
            namespace = plain.namespace(labelled=False)
            presenting.label(namespace)
            yield Asked(plain, presenting, namespace)


def _make_certificates(folder: Path) -> None:
    now, life = datetime.now(UTC), timedelta(days=1)
    ours = ca.create_ca("clients", now, life)
    pair = ca.sign(ours, ["kube-apiserver"], now, life, is_client=True)
    for name, content in {"ca.crt": ours.certificate, "client.crt": pair.certificate, "client.key": pair.key}.items():
        (folder / name).write_bytes(content)


def _write_as_shown(folder: Path, url: str) -> Path:
    """Write the page's files for a webhook that is called at `url`, and give the one that the API server is told."""
    shown = {block.title: block.text for block in blocks(PAGE)}
    for name in ("admission.yaml", "users.yaml"):
        block = shown[name]
        assert _FOLDER in block
        (folder / name).write_text(block.replace(_FOLDER, str(folder)).replace(_SERVICE, urlsplit(url).netloc))
    return folder / "admission.yaml"


def test_api_server_with_client_certificate_rewrites(asked: Asked) -> None:
    stored = asked.presenting.cluster.create(asked.namespace, pod("presented", app=IMAGE))
    assert images(stored) == {"app": REWRITTEN}


def test_api_server_without_certificate_policy_decides(asked: Asked) -> None:
    cluster, arguments = asked.plain.cluster, ("create", "--namespace", asked.namespace, "--filename=-")

    def tried() -> Ran:
        return cluster.run(*arguments, "--dry-run=server", stdin=pod("plain", app=IMAGE))

    eventually("it is refused", lambda: "failed calling webhook" in tried().stderr)
    patch = '[{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}]'
    cluster.kubectl("patch", "mutatingwebhookconfiguration", asked.plain.name, "--type=json", f"--patch={patch}")
    eventually("it is not refused", lambda: tried().status == 0)
    assert images(cluster.create(asked.namespace, pod("plain", app=IMAGE))) == {"app": IMAGE}


def test_caller_without_certificate_disconnected(asked: Asked) -> None:
    server = asked.plain.server
    trust = ssl.create_default_context(cadata=server.bundle.decode())
    with pytest.raises(OSError, match=r"certificate|closed|reset|EOF") as refused:
        urllib.request.urlopen(f"{server.url}/mutate", b"{}", timeout=20, context=trust)  # noqa: S310 - https
    assert not isinstance(refused.value, urllib.error.HTTPError)


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_probes_without_certificate_answered(asked: Asked, path: str) -> None:
    with urllib.request.urlopen(asked.plain.server.health + path, timeout=20) as answer:  # noqa: S310 - http, on loopback
        assert answer.status == 200
