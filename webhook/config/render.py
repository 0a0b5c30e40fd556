"""Render a loaded configuration as YAML that can be loaded again, with each value's origin and passwords masked."""

import re
from math import inf
from typing import Any

import msgspec
import yaml

from webhook.config import schema
from webhook.config.load import Loaded
from webhook.settings import ROOTS

MASK = "********"

#: Comments stand in one column, but for values that reach beyond this one.
_ALIGNED = 72
_WORD = re.compile(r"[A-Za-z][A-Za-z_-]*")
_TAKEN_OTHERWISE = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})


def show(loaded: Loaded) -> str:
    """Return the configuration as YAML, one value per line, its origin in a comment."""
    rows = list(_rows(loaded))
    width = max(len(text) for text, origin in rows if origin and len(text) <= _ALIGNED)
    return "\n".join(f"{text.ljust(width)}  # {origin}" if origin else text for text, origin in rows) + "\n"


def _rows(loaded: Loaded) -> list[tuple[str, str | None]]:
    rows: list[tuple[str, str | None]] = []
    shown: set[str] = set()
    for root, part in zip(ROOTS, (loaded.configuration.registry, loaded.configuration.webhook), strict=True):
        values = msgspec.to_builtins(part)
        for path, key in schema.table().items():
            if not path.startswith(f"{root}."):
                continue
            *above, last = path.split(".")
            for depth in range(1, len(above) + 1):
                branch = ".".join(above[:depth])
                if branch not in shown:
                    shown.add(branch)
                    rows.append((f"{'  ' * (depth - 1)}{above[depth - 1]}:", None))
            value = _at(values, path.removeprefix(f"{root}."))
            if key.masked and value is not None:
                value = MASK
            rows += _value("  " * len(above), last, value, loaded.origins[path])
    return rows


def _at(values: Any, path: str) -> Any:
    for key in path.split("."):
        values = values[key]
    return values


def _value(indent: str, name: str, value: Any, origin: str) -> list[tuple[str, str | None]]:
    """Return the lines of one value: one per item of a list, otherwise a single one."""
    if not isinstance(value, (list, tuple)) or not value:
        return [(f"{indent}{name}: {_scalar(value)}", origin)]
    return [(f"{indent}{name}:", origin), *((f"{indent}  - {_scalar(item)}", None) for item in value)]


def _scalar(value: Any) -> str:
    """Return a value on one line; a word that no YAML version reads as a boolean needs no quotes."""
    if isinstance(value, str) and _WORD.fullmatch(value) and value.lower() not in _TAKEN_OTHERWISE:
        return value
    if isinstance(value, str | dict):
        return str(
            yaml.safe_dump(value, default_style='"', default_flow_style=True, allow_unicode=True, width=inf)
        ).strip()
    return msgspec.json.encode(value).decode()
