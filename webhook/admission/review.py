"""The envelope: AdmissionReview v1 and v1beta1, decoded no further than is read, and the answer encoded.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#request
A review that the API server sends decodes in one pass. One that does not is decoded again with its objects as raw
bytes, so that a malformed Pod still gets its uid back.
"""

import re
from typing import Annotated, Any, Literal, TypeVar, get_args

import msgspec
from msgspec import Meta, Raw, Struct

from webhook.admission import pod
from webhook.admission.pod import Pod
from webhook.errors import MalformedReview

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


# An escaped half of a surrogate pair that stands alone is no Unicode (RFC 8259 section 8.2), and msgspec refuses it
# even where nobody reads it. Go's decoder, which the API server uses, reads it as U+FFFD, and so do we.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<lone>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
_REPLACEMENT = rb"\ufffd"

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
        return _decoder.decode(body)
    except UnicodeDecodeError as error:
        raise MalformedReview(f"not UTF-8 (byte {error.start})") from None
    except (msgspec.DecodeError, RecursionError):
        return _decode_leniently(body)


def _decode_leniently(body: bytes) -> Review:
    try:
        raw = _decode_mended(_raw_decoder, body)
    except msgspec.ValidationError as error:
        raise MalformedReview(f"no AdmissionReview of {' or '.join(VERSIONS)}: {error}") from None
    except msgspec.DecodeError as error:
        raise MalformedReview(f"no JSON: {error}") from None
    except RecursionError:
        raise MalformedReview("nested too deeply") from None
    asked = {name: getattr(raw.request, name) for name in _Asked.__struct_fields__}
    new, old = map(_pod, (raw.request.object, raw.request.old_object))
    return Review(raw.api_version, raw.kind, Request(**asked, object=new, old_object=old))


def _pod(raw: Raw) -> Pod | None:
    return None if raw == pod.NULL else pod.decode_piecewise(raw)


def _decode_mended(decoder: msgspec.json.Decoder[_Found], body: bytes) -> _Found:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        mended = _ESCAPE.sub(_mend, body)
        if mended == body:
            raise
        return decoder.decode(mended)


def _mend(escape: re.Match[bytes]) -> bytes:
    return _REPLACEMENT if escape["lone"] else escape[0]


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
