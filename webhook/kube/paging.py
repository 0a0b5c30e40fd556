"""Lists in pages of limited bytes, whatever the size of the objects.

Users of the cluster may create many objects of 1.5 MiB each, which is several times that as JSON. So the number of
objects in a page depends on their size: a page that is too large is requested again with fewer objects.
https://kubernetes.io/docs/reference/using-api/api-concepts/#retrieving-large-results-sets-in-chunks
"""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec
from msgspec import Raw, Struct, field

from webhook.errors import TooLarge
from webhook.kube.client import Client, Request
from webhook.kube.codec import decoded

#: Limit in bytes for a page of several objects.
_BYTES = 4 * 1024 * 1024
#: Limit of objects in a page.
_OBJECTS = 500
#: The number of objects is divided by this when a page was too large, as its full size is not known.
_FEWER = 8


class Page(NamedTuple):
    """A page of a list."""

    items: list[Raw]
    version: str
    """The list's resourceVersion."""
    remaining: int | None
    """The number of objects that follow, if the API server reports it; 0 on the last page."""


def list_pages(client: Client, request: Request) -> Iterator[Page]:
    """Yield pages of a list. Raises `ClusterError`, and `Expired` if it takes so long that the list must restart."""
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
    """Empty or, in lists of metadata only, None without objects."""


_LIST = msgspec.json.Decoder(_List)
