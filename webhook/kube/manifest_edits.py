"""Edit the text of a document in place, preserving comments, order and quotes of everything else.

Every edit is checked by parsing its result. If an edit is not possible (an image behind an alias that others use, a
merged mapping, an explicit key), the whole document is rewritten.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml

from webhook.errors import InvalidManifest
from webhook.kube import kubernetes_yaml
from webhook.kube.kubernetes_yaml import Source
from webhook.log.escaping import escape_document, is_shown

_BLOCK_STYLES = ("|", ">")
#: The anchor and the tag in front of a node.
_PROPERTIES = re.compile(r"(?:[&!]\S*[ \t]+)*")
_JSON_OBJECT = re.compile(r'\s*\{\s*"')
#: A string that needs no quotes, even in brackets, unless it is a number or a boolean.
_WORD = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/@:-]*[A-Za-z0-9])?")
#: Everything except white space, which is not changed: a space of another width is not a control character.
_ON_SCREEN = re.compile(r"[^\t\r\n\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]+")


def _is_shown(text: str) -> bool:
    return is_shown("".join(_ON_SCREEN.findall(text)))


class _Edit(NamedTuple):
    """A replacement of a part of the text."""

    start: int
    end: int
    text: str


class _NotEditable(Exception):
    """A change that is not in a single place of the text."""


def edited(text: str, before: Any, after: Any, *, is_json: bool) -> str:
    """Return a document's text with the value `after` instead of `before`; equal values do not change it.

    Unprintable characters are escaped, also in comments.
    """
    if not _is_shown(text):
        text = _Text(text, is_json=is_json).shown(before)
    return text if before == after else _Text(text, is_json=is_json).changed(before, after)


def same(one: Any, other: Any) -> bool:
    """Return whether two values are equal as JSON, where 1 is not true."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def escaped(text: str) -> str:
    """Escape unprintable characters in YAML that has them only in quotes and comments."""
    return _ON_SCREEN.sub(lambda found: escape_document(found[0], "yaml"), text)


class _Text:
    def __init__(self, text: str, *, is_json: bool) -> None:
        self._text = text
        self._is_json = is_json
        self._newline = "\r\n" if "\r\n" in text else "\n"
        #: Strings remain in quotes in a JSON document, also in one among YAML documents.
        self._keeps_quotes = _JSON_OBJECT.match(text) is not None

    def changed(self, before: Any, after: Any) -> str:
        try:
            return self._checked(self._applied(set(self._edits(self._nodes(), before, after))), after)
        except (_NotEditable, InvalidManifest, ValueError):
            return self._written(after)

    def shown(self, value: Any) -> str:
        """Return the text with unprintable characters escaped; the values of strings do not change."""
        try:
            edits = {
                _Edit(*self._span(scalar), self._quoted(scalar.value))
                for scalar in _scalars(self._nodes())
                if not _is_shown(scalar.value)
            }
            return self._checked(escaped(self._applied(edits)), value)
        except (InvalidManifest, ValueError):
            return self._written(value)

    def _nodes(self) -> yaml.Node:
        node = kubernetes_yaml.compose(Source(self._text))
        if node is None:
            raise InvalidManifest("empty")
        return node

    def _checked(self, text: str, value: Any) -> str:
        read = kubernetes_yaml.read_json(text)[0] if self._is_json else kubernetes_yaml.read(Source(text))
        if not same(read, value):
            raise InvalidManifest("the edited text has another value")
        return text

    def _written(self, value: Any) -> str:
        return f"{kubernetes_yaml.dump_json(value, 2)}\n" if self._is_json else kubernetes_yaml.dump(value)

    def _applied(self, edits: set[_Edit]) -> str:
        parts = []
        position = 0
        for edit in sorted(edits):
            parts += [self._text[position : edit.start], edit.text]
            position = edit.end
        return "".join([*parts, self._text[position:]])

    def _edits(self, node: yaml.Node, before: Any, after: Any, *, in_flow: bool = False) -> Iterator[_Edit]:
        in_flow = in_flow or bool(getattr(node, "flow_style", False))
        match node, before, after:
            case yaml.MappingNode(), dict(), dict() if before.keys() <= after.keys():
                values = {key.value: value for key, value in node.value if isinstance(key, yaml.ScalarNode)}
                for key in before:
                    yield from self._changes(values.get(key), before[key], after[key], in_flow=in_flow)
                added = {key: value for key, value in after.items() if key not in before}
                if added:
                    yield self._added_keys(node, added) if in_flow else self._below(node, added, _column_of_keys(node))
            case yaml.SequenceNode(), list(), list() if len(before) <= len(after):
                for item, old, new in zip(node.value, before, after, strict=False):
                    yield from self._changes(item, old, new, in_flow=in_flow)
                items = after[len(before) :]
                if items:
                    yield self._added_items(node, items) if in_flow else self._below(node, items, self._dash(node))
            case yaml.ScalarNode(), _, _:
                yield self._replaced(node, after, in_flow=in_flow)
            case _:
                raise _NotEditable

    def _changes(self, node: yaml.Node | None, before: Any, after: Any, *, in_flow: bool) -> Iterator[_Edit]:
        if before == after:
            return
        if node is None:
            raise _NotEditable
        yield from self._edits(node, before, after, in_flow=in_flow)

    def _span(self, scalar: yaml.ScalarNode) -> tuple[int, int]:
        """Return the position of a scalar's text, without anchor and tag, and without the newline after a block."""
        start, end = scalar.start_mark.index, min(scalar.end_mark.index, len(self._text))
        properties = _PROPERTIES.match(self._text, start, end)
        start = properties.end() if properties else start
        return start, start + len(self._text[start:end].rstrip())

    def _replaced(self, node: yaml.ScalarNode, value: Any, *, in_flow: bool) -> _Edit:
        start, end = self._span(node)
        if node.style == '"' or self._is_json:
            written = self._quoted(value) if isinstance(value, str) else self._flow(value)
        elif node.style == "'" and isinstance(value, str) and _is_shown(value) and "\n" not in value:
            written = "'" + value.replace("'", "''") + "'"
        elif in_flow or not isinstance(value, str):
            written = self._flow(value)
        else:
            written = kubernetes_yaml.dump([value]).removeprefix("- ").rstrip("\n")
        return _Edit(start, end, f" {written}" if start == end else written)

    def _below(self, node: Any, added: Any, column: int) -> _Edit:
        """Add keys or items after the last line of a block mapping or list."""
        lines = kubernetes_yaml.dump(added).splitlines()
        body = self._newline.join(" " * column + line for line in lines)
        last = _last(node)
        end = min(max(child.end_mark.index for child in last), len(self._text))
        if getattr(last[-1], "style", None) in _BLOCK_STYLES:
            if end and self._text[end - 1] != "\n":
                return _Edit(end, end, self._newline + body)
            return _Edit(end, end, body + self._newline)
        found = re.compile(r"\r?\n|\Z").search(self._text, end)
        end = found.start() if found else end
        return _Edit(end, end, self._newline + body)

    def _dash(self, node: yaml.SequenceNode) -> int:
        dash = self._text.rindex("-", 0, node.value[0].start_mark.index)
        return dash - (self._text.rfind("\n", 0, dash) + 1)

    def _added_keys(self, node: yaml.MappingNode, added: dict[str, Any]) -> _Edit:
        items = [f"{self._string(key)}: {self._flow(value)}" for key, value in added.items()]
        return self._in_brackets(node, items, [part for pair in node.value for part in pair])

    def _added_items(self, node: yaml.SequenceNode, added: list[Any]) -> _Edit:
        return self._in_brackets(node, [self._flow(value) for value in added], node.value)

    def _in_brackets(self, node: yaml.CollectionNode, items: list[str], children: list[yaml.Node]) -> _Edit:
        if not children:
            end = node.end_mark.index - 1
            return _Edit(end, end, ", ".join(items))
        first = children[0].start_mark.index
        line = self._text.rfind("\n", 0, first) + 1
        indent = self._text[line:first]
        # Brackets with one key or item per line get another line.
        separator = f",{self._newline}{indent}" if line and not indent.strip() else ", "
        end = max(child.end_mark.index for child in children)
        return _Edit(end, end, "".join(separator + item for item in items))

    def _quoted(self, value: str) -> str:
        if self._is_json:
            return kubernetes_yaml.dump_json(value)
        return escape_document(json.dumps(value, ensure_ascii=False), "yaml")

    def _string(self, value: str) -> str:
        plain = not self._keeps_quotes and _WORD.fullmatch(value) and kubernetes_yaml.dump([value]) == f"- {value}\n"
        return value if plain else self._quoted(value)

    def _flow(self, value: Any) -> str:
        """Return a value on one line, in the form for use between brackets."""
        match value:
            case str():
                return self._string(value)
            case dict():
                return "{" + ", ".join(f"{self._string(key)}: {self._flow(item)}" for key, item in value.items()) + "}"
            case list():
                return "[" + ", ".join(map(self._flow, value)) + "]"
        return json.dumps(value)


def _column_of_keys(node: yaml.MappingNode) -> int:
    if not node.value:
        raise _NotEditable
    return int(node.value[0][0].start_mark.column)


def _last(node: Any) -> list[Any]:
    """Return the last node that is written in a block collection, and the key in front of it.

    The node of an alias is written elsewhere; its key is the last text then.
    """
    above: list[Any] = []
    while isinstance(node, yaml.CollectionNode) and not node.flow_style:
        above = list(node.value[-1]) if isinstance(node, yaml.MappingNode) else [node.value[-1]]
        node = above[-1]
    return [*above[:-1], node]


def _scalars(node: yaml.Node) -> Iterator[yaml.ScalarNode]:
    waiting: list[Any] = [node]
    while waiting:
        node = waiting.pop()
        if isinstance(node, yaml.ScalarNode):
            yield node
        elif isinstance(node, yaml.MappingNode):
            waiting += [part for pair in node.value for part in pair]
        else:
            waiting += node.value
