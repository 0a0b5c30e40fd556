"""YAML with the scalar rules of Kubernetes' own decoder, for reading and for writing.

kubectl decodes a manifest with sigs.k8s.io/yaml, which is go-yaml v2: `y` and `off` are booleans, `0o17`, `017` and
`0b1` are integers, `1e3` is a number, `22:22`, `=` and dates are strings, the last of two equal keys wins, unknown tags
are ignored, and values that JSON does not have are refused. Its source is https://github.com/yaml/go-yaml, branch v2,
resolve.go and decode.go.
"""

import base64
import binascii
import json
import math
import re
import struct
from decimal import Decimal
from typing import Any, NamedTuple

import yaml

from webhook import log
from webhook.config import yaml_errors
from webhook.errors import InvalidManifest
from webhook.log.escaping import escape_document, is_shown

#: Limits far above any Kubernetes object.
DEPTH_LIMIT = 100
_NODES = 10_000_000
TOO_DEEP = f"more than {DEPTH_LIMIT} levels of nesting"

_TAG = "tag:yaml.org,2002:"
_STRING, _BINARY, _MERGE = (_TAG + name for name in ("str", "binary", "merge"))
#: The tag of a scalar without tag and quotes, whose type depends on its text.
_PLAIN = "plain"
#: Tags whose type the text must have. Any other tag means a string.
_TYPED = frozenset(_TAG + name for name in ("bool", "int", "float", "null", "timestamp"))

_BOOLEANS = {
    spelling: value
    for value, words in ((True, ("y", "yes", "true", "on")), (False, ("n", "no", "false", "off")))
    for word in words
    for spelling in (word, word.capitalize(), word.upper())
}
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_INFINITE = {f"{sign}.{word}" for sign in ("", "+", "-") for word in ("inf", "Inf", "INF")}
_NOT_FINITE = {**{word: -math.inf if word[0] == "-" else math.inf for word in _INFINITE}}
_NOT_FINITE |= dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan)
#: Bases with their notations. A leading zero means octal, as in C, and `08` is a float.
_INTEGERS = (
    (10, re.compile(r"([-+]?)(0|[1-9][0-9]*)")),
    (16, re.compile(r"([-+]?)0[xX]([0-9a-fA-F]+)")),
    (8, re.compile(r"([-+]?)0[oO]?([0-7]+)")),
    (2, re.compile(r"([-+]?)0[bB]([01]+)")),
    (2, re.compile(r"()0b([-+][01]+)")),
)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NUMERIC = frozenset("+-.0123456789")
#: Integers with more digits are not parsed: Python limits their length, and as floats they are infinite.
_DIGITS = 400
_INT64, _UINT64 = 1 << 63, 1 << 64
#: Go writes a float below this without an exponent: if it has no fraction, it is read back as an integer.
_EXPONENT = 1e21

_BLANKS = "\0 \t\r\n\x85\u2028\u2029"
_ENDS_PLAIN = _BLANKS + ",?[]{}"

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_BaseDumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _LenientLoader(yaml.SafeLoader):
    """A loader that is as lenient as kubectl: in `[2001:db8::]` the last colon is part of the scalar."""

    def scan_to_next_token(self) -> None:
        """Skip white space, also tabs where they cannot be indentation."""
        super().scan_to_next_token()
        while self.peek() == "\t" and (self.flow_level or not self.allow_simple_key):
            self.forward()
            super().scan_to_next_token()

    def scan_plain(self) -> Any:
        """Scan a plain scalar; within brackets a colon ends it only before white space."""
        if not self.flow_level:
            return super().scan_plain()
        parts: list[str] = []
        start = end = self.get_mark()
        spaces: list[str] = []
        while self.peek() != "#" and (length := self._unbroken()):
            self.allow_simple_key = False
            parts += [*spaces, self.prefix(length)]
            self.forward(length)
            end = self.get_mark()
            spaces = self.scan_plain_spaces(self.indent + 1, start) or []
            if not spaces:
                break
        return yaml.ScalarToken("".join(parts), True, start, end)  # noqa: FBT003 - PyYAML's signature

    def _unbroken(self) -> int:
        length = 0
        while (character := self.peek(length)) not in _ENDS_PLAIN:
            if character == ":" and self.peek(length + 1) in _BLANKS:
                break
            length += 1
        return length


class Source(NamedTuple):
    """The text of a document, and the number of lines above it in its file."""

    text: str
    above: int = 0

    def invalid(self, problem: str, line: int | None = None, hint: str = "") -> InvalidManifest:
        """Return the error for a line of the text, counted from 0."""
        return InvalidManifest(problem, line=None if line is None else self.above + line + 1, hint=hint)


def read(source: Source) -> Any:
    """Return a document's value: dicts with strings as keys, lists, strings, finite numbers, booleans and None.

    Raises `InvalidManifest`.
    """
    node = compose(source)
    return None if node is None else _NodeConverter(source).value(node)


def compose(source: Source) -> yaml.Node | None:
    """Parse the first document of a stream into nodes with aliases expanded, or None if it is empty.

    Raises `InvalidManifest`.
    """
    # As in kubectl: without a final newline, a block scalar at the end would lose its own.
    text = source.text if source.text.endswith("\n") else f"{source.text}\n"
    try:
        return _compose(source, text, _Base)
    except yaml.MarkedYAMLError as error:
        if error.problem != "found unexpected ':'":
            raise _invalid_yaml(source, error) from None
    except (yaml.reader.ReaderError, UnicodeEncodeError) as error:
        raise _invalid_yaml(source, error) from None
    try:
        return _compose(source, text, _LenientLoader)
    except yaml.MarkedYAMLError as error:
        raise _invalid_yaml(source, error) from None


def _invalid_yaml(source: Source, error: yaml.YAMLError | UnicodeError) -> InvalidManifest:
    problem, hint, line = yaml_errors.describe(error, source.text)
    return source.invalid(problem, None if line is None else line - 1, hint)


class _ComposedNode(NamedTuple):
    """A node, the number of values that its aliases expand to, and its depth."""

    node: yaml.Node
    size: int = 1
    depth: int = 1


class _OpenCollection(NamedTuple):
    """A collection whose end has not been read yet."""

    event: Any
    children: list[_ComposedNode]

    def close(self, end: Any) -> _ComposedNode:
        nodes: Any = [child.node for child in self.children]
        kind: Any = yaml.SequenceNode
        if isinstance(self.event, yaml.MappingStartEvent):
            kind, nodes = yaml.MappingNode, list(zip(nodes[::2], nodes[1::2], strict=True))
        node = kind(self.event.tag, nodes, self.event.start_mark, end, self.event.flow_style)
        size = 1 + sum(child.size for child in self.children)
        return _ComposedNode(node, size, 1 + max((child.depth for child in self.children), default=0))


class _Composer:
    """Builds nodes without recursion and rejects excessive nesting and alias expansion."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._open: list[_OpenCollection] = []
        self._anchors: dict[str, _ComposedNode | None] = {}
        self.root: yaml.Node | None = None

    def take(self, event: Any) -> None:
        """Process the next event of the document."""
        if isinstance(event, yaml.CollectionStartEvent):
            self._begin(event)
        elif isinstance(event, yaml.AliasEvent):
            self._add(event, self._alias(event))
        elif isinstance(event, yaml.ScalarEvent):
            self._add(event, self._anchored(event, self._scalar(event)))
        elif isinstance(event, yaml.CollectionEndEvent):
            closed = self._open.pop()
            self._add(event, self._anchored(closed.event, closed.close(event.end_mark)))

    def _begin(self, event: Any) -> None:
        self._open.append(_OpenCollection(event, []))
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        if len(self._open) > DEPTH_LIMIT:
            raise self._invalid(event, TOO_DEEP)

    def _add(self, event: Any, read: _ComposedNode) -> None:
        if read.size > _NODES:
            raise self._invalid(event, f"aliases that expand to more than {_NODES} values")
        if len(self._open) + read.depth > DEPTH_LIMIT + 1:
            raise self._invalid(event, TOO_DEEP)
        if self._open:
            self._open[-1].children.append(read)
        else:
            self.root = read.node

    def _anchored(self, event: Any, read: _ComposedNode) -> _ComposedNode:
        if event.anchor is not None:
            self._anchors[event.anchor] = read
        return read

    def _alias(self, event: Any) -> _ComposedNode:
        if event.anchor not in self._anchors:
            raise self._invalid(event, f"invalid YAML: no anchor for the alias *{log.escape(event.anchor)}")
        read = self._anchors[event.anchor]
        if read is None:
            raise self._invalid(event, f"invalid YAML: the alias *{log.escape(event.anchor)} contains itself")
        return read

    def _scalar(self, event: Any) -> _ComposedNode:
        """Return the node of a scalar. Raises `InvalidManifest` for syntax that only libyaml accepts."""
        if not event.style and "?" in event.value and self._open and self._open[-1].event.flow_style:
            raise self._invalid(event, "invalid YAML: a string with ? in brackets or braces must be in quotes")
        if event.style == '"' and "/" in event.value:
            written = self._source.text[event.start_mark.index : event.end_mark.index]
            if "\\/" in written.replace("\\\\", ""):
                raise self._invalid(event, "invalid YAML: unknown escape sequence \\/ in double quotes")
        tag = event.tag or (_PLAIN if event.implicit[0] else _STRING)
        return _ComposedNode(yaml.ScalarNode(tag, event.value, event.start_mark, event.end_mark, event.style))

    def _invalid(self, event: Any, problem: str) -> InvalidManifest:
        return self._source.invalid(problem, event.start_mark.line)


def _compose(source: Source, text: str, loader: Any) -> yaml.Node | None:
    composer = _Composer(source)
    for event in yaml.parse(text, loader):
        if isinstance(event, yaml.DocumentEndEvent):
            break
        composer.take(event)
    return composer.root


def number(value: float) -> int | float:
    """Return a finite float as Go reads it back from JSON: an integer if it has no fraction."""
    if abs(value) >= _EXPONENT or value != int(value):
        return value
    # Go writes the shortest digits that identify the float.
    return int(Decimal(repr(value)))


class _NodeConverter:
    """Converts the nodes of a document to values."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def value(self, node: yaml.Node) -> Any:
        if isinstance(node, yaml.MappingNode):
            found: dict[str, Any] = {}
            self._add(node, found)
            return found
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item) for item in node.value]
        value = self._scalar(node)
        if isinstance(value, float):
            if not math.isfinite(value):
                raise self._invalid(node, "numbers must be finite")
            return number(value)
        return value

    def _add(self, node: yaml.MappingNode, found: dict[str, Any]) -> None:
        """Add the entries of a mapping, and those of mappings that it merges with `<<`."""
        for key, value in node.value:
            if not is_merge(key):
                found[self._key(key)] = self.value(value)
                continue
            merged = list(reversed(value.value)) if isinstance(value, yaml.SequenceNode) else [value]
            for mapping in merged:
                if not isinstance(mapping, yaml.MappingNode):
                    raise self._invalid(key, "<< must have a mapping or a list of mappings")
                self._add(mapping, found)

    def _key(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise self._invalid(node, "a key must not be a list or a mapping", "write text in [ ] or { } in quotes")
        value = self._scalar(node)
        match value:
            case str():
                return value
            case bool():
                return str(value).lower()
            case float():
                return _float32(value)
            case int() if -_INT64 <= value < _INT64:
                return str(value)
        raise self._invalid(node, "a key must be a string")

    def _scalar(self, node: Any) -> str | int | float | None:
        """Return the value of a scalar; floats without a fraction stay floats."""
        tag, text = node.tag, node.value
        if tag == _PLAIN:
            return resolve(text)
        if tag == _BINARY:
            try:
                return base64.b64decode(re.sub(r"[\r\n]", "", text), validate=True).decode(errors="replace")
            except (binascii.Error, ValueError):
                raise self._invalid(node, "!!binary must have base64") from None
        if tag not in _TYPED:
            return str(text)
        return self._typed(node, tag.removeprefix(_TAG), text)

    def _typed(self, node: yaml.Node, name: str, text: str) -> str | int | float | None:
        value = resolve(text)
        match name, value:
            case ("null", None) | ("bool", bool()) | ("float", float()):
                return value
            case "int", int() if not isinstance(value, bool):
                return value
            case "float", int() if not isinstance(value, bool) and -_INT64 <= value < _INT64:
                return float(value)
            case "timestamp", str() if _TIMESTAMP.fullmatch(text):
                return text
        raise self._invalid(node, f"the value does not have the type !!{name}")

    def _invalid(self, node: yaml.Node, problem: str, hint: str = "") -> InvalidManifest:
        return self._source.invalid(f"invalid YAML: {problem}", node.start_mark.line, hint)


_TIMESTAMP = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt ][0-9:.]+(?:Z|[-+][0-9:]+)?)?")


def is_merge(key: yaml.Node) -> bool:
    """Return whether a key is the merge key `<<`."""
    return isinstance(key, yaml.ScalarNode) and key.value == "<<" and key.tag in (_PLAIN, _MERGE)


def resolve(text: str) -> str | int | float | None:
    """Return the value of a plain scalar."""
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if text in _NULLS:
        return None
    if text[0] not in _NUMERIC:
        return text
    if text in _NOT_FINITE:
        return _NOT_FINITE[text]
    digits = re.sub(r"(?<=[0-9])_(?=[0-9])", "", text) if text[0] == "." else text.replace("_", "")
    for base, pattern in _INTEGERS:
        found = pattern.fullmatch(digits)
        if found and (value := _integer(found, base)) is not None:
            return value
    number = float(digits) if _FLOAT.fullmatch(digits) else math.inf
    return number if math.isfinite(number) else text


def _integer(found: re.Match[str], base: int) -> int | None:
    """Return a signed 64-bit integer, or None for a larger one, which is a float or a string."""
    sign, digits = found.groups()
    if len(digits) > _DIGITS:
        return None
    value = int(f"{sign}{digits}", base)
    return value if -_INT64 <= value < (_INT64 if sign else _UINT64) else None


def _float32(value: float) -> str:
    """Return a float key as sigs.k8s.io/yaml writes it: the shortest digits that identify the float32."""
    if math.isnan(value):
        return ".nan"
    try:
        (single,) = struct.unpack("f", struct.pack("f", value))
    except OverflowError:
        single = math.copysign(math.inf, value)
    if math.isinf(single):
        return ".inf" if single > 0 else "-.inf"
    shortest = next(text for digits in range(1, 10) if _same_single(text := f"{single:.{digits - 1}e}", single))
    mantissa, _, exponent = shortest.partition("e")
    if _FRACTION_DIGITS <= int(exponent) < _FIXED_DIGITS:
        return f"{float(shortest):.{max(0, len(mantissa.lstrip('-').replace('.', '')) - 1 - int(exponent))}f}"
    return shortest


#: Go writes an exponent from 10 to the first power on, and below 10 to the second.
_FIXED_DIGITS, _FRACTION_DIGITS = 6, -4


def _same_single(text: str, single: float) -> bool:
    return bool(struct.pack("f", float(text)) == struct.pack("f", single))


class NotJson(InvalidManifest):
    """Text that is not JSON and may be YAML."""


def read_json(text: str, position: int = 0) -> tuple[Any, int]:
    """Parse the JSON value at a position, and return it with its end.

    Raises `NotJson`, and `InvalidManifest` for JSON that Kubernetes does not accept.
    """
    try:
        value, end = _DECODER.raw_decode(text, position)
    except json.JSONDecodeError as error:
        raise NotJson(f"invalid JSON: {_json_problem(error.msg)}", line=error.lineno) from None
    except ValueError as error:
        raise NotJson(f"invalid JSON: {error}") from None
    except RecursionError:
        raise InvalidManifest(TOO_DEEP) from None
    _check_depth(value, DEPTH_LIMIT)
    if _SURROGATE.search(text, position, end):
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise InvalidManifest("invalid JSON: a lone surrogate is not a character") from None
    return value, end


#: The beginning of the messages of Python's decoder, in words.
_JSON_PROBLEMS = {
    "Expecting property name": "expected a key in double quotes",
    "Expecting ':'": "expected a colon after a key",
    "Expecting ','": "expected a comma",
    "Expecting value": "expected a value",
    "Illegal trailing comma": "comma after the last item",
    "Unterminated string": "a string is not closed",
    "Invalid control character": "a control character in a string must be escaped",
    "Invalid \\": "unknown escape sequence in a string",
}


def _json_problem(message: str) -> str:
    return next((words for start, words in _JSON_PROBLEMS.items() if message.startswith(start)), message)


_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def _json_number(text: str) -> int | float:
    value = float(text)
    if math.isinf(value):
        raise InvalidManifest("invalid JSON: a number is out of range")
    return number(value)


def _json_integer(text: str) -> int | float:
    value = int(text) if len(text) < _DIGITS else _UINT64
    return value if -_INT64 <= value < _UINT64 else _json_number(text)


def _json_constant(text: str) -> Any:
    raise ValueError(f"{text} is not a number")


_DECODER = json.JSONDecoder(parse_float=_json_number, parse_int=_json_integer, parse_constant=_json_constant)


def _check_depth(value: Any, depth: int) -> None:
    if depth < 0:
        raise InvalidManifest(TOO_DEEP)
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return
    for item in value:
        _check_depth(item, depth - 1)


class _KubernetesDumper(_BaseDumper):  # type: ignore[misc] # the C dumper if there is one
    """Writes like kubectl: strings of several lines as blocks, no anchors."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


# A string is quoted if any reader of YAML 1.1 or 1.2 could take it for another type.
_KubernetesDumper.add_implicit_resolver(_TAG + "bool", re.compile(r"[yYnN]\Z"), list("yYnN"))
_KubernetesDumper.add_implicit_resolver(
    _TAG + "float",
    re.compile(
        r"""[-+]?(?:0[xXoObB][0-9a-fA-F_]+
        |[0-9][0-9_,]*(?::[0-9_]+)*(?:\.[0-9_]*)?(?:[eE][-+]?[0-9_]+)?
        |\.[0-9_]+(?:[eE][-+]?[0-9_]+)?)\Z""",
        re.VERBOSE,
    ),
    list(_NUMERIC),
)


def _represent_string(dumper: Any, text: str) -> Any:
    style = None
    if not is_shown(text.replace("\n", "")):
        style = '"'
    elif "\n" in text and not text[0].isspace():
        style = "|"
    return dumper.represent_scalar(_STRING, text, style=style)


_KubernetesDumper.add_representer(str, _represent_string)


def dump(document: Any) -> str:
    """Return a document as YAML, in the order of its keys.

    Parsers of YAML 1.1 and 1.2 read its strings as strings. Control, format and bidirectional characters are escapes.
    """
    text = yaml.dump(
        document, Dumper=_KubernetesDumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=1 << 30
    )
    return escape_document(str(text), "yaml")


def dump_json(value: Any, indent: int | None = None) -> str:
    """Return a value as JSON, which is also YAML, with control, format and bidirectional characters escaped."""
    return escape_document(json.dumps(value, indent=indent, ensure_ascii=False), "json")
