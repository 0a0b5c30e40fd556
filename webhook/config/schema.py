"""The table of settable keys, derived from the settings model.

Each has its path, variable, type, default, allowed values and description.
"""

import re
from functools import cache
from typing import Any, Literal, NamedTuple, get_args, get_origin

import msgspec
from msgspec import Meta, Struct, inspect

from webhook.settings import ALIASES, MASKED_KEYS, ROOTS, Configuration

_SECONDS = re.compile(r"(?i)\bseconds\b")


class SettingKey(NamedTuple):
    """One key that can be set."""

    path: str
    """The path as written: `webhook.namespaces.mode`, `registry.server`."""
    type: Any
    default: Any
    alias_of: str | None = None
    """The path in `table()`, if this key is another spelling of it."""

    @property
    def canonical(self) -> str:
        """The path in `table()`."""
        return self.alias_of or self.path

    @property
    def variable(self) -> str:
        """The environment variable of the same path."""
        return variable(self.path)

    def value_in(self, settings: Configuration) -> Any:
        value: Any = settings
        for name in self.canonical.removeprefix("opencti.daemon.").split("."):
            value = getattr(value, name)
        return value

    @property
    def masked(self) -> bool:
        """Whether its value is masked in output."""
        return self.path in MASKED_KEYS

    @property
    def description(self) -> str:
        """What it does, in one or two sentences with units."""
        return description(self.type)

    @property
    def type_name(self) -> str:
        """Its type in words: `whole number`, `list of strings`."""
        return _type_name(inspect.type_info(self.type))

    @property
    def allowed(self) -> str:
        """The allowed values of that type, `10 to 2592000` or `off, warn, strict`; empty for any."""
        return _allowed(self.type)

    @property
    def items(self) -> dict[str, str]:
        """The keys of the mappings in a list, `from` and `to`, with their descriptions."""
        if not (self.is_list and isinstance(self.item_type, type) and issubclass(self.item_type, Struct)):
            return {}
        return {field.encode_name: description(field.type) for field in msgspec.structs.fields(self.item_type)}

    @property
    def item_type(self) -> Any:
        return next(argument for argument in arguments(self.type, tuple) if argument is not Ellipsis)

    @property
    def most_items(self) -> int:
        """The limit of items of a list; 0 for another type."""
        found = bare(inspect.type_info(self.type))
        return found.max_length or 0 if isinstance(found, inspect.VarTupleType) else 0

    def expected(self, value: object) -> str:
        """Return what is allowed instead of `value`."""
        return _expected(self.type, value)

    def expected_item(self, value: object) -> str:
        """Return what is allowed instead of the item `value`."""
        return _expected(self.item_type, value)

    def problem_in_item(self, name: str, value: object) -> str:
        """Return what is allowed instead of the value of the key `name` in an item; empty for an allowed one."""
        fields = {field.encode_name: field.type for field in msgspec.structs.fields(self.item_type)}
        return "" if _is_allowed(fields[name], value) else _expected(fields[name], value)

    @property
    def choices(self) -> list[str]:
        """The allowed strings; empty for a type with others."""
        return list(arguments(self.type, Literal))

    @property
    def is_boolean(self) -> bool:
        return isinstance(bare(inspect.type_info(self.type)), inspect.BoolType)

    @property
    def is_seconds(self) -> bool:
        """Whether the value is a number of seconds."""
        return _is_seconds(self.type)

    def is_allowed(self, value: object) -> bool:
        return _is_allowed(self.type, value)

    @property
    def is_text(self) -> bool:
        """Whether the value is a string, which a variable has without YAML syntax."""
        return isinstance(bare(inspect.type_info(self.type)), inspect.StrType)

    @property
    def is_list(self) -> bool:
        return isinstance(bare(inspect.type_info(self.type)), inspect.VarTupleType)


def variable(path: str) -> str:
    """Return the environment variable for a key's path."""
    return path.replace(".", "__").upper()


#: Prefixes of the environment variables that set a key.
VARIABLE_PREFIXES = tuple(f"{variable(root)}__" for root in (*ROOTS, *ALIASES))
#: A variable with this prefix may be XTM Composer's instead.
OPENCTI_PREFIX = "OPENCTI__"


def may_be_ours(name: str) -> bool:
    """Return whether an environment variable may be meant for this program, and so may contain the password."""
    return name.startswith((OPENCTI_PREFIX, *VARIABLE_PREFIXES))


@cache
def table() -> dict[str, SettingKey]:
    """Return all keys by their path, in the order of the model."""
    return {key.path: key for root, struct in ROOTS.items() for key in _keys(root, struct)}


@cache
def spellings() -> dict[str, SettingKey]:
    """Return all keys by the paths they can be written as."""
    aliases = {
        key.path: key._replace(alias_of=key.path.replace(alias, root, 1))
        for alias, root in ALIASES.items()
        for key in _keys(alias, ROOTS[root])
    }
    return table() | aliases


@cache
def branches() -> frozenset[str]:
    """Return the paths that have keys below them: `opencti`, `opencti.daemon`, ..., and the empty one for the root."""
    return frozenset({""} | {path[:at] for path in spellings() for at in range(len(path)) if path[at] == "."})


def _keys(prefix: str, struct: Any) -> list[SettingKey]:
    found = []
    for field in msgspec.structs.fields(struct):
        path = f"{prefix}.{field.encode_name}"
        if isinstance(field.type, type) and issubclass(field.type, Struct):
            found += _keys(path, field.type)
        else:
            found.append(SettingKey(path, field.type, field.default))
    return found


def bare(info: inspect.Type) -> inspect.Type:
    """Return the type without its description and None."""
    if isinstance(info, inspect.Metadata):
        return bare(info.type)
    if isinstance(info, inspect.UnionType):
        return next(bare(option) for option in info.types if not isinstance(option, inspect.NoneType))
    return info


def _is_allowed(annotation: Any, value: object) -> bool:
    try:
        msgspec.convert(value, annotation)
    except msgspec.ValidationError:
        return False
    return True


def _is_seconds(annotation: Any) -> bool:
    return isinstance(bare(inspect.type_info(annotation)), inspect.IntType) and bool(
        _SECONDS.search(description(annotation))
    )


def arguments(annotation: Any, origin: Any) -> tuple[Any, ...]:
    """Return the arguments of the tuple or Literal in an annotation, within Annotated and `| None`."""
    if get_origin(annotation) is origin:
        return get_args(annotation)
    return next((found for inner in get_args(annotation) if (found := arguments(inner, origin))), ())


def description(annotation: Any) -> str:
    """Return the description in an annotation; empty if it has none."""
    metadata = getattr(annotation, "__metadata__", ())
    return next((meta.description for meta in metadata if isinstance(meta, Meta) and meta.description), "")


def _type_name(info: inspect.Type) -> str:
    match bare(info):
        case inspect.IntType():
            return "whole number"
        case inspect.BoolType():
            return "boolean"
        case inspect.StructType(fields=fields):
            return f"mapping with the keys {' and '.join(field.encode_name for field in fields)}"
        case inspect.VarTupleType(item_type=inspect.StructType() as item):
            return f"list of {_type_name(item).replace('mapping', 'mappings', 1)}"
        case inspect.VarTupleType():
            return "list of strings"
        case _:
            return "string"


def _allowed(annotation: Any) -> str:
    match bare(inspect.type_info(annotation)):
        case inspect.IntType(ge=low, le=high):
            return f"{low} to {high}"
        case inspect.BoolType():
            return "true, false"
        case inspect.LiteralType():
            # In the order of their declaration; msgspec sorts them.
            return ", ".join(arguments(annotation, Literal))
        case _:
            return ""


def _expected(annotation: Any, value: object) -> str:
    info = inspect.type_info(annotation)
    match bare(info), value:
        case inspect.LiteralType(), _:
            return f"one of: {_allowed(annotation)}"
        case inspect.IntType(), _:
            return f"a whole number{' of seconds' if _is_seconds(annotation) else ''} from {_allowed(annotation)}"
        case inspect.BoolType(), _:
            return "a boolean, true or false"
        case inspect.StrType(max_length=limit), str():
            return f"at most {limit} characters long"
        case inspect.VarTupleType(max_length=limit), list():
            return f"at most {limit} items long"
        case _:
            return f"a {_type_name(info)}"
