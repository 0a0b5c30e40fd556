"""A validator for the part of JSON Schema, draft 7, that our schemas use. Any other keyword is an error.

tests/integration/manifests/test_values_schema.py compares it with Helm's, which is a complete one.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

_Schema = dict[str, Any]

_ANNOTATIONS = {"$schema", "$id", "title", "description", "default"}
_TYPES: dict[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "integer": lambda value: _TYPES["number"](value) and value == int(value),
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}
#: For each keyword, the type that it applies to, and whether a value of it satisfies the keyword.
_ASSERTIONS: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "minimum": ("number", lambda limit, value: value >= limit),
    "maximum": ("number", lambda limit, value: value <= limit),
    "minLength": ("string", lambda limit, value: len(value) >= limit),
    "maxLength": ("string", lambda limit, value: len(value) <= limit),
    "pattern": ("string", lambda pattern, value: re.search(pattern, value) is not None),
    "minItems": ("array", lambda limit, value: len(value) >= limit),
    "maxItems": ("array", lambda limit, value: len(value) <= limit),
    "required": ("object", lambda names, value: value.keys() >= set(names)),
}


def is_valid(schema: _Schema, value: Any) -> bool:
    return not any(violations(schema, value))


def violations(schema: _Schema, value: Any, place: str = "") -> Iterator[str]:
    """Yield `/webhook/verify: type` for each keyword that a value violates."""
    for keyword, wanted in schema.items():
        if keyword in _PARTS:
            for part, below, name in _PARTS[keyword](schema, value):
                yield from violations(part, below, place + name)
        elif not _holds(keyword, wanted, value):
            yield f"{place or '/'}: {keyword}"


def _holds(keyword: str, wanted: Any, value: Any) -> bool:
    match keyword:
        case "type":
            return any(_TYPES[name](value) for name in ([wanted] if isinstance(wanted, str) else wanted))
        case "enum":
            return any(type(value) is type(one) and value == one for one in wanted)
        case "not":
            return not is_valid(wanted, value)
        case _ if keyword in _ANNOTATIONS:
            return True
    kind, holds = _ASSERTIONS[keyword]
    return not _TYPES[kind](value) or holds(wanted, value)


_Parts = Iterator[tuple[_Schema, Any, str]]


def _properties(schema: _Schema, value: Any) -> _Parts:
    for name, below in value.items() if isinstance(value, dict) else ():
        if name in schema["properties"]:
            yield schema["properties"][name], below, f"/{name}"


def _others(schema: _Schema, value: Any) -> _Parts:
    """Yield the schema of properties that are not named, or one that nothing satisfies."""
    others = schema["additionalProperties"]
    for name, below in value.items() if isinstance(value, dict) else ():
        if name not in schema.get("properties", {}):
            yield {"not": {}} if others is False else {} if others is True else others, below, f"/{name}"


def _names(schema: _Schema, value: Any) -> _Parts:
    for name in value if isinstance(value, dict) else ():
        yield schema["propertyNames"], name, ""


def _items(schema: _Schema, value: Any) -> _Parts:
    for index, below in enumerate(value if isinstance(value, list) else ()):
        yield schema["items"], below, f"/{index}"


def _all(schema: _Schema, value: Any) -> _Parts:
    for part in schema["allOf"]:
        yield part, value, ""


def _then(schema: _Schema, value: Any) -> _Parts:
    if is_valid(schema["if"], value):
        yield schema["then"], value, ""


#: For each keyword that has schemas, the ones that apply to a value or to parts of it.
_PARTS: dict[str, Callable[[_Schema, Any], _Parts]] = {
    "properties": _properties,
    "additionalProperties": _others,
    "propertyNames": _names,
    "items": _items,
    "allOf": _all,
    "if": _then,
    "then": lambda _schema, _value: iter(()),
}
