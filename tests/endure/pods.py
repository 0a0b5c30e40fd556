"""Millions of reviews, plausible or not, each determined by seed and number, so that any can be repeated.

Plausible ones are what an API server sends: CREATE, UPDATE with the old object, ephemeral containers, image volumes,
and images from all edges of the grammar. In others a part is replaced with anything at all, or bytes are changed.
"""

import json
import random
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import msgspec

from webhook.constants import ENABLED_LABEL, MIRROR_ANNOTATION, ORIGINALS_ANNOTATION

Json = Any


class Drawn(NamedTuple):
    """A body, and the review it was made of where nothing has been done to its bytes."""

    body: bytes
    review: Json | None


_SHA256 = "@sha256:" + "5f" * 32
_HOSTS = (
    "quay.io",
    "gcr.io",
    "registry.example.com",
    "docker.io",
    "index.docker.io",
    "localhost",
    "ghcr.io",
    "10.0.0.1",
)
_ODD_HOSTS = (
    "Registry",
    "[fe80::1]",
    "UPPER.example.com",
    "a" * 63 + ".example.com",
    "x" * 400 + ".com",
    "-a.b",
    "a..b",
)
_PORTS = ("", "", "", ":5000", ":65535", ":99999999", ":", ":x")
_PATHS = (
    "nginx",
    "team/api",
    "library/nginx",
    "a/b/c/d",
    "a__b",
    "a---b",
    "coreos/etcd",
    "x/" + "y" * 253,
    "y" * 248,
    "z" * 247,
)
_ODD_PATHS = (
    "",
    "/",
    "Nginx",
    "a//b",
    "../x",
    "é",
    "ngın\u0445",
    "a b",
    "a\nb",
    "a\0",
    "\U0001f600",
    "a" * 64,
    "%2e",
    "a._b",
    "a" * 5000,
)
_TAGS = ("", "", "", ":1", ":latest", ":_T.-x", ":" + "t" * 128, _SHA256, ":1" + _SHA256, "@sha512:" + "c3" * 64)
_ODD_TAGS = (":", "@", ":" + "t" * 129, "@sha256:5f", "@md5:" + "a" * 32, ":1:2", ":é", ":1\n", "@sha256:" + "A" * 64)
_NAMES = ("app", "web", "init", "debug", "app", "x/y~z", "~1", "é", "", "-", "0", "a" * 63)
_LABELS = ("true", "false", "", "False", "0")
_ORIGINALS = (
    '{"app":"nginx"}',
    '{"app":"first","web":"b"}',
    "{}",
    "",
    "[1]",
    "x",
    '{"a":1}',
    '{"a":"\\ud800"}',
    "[" * 2000,
)
_SECRETS = ("registry-webhook-pull", "theirs", "")
_NAMESPACES = ("team", "team", "team", "kube-system", "", "registry-webhook", "Ünïcode", "denied-one")
_VALUES: tuple[Json, ...] = (
    *(None, True, False, 0, -1, 1.5, 1e308, 2**63, 2**64, -(2**63), 10**30, "", "x", "nginx", "\0", "\u2028", "é"),
    *([], {}, [[]], [{}], {"": {}}, [None], {"name": "x"}, [{"image": "a"}], {"image": {"image": "a"}}, "x" * 300),
)
_ODDITIES = tuple(msgspec.Raw(json.dumps(value, ensure_ascii=False).encode()) for value in _VALUES)


_Choice = TypeVar("_Choice")


class _Drawing:
    """What one number draws."""

    def __init__(self, seed: int, number: int) -> None:
        self.random = random.Random(seed << 40 | number)  # noqa: S311 - to be repeated
        self.chance = self.random.random

    def one(self, choices: tuple[_Choice, ...]) -> _Choice:
        return choices[int(self.chance() * len(choices))]

    def upto(self, most: int) -> int:
        return int(self.chance() * (most + 1))

    def image(self) -> str:
        odd = self.chance()
        path = self.one(_ODD_PATHS if odd < 0.06 else _PATHS)
        tag = self.one(_ODD_TAGS if 0.06 < odd < 0.12 else _TAGS)
        if self.chance() < 0.5:
            path = f"{path}-{self.upto(9999)}" if odd > 0.3 else path
            return f"{path}{tag}"
        host = self.one(_ODD_HOSTS if 0.12 < odd < 0.2 else _HOSTS)
        return f"{host}{self.one(_PORTS)}/{path}{tag}"

    def containers(self, most: int) -> list[Json]:
        return [{"name": f"{self.one(_NAMES)}{at or ''}", "image": self.image()} for at in range(self.upto(most))]

    def pod(self) -> Json:
        spec: dict[str, Json] = {"containers": self.containers(3)}
        metadata: dict[str, Json] = {"name": f"pod-{self.upto(99)}", "namespace": "team", "labels": {"app": "x"}}
        chance = self.chance
        if chance() < 0.3:
            spec["initContainers"] = self.containers(2)
        if chance() < 0.15:
            spec["ephemeralContainers"] = self.containers(2)
        if chance() < 0.2:
            image = {"reference": self.image(), "pullPolicy": "Always"}
            spec["volumes"] = [{"name": self.one(_NAMES), "image": image}, {"name": "tmp", "emptyDir": {}}]
        if chance() < 0.3:
            spec["imagePullSecrets"] = [{"name": self.one(_SECRETS)} for _ in range(self.upto(3))]
        if chance() < 0.3:
            metadata["annotations"] = {"other": "x"}
            if chance() < 0.5:
                metadata["annotations"][ORIGINALS_ANNOTATION] = self.one(_ORIGINALS)
            if chance() < 0.05:
                metadata["annotations"][MIRROR_ANNOTATION] = "x"
        if chance() < 0.1:
            metadata["labels"][ENABLED_LABEL] = self.one(_LABELS)
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": {}}

    def changed(self, pod: Json) -> Json:
        """The same Pod with other images here and there."""
        new = msgspec.json.decode(msgspec.json.encode(pod))
        for name in ("containers", "ephemeralContainers"):
            for container in new["spec"].get(name, ()):
                if self.chance() < 0.4:
                    container["image"] = self.image()
        if self.chance() < 0.3:
            new["spec"].setdefault("ephemeralContainers", []).append({"name": "new", "image": self.image()})
        return new

    def review(self) -> Json:
        pod, old, operation, sub_resource = self.pod(), None, "CREATE", ""
        kind = self.chance()
        if kind < 0.3:
            old, pod, operation = pod, self.changed(pod), "UPDATE"
            sub_resource = self.one(("", "", "ephemeralcontainers"))
        elif kind < 0.33:
            operation, sub_resource = self.one(("DELETE", "CONNECT", "UPDATE")), self.one(("", "status", "exec"))
        request = {
            "uid": f"{self.upto(1 << 30)}",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "subResource": sub_resource,
            "namespace": self.one(_NAMESPACES),
            "name": "",
            "operation": operation,
            "userInfo": {"username": "admin", "groups": ["system:authenticated"]},
            "object": pod,
            "oldObject": old,
            "dryRun": self.chance() < 0.2,
        }
        version = "admission.k8s.io/v1" if self.chance() < 0.9 else "admission.k8s.io/v1beta1"
        return {"apiVersion": version, "kind": "AdmissionReview", "request": request}

    def oddity(self, depth: int = 2) -> Json:
        if depth and self.chance() < 0.2:
            return {self.one(_NAMES): self.oddity(depth - 1), "image": self.oddity(depth - 1)}
        return self.one(_ODDITIES)  # as it is written, for what is there twice must not be one

    def spoil(self, value: Json) -> None:
        """Put something else in place of one thing, wherever it stands, or take it away."""
        while True:
            keys = list(value) if isinstance(value, dict) else list(range(len(value)))
            key = self.one(tuple(keys))
            below = value[key]
            if not (isinstance(below, dict | list) and below) or self.chance() < 0.15:
                value[key] = self.oddity()
                return
            value = below


def draw(seed: int, number: int) -> Drawn:
    """Draw one review."""
    drawing = _Drawing(seed, number)
    review = drawing.review()
    kind = drawing.chance()
    if kind > 0.4:
        return Drawn(msgspec.json.encode(review), review)
    if kind < 0.3:
        # Seldom the envelope: nothing further is looked at in what is no review.
        request = review["request"]
        places = (review, request, *(request["oldObject"] or request,) * 4, *(request["object"],) * 40)
        for _ in range(1 + drawing.upto(2)):
            drawing.spoil(drawing.one(places))
    body = msgspec.json.encode(review)
    if kind > 0.15:
        return Drawn(body, msgspec.json.decode(body))
    for _ in range(1 + drawing.upto(2)):
        body = drawing.one(_DAMAGES)(drawing, body)
    return Drawn(body, None)


# What can be done to a body's bytes.
_Damage = Callable[[_Drawing, bytes], bytes]
PIECES = (
    *(
        b"\\ud800",
        b"\\udc00",
        b"\\ud83d\\ude00",
        b"\\\\ud800",
        b"\\u0000",
        b"\\n",
        b"\\q",
        b"\\u12",
        b"\0",
        b"\n",
        b"\x7f",
    ),
    *(b"\xff", b"\xc3", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xef\xbb\xbf", "\u2028".encode()),
    *(b"{", b"}", b"[", b"]", b'"', b",", b":", b"null", b"NaN", b"-Infinity", b"1e999", b"-", b"01", b"1" * 5000),
    *(
        b"[" * 3000,
        b'{"a":' * 3000,
        b'"image":"nginx",',
        b'"containers":[{"image":"a"}],',
        b'"spec":{},',
        b'"uid":"u",',
    ),
)


def _cut(drawing: _Drawing, body: bytes) -> bytes:
    return body[: drawing.upto(len(body))]


def _flipped(drawing: _Drawing, body: bytes) -> bytes:
    if not body:
        return body
    at = drawing.upto(len(body) - 1)
    return body[:at] + bytes([body[at] ^ 1 << drawing.upto(7)]) + body[at + 1 :]


def _with_piece(drawing: _Drawing, body: bytes) -> bytes:
    at = drawing.upto(len(body))
    return body[:at] + drawing.one(PIECES) + body[at:]


def _in_a_string(drawing: _Drawing, body: bytes) -> bytes:
    """Something in front of a string's end, where most of it is a string still."""
    at = body.find(b'"', drawing.upto(len(body)))
    return body[:at] + drawing.one(PIECES) + body[at:] if at >= 0 else body


def _with_member(drawing: _Drawing, body: bytes) -> bytes:
    """A further member where an object begins: often one that is there twice then."""
    at = body.find(b"{", drawing.upto(len(body))) + 1
    keys = (b"image", b"name", b"containers", b"spec", b"metadata", b"object", b"request", b"uid", b"annotations", b"x")
    value = msgspec.json.encode(drawing.oddity()) if drawing.chance() < 0.8 else drawing.one(PIECES)
    return body[:at] + b'"%b":%b,' % (drawing.one(keys), value) + body[at:] if at else body


def _repeated(drawing: _Drawing, body: bytes) -> bytes:
    begin, end = sorted((drawing.upto(len(body)), drawing.upto(len(body))))
    return body[:end] + body[begin:end] * drawing.upto(3) + body[end:]


def _taken_out(drawing: _Drawing, body: bytes) -> bytes:
    at = drawing.upto(len(body))
    return body[:at] + body[at + drawing.upto(20) :]


def _around(drawing: _Drawing, body: bytes) -> bytes:
    before = drawing.one((b"", b"", b"\xef\xbb\xbf", b" \r\n\t", b"\0", b"[", b"x", body))
    return before + body + drawing.one((b"", b" ", b"\n" * 50, b"\0", b"x", b"]", b"{}", b"}", body))


def _in_ascii(_: _Drawing, body: bytes) -> bytes:
    try:
        return json.dumps(json.loads(body)).encode()
    except (ValueError, RecursionError):
        return body


def _in_another_encoding(drawing: _Drawing, body: bytes) -> bytes:
    return body.decode("utf-8", "replace").encode(drawing.one(("utf-16", "utf-32", "latin-1", "utf-8-sig")), "replace")


def _replaced(drawing: _Drawing, body: bytes) -> bytes:
    return drawing.one(
        (b"", b"{}", b"[]", b"null", b"0", b'""', b"[" * 100_000, drawing.random.randbytes(200), body * 2)
    )


_DAMAGES: tuple[_Damage, ...] = (
    *(_cut, _flipped, _flipped, _with_piece, _in_a_string, _in_a_string, _with_member, _with_member, _with_member),
    *(_repeated, _taken_out, _around, _in_ascii, _in_ascii, _in_another_encoding, _replaced),
)
