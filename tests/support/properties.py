"""Properties of every answer, and Pods, plausible or not, to test them with."""

import base64
import json
import re
from collections.abc import Callable
from typing import Any

import jsonpatch
from hypothesis import strategies as st

from webhook.admission import review
from webhook.admission.mutator import Mutator
from webhook.config.load import load

ALLOWED = re.compile(
    r"/spec/(containers|initContainers|ephemeralContainers)/[0-9]+/image"
    r"|/spec/volumes/[0-9]+/image/reference"
    r"|/spec/imagePullSecrets(/-)?"
    r"|/metadata/annotations(/registry-webhook~1original-images)?"
)

#: The only removal: our own annotation without a valid entry.
_DROPPED = {"op": "remove", "path": "/metadata/annotations/registry-webhook~1original-images"}

CONFIGURATION = """\
opencti:
  daemon:
    registry:
      server: registry.example.com
webhook:
  rules:
    - from: quay.io
      to: mirror.example.com/quay
  exclude:
    - gcr.io/**
"""
HANDLER = Mutator(load(CONFIGURATION.encode(), "laws", {}).configuration)

_IMAGES = st.sampled_from(["nginx", "quay.io/x:1", "gcr.io/y", "registry.example.com/z", "", "Bad", "a" * 300, "é"])
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | _IMAGES
)
_KEYS = st.sampled_from(["name", "image", "reference", "containers", "annotations", "labels", "x"]) | st.text(
    max_size=3
)
JSON = st.recursive(
    _SCALARS, lambda below: st.lists(below, max_size=4) | st.dictionaries(_KEYS, below, max_size=4), max_leaves=12
)


def or_odd(expected: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Draw an expected value, and sometimes anything at all."""
    return st.one_of(expected, expected, expected, JSON)


def mapping(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return or_odd(st.fixed_dictionaries({}, optional={name: or_odd(value) for name, value in fields.items()}))


_NAMES = st.sampled_from(["a", "b", "x/y~z", "é", ""])
_CONTAINERS = st.lists(mapping(name=_NAMES, image=_IMAGES), max_size=4)
_VOLUMES = st.lists(mapping(name=_NAMES, image=mapping(reference=_IMAGES)), max_size=3)
_SECRETS = st.lists(mapping(name=st.sampled_from(["registry-webhook-pull", "theirs"])), max_size=3)
_ORIGINALS = st.sampled_from(['{"a":"nginx"}', "{}", "", "[1]", "x"])
_ANNOTATIONS = st.dictionaries(
    st.sampled_from(["registry-webhook/original-images", "kubernetes.io/config.mirror", "other"]), or_odd(_ORIGINALS)
)
_LABELS = st.dictionaries(st.sampled_from(["registry-webhook/enabled", "app"]), st.sampled_from(["true", "false"]))
PODS = mapping(
    metadata=mapping(name=_NAMES, annotations=_ANNOTATIONS, labels=_LABELS),
    spec=mapping(
        containers=_CONTAINERS,
        initContainers=_CONTAINERS,
        ephemeralContainers=_CONTAINERS,
        volumes=_VOLUMES,
        imagePullSecrets=_SECRETS,
    ),
)
REQUESTS = st.fixed_dictionaries(
    {"operation": st.sampled_from(["CREATE", "CREATE", "UPDATE", "DELETE"]), "dryRun": st.booleans()},
    optional={
        "subResource": st.sampled_from(["", "ephemeralcontainers", "status"]),
        "namespace": st.sampled_from(["team", "kube-system"]),
        "oldObject": PODS,
    },
)


def envelope(pod: Any, request: dict[str, Any]) -> bytes:
    """Draw a review with anything at all in place of a Pod."""
    body = json.loads(review.encode_review({}))
    body["request"] |= {"object": pod, "namespace": "team", **request}
    return json.dumps(body).encode()


def check(pod: Any, body: bytes, answer: bytes) -> None:
    """Assert every property of an answer about a Pod."""
    request = json.loads(body)["request"]
    assert request["object"] == pod
    check_again(patched(request, answer, jsonpatch.apply_patch), HANDLER)


def patched(request: Any, answer: bytes, apply: Callable[[Any, list[Any]], Any]) -> Any:
    """Assert the properties of the answer to a request.

    Returns the request with the object patched by `apply`, or unchanged if there is no patch.
    """
    response = json.loads(answer)["response"]
    assert response["uid"] == request["uid"]
    assert response["allowed"] is True
    assert ("patch" in response) == ("patchType" in response)
    assert all(isinstance(warning, str) and len(warning) <= 256 for warning in response.get("warnings", []))
    patch = json.loads(base64.b64decode(response.get("patch", "W10=")))
    assert all(operation["op"] in {"add", "replace"} or operation == _DROPPED for operation in patch)
    assert all(ALLOWED.fullmatch(operation["path"]) for operation in patch)
    if request.get("operation") != "CREATE":
        assert not any("imagePullSecrets" in operation["path"] for operation in patch)
    return {**request, "object": apply(json.loads(json.dumps(request["object"])), patch)} if patch else request


def check_again(request: Any, handler: Mutator) -> None:
    """Assert that calling the handler again for a patched object changes nothing."""
    again = {"apiVersion": review.VERSIONS[0], "kind": "AdmissionReview", "request": request}
    assert handler.review(json.dumps(again).encode()).decision.operations == ()


def apply(document: Any, patch: list[Any]) -> Any:
    """Patch a document as jsonpatch does, for the operations allowed above, and much faster."""
    for operation in patch:
        *way, last = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
        target = document
        for part in way:
            target = target[int(part)] if isinstance(target, list) else target[part]
        if operation["op"] == "replace":
            assert last in target
            target[last] = operation["value"]
        elif operation["op"] == "remove":
            del target[last]
        elif isinstance(target, list):
            assert last == "-"
            target.append(operation["value"])
        else:
            target[last] = operation["value"]
    return document
