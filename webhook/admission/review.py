"""The envelope: AdmissionReview v1 and v1beta1, decoded no further than is read, and the answer encoded.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#request
A review that the API server sends decodes in one pass. One that does not is decoded again with its objects as raw
bytes, so that a malformed Pod still gets its uid back. Neither takes longer than a bound: what is larger than anything
that an API server can store is not read.
"""

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar, get_args

import msgspec
from msgspec import Meta, Raw, Struct

from webhook.admission import pod
from webhook.admission.pod import Pod, Unread
from webhook.errors import MalformedReview

#: Bytes that etcd stores of one object: the default of its `--max-request-bytes`. API servers store Pods as protobuf.
STORED_LIMIT = 1536 * 1024
#: Bytes of JSON that one stored byte becomes at most. Go's encoder writes `<`, `>`, `&`, control characters and each
#: byte of invalid UTF-8 in six bytes. Of a Pod's structures, a preferred Pod affinity term grows most: 13 bytes to 93.
_EXPANSION = 8
#: Bytes of the longest review that an API server sends of a Pod that it stores: an UPDATE with old and new object.
BODY_LIMIT = 2 * STORED_LIMIT * _EXPANSION

_Version = Literal["admission.k8s.io/v1", "admission.k8s.io/v1beta1"]
VERSIONS: tuple[str, ...] = get_args(_Version)


class GroupVersionKind(Struct, frozen=True, gc=False):
    """A kind as the request names it."""

    group: str = ""
    version: str = ""
    kind: str = ""


class _Asked(Struct, frozen=True, gc=False, rename="camel"):
    uid: Annotated[str, Meta(min_length=1)]
    kind: GroupVersionKind = GroupVersionKind()
    sub_resource: str | None = None
    namespace: str | None = None
    name: str | None = None
    operation: str | None = None
    dry_run: bool | None = None


class Request(_Asked, frozen=True, gc=False):
    """The part of an AdmissionRequest that is read."""

    object: Pod | None = None
    old_object: Pod | None = None


class Review(Struct, frozen=True, gc=False, rename="camel"):
    """The part of an AdmissionReview that is read."""

    api_version: _Version
    """The version to answer in."""
    kind: Literal["AdmissionReview"]
    request: Request


class _RawRequest(_Asked, frozen=True, gc=False):
    object: Raw = pod.NULL
    old_object: Raw = pod.NULL


class _RawReview(Struct, frozen=True, gc=False, rename="camel"):
    api_version: _Version
    kind: Literal["AdmissionReview"]
    request: _RawRequest


class Response(Struct, frozen=True, gc=False, rename="camel", omit_defaults=True):
    """An AdmissionResponse but for its uid: what the API server reads."""

    allowed: bool
    status: dict[str, str | int] | None = None
    patch: bytes | None = None
    """A JSON Patch; base64 on the wire."""
    patch_type: str | None = None
    audit_annotations: dict[str, str] | None = None
    warnings: tuple[str, ...] | None = None


# The way down to all annotations of the object.


class _Annotations(Struct, frozen=True, gc=False):
    annotations: dict[str, str]


class _Metadata(Struct, frozen=True, gc=False):
    metadata: _Annotations


class _Object(Struct, frozen=True, gc=False):
    object: _Metadata


class _Annotated(Struct, frozen=True, gc=False):
    request: _Object


#: Objects in a body of more than `_LARGE` bytes, of which the Pods are read: etcd takes 1.5 MiB an object, and a field
#: with what the API server notes of who set it takes some 30 bytes; the review of an UPDATE holds two Pods.
_OBJECTS_LIMIT, _LARGE = 100_000, 1024 * 1024
#: In bytes. A Pod with a field that does not fit comes from no API server, and reading it piece by piece takes long.
_PIECEWISE_LIMIT = 256 * 1024

# An escaped half of a surrogate pair that stands alone is no Unicode (RFC 8259 section 8.2), and msgspec refuses it
# even where nobody reads it. Go's decoder, which the API server uses, reads it as U+FFFD, and so do we.
_LONE = re.compile(
    rb"\\u[dD](?:[89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD])[c-fC-F][0-9a-fA-F]{2})"
)
_REPLACEMENT = rb"\ufffd"
#: Stands for two backslashes, so that every one that is left begins an escape. No UTF-8 has this byte.
_BACKSLASHES = b"\xff\xff"

_decoder = msgspec.json.Decoder(Review)
_raw_decoder = msgspec.json.Decoder(_RawReview)
_annotations_decoder = msgspec.json.Decoder(_Annotated)
_Found = TypeVar("_Found")
_encoder = msgspec.json.Encoder()


def decode(body: bytes) -> Review:
    """Decode a body.

    Raises `MalformedReview`, saying in a few words that quote nothing what the body is instead, for what cannot be
    answered: bytes that are no UTF-8 wherever they stand, no JSON, no AdmissionReview of a known version, no uid.
    """
    try:
        if not body.isascii():
            str(body, "utf-8")
    except UnicodeDecodeError as error:
        raise MalformedReview(f"not UTF-8 (byte {error.start})") from None
    if len(body) > _LARGE and body.count(b"{") > _OBJECTS_LIMIT:
        return _decode_envelope(body, lambda _: Unread(why=f"the review holds more than {_OBJECTS_LIMIT:,} objects"))
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return _decode_envelope(body, _decode_piecewise)


def _decode_envelope(body: bytes, decode_pod: Callable[[Raw], Pod]) -> Review:
    try:
        raw = _decode_mended(_raw_decoder, body)
    except msgspec.ValidationError as error:
        raise MalformedReview(f"no AdmissionReview of {' or '.join(VERSIONS)}: {_unquoted(error)}") from None
    except msgspec.DecodeError as error:
        raise MalformedReview(f"no JSON: {error}") from None
    except RecursionError:
        raise MalformedReview("nested too deeply") from None
    asked = {name: getattr(raw.request, name) for name in _Asked.__struct_fields__}
    objects = (raw.request.object, raw.request.old_object)
    new, old = [None if each == pod.NULL else decode_pod(each) for each in objects]
    return Review(raw.api_version, raw.kind, Request(**asked, object=new, old_object=old))


def _unquoted(error: msgspec.ValidationError) -> str:
    """Say what does not fit, and where, without the value: it can be of any length and hold anything."""
    problem, at, place = str(error).rpartition(" - at ")
    return f"Invalid enum value{at}{place}" if problem.startswith("Invalid enum value") else str(error)


def _decode_piecewise(raw: Raw) -> Pod:
    if len(memoryview(raw)) > _PIECEWISE_LIMIT:
        return Unread(why=f"a field does not fit, in more than {_PIECEWISE_LIMIT // 1024} KiB")
    return pod.decode_piecewise(raw)


def _decode_mended(decoder: msgspec.json.Decoder[_Found], body: bytes) -> _Found:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        mended = bytearray(body)
        # In place: pieces to join would take many times the body's own memory.
        for lone in _LONE.finditer(body.replace(rb"\\", _BACKSLASHES)):
            mended[lone.start() : lone.end()] = _REPLACEMENT
        if mended == body:
            raise
        return decoder.decode(bytes(mended))


def annotations_size(body: bytes) -> int:
    """Sum the bytes of the annotations of a review's object, as the API server does for its limit of 256 KiB.

    Keys and values count. Zero for annotations that the API server would refuse anyway.
    """
    try:
        annotations = _decode_mended(_annotations_decoder, body).request.object.metadata.annotations
    except (ValueError, RecursionError):
        return 0
    return sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items())


def encode(response: Response) -> bytes:
    """Encode a response but for its opening brace: what is the same for every review with the same decision."""
    return _encoder.encode(response)[1:]


def answer(asked: Review, encoded: bytes) -> bytes:
    """Make the answer to a review of an encoded response, in the version that was asked."""
    head = b'{"apiVersion":%b,"kind":"AdmissionReview","response":{"uid":%b,%b}'
    return head % (_encoder.encode(asked.api_version), _encoder.encode(asked.request.uid), encoded)


def of_object(document: dict[str, Any], operation: str = "CREATE", **request: Any) -> bytes:
    """Make the review that the API server would send of `document`, a Pod; `request` sets or replaces its fields."""
    metadata = document.get("metadata")
    names = metadata if isinstance(metadata, dict) else {}
    fields = {
        "uid": "00000000-0000-0000-0000-000000000000",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "namespace": names.get("namespace", "default"),
        "name": names.get("name", ""),
        "operation": operation,
        "object": document,
        "oldObject": None,
        "dryRun": True,
        **request,
    }
    return _encoder.encode({"apiVersion": VERSIONS[0], "kind": "AdmissionReview", "request": fields})
