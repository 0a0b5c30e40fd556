"""Kubernetes manifests as kubectl reads them: YAML documents, JSON documents, or JSON followed by YAML.

A stream that begins with `{` is JSON as long as it can be parsed as such, and YAML from there on. A line that begins
with `---` ends a document. kubectl's source is k8s.io/apimachinery, pkg/util/yaml/decoder.go.
"""

import codecs
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from webhook.config import yaml_errors
from webhook.errors import InvalidManifest
from webhook.kube import kubernetes_yaml, manifest_edits
from webhook.kube.kubernetes_yaml import NotJson, Source

_SEPARATOR = re.compile(r"^---(.*)$", re.MULTILINE)
_BOM = "\ufeff"
#: A line with or without a byte order mark in front.
_MARKS = re.compile(r"^(\ufeff?)(.*)", re.MULTILINE)
_LINE_END = re.compile(r"[ \t\r]*\n")
#: Characters in which kubectl searches for the brace that begins a JSON document.
_LOOKAHEAD = 4096
_JSON_SPACE = " \t\r\n"


class Document(NamedTuple):
    """A non-empty document of a file."""

    value: Any
    text: str
    """Its text without separators."""
    lead: str
    """The text between the previous document and this one: separators, comments, empty documents."""
    is_json: bool


class Manifest(NamedTuple):
    """The documents of a file. Its text is the lead and text of each, then the rest."""

    documents: tuple[Document, ...]
    rest: str
    """The text after the last document."""

    @property
    def values(self) -> list[Any]:
        return [document.value for document in self.documents]


dump = kubernetes_yaml.dump
dump_json = kubernetes_yaml.dump_json


def edited(document: Document, after: Any) -> str:
    """Return a document's text with another value, changed only where the values differ.

    Unprintable characters are escaped, also in comments.
    """
    text = manifest_edits.edited(document.text, document.value, after, is_json=document.is_json).removesuffix("\n")
    return f"{text}\n" if document.text.endswith("\n") else text


def joined(texts: Iterable[tuple[Document, str]], rest: str, *, is_first: bool) -> str:
    """Return a file with its documents replaced, as the start of a stream or after other documents."""
    parts: list[str] = []
    for document, given in texts:
        text = _as_yaml(given) if document.is_json else given
        lead = escaped(document.lead)
        if not is_first and not _SEPARATOR.search(lead):
            lead = f"---\n{lead.lstrip()}"
        if parts and not parts[-1].endswith("\n") and not _LINE_END.match(lead):
            lead = f"\n{lead}"
        parts += [lead, text]
        is_first = False
    return "".join([*parts, escaped(rest)]) if parts else ""


def escaped(between: str) -> str:
    """Escape the text between documents, each of which may begin with a byte order mark."""
    return _MARKS.sub(lambda found: found[1] + manifest_edits.escaped(found[2]), between)


def _as_yaml(text: str) -> str:
    """Return a JSON document as YAML: unchanged, unless it has an escape that YAML does not have."""
    value, _ = kubernetes_yaml.read_json(text)
    try:
        if manifest_edits.same(kubernetes_yaml.read(Source(text)), value):
            return text
    except InvalidManifest:
        pass
    return dump(value)


def parse(content: bytes) -> Manifest:
    """Parse all documents of a file.

    Raises `InvalidManifest` if it is neither YAML nor JSON, or exceeds the limits of nesting and aliases.
    """
    text = _text(content)
    try:
        return _parse(text)
    except InvalidManifest as error:
        line = yaml_errors.template_line(text, error.line)
        if line is None:
            raise
        problem, hint, _ = yaml_errors.unrendered(line)
        raise InvalidManifest(problem, line=line, hint=hint) from None


def _text(content: bytes) -> str:
    """Decode a file. UTF-16 is recognized by its byte order mark, which Windows PowerShell writes when it redirects."""
    encoding = "UTF-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "UTF-8"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        hint = "" if encoding == "UTF-16" else yaml_errors.SAVE_AS_UTF8
        raise InvalidManifest(f"not {encoding} text", where=f"byte {error.start}", hint=hint) from None


class _ParsedDocument(NamedTuple):
    """A value and the position of its text in the file."""

    value: Any
    start: int
    end: int
    is_json: bool


def _parse(text: str) -> Manifest:
    found: list[_ParsedDocument] = []
    try:
        for document in _json_documents(text):
            found.append(document)  # noqa: PERF402 - those before an error are kept
    except NotJson as error:
        if len(found) > 1:
            # Several documents without separators can only be JSON.
            raise
        after = re.compile(r"[^\S\n]*\n?").match(text, found[-1].end if found else 0)
        try:
            found += _yaml_documents(text, after.end() if after else 0)
        except InvalidManifest:
            raise error from None
    if not found and not _begins_as_json(text):
        found += _yaml_documents(text, 0)
    documents = []
    position = 0
    for value, start, end, is_json in found:
        if value is not None:
            documents.append(Document(value, text[start:end], text[position:start], is_json))
            position = end
    return Manifest(tuple(documents), text[position:])


def _begins_as_json(text: str) -> bool:
    return text[:_LOOKAHEAD].lstrip().startswith("{")


def _json_documents(text: str) -> Iterator[_ParsedDocument]:
    if not _begins_as_json(text):
        return
    position = _after_spaces(text, 0)
    while position < len(text):
        value, end = kubernetes_yaml.read_json(text, position)
        yield _ParsedDocument(value, position, end, is_json=True)
        position = _after_spaces(text, end)


def _after_spaces(text: str, position: int) -> int:
    while position < len(text) and text[position] in _JSON_SPACE:
        position += 1
    return position


def _yaml_documents(text: str, begin: int) -> Iterator[_ParsedDocument]:
    """Parse the documents between separators, from a position that counts as the beginning of a line."""
    above, counted = 0, 0
    opened = begin
    while begin < len(text):
        separator = _SEPARATOR.match(text, begin) or _SEPARATOR.search(text, begin)
        end = separator.start() if separator else len(text)
        above, counted = above + text.count("\n", counted, opened), opened
        if begin < end:
            source = Source(text[opened:end].removeprefix(_BOM), above)
            yield _ParsedDocument(
                kubernetes_yaml.read(source), begin + text.startswith(_BOM, begin), end, is_json=False
            )
        if separator is None:
            return
        behind = separator[1].strip()
        if behind and behind[0] != "#":
            line = above + text.count("\n", opened, end) + 1
            raise InvalidManifest("invalid YAML: only a comment may follow --- on its line", line=line)
        begin, is_first = separator.end() + 1, opened == end
        # A separator after which a directive or `...` may come belongs to the next document.
        opened = end if is_first else begin
