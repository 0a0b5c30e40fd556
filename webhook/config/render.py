"""Renders a loaded configuration as YAML that can be loaded again, with each value's origin, and passwords masked."""

import re
from math import inf
from typing import Any

import msgspec
import yaml

from webhook.config import schema
from webhook.config.load import Loaded

MASK = "********"

#: Comments are aligned in one column, except after lines longer than this.
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
    for path, key in schema.table().items():
        *above, last = path.split(".")
        for depth in range(1, len(above) + 1):
            branch = ".".join(above[:depth])
            if branch not in shown:
                shown.add(branch)
                rows.append((f"{'  ' * (depth - 1)}{above[depth - 1]}:", None))
        value = key.value_in(loaded.configuration)
        shown_value = MASK if key.masked and value is not None else msgspec.to_builtins(value)
        rows += _value("  " * len(above), last, shown_value, loaded.origins[path])
    return rows


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
