"""Manifests as streams of documents, and edits that leave the rest of their text unchanged."""

import json
from typing import Any

import pytest
from hypothesis import given

from tests.support import yaml_strategies
from webhook.admission.mutator import Mutator
from webhook.config import load
from webhook.diagnostics.preview import preview
from webhook.errors import InvalidManifest
from webhook.kube import manifests


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("{a: 1}", [{"a": 1}]),
        ('{"a": 1}\n---\n{b: 2}', [{"a": 1}, {"b": 2}]),
        ('{"a": 1}\n---\n{"b": 2}', [{"a": 1}, {"b": 2}]),
        ('{"a": 1}\n---\nb: y', [{"a": 1}, {"b": True}]),
        ('{"a": "y"}{"b": 2}\n\n{"c": 3}', [{"a": "y"}, {"b": 2}, {"c": 3}]),
        ('{"a": 1}\nb: 2', [{"a": 1}, {"b": 2}]),
        ("{a: 1}\n---\nb: 2\n---\n{c: 3}", [{"a": 1}, {"b": 2}, {"c": 3}]),
        ('\n\n  {"a": 1e3}\n', [{"a": 1000}]),
        ("# c\n---\n---\n# d\n---  # e\na: 1\n---\t\n", [{"a": 1}]),
        ("a: |\n  x\n---\nb: 1", [{"a": "x\n"}, {"b": 1}]),
        ("a: 1\n...\n---\nb: 2", [{"a": 1}, {"b": 2}]),
        ("a: 1\n ---\n", [{"a": "1 ---"}]),
        ("\ufeffa: 1\n---\n\ufeffb: 2", [{"a": 1}, {"b": 2}]),
        ("a: 1\r\n---\r\nb: 2\r\n", [{"a": 1}, {"b": 2}]),
        ("---\n%YAML 1.2\n---\na: 1", [{"a": 1}]),
        ("", []),
        ("---\n", []),
    ],
)
def test_parse_stream_as_kubectl(text: str, values: list[Any]) -> None:
    manifest = manifests.parse(text.encode())
    assert manifest.values == values
    assert "".join(document.lead + document.text for document in manifest.documents) + manifest.rest == text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
def test_parse_byte_order_marks_as_kubectl(encoding: str) -> None:
    text = "\ufeffa: é\r\n---\r\nb: 2" if encoding == "utf-16-be" else "a: é\r\n---\r\nb: 2"
    assert manifests.parse(text.encode(encoding)).values == [{"a": "é"}, {"b": 2}]


@pytest.mark.parametrize("content", [b"\xff\xfea", b"\xfe\xff\xd8\x00\x00a", b"a: \xff"])
def test_parse_invalid_encoding_raises(content: bytes) -> None:
    with pytest.raises(InvalidManifest, match=r"not UTF-(8|16) text"):
        manifests.parse(content)


@pytest.mark.parametrize(
    "text",
    ['{"a": 1}{"b": 2}\n---\nc: 3', "---x: 1", "a: 1\n--- b", "%YAML 1.2\n---\na: 1", '{"a": 1,, }', '{"a": 1E400}'],
)
def test_parse_rejected_by_kubectl_raises(text: str) -> None:
    with pytest.raises(InvalidManifest) as error:
        manifests.parse(text.encode())
    assert str(error.value).isprintable()


@pytest.fixture(scope="module")
def handler() -> Mutator:
    text = b"opencti: {daemon: {registry: {server: registry.example.com}}}"
    return Mutator(load.load(text, "config.yaml", {}).configuration)


@given(text=yaml_strategies.texts())
def test_edited_text_parses_as_patched_value(handler: Mutator, text: str) -> None:
    for document in manifests.parse(text.encode()).documents:
        becomes = preview(handler, document.value, "team")
        edited = manifests.edited(document, becomes.after)
        assert _values(edited) == [json.dumps(becomes.after, sort_keys=True)]
        if not becomes.changes:
            assert edited == document.text or not document.text.replace("\n", "").isprintable()


@given(one=yaml_strategies.texts(), other=yaml_strategies.texts())
def test_joined_texts_parse_as_both(one: str, other: str) -> None:
    both = [manifests.parse(text.encode()) for text in (one, other)]
    parts: list[str] = []
    for manifest in both:
        texts = [(document, manifests.edited(document, document.value)) for document in manifest.documents]
        parts.append(manifests.joined(texts, manifest.rest, is_first=not parts))
    first = parts[0] if parts[0].endswith("\n") else f"{parts[0]}\n"
    expected = [json.dumps(value, sort_keys=True) for manifest in both for value in manifest.values]
    assert _values(first + parts[1]) == expected


@pytest.mark.parametrize(
    "text",
    [
        "kind: Pod\nspec:\n  containers: [{image: nginx, name: a}]\nmetadata:\n  annotations:\n    x: |\n    ? a\n\n",
        "kind: Pod\nspec:\n  containers: [{image: nginx, name: a}]\nmetadata: {}\n\n\n",
        'kind: Pod\nspec:\n  containers: [{image: "nginx", name: a}]\nmetadata:\n  annotations:\n    a:\n\n# c\n',
    ],
)
def test_joined_edited_document_ends_with_newline(handler: Mutator, text: str) -> None:
    manifest = manifests.parse(f"{text}---\n{text}".encode())
    expected = [preview(handler, value, "team").after for value in manifest.values]
    texts = [
        (document, manifests.edited(document, value))
        for document, value in zip(manifest.documents, expected, strict=True)
    ]
    assert manifests.parse(manifests.joined(texts, manifest.rest, is_first=True).encode()).values == expected


def _values(text: str) -> list[str]:
    return [json.dumps(value, sort_keys=True) for value in manifests.parse(text.encode()).values]


_POD = "kind: Pod\nspec:\n  containers:\n  - image: {}\n    name: a\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("nginx # why", "r/nginx # why"),
        ("'nginx'", "'r/nginx'"),
        ('"nginx"   # why', '"r/nginx"   # why'),
        ("!!str nginx", "!!str r/nginx"),
        ("&image nginx", "&image r/nginx"),
        ("|-\n      nginx", "r/nginx"),
        ("\n      nginx", "\n      r/nginx"),
    ],
)
def test_edited_image_preserves_style_and_comments(before: str, after: str) -> None:
    text = _POD.format(before)
    (document,) = manifests.parse(text.encode()).documents
    value = json.loads(json.dumps(document.value))
    value["spec"]["containers"][0]["image"] = "r/nginx"
    assert manifests.edited(document, value) == _POD.format(after)


def test_edited_aliased_image_changes_only_image() -> None:
    text = "kind: Pod\nx: &i nginx\nspec: {containers: [{image: *i}]}\n"
    (document,) = manifests.parse(text.encode()).documents
    value = {"kind": "Pod", "x": "nginx", "spec": {"containers": [{"image": "r/nginx"}]}}
    assert manifests.parse(manifests.edited(document, value).encode()).values == [value]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: [b\n", 1, "expected , or ]"),
        ("kind: Pod\n---\nkind: Pod\nspec: ]\n", 4, "expected a value"),
        ("kind: Pod\nspec: {{ .Values.spec }}\n", 2, "template"),
        ("{{- if .Values.pod }}\nkind: Pod\n{{- end }}\n", 1, "template"),
        ('{"kind": "Pod"', 1, "JSON: expected a comma"),
        ('{"kind": ]', 1, "JSON: expected a value"),
        ('{"kind": "Po\nd"', 1, "JSON: a control character"),
        ("kind: Pod\n---x: 1\n", 2, "only a comment"),
    ],
)
def test_parse_invalid_manifest_says_what_and_where(text: str, line: int, words: str) -> None:
    with pytest.raises(InvalidManifest) as caught:
        manifests.parse(text.encode())
    assert words in str(caught.value)
    assert caught.value.line == line
    assert str(caught.value.in_file("pod.yaml")).endswith(f"(pod.yaml:{line})")
    assert caught.value.in_file("pod.yaml").hint == caught.value.hint
