"""Reads a YAML document of limited depth as nodes with line numbers, with the scalars of YAML 1.2's core schema.

`off` and `yes` are strings, so `verify: off` needs no quotes; there are no dates and no sexagesimal numbers. A value is
constructed for one key at a time, so that an error in one does not hide others. Error messages quote nothing of the
document, because it may contain a password.
"""

import re
from typing import Any

import yaml

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
    """Invalid YAML, with the line, from 1, and the keys above it if they are known. The message quotes nothing."""

    def __init__(self, problem: str, line: int | None = None, path: tuple[str, ...] = ()) -> None:
        super().__init__(problem)
        self.line = line
        self.path = path


def compose(text: bytes) -> yaml.Node | None:
    """Return a document's root node; None for an empty one. Empty documents around it are ignored.

    Raises `DocumentError`, also for anchors, aliases and more than 50 levels.
    """
    try:
        _check_events(text)
        found = [node for node in yaml.compose_all(text, _Loader) if not is_null(node)]
    except yaml.MarkedYAMLError as error:
        raise DocumentError(*_in_words(error)) from None
    except yaml.reader.ReaderError as error:
        if "not allowed" not in error.reason:
            raise DocumentError("it is not UTF-8 text") from None
        line = text.decode(errors="replace")[: error.position].count("\n") + 1
        raise DocumentError(f"it has a control character (#x{int(error.character):02x})", line) from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise DocumentError("it is not UTF-8 text") from None
    if len(found) > 1:
        line = line_of(found[1])
        above = text.decode(errors="replace").split("\n")[: line - 1]
        begins = max((number for number, written in enumerate(above, 1) if written.startswith("---")), default=line)
        raise DocumentError("another document begins here, and only one is read", begins)
    return found[0] if found else None


def _check_events(text: bytes) -> None:
    """Refuse anchors, aliases and deep nesting. Composing nodes recurses without a limit; reading events does not."""
    stack: list[_Level] = []
    for event in yaml.parse(text, _Loader):
        if isinstance(event, yaml.NodeEvent):
            path = tuple(level.key for level in stack if level.key is not None)
            if isinstance(event, yaml.AliasEvent):
                raise DocumentError('a value that begins with * must be in quotes: "**/pause"', _line(event), path)
            if event.anchor is not None:
                raise DocumentError("a value that begins with & must be in quotes", _line(event), path)
            if len(stack) >= _DEPTH and isinstance(event, yaml.CollectionStartEvent):
                raise DocumentError("it is nested too deeply", _line(event))
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
            raise DocumentError("it is a number of too many digits", line_of(node))
        case "int", yaml.ScalarNode():
            return int(node.value)
        case "float", yaml.ScalarNode():
            # Helm writes large whole numbers as 1.5768e+08.
            number = float(node.value)
            return int(number) if number.is_integer() else number
        case "str", yaml.ScalarNode():
            return node.value
    raise DocumentError("it has a tag: a value that begins with ! must be in quotes", line_of(node))


def _in_words(error: yaml.MarkedYAMLError) -> tuple[str, int | None]:
    context, problem = str(error.context or ""), str(error.problem or "")
    mark = error.context_mark if "quoted scalar" in context else error.problem_mark
    line = None if mark is None else mark.line + 1
    if "anchor" in context and "alias" not in context:
        return "it is no YAML: a value that begins with & must be in quotes", line
    if "tag" in context:
        return "it is no YAML: a value that begins with ! must be in quotes", line
    if "alias" in f"{context}{problem}":
        return 'it is no YAML: a value that begins with * must be in quotes: "**/pause"', line
    if "cannot start any token" in problem:
        return "it is no YAML: a tab stands where only spaces may, or a value that must be in quotes has none", line
    if "quoted scalar" in context:
        return "it is no YAML: a quotation mark is not closed, or \\ stands before what it cannot escape", line
    # What follows quotes a character of the text.
    message = re.split(r",? but found|'", problem or context)[0].strip()
    return f"it is no YAML: {message}", line
