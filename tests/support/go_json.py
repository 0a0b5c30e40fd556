"""Reviews as an API server writes them, encoded by the rules of Go's `encoding/json`.

https://pkg.go.dev/encoding/json#Marshal: `<`, `>`, `&`, U+2028 and U+2029 are escaped in strings. Raw JSON such as
`fieldsV1` is written as given, with the same escapes.
"""

import json
import re
from typing import Any, NamedTuple

from hypothesis import strategies as st

from webhook.constants import ORIGINALS_ANNOTATION

_ESCAPED = re.compile("[<>&\u2028\u2029]")


class Raw(NamedTuple):
    """JSON that is written as given."""

    text: bytes


def encode(value: Any) -> bytes:
    """Encode a value, which may contain `Raw` values."""
    raw: list[bytes] = []

    def placeholder(found: Any) -> Any:
        # A Raw is a tuple, which json would write as a list.
        if isinstance(found, Raw):
            raw.append(found.text)
            return f"@raw {len(raw) - 1}@"
        if isinstance(found, dict):
            return {name: placeholder(below) for name, below in found.items()}
        return [placeholder(item) for item in found] if isinstance(found, list) else found

    text = json.dumps(placeholder(value), ensure_ascii=False, separators=(",", ":"))
    escaped = _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text).encode()
    pieces = re.split(rb'"@raw ([0-9]+)@"', escaped)
    pieces[1::2] = [raw[int(number)] for number in pieces[1::2]]
    return b"".join(pieces)


def review(new: Any, old: Any = None, **request: Any) -> bytes:
    """Encode the review of a Pod's creation, or of an update from `old`."""
    fields = {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "requestKind": {"group": "", "version": "v1", "kind": "Pod"},
        "requestResource": {"group": "", "version": "v1", "resource": "pods"},
        "name": "x",
        "namespace": "team",
        "operation": "CREATE" if old is None else "UPDATE",
        "userInfo": {"username": "<someone>", "groups": ["system:authenticated"], "extra": {"a&b": ["<>"]}},
        "object": new,
        "oldObject": old,
        "dryRun": False,
        "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "a&b"},
        **request,
    }
    return encode({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": fields}) + b"\n"


IMAGES = st.sampled_from(
    [
        "nginx",
        "evil/x:1",
        "quay.io/x:1",
        "Quay.IO:443/x",
        "gcr.io/y",
        "ghcr.io/z@sha256:" + "5f" * 32,
        "registry.example.com/z",
        "sha256:" + "5f" * 32,
        "",
        "Bad <image>",
        "a" * 300,
        "é",
        "x\u2028y",
        "\ufffd",
    ]
)
_TEXTS = st.sampled_from(["", "<", "&&", "\u2028\u2029", "\x00\x01\x7f", "\ufffd", 'a"b\\c', "{[", "]}", "\U0001f600"])
_POLICIES = st.sampled_from(["Always", "IfNotPresent", "Never"])
_PIECES = st.sampled_from([b"{}", b'"\\ud800"', b'"\\udc00\\\\"', b'"\xff\xed\xa0\x80"', b"1e999", b"-" + b"9" * 400])


@st.composite
def raw(draw: st.DrawFn) -> Raw:
    """Return JSON nested as deeply as an API server accepts."""
    depth = draw(st.sampled_from([0, 1, 10, 500, 990, 1_010, 9_990]))
    opening, closing = draw(st.sampled_from([(b'{"f:a":', b"}"), (b"[", b"]"), (b'{"]\\"{":[', b"]}")]))
    return Raw(opening * depth + draw(_PIECES) + closing * depth)


@st.composite
def pods(draw: st.DrawFn) -> Any:
    """Return a Pod with every field that an API server sets, up to 3 MiB before encoding."""
    managed = [
        {"manager": draw(_TEXTS), "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": draw(raw())}
        for _ in range(draw(st.integers(0, 2)))
    ]
    annotations = draw(st.dictionaries(st.sampled_from([ORIGINALS_ANNOTATION, "other", "a<b"]), _ANNOTATIONS))
    filling = draw(_TEXTS) * draw(st.sampled_from([0, 0, 0, 0, 1, 100, 100_000, 1_500_000]))
    containers = st.lists(_CONTAINERS, max_size=3)
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"name": "x", "namespace": "team", "annotations": annotations, "managedFields": managed},
        "spec": {
            "volumes": draw(st.lists(_VOLUMES, max_size=3)) * draw(st.sampled_from([1, 1, 1, 5_000])),
            "initContainers": draw(containers),
            "containers": [*draw(containers), _container("filled", "evil/x:1", "Always", filling)],
            "ephemeralContainers": draw(containers),
            "imagePullSecrets": draw(st.lists(st.sampled_from([{"name": "theirs"}, {}]), max_size=2)),
        },
        "status": {"phase": "Pending"},
    }


def _container(name: str, image: str, policy: str, value: str) -> Any:
    return {
        "name": name,
        "image": image,
        "env": [{"name": "A", "value": value[: 3 * 1024 * 1024 // 2]}],
        "resources": {},
        "terminationMessagePath": "/dev/termination-log",
        "imagePullPolicy": policy,
    }


_NAMES = st.sampled_from(["a", "b", "c"])
_CONTAINERS = st.builds(_container, _NAMES, IMAGES, _POLICIES, _TEXTS)
_VOLUMES = st.builds(lambda name: {"name": name, "emptyDir": {}}, _NAMES) | st.builds(
    lambda name, image, policy: {"name": name, "image": {"reference": image, "pullPolicy": policy}},
    _NAMES,
    IMAGES,
    _POLICIES,
)
_ANNOTATIONS = st.sampled_from(['{"a":"nginx"}', '{"a":"evil/x:1","z":"gone"}', "{}", "", "[1]", "<", "x" * 100_000])
