"""What is asked of the API server so that nothing of ours stays: by a person, with that person's rights."""

from typing import NamedTuple

from msgspec import Raw

from webhook.adapters.cluster import objects
from webhook.adapters.cluster.api import Held, Kind, deletion, read_lease
from webhook.adapters.cluster.client import MERGE, METADATA, Client, Request
from webhook.adapters.cluster.installation import CONFIGURATION
from webhook.adapters.cluster.objects import decoded
from webhook.errors import NotFound
from webhook.names import OWN_NAMESPACE, PROGRAM
from webhook.pullsecret.document import TYPE

_DEPLOYMENT = f"/apis/apps/v1/namespaces/{OWN_NAMESPACE}/deployments/{PROGRAM}"
_SILENCE = 10.0


class Labelled(NamedTuple):
    """A Secret for pulling, its content left where it is."""

    namespace: str
    name: str
    uid: str
    version: int
    ours: bool
    leaving: bool
    """Whether it is deleted already, and goes as soon as nothing holds it back."""


class Removal:
    """Our own objects, to be taken away."""

    def __init__(self, client: Client) -> None:
        """Take a client."""
        self._client = client
        what, selector = "Secrets in all namespaces", f"type={TYPE}"
        # Metadata alone, so that no credential leaves the API server.
        self._secrets = Kind(client, what, "/api/v1/secrets", selector, _labelled, metadata_alone=True)

    def pull_secrets(self) -> list[Labelled]:
        """List the pull secrets that are ours, whatever they are called: an earlier setting may have named them."""
        return sorted(secret for secret in self._secrets.list().items if secret.ours)

    def delete(self, secret: Labelled) -> bool:
        """Delete a pull secret if it still is just the one that was seen, and raise `Conflict` if not.

        Give whether it is gone: one with finalizers stays until they are taken off. It is then the answer, so of that
        the metadata alone is asked for, too.
        """
        request = deletion(secret.namespace, secret.name, secret.uid, secret.version)._replace(accept=METADATA)
        answer = self._client.call(request)
        return decoded(request.what, objects.HEAD.decode, answer).metadata.deletion_timestamp is None

    def lease(self) -> Held:
        """Read the Lease of whoever would put them back."""
        return read_lease(self._client, _SILENCE)

    def delete_webhook(self, *, dry_run: bool) -> bool:
        """Delete the webhook configuration; give whether there is one."""
        what = f"delete MutatingWebhookConfiguration {PROGRAM}"
        return self._there(Request(what, "DELETE", CONFIGURATION, _dry(dry_run)))

    def scale_down(self, *, dry_run: bool) -> bool:
        """Have the Deployment run no Pod; give whether there is one."""
        what = f"scale Deployment {OWN_NAMESPACE}/{PROGRAM}"
        body = {"spec": {"replicas": 0}}
        return self._there(Request(what, "PATCH", f"{_DEPLOYMENT}/scale", _dry(dry_run), body, MERGE))

    def _there(self, request: Request) -> bool:
        try:
            self._client.call(request)
        except NotFound:
            return False
        return True

    def close(self) -> None:
        """Close idle connections."""
        self._client.close()


def _dry(dry_run: bool) -> tuple[tuple[str, str], ...]:  # noqa: FBT001 - it is what the query says
    return (("dryRun", "All"),) if dry_run else ()


def _labelled(body: bytes | Raw) -> Labelled:
    head = objects.HEAD.decode(body).metadata
    leaving = head.deletion_timestamp is not None
    ours = objects.is_ours(head)
    return Labelled(head.namespace, head.name, head.uid, int(head.resource_version), ours, leaving)
