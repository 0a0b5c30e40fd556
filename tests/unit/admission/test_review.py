"""A Pod is decoded at once or, if a field does not fit, in parts: the result is the same."""

import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, structs

from tests.support.properties import JSON, PODS
from webhook.admission import pod, review
from webhook.admission.decision import Outcome
from webhook.admission.pod import Metadata, Pod, Spec
from webhook.constants import ENABLED_LABEL, MIRROR_ANNOTATION, ORIGINALS_ANNOTATION

from .test_mutator import containers, handler


def fields(**known: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({}, optional={**known, "unread": JSON})


_TEXT = st.sampled_from(["a", "nginx", "quay.io/x", "é", "", "\ud800"])
_NULLABLE = st.none() | _TEXT
_CONTAINERS = st.none() | st.lists(fields(name=_TEXT, image=_NULLABLE), max_size=3)
_SPECS = fields(
    containers=_CONTAINERS,
    initContainers=_CONTAINERS,
    ephemeralContainers=_CONTAINERS,
    volumes=st.none() | st.lists(fields(name=_TEXT, image=st.none() | fields(reference=_NULLABLE)), max_size=3),
    imagePullSecrets=st.none() | st.lists(fields(name=_NULLABLE), min_size=1, max_size=3),
)
_ANNOTATIONS = fields(**{MIRROR_ANNOTATION: _NULLABLE, ORIGINALS_ANNOTATION: st.sampled_from(["{}", '{"a":"b"}', "x"])})
_METADATA = fields(name=_NULLABLE, generateName=_NULLABLE, annotations=st.none() | _ANNOTATIONS)
FITTING = fields(metadata=st.none() | _METADATA, spec=st.none() | _SPECS)


def plain(read: Pod) -> Pod:
    """Return a Pod in which all ways to be empty are the same."""
    spec, metadata = read.spec or Spec(), read.metadata
    secrets = spec.image_pull_secrets
    lists = {
        name: getattr(spec, name) or () for name in ("containers", "init_containers", "ephemeral_containers", "volumes")
    }
    if metadata and metadata.annotations and metadata.annotations.mirror is not UNSET:
        metadata = structs.replace(metadata, annotations=structs.replace(metadata.annotations, mirror=""))
    return Pod(metadata, Spec(**lists, image_pull_secrets=secrets if secrets is UNSET else tuple(secrets or ())))


def labelled(document: Any, label: Any) -> Any:
    metadata = document.get("metadata") or {}
    return {**document, "metadata": {**metadata, "labels": {ENABLED_LABEL: label}}}


@given(FITTING | PODS)
def test_decode_piecewise_equals_one_pass(document: Any) -> None:
    encoded = json.dumps(document).replace("\\ud800", "x").encode()
    try:
        read = msgspec.json.decode(encoded, type=Pod)
    except msgspec.ValidationError:
        return
    assert plain(pod.decode_piecewise(encoded)) == plain(read)


@given(FITTING)
def test_decode_misfit_field_leaves_others(document: Any) -> None:
    # A label that is no text is none, and has the whole Pod read piece by piece.
    fitting, odd = (handler().review(json.dumps(envelope(labelled(document, label))).encode()) for label in ("true", 3))
    assert odd.answer == fitting.answer
    assert odd.name == fitting.name


def envelope(document: Any) -> Any:
    made = json.loads(review.encode_review({}))
    made["request"] |= {"object": document, "dryRun": False}
    return made


def test_decode_piecewise_empty_secret_list() -> None:
    document = labelled({"spec": {"containers": containers(a="nginx"), "imagePullSecrets": []}}, 3)
    assert handler().review(json.dumps(envelope(document)).encode()).decision.outcome is Outcome.REWRITTEN


@pytest.mark.parametrize("value", ["x", "", None, 3, 1.5, True, [], ["x"], {}, {"a": {}}], ids=json.dumps)
@pytest.mark.parametrize(
    "others",
    [
        {},
        {"other": 3},
        {ORIGINALS_ANNOTATION: None},
        {ORIGINALS_ANNOTATION: 3},
    ],
    ids=json.dumps,
)
def test_decode_mirror_annotation_of_any_type(value: Any, others: dict[str, Any]) -> None:
    annotations = {MIRROR_ANNOTATION: value, **others}
    document = {"metadata": {"annotations": annotations}, "spec": {"containers": containers(a="nginx")}}
    assert handler().review(json.dumps(envelope(document)).encode()).decision.outcome is Outcome.MIRROR


@pytest.mark.parametrize("annotations", [3, 1.5, True, "x", [], [{}]], ids=json.dumps)
def test_decode_annotations_not_an_object_unset(annotations: Any) -> None:
    request = review.decode(json.dumps(envelope({"metadata": {"name": "x", "annotations": annotations}})).encode())
    assert request.request.object == Pod(
        Metadata(name="x", annotations=UNSET), Spec((), (), (), (), image_pull_secrets=None)
    )


#: Pieces of a string in JSON, of which some mean another thing behind others, with what each is read as.
PIECES = {
    r"\ud83d": "\ufffd",
    r"\uDE00": "\ufffd",
    r"\ud83d\ude00": "\U0001f600",
    r"\\": "\\",
    r"\n": "\n",
    r"\u00e9": "é",
    "ud800": "ud800",
    "é": "é",
}


@given(st.lists(st.sampled_from(sorted(PIECES)), max_size=8))
def test_repaired_replaces_only_lone_surrogates(pieces: list[str]) -> None:
    written = "".join(pieces).replace(r"\ud83d\uDE00", r"\ud83d\ude00")
    read = "".join(
        PIECES[piece] for piece in re.findall("|".join(map(re.escape, sorted(PIECES, key=len)[::-1])), written)
    )
    body = json.dumps(envelope({"metadata": {"name": "?"}})).encode().replace(b"?", written.encode())
    found = review.decode(body).request.object
    assert found is not None
    assert found.metadata is not None
    assert found.metadata.name == read


@pytest.mark.parametrize("escape", [rb"\ud800", rb"\udc00", rb"\udc00\ud800", rb"x\udbff\n"])
def test_decode_lone_surrogate_as_go_does(escape: bytes) -> None:
    body = json.dumps(envelope({"metadata": {"name": "?-\U0001f600"}})).encode().replace(b"?", escape)
    read = review.decode(body).request.object
    assert read is not None
    assert read.metadata is not None
    expected = escape.replace(rb"\ud800", "\ufffd".encode()).replace(rb"\udc00", "\ufffd".encode())
    assert (
        read.metadata.name
        == expected.replace(rb"\udbff", "\ufffd".encode()).replace(rb"\n", b"\n").decode() + "-\U0001f600"
    )


_ESCAPES = [rb"\ud800", rb"\udc00", rb"\uDBFF", rb"\uDFFF", rb"\u0041", rb"\\", rb"\n", rb"\""]
_OTHERS = [b"a", b"d800", b"\xff\xff"]


@given(pieces=st.lists(st.sampled_from(_ESCAPES + _OTHERS), max_size=60), size=st.integers(6, 80))
def test_repaired_block_by_block_as_at_once(pieces: list[bytes], size: int) -> None:
    text = b'"%b"' % b"".join(pieces)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(review, "_BLOCK", len(text))
        expected = review.repaired(text)
        patched.setattr(review, "_BLOCK", size)
        assert review.repaired(text) == expected
