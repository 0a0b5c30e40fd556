"""Decodes the parts of an AdmissionReview (v1 or v1beta1) that are used, and encodes the response.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#request
A review usually decodes in one pass. One that does not is decoded again part by part, after replacing what msgspec
refuses: lone surrogates and deep nesting. So everything that an API server sends can be read; other bodies are answered
if their uid can be read. Both take linear time.
"""

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar, cast, get_args

import msgspec
from msgspec import Meta, Raw, Struct

from webhook.admission import nesting, pod
from webhook.admission.pod import Pod, UnreadablePod
from webhook.errors import MalformedReview, UnreadableReview

#: Maximum bytes of JSON for one stored byte. Go's encoder writes `<`, `>`, `&`, control characters and each
#: byte of invalid UTF-8 in six bytes. Of a Pod's structures, a preferred Pod affinity term grows most: 13 bytes to 93.
_EXPANSION = 8
#: Bytes of the longest review that an API server sends of a Pod that it stores: an UPDATE with old and new object.
BODY_LIMIT = 2 * pod.STORED_LIMIT * _EXPANSION

#: Maximum characters of a uid; those of API servers have 36.
_UID = 1024

Version = Literal["admission.k8s.io/v1", "admission.k8s.io/v1beta1"]
VERSIONS: tuple[str, ...] = get_args(Version)


class GroupVersionKind(Struct, frozen=True, gc=False):
    """The kind of the request's object."""

    group: str = ""
    version: str = ""
    kind: str = ""


class _RequestBase(Struct, frozen=True, gc=False, rename="camel"):
    uid: Annotated[str, Meta(min_length=1, max_length=_UID)]
    kind: GroupVersionKind = GroupVersionKind()
    sub_resource: str | None = None
    namespace: str | None = None
    name: str | None = None
    operation: str | None = None
    dry_run: bool | None = None


class Request(_RequestBase, frozen=True, gc=False):
    """The part of an AdmissionRequest that is read."""

    object: Pod | None = None
    old_object: Pod | None = None


class Review(Struct, frozen=True, gc=False, rename="camel"):
    """The part of an AdmissionReview that is read."""

    api_version: Version
    """The version to answer in."""
    kind: Literal["AdmissionReview"]
    request: Request


class _RawRequest(_RequestBase, frozen=True, gc=False):
    object: Raw = pod.NULL
    old_object: Raw = pod.NULL


class _RawReview(Struct, frozen=True, gc=False, rename="camel"):
    api_version: Version
    kind: Literal["AdmissionReview"]
    request: _RawRequest


class _Identity(Struct, frozen=True, gc=False):
    uid: Annotated[str, Meta(min_length=1, max_length=_UID)]


class _Identified(Struct, frozen=True, gc=False, rename="camel"):
    api_version: Version
    kind: Literal["AdmissionReview"]
    request: _Identity


class Response(Struct, frozen=True, gc=False, rename="camel", omit_defaults=True):
    """An AdmissionResponse without its uid."""

    allowed: bool
    status: dict[str, str | int] | None = None
    patch: bytes | None = None
    """A JSON Patch; base64 on the wire."""
    patch_type: str | None = None
    audit_annotations: dict[str, str] | None = None
    warnings: tuple[str, ...] | None = None


# The path to all annotations of a Pod.


class _Annotations(Struct, frozen=True, gc=False):
    annotations: Raw


class _AnnotatedPod(Struct, frozen=True, gc=False):
    metadata: _Annotations


class _AnnotatedRequest(Struct, frozen=True, gc=False):
    object: _AnnotatedPod


class _AnnotatedReview(Struct, frozen=True, gc=False):
    request: _AnnotatedRequest


#: Bytes. In a longer body the items of lists are counted before they are decoded, because each takes memory.
_LARGE = 1024 * 1024
#: Levels preserved of a review that is nested too deeply. The reference of an image volume is in the eighth.
_LEVELS = 16

# An escaped lone surrogate is not Unicode (RFC 8259 section 8.2), and msgspec refuses it even in values that it skips.
# Go's decoder, which API servers use, reads it as U+FFFD.
_LONE = re.compile(
    rb"\\u[dD](?:[89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD])[c-fC-F][0-9a-fA-F]{2})"
)
_LOW = re.compile(rb"\\u[dD][c-fC-F]")
_REPLACEMENT = rb"\ufffd"
_REPLACEMENT_TEMPLATE = _REPLACEMENT.replace(b"\\", rb"\\")
_ESCAPE = len(_REPLACEMENT)
#: Bytes that are repaired at once: `re.sub` takes many times as much memory.
_BLOCK = 64 * 1024
#: Replaces two backslashes, so that every remaining one begins an escape. The byte does not occur in UTF-8.
_BACKSLASHES = b"\xff\xff"

_decoder = msgspec.json.Decoder(Review)
_raw_decoder = msgspec.json.Decoder(_RawReview)
_identity_decoder = msgspec.json.Decoder(_Identified)
_pod_decoder = msgspec.json.Decoder(Pod)
_response_decoder = msgspec.json.Decoder(Response)
_annotated_review_decoder = msgspec.json.Decoder(_AnnotatedReview)
_annotated_pod_decoder = msgspec.json.Decoder(_AnnotatedPod)
_Found = TypeVar("_Found")
_encoder = msgspec.json.Encoder()


# The beginning of every review from an API server, which can be read even if the rest is not JSON.
_BEGINNING = re.compile(
    rb"""\s*\{\s*
    (?:"kind"\s*:\s*"AdmissionReview"\s*,\s*)?
    "apiVersion"\s*:\s*"(?P<version>admission\.k8s\.io/v1(?:beta1)?)"\s*,\s*
    (?:"kind"\s*:\s*"AdmissionReview"\s*,\s*)?
    "request"\s*:\s*\{\s*"uid"\s*:\s*"(?P<uid>[!#-\[\]-~]{1,1024})"
    """,
    re.VERBOSE,
)

#: In Go's order of fields, the namespace precedes everything that a Pod's author writes except the name, in which
#: quotes are escaped.
_NAMESPACE = re.compile(rb'"namespace":"([a-z0-9-]{1,63})"')
#: Bytes that are searched for the namespace.
_HEADER = 2048


def decode(body: bytes) -> Review:
    """Decode a body.

    Raises `UnreadableReview` if only the uid can be read, and `MalformedReview` if that cannot be read either. Their
    messages quote nothing of the body.
    """
    if not _has_long_lists(body):
        try:
            return _decoder.decode(body)
        except (ValueError, RecursionError):
            pass
    return _decode_in_parts(body)


def _has_long_lists(text: bytes) -> bool:
    # A list has one comma fewer than items.
    return len(text) > _LARGE and text.count(b",") > _LARGE // 8


def decode_pod(text: bytes) -> Pod | None:
    """Decode a Pod's JSON in the same way as in a review; return None for null."""
    if not _has_long_lists(text):
        try:
            return _pod_decoder.decode(text)
        except (ValueError, RecursionError):
            pass
    return _decode_pod(text)


def decode_truncated(beginning: bytes) -> Review:
    """Return the version and uid of a review, from the beginning of its body.

    Raises `MalformedReview` if it does not begin like a review from an API server.
    """
    found = _BEGINNING.match(beginning)
    if found is None:
        raise MalformedReview("not an AdmissionReview")
    version = cast("Version", found["version"].decode())
    return Review(version, "AdmissionReview", Request(uid=found["uid"].decode()))


def _decode_in_parts(body: bytes) -> Review:
    try:
        raw = _raw_decoder.decode(body)
    except (ValueError, RecursionError):
        raw = _decode_envelope(repaired(body))
    asked = {name: getattr(raw.request, name) for name in _RequestBase.__struct_fields__}
    new, old = [_decode_pod(bytes(each)) for each in (raw.request.object, raw.request.old_object)]
    return Review(raw.api_version, raw.kind, Request(**asked, object=new, old_object=old))


def _decode_envelope(body: bytes) -> _RawReview:
    try:
        return _raw_decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _refusal(body, f"not an AdmissionReview of {' or '.join(VERSIONS)}: {_unquoted(error)}") from None
    except UnicodeDecodeError:
        raise _refusal(body, "not UTF-8 text") from None
    except msgspec.DecodeError as error:
        raise _refusal(body, f"invalid JSON: {error}") from None
    except RecursionError:
        raise _refusal(body, "invalid JSON with too many levels of nesting") from None


def _refusal(body: bytes, why: str) -> MalformedReview:
    """Return the error for a body that cannot be read: `UnreadableReview` if its uid can be."""
    try:
        found = _identity_decoder.decode(body)
    except (ValueError, RecursionError):
        try:
            begun = decode_truncated(body)
        except MalformedReview:
            return MalformedReview(why)
        return UnreadableReview(why, begun.api_version, begun.request.uid)
    return UnreadableReview(why, found.api_version, found.request.uid)


def _unquoted(error: msgspec.ValidationError) -> str:
    """Return the error's message without the value, which can be anything."""
    problem, at, place = str(error).rpartition(" - at ")
    return f"Invalid enum value{at}{place}" if problem.startswith("Invalid enum value") else str(error)


def _decode_pod(text: bytes) -> Pod | None:
    if text == bytes(pod.NULL):
        return None
    try:
        too_large = pod.why_too_large(text)
        return UnreadablePod(why=too_large, too_large=True) if too_large else pod.decode_piecewise(text)
    except (ValueError, RecursionError):
        pass
    try:
        # The decoders differ in the depth that they accept.
        return pod.decode_piecewise(repaired(text))
    except ValueError:
        return UnreadablePod(why="a string is not UTF-8")


def _decode_repaired(decoder: msgspec.json.Decoder[_Found], body: bytes) -> _Found:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, RecursionError):
        return decoder.decode(repaired(body))


def repaired(text: bytes) -> bytes:
    """Return JSON in which lone surrogates and deep values, which msgspec refuses, are replaced."""
    return nesting.flatten(_without_lone_surrogates(text) if rb"\u" in text else text, _LEVELS)


def _without_lone_surrogates(text: bytes) -> bytes:
    masked = text.replace(rb"\\", _BACKSLASHES)
    result = bytearray(text)
    start = 0
    while start < len(text):
        end = _end_of_block(masked, start + _BLOCK)
        block = masked[start:end]
        if block == text[start:end]:
            result[start:end] = _LONE.sub(_REPLACEMENT_TEMPLATE, block)
        else:
            for lone in _LONE.finditer(block):
                result[start + lone.start() : start + lone.end()] = _REPLACEMENT
        start = end
    return bytes(result)


def _end_of_block(masked: bytes, position: int) -> int:
    """Return the first position from `position` on that is neither in an escape nor between two surrogates."""
    begun = masked.rfind(rb"\u", position - _ESCAPE + 1, position + 1)
    if 0 <= begun < position:
        position = begun + _ESCAPE
    return position + _ESCAPE if _LOW.match(masked, position) else position


def annotations_exceed(body: bytes, limit: int) -> bool:
    """Return whether the annotations of a review's object have more than `limit` bytes, as the API server counts them.

    Keys and values count. False for annotations that the API server would refuse anyway.
    """
    return _annotations_exceed(lambda: _decode_repaired(_annotated_review_decoder, body).request.object, body, limit)


def pod_annotations_exceed(text: bytes, limit: int) -> bool:
    """Return the same for a Pod's JSON."""
    return _annotations_exceed(lambda: _decode_repaired(_annotated_pod_decoder, text), text, limit)


def _annotations_exceed(decode: Callable[[], _AnnotatedPod], text: bytes, limit: int) -> bool:
    # Annotations are at least as long in JSON, so only long strings have to be checked.
    if len(text) <= limit:
        return False
    try:
        raw = decode().metadata.annotations
        # JSON has at most six bytes for each byte, and six more for each entry, which has at least one byte.
        if len(memoryview(raw)) > 12 * limit + 2:
            return True
        annotations = msgspec.json.decode(raw, type=dict[str, str])
    except (ValueError, RecursionError):
        return False
    return sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items()) > limit


def namespace(body: bytes) -> bytes:
    """Return the namespace of a review from an API server without decoding it; empty if it is not found.

    A hint only: other clients may write one that the request does not have.
    """
    found = _NAMESPACE.search(body, 0, _HEADER)
    return found[1] if found else b""


def encode(response: Response) -> bytes:
    """Encode a response without its opening brace, for `encode_answer`."""
    return _encoder.encode(response)[1:]


def decode_response(encoded: bytes) -> Response:
    """Decode a response from `encode`."""
    return _response_decoder.decode(b"{" + encoded)


def encode_answer(asked: Review, encoded: bytes) -> bytes:
    """Return an encoded AdmissionReview with an encoded response, in the version of the request."""
    head = b'{"apiVersion":%b,"kind":"AdmissionReview","response":{"uid":%b,%b}'
    return head % (_encoder.encode(asked.api_version), _encoder.encode(asked.request.uid), encoded)


def encode_review(document: dict[str, Any], operation: str = "CREATE", **request: Any) -> bytes:
    """Return the review that the API server would send for a Pod; `request` sets or replaces its fields."""
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
