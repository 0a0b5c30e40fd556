"""The table of settable keys, derived from the settings model: path, variable, type, default, allowed values."""

from functools import cache
from typing import Any, NamedTuple, get_args, get_origin

import msgspec
from msgspec import Struct, inspect

from webhook.settings import ALIASES, MASKED_KEYS, ROOTS, Configuration


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
    def expected(self) -> str:
        """The allowed values, in words."""
        return _in_words(inspect.type_info(self.type))

    @property
    def item_type(self) -> Any:
        return next(argument for argument in _arguments(self.type) if argument is not Ellipsis)

    @property
    def expected_item(self) -> str:
        """The allowed items, in words."""
        return _in_words(inspect.type_info(self.item_type))

    @property
    def is_text(self) -> bool:
        """Whether the value is a string, which a variable has without YAML syntax."""
        return isinstance(_required(inspect.type_info(self.type)), inspect.StrType)

    @property
    def is_list(self) -> bool:
        return isinstance(_required(inspect.type_info(self.type)), inspect.VarTupleType)


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


def _required(info: inspect.Type) -> inspect.Type:
    if isinstance(info, inspect.UnionType):
        return next(option for option in info.types if not isinstance(option, inspect.NoneType))
    return info


def _arguments(annotation: Any) -> tuple[Any, ...]:
    """Return the arguments of the tuple in an annotation, within Annotated and `| None`."""
    if get_origin(annotation) is tuple:
        return get_args(annotation)
    return next((found for inner in get_args(annotation) if (found := _arguments(inner))), ())


def _in_words(info: inspect.Type) -> str:
    match _required(info):
        case inspect.IntType(ge=low, le=high):
            return f"a whole number from {low} to {high}"
        case inspect.BoolType():
            return "true or false"
        case inspect.LiteralType(values=values):
            return " or ".join(map(str, values))
        case inspect.StructType(fields=fields):
            return f"a mapping with the keys {' and '.join(field.encode_name for field in fields)}, each a text"
        case inspect.VarTupleType(item_type=inspect.StructType(fields=fields)):
            return f"a list of mappings with the keys {' and '.join(field.encode_name for field in fields)}"
        case inspect.VarTupleType():
            return "a list of texts"
        case _:
            return "a text (in quotes if it could be read as a number or a truth value)"
