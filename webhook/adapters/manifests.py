"""Kubernetes manifests: YAML with any number of documents, or JSON."""

import json
from typing import Any

import yaml

from webhook.errors import InvalidManifest

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
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Readable.add_representer(str, _represent_text)


def parse(text: bytes) -> list[Any]:
    """Read every document of a manifest, leaving out empty ones.

    Raises `InvalidManifest`, in one line, for what is neither YAML nor JSON.
    """
    try:
        if text.lstrip()[:1] == b"{":
            return _parse_json(text.decode())
        return [document for document in yaml.load_all(text, _Loader) if document is not None]
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f"line {error.problem_mark.line + 1}: "
        raise InvalidManifest(f"{line}it is no YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise InvalidManifest(f"it is neither YAML nor JSON: {str(error).splitlines()[0]}") from None
    except RecursionError:
        raise InvalidManifest("it is nested too deeply") from None


def dump(document: Any) -> str:
    """Write one document as YAML, its keys in the order they have."""
    return str(yaml.dump(document, Dumper=_Readable, sort_keys=False, allow_unicode=True, width=10_000))


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
