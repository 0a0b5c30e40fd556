"""Another webhook, called after ours, which adds a container to every Pod."""

import base64
import json
import secrets
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from webhook.pki import ca

from .cluster import Cluster

_PATCH = [{"op": "add", "path": "/spec/containers/-", "value": {"name": "injected", "image": "injected:1"}}]


class _Injects(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["request"]
        patch = base64.b64encode(json.dumps(_PATCH).encode()).decode()
        response = {"uid": request["uid"], "allowed": True, "patchType": "JSONPatch", "patch": patch}
        answer = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Say nothing."""


@contextmanager
def injecting(cluster: Cluster, address: str, folder: Path, namespaces: Sequence[str]) -> Iterator[None]:
    """Have it in force in these namespaces: it comes after ours, whose names begin otherwise."""
    now, life = datetime.now(UTC), timedelta(days=1)
    ours = ca.create_ca("injector e2e", now, life)
    pair = ca.sign(ours, [address], now, life)
    (folder / "pair").write_bytes(pair.key + pair.certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "pair")
    server = ThreadingHTTPServer(("" if address != "127.0.0.1" else address, 0), _Injects)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    name = f"zz-registry-webhook-e2e-{secrets.token_hex(4)}"
    url = f"https://{address}:{server.server_address[1]}/"
    selector = {"key": "kubernetes.io/metadata.name", "operator": "In", "values": list(namespaces)}
    pods = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    manifest = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": name},
        "webhooks": [
            {
                "name": "injector.registry-webhook.internal",
                "admissionReviewVersions": ["v1"],
                "clientConfig": {"url": url, "caBundle": base64.b64encode(ours.certificate).decode()},
                "rules": [pods],
                "namespaceSelector": {"matchExpressions": [selector]},
                "sideEffects": "None",
                "failurePolicy": "Fail",
            }
        ],
    }
    try:
        cluster.kubectl("create", "--filename=-", stdin=manifest)
        yield
    finally:
        cluster.kubectl("delete", "mutatingwebhookconfiguration", name, "--ignore-not-found")
        server.shutdown()
        server.server_close()
        thread.join(timeout=10)
