"""Reads a cluster with the user's permissions. Nothing is written.

A list or object that cannot be read is `NotReadable`. Lists are paged, and the content of Secrets is only read by name.
"""

import shlex
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, NamedTuple, TypeVar
from urllib.parse import quote

import msgspec
from msgspec import Struct, field

from webhook.constants import INSTALLATION_LABEL, MANAGED_BY_LABEL, REFRESHER
from webhook.errors import ClusterError, Expired, Forbidden, NotFound, NotPermitted, NotReadable, Unreachable
from webhook.kube import objects
from webhook.kube.client import JSON, METADATA, METADATA_LIST, Client, Request, api_error
from webhook.kube.codec import STATUS, decoded
from webhook.kube.objects import DryRunResult
from webhook.kube.paging import list_pages

#: Attempts at a list that takes longer than the API server keeps it.
_ROUNDS = 3
#: Seconds for a dry run, in which all webhooks of the cluster are called.
_DRY_RUN_TIMEOUT = 60.0
#: The API server's message, with status 500, when a webhook with failurePolicy Fail did not answer.
_NO_WEBHOOK = "failed calling webhook"

#: For objects that users create: prefixes of the annotations to keep, the limit of characters, and that of labels.
_READ_ANNOTATIONS = ("registry-webhook/", "kubernetes.io/")
_LONGEST, _MOST_LABELS = 1024, 64

_T = TypeVar("_T")
_Read_co = TypeVar("_Read_co", covariant=True)

#: Called after each page with the number of objects read, and the total if it is known.
Progress = Callable[[int, int | None], None]


class Resource(NamedTuple, Generic[_Read_co]):
    """A kind of objects and the type that they decode to."""

    display_name: str
    """`Pods`."""
    group: str
    """Its path: `/api/v1`, `/apis/apps/v1`."""
    plural: str
    type: type[_Read_co]
    metadata_only: bool = False
    """Whether only metadata may leave the API server."""
    namespaced: bool = True
    from_tenants: bool = False
    """Whether users can create many objects that are all held in memory; large strings are dropped then."""

    def path(self, namespace: str | None, name: str = "") -> str:
        """Return the path of the objects of a namespace, of all namespaces with None, or of one object."""
        within = "" if namespace is None else f"/namespaces/{quote(namespace, safe='')}"
        return f"{self.group}{within}/{self.plural}" + (f"/{quote(name, safe='')}" if name else "")


_CORE, _APPS, _BATCH = "/api/v1", "/apis/apps/v1", "/apis/batch/v1"
_ADMISSION = "/apis/admissionregistration.k8s.io/v1"

NAMESPACES = Resource("Namespaces", _CORE, "namespaces", objects.Namespace, namespaced=False)
PODS = Resource("Pods", _CORE, "pods", objects.Pod)
POD_MANIFESTS = Resource("Pods", _CORE, "pods", dict[str, Any])
"""Pods with all their fields."""
SECRETS = Resource("Secrets", _CORE, "secrets", objects.ManagedObject, metadata_only=True, from_tenants=True)
SECRET_CONTENTS = Resource("Secrets", _CORE, "secrets", objects.Secret)
"""Secrets with their content, to be read one at a time."""
EVENTS = Resource("Events", _CORE, "events", objects.Event, from_tenants=True)
CONFIG_MAPS = Resource("ConfigMaps", _CORE, "configmaps", objects.ConfigMap)
ENDPOINT_SLICES = Resource("EndpointSlices", "/apis/discovery.k8s.io/v1", "endpointslices", objects.EndpointSlice)
DEPLOYMENTS = Resource("Deployments", _APPS, "deployments", objects.Deployment)
REPLICA_SETS = Resource("ReplicaSets", _APPS, "replicasets", objects.Object, metadata_only=True, from_tenants=True)
REPLICATION_CONTROLLERS = Resource(
    "ReplicationControllers",
    _CORE,
    "replicationcontrollers",
    objects.Object,
    metadata_only=True,
    from_tenants=True,
)
JOBS = Resource("Jobs", _BATCH, "jobs", objects.Object, metadata_only=True, from_tenants=True)
WEBHOOKS = Resource(
    "MutatingWebhookConfigurations",
    _ADMISSION,
    "mutatingwebhookconfigurations",
    objects.WebhookConfiguration,
    namespaced=False,
)


def _admission(what: str) -> Resource[objects.Object]:
    """Return the resource for a kind of admission policies or bindings; older API servers do not have all of them."""
    return Resource(what, _ADMISSION, what.lower(), objects.Object, metadata_only=True, namespaced=False)


MUTATING_POLICIES = _admission("MutatingAdmissionPolicies")
MUTATING_BINDINGS = _admission("MutatingAdmissionPolicyBindings")
VALIDATING_POLICIES = _admission("ValidatingAdmissionPolicies")
VALIDATING_BINDINGS = _admission("ValidatingAdmissionPolicyBindings")


class Reader:
    """Read access to an API server as the user of the kubeconfig."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def version(self) -> str:
        """Return the API server's version, `v1.37.0`. Raises `ClusterError`."""
        answer = self._client.call(Request("", "GET", "/version"))
        return decoded("reach the API server", _VERSION.decode, answer).git_version

    def list(  # noqa: PLR0913 - all but the resource are options
        self,
        resource: Resource[_T],
        namespace: str | None = None,
        *,
        labels: str = "",
        fields: str = "",
        progress: Progress | None = None,
        keep: Callable[[_T], bool] = lambda _: True,
    ) -> tuple[_T, ...]:
        """List the objects of a namespace, or of all with None; empty for a kind that the API server does not have."""
        query = tuple((name, value) for name, value in (("labelSelector", labels), ("fieldSelector", fields)) if value)
        for _ in range(_ROUNDS):
            try:
                every = self._iterate(resource, namespace, query, progress)
                return tuple(one for one in every if keep(one))
            except NotFound:
                return ()
            except Expired:
                continue
            except ClusterError as error:
                what = f"list {_in_words(resource, namespace)}"
                raise _not_readable(error, what, _can_i("list", resource, namespace)) from None
        raise NotReadable(f"listing {_in_words(resource, namespace)} takes longer than the API server keeps the list")

    def _iterate(
        self,
        resource: Resource[_T],
        namespace: str | None,
        query: tuple[tuple[str, str], ...],
        progress: Progress | None,
    ) -> Iterator[_T]:
        """Yield objects with one page in memory. Raises `ClusterError`, and `Expired` if the list must restart."""
        what = f"list {_in_words(resource, namespace)}"
        accept = METADATA_LIST if resource.metadata_only else JSON
        decoder = msgspec.json.Decoder(resource.type)
        read = 0
        for page in list_pages(self._client, Request(what, "GET", resource.path(namespace), query, accept=accept)):
            read += len(page.items)
            for item in page.items:
                found = decoded(what, decoder.decode, item)
                yield _slim(found) if resource.from_tenants else found
            if progress is not None:
                progress(read, None if page.remaining is None else read + page.remaining)

    def get(self, resource: Resource[_T], name: str, namespace: str | None = None) -> _T | None:
        """Read an object, or return None if it does not exist."""
        place = name if namespace is None else f"{namespace}/{name}"
        what = f"read {resource.display_name} {place}"
        accept = METADATA if resource.metadata_only else JSON
        try:
            answer = self._client.call(Request(what, "GET", resource.path(namespace, name), accept=accept))
            return decoded(what, msgspec.json.Decoder(resource.type).decode, answer)
        except NotFound:
            return None
        except ClusterError as error:
            raise _not_readable(error, what, _can_i("get", resource, namespace, name)) from None

    def get_from_pod(self, namespace: str, pod: str, port: int, path: str, accept: str = "*/*") -> bytes:
        """Read a path of a Pod, such as `/metrics` or `/readyz`, through the API server's proxy and over plain HTTP.

        Any status of the Pod is accepted, because a process that is not ready reports the reason. An error of the API
        server itself is a `Status` object.
        """
        place = f"/api/v1/namespaces/{quote(namespace, safe='')}/pods/{quote(pod, safe='')}:{port}/proxy{path}"
        what = f"read {path} of Pod {namespace}/{pod}"
        try:
            answer = self._client.call(Request(what, "GET", place, accept=accept, any_status=True))
            if answer.startswith(b"{"):
                status = decoded(what, STATUS.decode, answer)
                if status.kind == "Status":
                    raise api_error(status.code, what, answer)
        except ClusterError as error:
            raise _not_readable(error, what) from None
        return answer

    def create(self, path: str, body: Mapping[str, Any], what: str) -> dict[str, Any]:
        """Create an object that the API server answers and does not store, such as a SubjectAccessReview."""
        try:
            return decoded(what, _ANY.decode, self._client.call(Request(what, "POST", path, body=dict(body))))
        except ClusterError as error:
            raise _not_readable(error, what) from None

    def dry_run_create(self, pod: Mapping[str, Any], namespace: str) -> DryRunResult:
        """Create a Pod with `dryRun=All`, which stores nothing."""
        what = f"create a Pod in {namespace} as a dry run"
        request = Request(what, "POST", PODS.path(namespace), (("dryRun", "All"),), dict(pod), timeout=_DRY_RUN_TIMEOUT)
        try:
            answer, warnings = self._client.call_with_warnings(request)
            return DryRunResult(decoded(what, _ANY.decode, answer), warnings)
        except ClusterError as error:
            if isinstance(error, NotFound | Unreachable) and _NO_WEBHOOK not in str(error):
                raise _not_readable(error, what) from None
            return DryRunResult(None, refusal=str(error).removeprefix(f"cannot {what}: "))

    def close(self) -> None:
        self._client.close()


def _slim(item: _T) -> _T:
    """Drop strings that are not used and can be large."""
    if not isinstance(item, objects.Object):
        return item
    metadata = item.metadata
    notes = {
        key: text
        for key, text in metadata.annotations.items()
        if key.startswith(_READ_ANNOTATIONS) and len(text) <= _LONGEST
    }
    labels = metadata.labels
    if len(labels) > _MOST_LABELS:
        labels = {key: labels[key] for key in (MANAGED_BY_LABEL, INSTALLATION_LABEL) if key in labels}
    metadata = msgspec.structs.replace(metadata, annotations=notes, labels=labels)
    if isinstance(metadata, objects.ManagedMetadata):
        ours = tuple(one for one in metadata.managed_fields if one.manager == REFRESHER)[:1]
        applied = tuple(msgspec.structs.replace(one, fields={}) for one in ours)
        metadata = msgspec.structs.replace(metadata, managed_fields=applied)
    item = msgspec.structs.replace(item, metadata=metadata)
    return msgspec.structs.replace(item, message=item.message[:_LONGEST]) if isinstance(item, objects.Event) else item


def _in_words(resource: Resource[Any], namespace: str | None) -> str:
    return (
        f"{resource.display_name} in {namespace or 'all namespaces'}"
        if namespace or resource.namespaced
        else resource.display_name
    )


def _can_i(verb: str, resource: Resource[Any], namespace: str | None, name: str = "") -> str:
    """Return the command that shows whether the user has a permission."""
    group = resource.group.split("/")[2:-1]  # none in `/api/v1`
    kind = ".".join([resource.plural, *group])
    within = ("--all-namespaces",) if namespace is None else ("-n", namespace)
    words = ("auth", "can-i", verb, f"{kind}/{name}" if name else kind, *(within if resource.namespaced else ()))
    return shlex.join(("kubectl", *words))


def _not_readable(error: ClusterError, what: str, can_i: str = "") -> NotReadable:
    """Return `NotPermitted` for a missing permission, and the API server's message otherwise."""
    if isinstance(error, Forbidden) and str(error).endswith("(403)"):
        return NotPermitted(what, hint=can_i and f"ask for this permission, and check it with `{can_i}`")
    return NotReadable(str(error), hint=error.hint)


class _Version(Struct):
    git_version: str = field(name="gitVersion")


_VERSION = msgspec.json.Decoder(_Version)
_ANY = msgspec.json.Decoder(dict[str, Any])
