"""A fake API server that can fail in ways that a real one cannot be made to.

It supports the requests of the refresher: list (in pages) and watch of namespaces and Secrets, apply and delete of
Secrets, the Lease, Events, the certificate's Secret and the webhook configuration. As with etcd, all kinds share one
sequence of resourceVersions.
"""

import base64
import json
import re
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from webhook.constants import ENABLED_LABEL, INSTALLATION_LABEL, MANAGED_BY_LABEL, PROGRAM
from webhook.pki.ca import KeyPair

Object = dict[str, Any]
Kind = Literal["namespaces", "secrets", "certificates", "configurations"]

#: Not the default name, so that a test fails if that is used.
SECRET = "the-pull-secret"  # noqa: S105 - its name
#: The token that the refresher sends, which its output must never contain.
TOKEN = "kept-secret-service-account-token"  # noqa: S105
FOREIGN = base64.b64encode(b'{"auths":{"foreign.example.com":{"auth":"YTpi"}}}').decode()

_SECRET_PATH = re.compile(rf"/api/v1/namespaces/(?P<namespace>[^/]+)/secrets/{SECRET}")
_LEASE_PATH = "/apis/coordination.k8s.io/v1/namespaces/registry-webhook/leases/registry-webhook-refresher"
_EVENTS_PATH = re.compile(r"/apis/events\.k8s\.io/v1/namespaces/(?P<namespace>[^/]+)/events")
_CERTIFICATES_PATH = "/api/v1/namespaces/registry-webhook/secrets"
_CONFIGURATIONS_PATH = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
#: The collection of each kind.
_LISTS: dict[str, Kind] = {
    "/api/v1/namespaces": "namespaces",
    "/api/v1/secrets": "secrets",
    _CERTIFICATES_PATH: "certificates",
    _CONFIGURATIONS_PATH: "configurations",
}
_OWN_UID = "uid-registry-webhook"
#: Media types for metadata only.
METADATA = "application/json;as=PartialObjectMetadata"
#: Seconds after which a test's server stops waiting.
_PATIENCE = 60.0


class Asked(NamedTuple):
    """A received request."""

    method: str
    path: str
    query: dict[str, str]
    body: Object | None
    at: float
    """Monotonic seconds."""
    accept: str = "application/json"

    @property
    def namespace(self) -> str:
        """The namespace of a Secret's path, or empty."""
        match = _SECRET_PATH.fullmatch(self.path)
        return match["namespace"] if match else ""

    @property
    def watches(self) -> bool:
        return "watch" in self.query


class Answer(NamedTuple):
    """A response."""

    status: int
    body: bytes
    content_type: str = "application/json"
    retry_after: int | None = None


def status(code: int, reason: str, message: str, *, retry_after: int | None = None) -> Answer:
    """Return an error as an API server does."""
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": message}
    return Answer(code, json.dumps(body | {"code": code}).encode(), retry_after=retry_after)


GONE = status(410, "Expired", "too old resource version")
BROKEN = status(500, "InternalError", "etcdserver: leader changed")
QUOTA = status(403, "Forbidden", 'secrets "the-pull-secret" is forbidden: exceeded quota: "small"')
BUSY = status(429, "TooManyRequests", "the server has received too many requests", retry_after=1)
#: The response of a proxy that requires a login.
HTML = Answer(200, b"<!DOCTYPE html><title>Log in</title>", "text/html")


@dataclass
class Fault:
    """A response to use instead of the usual one for matching requests."""

    about: Callable[[Asked], bool]
    answer: Answer | None = None
    """None means the usual response, after `delay` seconds."""
    delay: float = 0.0
    met: int = 0
    """How many requests it applies to."""


class Change(NamedTuple):
    """A change of a stored object."""

    version: int
    kind: Kind
    type: str
    object: Object


@dataclass(eq=False)
class Stream:
    """An open watch."""

    kind: Kind
    since: int
    orders: list[Callable[["Handler"], bool]] = field(default_factory=list)
    """Actions to take next; each returns whether the watch continues."""


class ApiServer:
    """The server and its objects. Its methods take the lock; use them to change objects."""

    def __init__(self, pair: KeyPair, folder: Path) -> None:
        """Listen with TLS on a free port of localhost."""
        (folder / "api.crt").write_bytes(pair.certificate)
        (folder / "api.key").write_bytes(pair.key)
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(folder / "api.crt", folder / "api.key")
        self.changed = threading.Condition(threading.RLock())
        self.stopped = False
        self.asked: list[Asked] = []
        self.faults: list[Fault] = []
        self.namespaces: dict[str, Object] = {}
        self.secrets: dict[str, Object] = {}
        self.certificates: dict[str, Object] = {}
        """The certificate's Secret, by name, if it exists."""
        self.configurations: dict[str, Object] = {}
        self.lease: Object | None = None
        self.events: list[Object] = []
        self.streams: list[Stream] = []
        self.changes: list[Change] = []
        self.oldest = 0
        """Watches and pages from before this version have expired."""
        self.page = 500
        """Maximum number of objects in a page."""
        self.deaf: set[Kind] = set()
        """Kinds whose watches get no events."""
        self.somebody_renews = False
        """Whether another process holds the Lease and keeps renewing it."""
        self._version = 100
        self._pages: dict[str, tuple[int, list[Object]]] = {}
        self._connections: set[socket.socket] = set()
        self._port = 0
        self._server: _Server | None = None
        self.open()

    # The socket

    def open(self) -> None:
        """Listen, on the previous port if there is one."""
        self._server = _Server(("127.0.0.1", self._port), self._context, self)
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        """Close the listener and all connections."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def stop(self) -> None:
        """Stop permanently."""
        with self.changed:
            self.stopped = True
            self.changed.notify_all()
        self.close()

    @contextmanager
    def connected(self, connection: socket.socket) -> Iterator[None]:
        self._connections.add(connection)
        try:
            yield
        finally:
            self._connections.discard(connection)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._port}"

    # Misbehaviour

    @contextmanager
    def failing(self, about: Callable[[Asked], bool], answer: Answer | None, *, delay: float = 0.0) -> Iterator[Fault]:
        """Change the response to some requests inside the block."""
        fault = Fault(about, answer, delay)
        self.faults.append(fault)
        try:
            yield fault
        finally:
            self.faults.remove(fault)

    def order(self, kind: Kind, what: Callable[["Handler"], bool]) -> int:
        """Queue an action for every open watch of a kind; return the number of watches."""
        with self.changed:
            found = [stream for stream in self.streams if stream.kind == kind]
            for stream in found:
                stream.orders.append(what)
            self.changed.notify_all()
        return len(found)

    def compact(self) -> None:
        """Expire all earlier resourceVersions."""
        with self.changed:
            self.oldest = self._version

    # What it stores

    def next_version(self) -> int:
        self._version += 1
        return self._version

    def label(self, name: str, value: str | None = "true", *, quiet: bool = False, **status_: Any) -> None:
        """Create or change a namespace."""
        labels = {"kubernetes.io/metadata.name": name} | ({} if value is None else {ENABLED_LABEL: value})
        with self.changed:
            known = self.namespaces.get(name)
            made = {"metadata": {"name": name, "uid": f"uid-{name}", "labels": labels, **status_}}
            self._store("namespaces", name, made, "MODIFIED" if known else "ADDED", quiet=quiet)

    def terminate(self, name: str) -> None:
        """Mark a namespace as terminating."""
        labels = self.namespaces[name]["metadata"]["labels"]
        self.label(name, labels.get(ENABLED_LABEL), deletionTimestamp="2026-09-21T14:13:20Z")

    def remove_namespace(self, name: str) -> None:
        """Delete a namespace and its Secret."""
        with self.changed:
            if name in self.secrets:
                self.remove(name)
            self._drop("namespaces", name)

    def edit(self, namespace: str, content: str = FOREIGN, *, quiet: bool = False) -> None:
        """Change a Secret's content, as a kubectl user does."""
        with self.changed:
            secret = json.loads(json.dumps(self.secrets[namespace]))
            secret["data"] = secret["data"] | {".dockerconfigjson": content}
            self._store("secrets", namespace, secret, "MODIFIED", quiet=quiet)

    def annotate(self, namespace: str, **annotations: str) -> None:
        """Change a Secret's annotations, as a kubectl user does."""
        with self.changed:
            secret = json.loads(json.dumps(self.secrets[namespace]))
            secret["metadata"]["annotations"] |= annotations
            self._store("secrets", namespace, secret, "MODIFIED")

    def remove(self, namespace: str, *, quiet: bool = False) -> None:
        with self.changed:
            self._drop("secrets", namespace, quiet=quiet)

    def put(
        self,
        namespace: str,
        *,
        ours: bool,
        type_: str = "kubernetes.io/dockerconfigjson",
        installation: str | None = None,
        **annotations: str,
    ) -> None:
        """Store a Secret with the name, created by another client or earlier by us, or by another installation."""
        labels = {MANAGED_BY_LABEL: PROGRAM} if ours else {}
        labels |= {INSTALLATION_LABEL: installation} if installation else {}
        metadata = {"name": SECRET, "namespace": namespace, "uid": self._uid(), "labels": labels}
        metadata["annotations"] = annotations
        with self.changed:
            secret = {"metadata": metadata, "type": type_, "data": {".dockerconfigjson": FOREIGN}}
            self._store("secrets", namespace, secret, "ADDED")

    def _uid(self) -> str:
        return f"00000000-0000-0000-0000-{self.next_version():012}"

    def _store(self, kind: Kind, key: str, made: Object, type_: str, *, quiet: bool = False) -> Object:
        version = self.next_version()
        made["metadata"]["resourceVersion"] = str(version)
        getattr(self, kind)[key] = made
        if not quiet:
            self.changes.append(Change(version, kind, type_, made))
        self.changed.notify_all()
        return made

    def _drop(self, kind: Kind, key: str, *, quiet: bool = False) -> None:
        gone = getattr(self, kind).pop(key)
        version = self.next_version()
        last = gone | {"metadata": gone["metadata"] | {"resourceVersion": str(version)}}
        if not quiet:
            self.changes.append(Change(version, kind, "DELETED", last))
        self.changed.notify_all()

    # What a test asks of it

    def writes(self, namespace: str = "") -> list[Asked]:
        """Return the attempted writes to the Secret of a namespace, or of any."""
        wanted = [a for a in list(self.asked) if a.method in {"PATCH", "DELETE"} and _SECRET_PATH.fullmatch(a.path)]
        return [asked for asked in wanted if namespace in {"", asked.namespace}]

    def watches(self, kind: Kind) -> list[Asked]:
        return [asked for asked in list(self.asked) if asked.watches and _LISTS[asked.path] == kind]

    def lists(self, kind: Kind) -> list[Asked]:
        return [a for a in list(self.asked) if a.method == "GET" and not a.watches and _LISTS.get(a.path) == kind]

    def content(self, namespace: str) -> str:
        """Return the password in the Secret as the kubelet would decode it, empty if there is none."""
        secret = self.secrets.get(namespace)
        if secret is None:
            return ""
        auths = json.loads(base64.b64decode(secret["data"][".dockerconfigjson"]))["auths"]
        (entry,) = auths.values()
        return base64.b64decode(entry["auth"]).decode().partition(":")[2]

    def uid(self, namespace: str) -> str:
        uid: str = self.secrets[namespace]["metadata"]["uid"]
        return uid

    def annotation(self, namespace: str, name: str) -> str | None:
        secret = self.secrets.get(namespace)
        return (secret["metadata"].get("annotations") or {}).get(name) if secret else None

    def reasons(self, namespace: str) -> list[str]:
        """Return the reasons of a namespace's Events."""
        return [event["reason"] for event in list(self.events) if event["metadata"]["namespace"] == namespace]

    @property
    def holder(self) -> str | None:
        return None if self.lease is None else self.lease["spec"].get("holderIdentity")

    # Answers

    def answer(self, asked: Asked) -> Answer:
        """Respond to a request that is not a watch."""
        with self.changed:
            self._renew_for_somebody()
            match = _SECRET_PATH.fullmatch(asked.path)
            if match and asked.method == "GET":
                found = self.secrets.get(match["namespace"])
                return _ok(found) if found else status(404, "NotFound", f'secrets "{SECRET}" not found')
            if match and asked.method == "PATCH":
                return self._apply(match["namespace"], asked)
            if match and asked.method == "DELETE":
                return self._delete(match["namespace"], asked.body or {})
            if asked.path == _LEASE_PATH:
                return self._lease(asked)
            match = _EVENTS_PATH.fullmatch(asked.path)
            if match and asked.method == "POST":
                assert asked.body is not None
                assert asked.body["metadata"]["namespace"] == match["namespace"]
                self.events.append(asked.body)
                return _ok(asked.body, 201)
            if asked.method == "GET" and asked.path == "/api/v1/namespaces":
                return self._list(asked, list(self.namespaces.values()))
            if asked.path == "/api/v1/namespaces/registry-webhook":
                return _ok({"metadata": {"name": "registry-webhook", "uid": _OWN_UID, "resourceVersion": "1"}})
            if asked.path.startswith((_CERTIFICATES_PATH, _CONFIGURATIONS_PATH)):
                return self._installation(asked)
            if asked.method == "GET" and asked.path == "/api/v1/secrets":
                # Selected by type, as by `cleanup`.
                by = {f"metadata.name={SECRET}", "type=kubernetes.io/dockerconfigjson"}
                assert {*asked.query.get("fieldSelector", "").split(",")} <= by
                assert asked.accept.startswith(METADATA)
                return self._list(asked, list(self.secrets.values()))
        return status(404, "NotFound", f"there is no {asked.method} {asked.path}")

    def _installation(self, asked: Asked) -> Answer:
        """Respond to a request for the certificate's Secret or the webhook configuration."""
        listed = _LISTS.get(asked.path)
        if listed:
            assert asked.query["fieldSelector"].startswith("metadata.name=registry-webhook")
            return self._list(asked, list(getattr(self, listed).values()))
        parent, _, name = asked.path.rpartition("/")
        kind = _LISTS[parent]
        found: Object | None = getattr(self, kind).get(name)
        if asked.method == "GET":
            return _ok(found) if found else status(404, "NotFound", f"{name} not found")
        if asked.method == "DELETE":
            if found is None:
                return status(404, "NotFound", f"{name} not found")
            if "dryRun" not in asked.query:
                self._drop(kind, name)
            return _ok({"kind": "Status", "metadata": {}, "status": "Success"})
        body = asked.body
        assert body is not None
        if found is None and (kind == "configurations" or "type" not in body):
            return status(404, "NotFound", f"{name} not found")
        version = body["metadata"].pop("resourceVersion", None)
        if version is not None and (found is None or found["metadata"]["resourceVersion"] != version):
            return status(409, "Conflict", "the object has been modified")
        before = found or {"metadata": {}}
        replies = {
            key: text for key, text in before["metadata"].get("annotations", {}).items() if key.startswith("replica")
        }
        metadata = before["metadata"] | body["metadata"]
        annotations = replies | (body["metadata"].get("annotations") or {})
        if "type" not in body and kind == "certificates":  # a merge patch
            annotations = before["metadata"].get("annotations", {}) | body["metadata"]["annotations"]
        metadata["annotations"] = {key: text for key, text in annotations.items() if text is not None}
        made = before | {key: value for key, value in body.items() if key != "webhooks"} | {"metadata": metadata}
        if "webhooks" in body:
            ((theirs,), (ours,)) = (before["webhooks"], body["webhooks"])
            made["webhooks"] = [theirs | {"clientConfig": theirs["clientConfig"] | ours["clientConfig"]}]
        return _ok(self._store(kind, name, made, "MODIFIED" if found else "ADDED"))

    def call(self, bundle: bytes = b"") -> None:
        """Create the webhook configuration, or set its caBundle."""
        encoded = base64.b64encode(bundle).decode()
        webhook = {"name": "pods.registry-webhook.internal", "clientConfig": {"caBundle": encoded}}
        with self.changed:
            known = self.configurations.get("registry-webhook")
            metadata = dict(known["metadata"]) if known else {"name": "registry-webhook"}
            type_ = "MODIFIED" if known else "ADDED"
            self._store("configurations", "registry-webhook", {"metadata": metadata, "webhooks": [webhook]}, type_)

    def lose_certificate(self) -> None:
        with self.changed:
            self._drop("certificates", "registry-webhook-certificate")

    def change_certificate(self, key: str, content: bytes) -> None:
        """Change the certificate's Secret, as a kubectl user does."""
        with self.changed:
            secret = json.loads(json.dumps(self.certificates["registry-webhook-certificate"]))
            secret["data"][key] = base64.b64encode(content).decode()
            self._store("certificates", "registry-webhook-certificate", secret, "MODIFIED")

    @property
    def bundle(self) -> bytes:
        (webhook,) = self.configurations["registry-webhook"]["webhooks"]
        return base64.b64decode(webhook["clientConfig"]["caBundle"])

    def certificate(self, key: str) -> bytes:
        """Return a key of the certificate's Secret, empty if it does not exist."""
        secret = self.certificates.get("registry-webhook-certificate", {"data": {}})
        return base64.b64decode(secret["data"].get(key, ""))

    def _list(self, asked: Asked, items: list[Object]) -> Answer:
        version, rest = self._version, items
        if token := asked.query.get("continue"):
            version, rest = self._pages.pop(token)
            if version < self.oldest:
                return GONE
        size = min(int(asked.query["limit"]), self.page)
        metadata = {"resourceVersion": str(version)}
        if len(rest) > size:
            metadata["continue"] = str(self.next_version())
            self._pages[metadata["continue"]] = (version, rest[size:])
        if asked.accept.startswith(METADATA):  # lists without items say null
            return _ok({"metadata": metadata, "items": [metadata_of(item) for item in rest[:size]] or None})
        return _ok({"metadata": metadata, "items": rest[:size]})

    def _apply(self, namespace: str, asked: Asked) -> Answer:
        body = asked.body
        assert body is not None
        if namespace not in self.namespaces:
            return status(404, "NotFound", f'namespaces "{namespace}" not found')
        wanted, found = body["metadata"], self.secrets.get(namespace)
        if wanted.get("uid") and (found is None or found["metadata"]["uid"] != wanted["uid"]):
            return status(409, "Conflict", "Precondition failed: UID in precondition")
        refusal = self._refusal(namespace, found, body, asked)
        if refusal is not None:
            return refusal
        metadata = {
            "name": SECRET,
            "namespace": namespace,
            "uid": found["metadata"]["uid"] if found else self._uid(),
            "labels": (found["metadata"].get("labels") or {} if found else {}) | wanted["labels"],
            "annotations": wanted["annotations"],
            "managedFields": [{"manager": asked.query["fieldManager"], "operation": "Apply"}],
        }
        data = (found["data"] if found else {}) | body["data"]
        made = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": body["type"], "data": data}
        if found and "immutable" in found:
            made["immutable"] = found["immutable"]
        if found and made == found | {"metadata": metadata}:
            same = {key: value for key, value in found["metadata"].items() if key != "resourceVersion"}
            if same == metadata:
                return _ok(found)
        return _ok(self._store("secrets", namespace, made, "MODIFIED" if found else "ADDED"), 200 if found else 201)

    def _refusal(self, namespace: str, found: Object | None, body: Object, asked: Asked) -> Answer | None:
        """Return why a Secret cannot be applied over the stored one."""
        if found is None and "deletionTimestamp" in self.namespaces[namespace]["metadata"]:
            return status(403, "Forbidden", f"unable to create new content in namespace {namespace}: it is terminating")
        if found and found["type"] != body["type"]:
            return status(422, "Invalid", "type: Invalid value: field is immutable")
        if found and found.get("immutable") and found["data"] != body["data"]:
            return status(422, "Invalid", "data: Forbidden: field is immutable when `immutable` is set")
        if found and asked.query.get("force") != "true" and found["data"] != body["data"]:
            return status(409, "Conflict", 'Apply failed with 1 conflict: conflict with "kubectl-edit"')
        data = (found["data"] if found else {}) | body["data"]
        if sum(len(base64.b64decode(content)) for content in data.values()) > 1024 * 1024:
            return status(422, "Invalid", "data: Too long: may not be more than 1048576 bytes")
        return None

    def _delete(self, namespace: str, options: Object) -> Answer:
        found = self.secrets.get(namespace)
        if found is None:
            return status(404, "NotFound", f'secrets "{SECRET}" not found')
        wanted = options["preconditions"]
        if any(found["metadata"][key] != value for key, value in wanted.items()):
            return status(409, "Conflict", "Precondition failed")
        self._drop("secrets", namespace)
        return _ok({"kind": "Status", "metadata": {}, "status": "Success"})

    def _lease(self, asked: Asked) -> Answer:
        stored = self.lease
        if asked.method == "GET":
            return _ok(stored) if stored else status(404, "NotFound", "leases not found")
        if asked.method == "DELETE":
            if "dryRun" not in asked.query:
                self.lease = None
            return _ok({"metadata": {}}) if stored else status(404, "NotFound", "leases not found")
        body = asked.body
        assert body is not None
        version = body["metadata"].get("resourceVersion")
        if stored and version is None:
            return status(
                422, "Invalid", "metadata.resourceVersion: Invalid value: 0x0: must be specified for an update"
            )
        if version != (stored["metadata"]["resourceVersion"] if stored else None):
            return status(409, "Conflict", "the object has been modified")
        body["metadata"]["resourceVersion"] = str(self.next_version())
        self.lease = body
        return _ok(body)

    def _renew_for_somebody(self) -> None:
        if self.somebody_renews:
            metadata = {"name": "registry-webhook-refresher", "resourceVersion": str(self.next_version())}
            self.lease = {"metadata": metadata, "spec": {"holderIdentity": "somebody"}}

    def following(self, stream: Stream) -> list[Change] | None:
        """Return the next events of a watch; none if it has an action to take, None at the end."""
        with self.changed:
            while not self.stopped:
                news = [c for c in self.changes if c.kind == stream.kind and c.version > stream.since]
                if news and stream.kind not in self.deaf:
                    stream.since = news[-1].version
                    return news
                if stream.orders:
                    return []
                if not self.changed.wait(_PATIENCE):
                    break
        return None

    def bookmark(self, kind: Kind, version: int | None = None) -> bytes:
        metadata = {"resourceVersion": str(version or self._version)}
        return line("BOOKMARK", {"kind": kind, "metadata": metadata})


def line(type_: str, item: Object) -> bytes:
    return json.dumps({"type": type_, "object": item}).encode() + b"\n"


def metadata_of(item: Object) -> Object:
    """Remove everything but metadata, as for PartialObjectMetadata."""
    return {"kind": "PartialObjectMetadata", "metadata": item["metadata"]}


def _ok(body: Object, code: int = 200) -> Answer:
    return Answer(code, json.dumps(body).encode())


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], context: ssl.SSLContext, api: ApiServer) -> None:
        self.context = context
        self.api = api
        super().__init__(address, Handler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        with self.api.connected(request), self.context.wrap_socket(request, server_side=True) as connection:
            connection.settimeout(_PATIENCE)
            with self.api.connected(connection):
                Handler(connection, client_address, self)

    def shutdown_request(self, request: Any) -> None:
        self.close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore broken connections; tests check the requests."""


class Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._serve()

    do_PUT = do_POST = do_PATCH = do_DELETE = do_GET  # noqa: N815 - as the standard library calls them

    def _serve(self) -> None:
        api = self.server.api
        parts = urlsplit(self.path)
        length = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(length)) if length else None
        asked = Asked(
            self.command, parts.path, dict(parse_qsl(parts.query)), body, time.monotonic(), self.headers["Accept"]
        )
        api.asked.append(asked)
        answer = None
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            answer = status(401, "Unauthorized", "Unauthorized")
        for fault in list(api.faults):
            if answer is None and fault.about(asked):
                fault.met += 1
                self._pause(fault.delay)
                answer = fault.answer
        if answer is None and asked.watches:
            self._watch(asked)
        else:
            self.send(answer or api.answer(asked))

    def _pause(self, seconds: float) -> None:
        """Wait until the client disconnects or the server stops."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not self.server.api.stopped:
            if select.select([self.connection], [], [], min(left, 0.1))[0]:
                self.close_connection = True
                return

    def send(self, answer: Answer) -> None:
        """Send a complete response."""
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        if answer.retry_after is not None:
            self.send_header("Retry-After", str(answer.retry_after))
        self.end_headers()
        self.wfile.write(answer.body)

    def _watch(self, asked: Asked) -> None:
        api = self.server.api
        kind = _LISTS[asked.path]
        assert asked.query["allowWatchBookmarks"] == "true"
        stream = Stream(kind, int(asked.query["resourceVersion"]))
        with api.changed:
            old = stream.since < api.oldest
            if not old:
                api.streams.append(stream)
        if old:
            self.send(GONE)
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.close_connection = True
        try:
            while (news := api.following(stream)) is not None:
                for change in news:
                    alone = asked.accept.startswith(METADATA)
                    self.piece(line(change.type, metadata_of(change.object) if alone else change.object))
                orders, stream.orders = stream.orders, []
                if not all(order(self) for order in orders):
                    break
        finally:
            with api.changed:
                api.streams.remove(stream)

    def piece(self, text: bytes) -> None:
        """Send a chunk of a watch."""
        self.wfile.write(b"%x\r\n%s\r\n" % (len(text), text))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name it has in the standard library
        """Log nothing."""


# Actions of a watch; each returns whether the watch continues.


def say(text: bytes) -> Callable[[Handler], bool]:
    """Return an action that sends a chunk, whether or not it is whole lines."""

    def order(handler: Handler) -> bool:
        handler.piece(text)
        return True

    return order


def end(handler: Handler) -> bool:
    """End the watch as after its timeout."""
    handler.piece(b"")
    return False


def cut(handler: Handler) -> bool:
    """Disconnect in the middle of a line."""
    handler.piece(b'{"type":"MODIFIED","object":{"metadata":{"na')
    return False


def expire(handler: Handler) -> bool:
    """Send the error that the version has expired."""
    gone = {"kind": "Status", "status": "Failure", "code": 410, "reason": "Expired", "message": "too old"}
    handler.piece(line("ERROR", gone) + b"")
    handler.piece(b"")
    return False


def fail(handler: Handler) -> bool:
    """Send the error that an API server sends when it loses etcd."""
    fault = {"kind": "Status", "status": "Failure", "code": 500, "reason": "InternalError", "message": "no leader"}
    handler.piece(line("ERROR", fault))
    handler.piece(b"")
    return False


def babble(handler: Handler) -> bool:
    """Send a line that is not JSON."""
    handler.piece(b"<html>502 Bad Gateway</html>\n")
    handler.piece(b"")
    return False
