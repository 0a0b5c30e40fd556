"""Lists in pages whose size in bytes is limited, whatever is stored in the objects.

Many objects may be written by users of the cluster, and each may have 1.5 MiB in etcd, several times that as JSON. So
the number of objects in a page follows the size of the objects: a page that is too large is read no further, and asked
for again with fewer.
https://kubernetes.io/docs/reference/using-api/api-concepts/#retrieving-large-results-sets-in-chunks
"""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec
from msgspec import Raw, Struct, field

from webhook.errors import TooLarge
from webhook.kube.client import Client, Request
from webhook.kube.codec import decoded

#: Bytes that a page of several objects may have.
_BYTES = 4 * 1024 * 1024
#: Objects in a page, at most.
_OBJECTS = 500
#: By so much fewer objects are asked for when a page was too large: how large it would have been is not known.
_FEWER = 8


class Page(NamedTuple):
    """Some of the objects of a list."""

    items: list[Raw]
    version: str
    """The list's resourceVersion."""
    remaining: int | None
    """How many objects follow, where the API server tells; 0 on the last page."""


def list_pages(client: Client, request: Request) -> Iterator[Page]:
    """List page by page. Raises `ClusterError`; `Expired` when it took so long that the list must begin anew."""
    limit, token = _OBJECTS, ""
    while True:
        query = (*request.query, ("limit", str(limit)), *((("continue", token),) if token else ()))
        asked = request._replace(query=query)
        try:
            body = client.call(asked._replace(limit=_BYTES) if limit > 1 else asked)
        except TooLarge:
            if limit == 1:
                raise
            limit = max(1, limit // _FEWER)
            continue
        read = decoded(request.action, _LIST.decode, body)
        limit = max(1, min(_OBJECTS, limit * _BYTES // (2 * len(body))))
        token = read.metadata.going_on
        yield Page(read.items or [], read.metadata.resource_version, read.metadata.remaining if token else 0)
        if not token:
            return
        del body, read


class _Metadata(Struct, rename="camel"):
    resource_version: str = ""
    going_on: str = field(name="continue", default="")
    remaining: int | None = field(name="remainingItemCount", default=None)


class _List(Struct):
    metadata: _Metadata
    items: list[Raw] | None = None
    """None as well as empty where there are none: lists of metadata alone say it so."""


_LIST = msgspec.json.Decoder(_List)
