"""Reads a YAML document of limited depth as nodes with line numbers, with the scalars of YAML 1.2's core schema.

`off` and `yes` are strings, so `verify: off` needs no quotes; there are no dates and no sexagesimal numbers. A value is
constructed for one key at a time, so that an error in one does not hide others. Error messages quote nothing of the
document, because it may contain a password.
"""

import re
from typing import Any

import yaml

from webhook.config import yaml_errors

_DEPTH = 50
#: Maximum digits of a number. Python refuses more than 4,300 by default.
_DIGITS = 4000

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"


class _Loader(_Base):  # type: ignore[misc] # the C loader where there is one
    """PyYAML's safe loader with the scalars of YAML 1.2."""


_Loader.yaml_implicit_resolvers = {}
for _name, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+", list("-+0123456789")),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", list("-+0123456789.")),
):
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(rf"(?:{_pattern})\Z"), _first)


class DocumentError(Exception):
    """Invalid or unsupported YAML, with the line, from 1, and the keys above it if they are known.

    Message and hint quote nothing of the document.
    """

    def __init__(self, problem: str, hint: str = "", line: int | None = None, path: tuple[str, ...] = ()) -> None:
        super().__init__(problem)
        self.hint = hint
        self.line = line
        self.path = path


def compose(text: bytes) -> yaml.Node | None:
    """Return a document's root node; None for an empty one. Empty documents around it are ignored.

    Raises `DocumentError`, also for anchors, aliases and more than 50 levels.
    """
    try:
        _check_events(text)
        found = [node for node in yaml.compose_all(text, _Loader) if not is_null(node)]
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DocumentError(*yaml_errors.describe(error, text.decode(errors="replace"))) from None
    if len(found) > 1:
        line = line_of(found[1])
        above = text.decode(errors="replace").split("\n")[: line - 1]
        begins = max((number for number, written in enumerate(above, 1) if written.startswith("---")), default=line)
        raise DocumentError("the file has several documents, and the next one begins here", "keep only one", begins)
    return found[0] if found else None


def _check_events(text: bytes) -> None:
    """Refuse anchors, aliases and deep nesting. Composing nodes recurses without a limit; reading events does not."""
    stack: list[_Level] = []
    for event in yaml.parse(text, _Loader):
        if isinstance(event, yaml.NodeEvent):
            path = tuple(level.key for level in stack if level.key is not None)
            if isinstance(event, yaml.AliasEvent):
                hint = 'write a value that begins with * in quotes, such as "**/pause"'
                raise DocumentError("YAML aliases are not supported", hint, _line(event), path)
            if event.anchor is not None:
                hint = "write a value that begins with & in quotes"
                raise DocumentError("YAML anchors are not supported", hint, _line(event), path)
            if len(stack) >= _DEPTH and isinstance(event, yaml.CollectionStartEvent):
                raise DocumentError(f"more than {_DEPTH} levels of nesting", line=_line(event))
            if stack:
                stack[-1].take(event)
        if isinstance(event, yaml.CollectionStartEvent):
            stack.append(_Level(is_mapping=isinstance(event, yaml.MappingStartEvent)))
        elif isinstance(event, yaml.CollectionEndEvent):
            stack.pop()
            if stack:
                stack[-1].end()


class _Level:
    """A collection that is being read, and the key of its next or current value."""

    def __init__(self, *, is_mapping: bool) -> None:
        self.key: str | None = None
        self._is_mapping = is_mapping

    def take(self, event: yaml.NodeEvent) -> None:
        if not self._is_mapping or isinstance(event, yaml.CollectionStartEvent):
            return
        self.key = event.value if self.key is None and isinstance(event, yaml.ScalarEvent) else None

    def end(self) -> None:
        # Also the end of a key that is a collection.
        self.key = None if self.key is not None or not self._is_mapping else "?"


def _line(event: yaml.Event) -> int | None:
    return None if event.start_mark is None else event.start_mark.line + 1


def line_of(node: yaml.Node) -> int:
    """Return the line, from 1, on which a node begins."""
    return int(node.start_mark.line) + 1


def text_of(node: yaml.Node) -> str:
    """Return a scalar's text as written; `?` for a mapping or list, which cannot be a key."""
    return str(node.value) if isinstance(node, yaml.ScalarNode) else "?"


def is_null(node: yaml.Node) -> bool:
    """Return whether a node is an empty value."""
    return bool(node.tag == f"{_TAG}null")


def value_of(node: yaml.Node) -> Any:
    """Construct a node's value of dicts, lists, strings, numbers, booleans and None.

    Raises `DocumentError` for any other tag, and for numbers that are too long.
    """
    match node.tag.removeprefix(_TAG), node:
        case "map", yaml.MappingNode():
            return {text_of(key): value_of(value) for key, value in node.value}
        case "seq", yaml.SequenceNode():
            return [value_of(item) for item in node.value]
        case "null", yaml.ScalarNode():
            return None
        case "bool", yaml.ScalarNode():
            return node.value.lower() == "true"
        case "int", yaml.ScalarNode() if len(node.value) > _DIGITS:
            raise DocumentError(f"a number must have at most {_DIGITS} digits", line=line_of(node))
        case "int", yaml.ScalarNode():
            return int(node.value)
        case "float", yaml.ScalarNode():
            # Helm writes large whole numbers as 1.5768e+08.
            number = float(node.value)
            return int(number) if number.is_integer() else number
        case "str", yaml.ScalarNode():
            return node.value
    raise DocumentError("YAML tags are not supported", "write a value that begins with ! in quotes", line_of(node))


def is_template(node: yaml.Node) -> bool:
    """Return whether a node is `{{ ... }}`, a mapping with a mapping as its only key."""
    return isinstance(node, yaml.MappingNode) and [type(key) for key, _ in node.value] == [yaml.MappingNode]


def type_of(node: yaml.Node) -> str:
    """Return the type of a node, for messages."""
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    return "a list" if isinstance(node, yaml.SequenceNode) else "plain text"
