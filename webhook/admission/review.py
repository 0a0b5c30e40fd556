"""The envelope: AdmissionReview v1 and v1beta1, decoded no further than is read, and the answer encoded.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#request
A review that the API server sends decodes in one pass. One that does not is decoded again with its objects as raw
bytes, so that a malformed Pod still gets its uid back.
"""

import re
from typing import Any, TypeVar

import msgspec
from msgspec import Raw, Struct

from webhook.admission import pod
from webhook.admission.pod import Pod
from webhook.errors import MalformedReview

VERSIONS = ("admission.k8s.io/v1", "admission.k8s.io/v1beta1")
_KIND = "AdmissionReview"
_NULL = Raw(b"null")


class GroupVersionKind(Struct, frozen=True):
    """A kind as the request names it."""

    group: str = ""
    version: str = ""
    kind: str = ""


class _Asked(Struct, frozen=True, rename="camel"):
    uid: str
    kind: GroupVersionKind = GroupVersionKind()
    sub_resource: str | None = None
    namespace: str | None = None
    name: str | None = None
    operation: str | None = None
    dry_run: bool | None = None


class Request(_Asked, frozen=True):
    """The part of an AdmissionRequest that is read."""

    object: Pod | None = None
    old_object: Pod | None = None


class _Review(Struct, frozen=True, rename="camel"):
    api_version: str
    kind: str
    request: Request


class _RawRequest(_Asked, frozen=True):
    object: Raw = Raw(b"null")
    old_object: Raw = Raw(b"null")


class _RawReview(Struct, frozen=True, rename="camel"):
    api_version: str
    kind: str
    request: _RawRequest


class Response(Struct, frozen=True, rename="camel", omit_defaults=True):
    """An AdmissionResponse: what the API server reads."""

    uid: str
    allowed: bool
    status: dict[str, str | int] | None = None
    patch: bytes | None = None
    """A JSON Patch; base64 on the wire."""
    patch_type: str | None = None
    audit_annotations: dict[str, str] | None = None
    warnings: tuple[str, ...] | None = None


class _Answer(Struct, frozen=True, rename="camel"):
    api_version: str
    kind: str
    response: Response


# The way down to all annotations of the object.


class _Annotations(Struct, frozen=True):
    annotations: dict[str, str]


class _Metadata(Struct, frozen=True):
    metadata: _Annotations


class _Object(Struct, frozen=True):
    object: _Metadata


class _Annotated(Struct, frozen=True):
    request: _Object


# An escaped half of a surrogate pair that stands alone is no Unicode (RFC 8259 section 8.2), and msgspec refuses it
# even where nobody reads it. Go's decoder, which the API server uses, reads it as U+FFFD, and so do we.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<lone>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
_REPLACEMENT = rb"\ufffd"

_decoder = msgspec.json.Decoder(_Review)
_raw_decoder = msgspec.json.Decoder(_RawReview)
_annotations_decoder = msgspec.json.Decoder(_Annotated)
_Found = TypeVar("_Found")
_encoder = msgspec.json.Encoder()


def decode(body: bytes) -> tuple[str, Request]:
    """Decode a body into the version it asks to be answered in, and its request.

    Raises `MalformedReview`, saying in a few words that quote nothing what the body is instead, for what cannot be
    answered: bytes that are no UTF-8 wherever they stand, no JSON, no AdmissionReview of a known version, no uid.
    """
    try:
        if not body.isascii():
            str(body, "utf-8")
        review = _decode(body)
    except UnicodeDecodeError as error:
        raise MalformedReview(f"not UTF-8 (byte {error.start})") from None
    except msgspec.ValidationError as error:
        raise MalformedReview(f"no AdmissionReview: {error}") from None
    except msgspec.DecodeError as error:
        raise MalformedReview(f"no JSON: {error}") from None
    except RecursionError:
        raise MalformedReview("nested too deeply") from None
    if review.kind != _KIND or review.api_version not in VERSIONS:
        raise MalformedReview(f"no AdmissionReview of {' or '.join(VERSIONS)}")
    if not review.request.uid:
        raise MalformedReview("an AdmissionReview without a uid")
    return review.api_version, review.request


def _decode(body: bytes) -> _Review:
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, RecursionError):
        raw = _decode_mended(_raw_decoder, body)
    asked = {name: getattr(raw.request, name) for name in _Asked.__struct_fields__}
    new, old = map(_pod, (raw.request.object, raw.request.old_object))
    return _Review(raw.api_version, raw.kind, Request(**asked, object=new, old_object=old))


def _pod(raw: Raw) -> Pod | None:
    return None if raw == _NULL else pod.decode_piecewise(raw)


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


def encode(version: str, response: Response) -> bytes:
    """Encode an answer in the version that was asked."""
    return _encoder.encode(_Answer(version, _KIND, response))


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
    return _encoder.encode({"apiVersion": VERSIONS[0], "kind": _KIND, "request": fields})
