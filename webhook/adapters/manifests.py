"""Kubernetes manifests: YAML with any number of documents, or JSON."""

import json
from typing import Any

import yaml

from webhook.errors import InvalidManifest
from webhook.escaping import escape_document, is_shown

#: No Kubernetes object comes near either.
_DEPTH = 100
_NODES = 10_000_000
_TOO_DEEP = "it is nested too deeply"

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Loader(_Base):  # type: ignore[misc] # the C loader where there is one
    """The safe loader without dates: Kubernetes knows none, and JSON could not hold them."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in _Base.yaml_implicit_resolvers.items()
}


class _Readable(_Dumper):  # type: ignore[misc] # the C dumper where there is one
    """Writes as kubectl does: long texts over several lines, and no anchors."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


def _represent_text(dumper: Any, text: str) -> Any:
    # Only within double quotes there are escapes, which `dump` writes.
    style = '"' if not is_shown(text.replace("\n", "")) else "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Readable.add_representer(str, _represent_text)


def parse(text: bytes) -> list[Any]:
    """Read every document of a manifest, leaving out empty ones.

    Raises `InvalidManifest`, in one line, for what is neither YAML nor JSON, or could be built only without bounds.
    """
    try:
        if text.lstrip()[:1] == b"{":
            documents = _parse_json(text.decode())
        else:
            _check_events(text)
            documents = [document for document in yaml.load_all(text, _Loader) if document is not None]
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f"line {error.problem_mark.line + 1}: "
        raise InvalidManifest(f"{line}it is no YAML: {error.problem or error.context}") from None
    except json.JSONDecodeError as error:
        raise InvalidManifest(f"line {error.lineno}: it is no JSON: {error.msg}") from None
    except RecursionError:
        raise InvalidManifest(_TOO_DEEP) from None
    except (yaml.YAMLError, ValueError) as error:
        raise InvalidManifest(f"it is neither YAML nor JSON: {str(error).splitlines()[0]}") from None
    for document in documents:
        _check_depth(document, _DEPTH)
    return documents


def _check_events(text: bytes) -> None:
    """Refuse, before anything is built, YAML that nests too deeply or whose aliases would unfold without a bound."""
    sizes: list[int] = [0]  # of the collections that are open, with what their aliases stand for
    anchors: list[str | None] = [None]
    known: dict[str, int] = {}
    for event in yaml.parse(text, _Loader):
        line = 0 if event.start_mark is None else event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            if event.anchor in anchors:
                raise InvalidManifest(f"line {line}: the alias *{event.anchor} stands within itself")
            sizes[-1] += known.get(str(event.anchor), 0)
        elif isinstance(event, yaml.CollectionStartEvent):
            sizes.append(1)
            anchors.append(event.anchor)
        elif isinstance(event, yaml.CollectionEndEvent):
            size, anchor = sizes.pop(), anchors.pop()
            sizes[-1] += size
            if anchor is not None:
                known[anchor] = size
        elif isinstance(event, yaml.ScalarEvent):
            sizes[-1] += 1
        if len(sizes) > _DEPTH:
            raise InvalidManifest(f"line {line}: {_TOO_DEEP}")
        if sizes[-1] > _NODES:
            raise InvalidManifest(f"line {line}: its aliases stand for more than {_NODES} values")


def _check_depth(value: Any, depth: int) -> None:
    if depth == 0:
        raise InvalidManifest(_TOO_DEEP)
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return
    for item in value:
        _check_depth(item, depth - 1)


def dump(document: Any) -> str:
    """Write one document as YAML, its keys in the order they have.

    What is not shown as it is (control, format and invisible characters) is an escape.
    """
    written = yaml.dump(document, Dumper=_Readable, sort_keys=False, allow_unicode=True, width=10_000)
    return escape_document(str(written), "yaml")


def _parse_json(text: str) -> list[Any]:
    """Read JSON documents that follow one another."""
    decoder = json.JSONDecoder()
    documents = []
    text = text.strip()
    while text:
        document, end = decoder.raw_decode(text)
        documents.append(document)
        text = text[end:].lstrip()
    return documents
