"""Find the configuration in Kubernetes manifests: a ConfigMap, or a stream with one, as kubectl and helm print it."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml

from webhook.constants import PROGRAM
from webhook.errors import FileError, InvalidManifest
from webhook.kube import manifests
from webhook.kube.installed_config import CONFIG_KEY
from webhook.kube.manifests import Document

_NAME_LABEL = "app.kubernetes.io/name"
#: Keys of a manifest in addition to `kind`. One of them is sufficient, so that a missing apiVersion is noticed.
_MANIFEST_KEYS = frozenset({"apiVersion", "metadata", "data"})


class ConfigText(NamedTuple):
    """The text of a configuration, and its name for messages."""

    text: bytes
    name: str


class _ConfigMap(NamedTuple):
    """A ConfigMap with its document, and the keys and indices that lead to it there."""

    value: dict[str, Any]
    document: Document
    path: tuple[str | int, ...]

    @property
    def name(self) -> str:
        metadata = self._mapping("metadata")
        namespace = metadata.get("namespace")
        name = metadata.get("name", "?")
        return f"ConfigMap {namespace}/{name}" if namespace else f"ConfigMap {name}"

    @property
    def is_ours(self) -> bool:
        labels = self._mapping("metadata").get("labels")
        return isinstance(labels, dict) and labels.get(_NAME_LABEL) == PROGRAM

    @property
    def data(self) -> dict[str, Any]:
        return self._mapping("data")

    def _mapping(self, key: str) -> dict[str, Any]:
        found = self.value.get(key)
        return found if isinstance(found, dict) else {}


def configuration(content: bytes, name: str, *, is_file: bool) -> ConfigText | None:
    """Return the configuration of the only ConfigMap with one; None if `content` is not a Kubernetes manifest.

    Errors in it are at lines of the file if it is a block of lines in a file, which a user edits, and otherwise at
    lines of the configuration itself. Raises `FileError` without a ConfigMap of ours, with several, or with an
    incomplete one, and `InvalidManifest`.
    """
    try:
        found = manifests.parse(content)
    except InvalidManifest as error:
        raise error.in_file(name) from None
    if not any(isinstance(value, dict) and "kind" in value and _MANIFEST_KEYS & value.keys() for value in found.values):
        return None
    config_map = _only([one for document in found.documents for one in _config_maps(document)], name)
    if "apiVersion" not in config_map.value:
        raise FileError(f"{config_map.name} has no apiVersion", where=name, hint="add apiVersion: v1")
    text = config_map.data[CONFIG_KEY]
    if not isinstance(text, str):
        hint = f"write {CONFIG_KEY}: | and indent the configuration below it"
        raise FileError(f"{CONFIG_KEY} of {config_map.name} must be a string", where=name, hint=hint)
    first = _first_line(config_map) if is_file else None
    if first is None:
        return ConfigText(text.encode(), f"{name}, {config_map.name}, {CONFIG_KEY}")
    index = found.documents.index(config_map.document)
    above = "".join(one.lead + one.text for one in found.documents[:index]) + config_map.document.lead
    # Empty lines in front give every line the number that it has in the file.
    return ConfigText(b"\n" * (above.count("\n") + first) + text.encode(), name)


def _config_maps(document: Document) -> Iterator[_ConfigMap]:
    """Yield the ConfigMaps of a document, which may be a list of objects."""
    value = document.value
    items = value.get("items") if isinstance(value, dict) else None
    if isinstance(value, dict) and isinstance(items, list) and str(value.get("kind", "")).endswith("List"):
        nested: list[tuple[Any, tuple[str | int, ...]]] = [(one, ("items", at)) for at, one in enumerate(items)]
    else:
        nested = [(value, ())]
    for one, path in nested:
        if isinstance(one, dict) and one.get("kind") == "ConfigMap":
            yield _ConfigMap(one, document, path)


def _only(config_maps: list[_ConfigMap], name: str) -> _ConfigMap:
    """Return the ConfigMap with the configuration. Those with our label come first, because others may have the key."""
    found = [one for one in config_maps if CONFIG_KEY in one.data]
    found = [one for one in found if one.is_ours] or found
    if len(found) == 1:
        return found[0]
    hint = "pass one ConfigMap at a time, such as kubectl -n NAMESPACE get configmap NAME -o yaml prints it"
    if found:
        names = ", ".join(one.name.removeprefix("ConfigMap ") for one in found)
        raise FileError(f"several ConfigMaps have the key {CONFIG_KEY}: {names}", where=name, hint=hint)
    if config_maps:
        names = ", ".join(one.name.removeprefix("ConfigMap ") for one in config_maps)
        hint = f"the configuration is the value of the key {CONFIG_KEY}"
        raise FileError(f"no ConfigMap has the key {CONFIG_KEY}: {names}", where=name, hint=hint)
    raise FileError(
        "these are Kubernetes manifests without a ConfigMap",
        where=name,
        hint=f"pass a configuration, or manifests with a ConfigMap that has the key {CONFIG_KEY}",
    )


def _first_line(config_map: _ConfigMap) -> int | None:
    """Return the line of its document, from 0, on which the configuration begins; None if it is not a literal block."""
    node = yaml.compose(config_map.document.text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    for step in (*config_map.path, "data", CONFIG_KEY):
        if isinstance(node, yaml.SequenceNode) and isinstance(step, int):
            node = node.value[step]
        elif isinstance(node, yaml.MappingNode):
            node = next((value for key, value in node.value if key.value == step), None)
    is_block = isinstance(node, yaml.ScalarNode) and node.style == "|"
    return int(node.start_mark.line) + 1 if is_block and node is not None else None
