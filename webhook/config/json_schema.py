"""JSON Schema of the configuration file, from the settings model: for editors, `helm` and other validators.

Draft 7, which all of them know: Helm's validator until 3.17 knows no later one. Nothing refers to another part of the
schema, so that a chart's `values.schema.json` can include it as it is. What it refuses, the loader refuses too. The
loader also checks what a schema cannot express: the syntax of registries and patterns, and relations between values.
"""

from typing import Any, Literal

import msgspec
from msgspec import inspect

from webhook.config import schema
from webhook.config.schema import SettingKey
from webhook.constants import RAW

#: Where the schema is published, for the line `# yaml-language-server: $schema=...` of a file.
URL = f"{RAW}/docs/reference/config.schema.json"
DRAFT = "http://json-schema.org/draft-07/schema#"

_Schema = dict[str, Any]


def document() -> _Schema:
    """Return the schema with the properties of a file of its own."""
    return {"$schema": DRAFT, "$id": URL, "title": "Configuration of registry-webhook", **configuration()}


def configuration() -> _Schema:
    """Return the schema of a configuration, to be part of another schema."""
    found: _Schema = {}
    for key in schema.spellings().values():
        *above, last = key.path.split(".")
        below = found
        for name in above:
            below = below.setdefault(name, {})
        below[last] = key
    return {**_mapping(found), "allOf": [_only_once(key) for key in schema.spellings().values() if key.alias_of]}


def _mapping(keys: dict[str, Any]) -> _Schema:
    """Return the schema of a mapping; an empty value counts as not set, as it does for every key."""
    properties = {name: _mapping(one) if isinstance(one, dict) else _key(one) for name, one in keys.items()}
    return {"type": ["object", "null"], "additionalProperties": False, "properties": properties}


def _key(key: SettingKey) -> _Schema:
    """Return the schema of a key's value, or of an empty one."""
    found = _type(key.type)
    described = {"description": key.description, **found, "type": [found["type"], "null"]}
    if "enum" in found:
        described["enum"] = [*found["enum"], None]
    if key.default is not None:
        described["default"] = list(key.default) if isinstance(key.default, tuple) else key.default
    return described


def _type(annotation: Any) -> _Schema:
    """Return the schema of a type without its description and None."""
    match schema.bare(inspect.type_info(annotation)):
        case inspect.BoolType():
            return {"type": "boolean"}
        case inspect.IntType(ge=low, le=high):
            return {"type": "integer", "minimum": low, "maximum": high}
        case inspect.LiteralType():
            # In the order of their declaration; msgspec sorts them.
            return {"type": "string", "enum": list(schema.arguments(annotation, Literal))}
        case inspect.StrType(max_length=longest):
            return {"type": "string", "maxLength": longest}
        case inspect.VarTupleType(max_length=most):
            item = schema.arguments(annotation, tuple)[0]
            return {"type": "array", "maxItems": most, "items": _type(item)}
        case inspect.StructType(cls=cls):
            fields = msgspec.structs.fields(cls)
            return {
                "type": "object",
                "additionalProperties": False,
                "required": [field.encode_name for field in fields if field.required],
                "properties": {
                    field.encode_name: {"description": schema.description(field.type), **_type(field.type)}
                    for field in fields
                },
            }
    raise TypeError(f"no schema for {annotation}")


def _only_once(key: SettingKey) -> _Schema:
    """Return the rule that a key is not set in both of its spellings.

    An `if` instead of a `not`, because validators report the place where `then` does not hold.
    """
    is_set = _below(key.path, {"not": {"type": "null"}}, required=True)
    return {"if": is_set, "then": _below(key.canonical, {"type": "null"}, required=False)}


def _below(path: str, value: _Schema, *, required: bool) -> _Schema:
    for name in reversed(path.split(".")):
        value = {"properties": {name: value}, **({"type": "object", "required": [name]} if required else {})}
    return value
