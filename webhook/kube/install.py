"""Requests of the refresher about the certificate and the webhook configuration."""

import base64
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from webhook.constants import CERTIFICATE, PROGRAM, REPLICA_ANNOTATIONS, InstallationNames
from webhook.errors import NotFound
from webhook.kube import codec
from webhook.kube.api import ListWatch
from webhook.kube.client import APPLY, MERGE, Client, Request
from webhook.kube.codec import decoded
from webhook.pki import secret_codec
from webhook.pki.secret_codec import TlsSecret, WebhookClientConfig

_CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
_APPLIED = (("fieldManager", CERTIFICATE), ("force", "true"))
#: Creation is not forced, so that an object that another client creates at the same time is a conflict.
_CREATED = (("fieldManager", CERTIFICATE), ("force", "false"))
#: Timeout in seconds for a stopping replica to remove its report.
_LEAVE_TIMEOUT = 0.5


class InstallationClient:
    """Access to the installation's own objects. Thread-safe."""

    def __init__(self, client: Client, names: InstallationNames) -> None:
        self._client = client
        self._names = names
        secrets = f"/api/v1/namespaces/{quote(names.namespace, safe='')}/secrets"
        self._secret = f"{secrets}/{CERTIFICATE}"
        named = f"metadata.name={CERTIFICATE}"
        self.certificates = ListWatch(client, f"Secret {CERTIFICATE}", secrets, named, codec.certificate)
        self._configuration = configuration_path(names)
        named = f"metadata.name={names.configuration}"
        self.webhook_configurations = ListWatch(
            client,
            f"MutatingWebhookConfiguration {names.configuration}",
            _CONFIGURATIONS,
            named,
            codec.webhook_client_config,
        )

    def certificate(self) -> TlsSecret | None:
        """Read the certificate's Secret, or None."""
        what = f"read Secret {CERTIFICATE}"
        try:
            return decoded(what, codec.certificate, self._client.call(Request(what, "GET", self._secret)))
        except NotFound:
            return None

    def store_certificate(
        self, data: Mapping[str, bytes], annotations: Mapping[str, str], over: TlsSecret | None
    ) -> TlsSecret:
        """Replace the certificate's Secret that was read as `over`, or create it if that is None.

        Raises `Conflict` if another client wrote it in the meantime, or created one with other content. Only the leader
        may call this, because two replicas have the same field manager and would not conflict.
        """
        metadata: dict[str, Any] = {"name": CERTIFICATE, "namespace": self._names.namespace, "annotations": annotations}
        metadata["labels"] = {"app.kubernetes.io/name": PROGRAM}
        if over is not None:
            metadata["resourceVersion"] = str(over.version)
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata,
            "type": secret_codec.TYPE,
            "data": {key: base64.b64encode(content).decode() for key, content in data.items()},
        }
        what = f"apply Secret {CERTIFICATE}"
        query = _CREATED if over is None else _APPLIED
        request = Request(what, "PATCH", self._secret, query, body, APPLY)
        return decoded(what, codec.certificate, self._client.call(request))

    def report_certificate(self, replica: str, report: str | None, *, leaving: bool = False) -> TlsSecret:
        """Record a replica's report in an annotation of the certificate's Secret; None removes it."""
        body = {"metadata": {"annotations": {f"{REPLICA_ANNOTATIONS}{replica}": report}}}
        query = (("fieldManager", f"{PROGRAM}-replica"),)
        request = Request(f"update Secret {CERTIFICATE}", "PATCH", self._secret, query, body, MERGE)
        answer = self._client.call(request._replace(timeout=_LEAVE_TIMEOUT) if leaving else request)
        return decoded(request.action, codec.certificate, answer)

    def namespace_uid(self) -> str:
        what = f"read Namespace {self._names.namespace}"
        path = f"/api/v1/namespaces/{quote(self._names.namespace, safe='')}"
        return decoded(what, codec.PARTIAL_OBJECT.decode, self._client.call(Request(what, "GET", path))).metadata.uid

    def apply_ca_bundle(self, config: WebhookClientConfig, bundle: bytes | None, owner: str) -> WebhookClientConfig:
        """Make our Namespace, by uid, an owner of the webhook configuration, and set `caBundle` unless it is None.

        Other fields stay as they are: https://kubernetes.io/docs/reference/using-api/server-side-apply/.
        """
        owners = [{"apiVersion": "v1", "kind": "Namespace", "name": self._names.namespace, "uid": owner}]
        metadata = {
            "name": self._names.configuration,
            # Without the version, a configuration that was deleted in the meantime would be recreated.
            "resourceVersion": str(config.version),
            "ownerReferences": owners,
        }
        body: dict[str, Any] = {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": metadata,
        }
        if bundle is not None:
            encoded = base64.b64encode(bundle).decode()
            body["webhooks"] = [{"name": name, "clientConfig": {"caBundle": encoded}} for name in config.bundles]
        what = f"update MutatingWebhookConfiguration {self._names.configuration}"
        request = Request(what, "PATCH", self._configuration, _APPLIED, body, APPLY)
        return decoded(what, codec.webhook_client_config, self._client.call(request))


def configuration_path(names: InstallationNames) -> str:
    """Return the path of the webhook configuration."""
    return f"{_CONFIGURATIONS}/{quote(names.configuration, safe='')}"
