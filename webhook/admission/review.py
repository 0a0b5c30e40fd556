"""The envelope: AdmissionReview v1 and v1beta1, decoded no further than is read, and the answer encoded.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#request
The objects under review stay raw bytes here, so that a malformed Pod still gets its uid back.
"""

import re
from typing import Any

import msgspec
from msgspec import Raw, Struct

from webhook.errors import MalformedReview

VERSIONS = ("admission.k8s.io/v1", "admission.k8s.io/v1beta1")
_KIND = "AdmissionReview"

#: JSON that is absent, in either form.
NOTHING = (Raw(b""), Raw(b"null"))


class GroupVersionKind(Struct, frozen=True):
    """A kind as the request names it."""

    group: str = ""
    version: str = ""
    kind: str = ""


class Request(Struct, frozen=True, rename="camel"):
    """The part of an AdmissionRequest that is read."""

    uid: str
    kind: GroupVersionKind = GroupVersionKind()
    sub_resource: str | None = None
    namespace: str | None = None
    name: str | None = None
    operation: str | None = None
    dry_run: bool | None = None
    object: Raw = Raw(b"")
    old_object: Raw = Raw(b"")


class _Review(Struct, frozen=True, rename="camel"):
    api_version: str
    kind: str
    request: Request


class Response(Struct, frozen=True, rename="camel", omit_defaults=True):
    """An AdmissionResponse: what the API server reads."""

    uid: str
    allowed: bool
    status: dict[str, str | int] | None = None
    patch: bytes | None = None
    """A JSON Patch; base64 on the wire."""
    patch_type: str | None = None
    audit_annotations: dict[str, str] | None = None
    warnings: list[str] | None = None


class _Answer(Struct, frozen=True, rename="camel"):
    api_version: str
    kind: str
    response: Response


# An escaped half of a surrogate pair that stands alone is no Unicode (RFC 8259 section 8.2), and msgspec refuses it
# even where nobody reads it. Go's decoder, which the API server uses, reads it as U+FFFD, and so do we.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<lone>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
_REPLACEMENT = rb"\ufffd"

_decoder = msgspec.json.Decoder(_Review)
_encoder = msgspec.json.Encoder()


def decode(body: bytes) -> tuple[str, Request]:
    """Decode a body into the version it asks to be answered in, and its request.

    Raises `MalformedReview`, saying in a few words that quote nothing what the body is instead, for what cannot be
    answered: bytes that are no UTF-8 wherever they stand, no JSON, no AdmissionReview of a known version, no uid.
    """
    try:
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
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        mended = _ESCAPE.sub(_mend, body)
        if mended == body:
            raise
        return _decoder.decode(mended)


def _mend(escape: re.Match[bytes]) -> bytes:
    return _REPLACEMENT if escape["lone"] else escape[0]


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
