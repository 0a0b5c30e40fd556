"""Requests from the refresher to the API server."""

import contextlib
import random
import socket
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar
from urllib.parse import quote

import msgspec
import urllib3
from msgspec import Raw

from webhook.constants import PULL_SECRET, REFRESHER, REFUSED_ANNOTATION
from webhook.errors import Conflict, Forbidden, Invalid, NotFound, TooLarge, Unreachable
from webhook.kube import codec
from webhook.kube.client import APPLY, JSON, METADATA, METADATA_LIST, OBJECT_BYTES, Client, Request, api_error
from webhook.kube.codec import Versioned, decoded
from webhook.kube.objects import LeaseSpec
from webhook.kube.paging import list_pages
from webhook.pull_secret.manifest import Published
from webhook.pull_secret.reconcile import Secret

#: Limit in bytes of a response with a Secret. The content of ours has at most 1 MiB.
_SECRET_BYTES = 4 * 1024 * 1024
#: The range of seconds for which the API server is asked to keep a watch open, and the seconds without data after which
#: a watch is dead: the API server sends a bookmark about once a minute.
_WATCH, _SILENCE = (240, 300), 90.0
_PIECE = 65536

_Object = TypeVar("_Object", bound=Versioned)


class Listing(NamedTuple, Generic[_Object]):
    """All objects of a kind at one resourceVersion."""

    items: list[_Object]
    version: str
    """The resourceVersion to watch from."""


class Change(NamedTuple, Generic[_Object]):
    """An event of a watch."""

    version: str
    """The resourceVersion to continue from."""
    item: _Object | None
    """The object, or its last state if it was deleted; None for a bookmark."""
    deleted: bool = False


class HeldLease(NamedTuple):
    """The stored Lease."""

    spec: LeaseSpec
    version: str | None
    """Its resourceVersion; None if it does not exist."""
    refused_logins: tuple[float, ...] = ()
    """POSIX times of the last logins that a registry refused."""


class Watch(Generic[_Object]):
    """An open watch. It ends every few minutes; the next one starts from the last change's version."""

    def __init__(self, what: str, response: urllib3.BaseHTTPResponse, decode: Callable[[bytes | Raw], _Object]) -> None:
        self._what = what
        self._response = response
        self._decode: Callable[[bytes | Raw], _Object] = decode

    def __iter__(self) -> Iterator[Change[_Object]]:
        """Yield each change. Raises `Unreachable`, and `Expired` if the watcher must list again."""
        try:
            for line in filter(bytes.strip, self._lines()):
                yield self._change(line)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Unreachable(f"cannot {self._what}: connection lost ({type(error).__name__})") from None
        finally:
            self._response.close()

    def _lines(self) -> Iterator[bytes]:
        """Yield lines of up to `OBJECT_BYTES`."""
        pieces: list[bytes] = []
        size = 0
        for piece in self._response.stream(_PIECE):
            head, *others = piece.split(b"\n")
            pieces.append(head)
            size += len(head)
            for other in others:
                yield b"".join(pieces)
                pieces, size = [other], len(other)
            if size > OBJECT_BYTES:
                raise TooLarge(f"cannot {self._what}: a change has more than {OBJECT_BYTES // 1024} KiB")

    def _change(self, line: bytes) -> Change[_Object]:
        event = decoded(self._what, codec.WATCH_EVENT.decode, line)
        if event.type == "ERROR":
            status = decoded(self._what, codec.STATUS.decode, event.object)
            raise api_error(status.code, self._what, bytes(event.object))
        version = str(decoded(self._what, codec.version, event.object))
        if event.type == "BOOKMARK":
            return Change(version, None)
        return Change(version, decoded(self._what, self._decode, event.object), deleted=event.type == "DELETED")

    def close(self) -> None:
        """Close the watch from another thread, which wakes the thread that reads it."""
        sock = getattr(getattr(self._response, "connection", None), "sock", None)
        if sock is not None:
            with contextlib.suppress(OSError):  # it was closed in the meantime
                sock.shutdown(socket.SHUT_RDWR)


class ListWatch(Generic[_Object]):
    """List and watch requests for the objects of one kind."""

    def __init__(  # noqa: PLR0913 - the parameters of a list
        self,
        client: Client,
        display_name: str,
        path: str,
        selector: str,
        decode: Callable[[bytes | Raw], _Object],
        *,
        metadata_only: bool = False,
        hint: str = "",
    ) -> None:
        """`selector` is a field selector or empty.

        `metadata_only` is for kinds that any user of the cluster can create: only metadata leaves the API server then.
        """
        self.display_name = display_name
        self._client = client
        self._path = path
        self._query = (("fieldSelector", selector),) if selector else ()
        self._decode: Callable[[bytes | Raw], _Object] = decode
        self._metadata_only = metadata_only
        self._hint = hint
        """What to do if the list is forbidden."""

    def list(self) -> Listing[_Object]:
        """List all objects, in pages. Raises `Expired` if that takes so long that the list must restart."""
        what = f"list {self.display_name}"
        request = Request(what, "GET", self._path, self._query, accept=METADATA_LIST if self._metadata_only else JSON)
        items: list[_Object] = []
        version = ""
        try:
            for page in list_pages(self._client, request):
                items += [decoded(what, self._decode, item) for item in page.items]
                version = page.version
        except Forbidden as error:
            raise Forbidden(f"{error}; {self._hint}" if self._hint else str(error)) from None
        return Listing(items, version)

    def watch(self, version: str) -> Watch[_Object]:
        """Watch from the resourceVersion of a listing or a change."""
        seconds = random.randint(*_WATCH)  # noqa: S311 - so that replicas do not reconnect all at once
        query = (
            *self._query,
            ("watch", "true"),
            ("resourceVersion", version),
            ("allowWatchBookmarks", "true"),
            ("timeoutSeconds", str(seconds)),
        )
        what = f"watch {self.display_name}"
        accept = METADATA if self._metadata_only else JSON
        request = Request(what, "GET", self._path, query, accept=accept, timeout=_SILENCE)
        return Watch(what, self._client.stream(request), self._decode)


class Cluster:
    """The objects that the refresher maintains. Thread-safe."""

    def __init__(self, client: Client, secret: str, namespace: str) -> None:
        """`secret` is the only Secret name that is requested; `namespace` contains the Lease."""
        self._client = client
        self.namespace = namespace
        """The namespace of the installation."""
        self._secret = secret
        self._decode_secret = partial(codec.secret, namespace)
        self.namespaces = ListWatch(client, "namespaces", "/api/v1/namespaces", "", codec.namespace, metadata_only=True)
        named = f"metadata.name={secret}"
        own_name = f"webhook.pull_secret.name is {secret}, which the ClusterRole's resourceNames must include"
        self.secrets = ListWatch(
            client,
            f"Secrets {secret}",
            "/api/v1/secrets",
            named,
            partial(codec.secret_metadata, namespace),
            metadata_only=True,
            hint="" if secret == PULL_SECRET else own_name,
        )

    def secret(self, namespace: str) -> Secret | None:
        """Read the Secret of a namespace with its content. Raises `TooLarge` if it is larger than ours can be."""
        what = f"read Secret {namespace}/{self._secret}"
        request = Request(what, "GET", secret_path(namespace, self._secret), limit=_SECRET_BYTES)
        try:
            return decoded(what, self._decode_secret, self._client.call(request))
        except NotFound:
            return None

    def published(self, namespace: str) -> Published | None:
        """Read the content of the pull secret; None if it does not exist or is larger than ours can be."""
        what = f"read Secret {namespace}/{self._secret}"
        request = Request(what, "GET", secret_path(namespace, self._secret), limit=_SECRET_BYTES)
        try:
            return decoded(what, codec.published, self._client.call(request))
        except (NotFound, TooLarge):
            return None

    def apply_secret(self, manifest: dict[str, Any], *, force: bool) -> Secret:
        """Apply a Secret as our field manager. Without `force` a field of another manager is a `Conflict`.

        https://kubernetes.io/docs/reference/using-api/server-side-apply/
        """
        namespace = manifest["metadata"]["namespace"]
        what = f"apply Secret {namespace}/{self._secret}"
        query = (("fieldManager", REFRESHER), ("force", str(force).lower()))
        request = Request(what, "PATCH", secret_path(namespace, self._secret), query, manifest, APPLY)
        request = request._replace(limit=_SECRET_BYTES)
        return decoded(what, self._decode_secret, self._client.call(request))

    def delete_secret(self, secret: Secret) -> None:
        """Delete a Secret unless it has changed since it was read, which is a `Conflict`."""
        self._client.call(deletion(secret.namespace, self._secret, secret.uid, secret.version))

    def lease(self, timeout: float) -> HeldLease:
        return read_lease(self._client, self.namespace, timeout)

    def write_lease(
        self, spec: LeaseSpec, version: str | None, timeout: float, refused: tuple[float, ...] = ()
    ) -> HeldLease:
        """Replace the Lease of this resourceVersion, or create it if that is None.

        `refused` are the POSIX times of refused logins, for the next leader. Raises `Conflict` if another client wrote
        the Lease in the meantime.
        """
        metadata: dict[str, Any] = {"name": REFRESHER, "namespace": self.namespace}
        if version is not None:
            metadata["resourceVersion"] = version
        if refused:
            metadata["annotations"] = {REFUSED_ANNOTATION: ",".join(f"{time:.3f}" for time in refused)}
        body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata,
            "spec": msgspec.to_builtins(spec),
        }
        what = f"update Lease {REFRESHER}"
        try:
            answer = self._client.call(Request(what, "PUT", lease_path(self.namespace), body=body, timeout=timeout))
        except Invalid as error:
            # Without a version, PUT creates a Lease, and is Invalid if there is one by now.
            raise (Conflict(str(error)) if version is None else error) from None
        return HeldLease(spec, decoded(what, codec.PARTIAL_OBJECT.decode, answer).metadata.resource_version, refused)

    def create_event(self, event: dict[str, Any]) -> None:
        """Create an Event (events.k8s.io/v1) in its namespace."""
        namespace = quote(event["metadata"]["namespace"], safe="")
        path = f"/apis/events.k8s.io/v1/namespaces/{namespace}/events"
        self._client.call(Request("create an Event", "POST", path, body=event))

    def close(self) -> None:
        self._client.close()


def deletion(namespace: str, name: str, uid: str, version: int) -> Request:
    """Build the request to delete a Secret. It is a `Conflict` if the Secret has changed since it was read."""
    preconditions = {"uid": uid, "resourceVersion": str(version)}
    options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions}
    return Request(f"delete Secret {namespace}/{name}", "DELETE", secret_path(namespace, name), body=options)


def secret_path(namespace: str, name: str) -> str:
    """Return the path of a Secret."""
    return f"/api/v1/namespaces/{quote(namespace, safe='')}/secrets/{quote(name, safe='')}"


def lease_path(namespace: str) -> str:
    """Return the path of the Lease that elects the leader."""
    return f"/apis/coordination.k8s.io/v1/namespaces/{quote(namespace, safe='')}/leases/{REFRESHER}"


def read_lease(client: Client, namespace: str, timeout: float) -> HeldLease:
    """Read the Lease that elects the leader, the replica that writes."""
    what = f"read Lease {REFRESHER}"
    try:
        body = client.call(Request(what, "GET", lease_path(namespace), timeout=timeout))
    except NotFound:
        return HeldLease(LeaseSpec(), None)
    stored = decoded(what, codec.LEASE.decode, body)
    return HeldLease(stored.spec, stored.metadata.resource_version, codec.refused_logins(stored))
