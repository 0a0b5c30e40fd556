"""Removes the objects of an installation, with the user's permissions."""

from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import quote

import msgspec
from msgspec import Raw, Struct

from webhook.constants import CERTIFICATE, GUARD_POLICY, MUTATE_POLICY, REFRESHER, InstallationNames
from webhook.errors import ClusterError, NotFound, NotReadable
from webhook.kube import codec, installed_config
from webhook.kube.api import HeldLease, ListWatch, deletion, lease_path, read_lease, secret_path
from webhook.kube.client import MERGE, METADATA, Client, Request
from webhook.kube.codec import decoded
from webhook.kube.install import configuration_path
from webhook.kube.objects import is_generated, is_managed_by_us
from webhook.kube.reader import (
    DEPLOYMENTS,
    MUTATING_BINDINGS,
    MUTATING_POLICIES,
    NAMESPACES,
    VALIDATING_BINDINGS,
    VALIDATING_POLICIES,
    Reader,
)
from webhook.pull_secret.manifest import TYPE

#: Kinds of generated policies. Bindings come first: a policy without one has no effect.
_POLICIES = {
    "ValidatingAdmissionPolicyBinding": VALIDATING_BINDINGS,
    "MutatingAdmissionPolicyBinding": MUTATING_BINDINGS,
    "ValidatingAdmissionPolicy": VALIDATING_POLICIES,
    "MutatingAdmissionPolicy": MUTATING_POLICIES,
}
_CERT_MANAGER = "/apis/cert-manager.io/v1"
_TIMEOUT = 10.0


class _CertificateSpec(Struct, rename="camel"):
    secret_name: str


class _Certificate(Struct):
    spec: _CertificateSpec


_CERTIFICATE = msgspec.json.Decoder(_Certificate)


class ManagedSecret(NamedTuple):
    """The metadata of a pull secret."""

    namespace: str
    name: str
    uid: str
    version: int
    managed: bool
    deleting: bool
    """Whether it was deleted and waits for its finalizers."""
    installation: str | None = None
    """The namespace of the installation that it belongs to."""

    def __str__(self) -> str:
        return f"Secret {self.namespace}/{self.name}"


class Policy(NamedTuple):
    """A generated admission policy or its binding."""

    kind: str
    name: str
    path: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


class Uninstaller:
    """A client that removes the objects of an installation."""

    def __init__(
        self, client: Client, namespace: str | None, names: InstallationNames | None = None, secret: str | None = None
    ) -> None:
        """Search for the installation unless `names` are given.

        `secret` limits all requests to objects with known names, so that RBAC can limit the permissions to them.
        """
        self._client = client
        self._reader = Reader(client)
        self.names = names or installed_config.find_installation(self._reader, namespace)
        """The names of the installation's objects."""
        self.others: set[str] = set()
        """The namespaces of other installations, whose pull secrets are kept."""
        self._only_named = secret is not None
        what, selector = "Secrets in all namespaces", f"type={TYPE}"
        if secret is not None:
            what, selector = f"Secrets {secret} in all namespaces", f"metadata.name={secret},{selector}"
        # Metadata only, so that no credential leaves the API server.
        self._secrets = ListWatch(client, what, "/api/v1/secrets", selector, _managed_secret, metadata_only=True)

    def policies(self) -> list[Policy]:
        """List the generated admission policies and their bindings, in the order of deletion; some may not exist."""
        found: list[Policy] = []
        named = [self.names.renamed(one) for one in (MUTATE_POLICY, GUARD_POLICY)]
        for name, kind in _POLICIES.items():
            if self._only_named:
                found += [Policy(name, one, kind.path(None, one)) for one in named]
                continue
            try:
                every = self._reader.list(kind)
            except NotReadable as error:
                raise ClusterError(error.reason, hint=error.hint) from None
            ours = [one.metadata.name for one in every if is_generated(one, self.names.namespace)]
            found += [Policy(name, one, kind.path(None, one)) for one in ours]
        return found

    def delete_policy(self, policy: Policy, *, dry_run: bool) -> bool:
        """Delete a policy; return whether it existed."""
        return self._exists(Request(f"delete {policy}", "DELETE", policy.path, _dry(dry_run)))

    def pull_secrets(self) -> list[ManagedSecret]:
        """List our pull secrets of any name, because earlier settings may have had other names.

        Those of an installation in another namespace are kept, unless that namespace does not exist any more.
        """
        managed = [secret for secret in self._secrets.list().items if secret.managed]
        marked = {secret.installation for secret in managed} - {None, self.names.namespace}
        try:
            existing = {one.metadata.name for one in self._reader.list(NAMESPACES)} if marked else set()
        except NotReadable as error:
            raise ClusterError(error.reason, hint=error.hint) from None
        self.others = {name for name in marked if name in existing}
        return sorted(secret for secret in managed if secret.installation not in self.others)

    def delete(self, secret: ManagedSecret) -> bool:
        """Delete a pull secret and return whether it was removed: one with finalizers stays until they are.

        Raises `Conflict` if it has changed since it was read. The response may be the Secret, so only its metadata is
        requested.
        """
        request = deletion(secret.namespace, secret.name, secret.uid, secret.version)._replace(accept=METADATA)
        answer = self._client.call(request)
        return decoded(request.action, codec.PARTIAL_OBJECT.decode, answer).metadata.deletion_timestamp is None

    def lease(self) -> HeldLease:
        """Read the Lease of the refresher, which would recreate deleted Secrets."""
        return read_lease(self._client, self.names.namespace, _TIMEOUT)

    def delete_certificate(self, name: str, *, dry_run: bool) -> str | None:
        """Delete a Certificate of cert-manager; return the name of its Secret, None if the Certificate does not exist.

        cert-manager keeps that Secret, and creates it again as long as the Certificate exists.
        """
        what = f"Certificate {self.names.namespace}/{name}"
        path = f"{_CERT_MANAGER}/namespaces/{quote(self.names.namespace, safe='')}/certificates/{quote(name, safe='')}"
        try:
            answer = self._client.call(Request(f"read {what}", "GET", path))
        except NotFound:
            return None
        secret = decoded(f"read {what}", _CERTIFICATE.decode, answer).spec.secret_name
        self._exists(Request(f"delete {what}", "DELETE", path, _dry(dry_run)))
        return secret

    def delete_own(self, *secrets: str, dry_run: bool) -> Iterator[str]:
        """Delete what the refresher created in the installation's namespace, and `secrets`; yield what existed."""
        namespace = self.names.namespace
        own = {f"Secret {namespace}/{name}": secret_path(namespace, name) for name in (CERTIFICATE, *secrets)}
        for what, path in {f"Lease {namespace}/{REFRESHER}": lease_path(namespace), **own}.items():
            # The response may be the Secret.
            if self._exists(Request(f"delete {what}", "DELETE", path, _dry(dry_run), accept=METADATA)):
                yield what

    def delete_webhook(self, *, dry_run: bool) -> bool:
        """Delete the webhook configuration; return whether it existed."""
        what = f"delete MutatingWebhookConfiguration {self.names.configuration}"
        return self._exists(Request(what, "DELETE", configuration_path(self.names), _dry(dry_run)))

    def scale_down(self, *, dry_run: bool) -> bool:
        """Scale the Deployment to 0; return whether it exists."""
        what = f"scale Deployment {self.names.namespace}/{self.names.deployment}"
        path = DEPLOYMENTS.path(self.names.namespace, self.names.deployment)
        body = {"spec": {"replicas": 0}}
        return self._exists(Request(what, "PATCH", f"{path}/scale", _dry(dry_run), body, MERGE))

    def _exists(self, request: Request) -> bool:
        try:
            self._client.call(request)
        except NotFound:
            return False
        return True

    def close(self) -> None:
        self._client.close()


def _dry(dry_run: bool) -> tuple[tuple[str, str], ...]:  # noqa: FBT001 - the value of the query
    return (("dryRun", "All"),) if dry_run else ()


def _managed_secret(body: bytes | Raw) -> ManagedSecret:
    head = codec.PARTIAL_OBJECT.decode(body).metadata
    leaving = head.deletion_timestamp is not None
    managed = is_managed_by_us(head)
    version = int(head.resource_version)
    return ManagedSecret(head.namespace, head.name, head.uid, version, managed, leaving, head.labels.installation)
