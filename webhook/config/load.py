"""YAML and environment into one frozen configuration, the environment winning, with each value's origin.

Every fault is found in one go and said with its key, origin, value and remedy.
"""

import difflib
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
import yaml

from webhook.config import check, document, keys
from webhook.config.document import DocumentError
from webhook.config.keys import Key
from webhook.config.model import ROOTS, SECRET_KEYS, Configuration
from webhook.errors import ConfigurationError, Fault
from webhook.log import shorten

DEFAULT = "default"

#: A variable that begins so is meant for this program, and one that it does not know is refused.
_OURS = ("OPENCTI__DAEMON__REGISTRY", "WEBHOOK__")
#: One that begins so may be XTM Composer's, and is refused only when it is all but one of ours.
_PERHAPS_OURS = "OPENCTI__"
_SHOWN = 80


class Loaded(NamedTuple):
    """A valid configuration."""

    configuration: Configuration
    origins: dict[str, str]
    """For each key's path where its value came from: `config.yaml:4`, a variable's name, or `default`."""


def load(text: bytes, name: str, environment: Mapping[str, str]) -> Loaded:
    """Make a configuration of a YAML file's bytes, `name` being what to call it, and environment variables.

    Raises `ConfigurationError` with every fault.
    """
    gathered = _Gathered(name)
    gathered.read_file(text)
    gathered.read_environment(environment)
    roots = [msgspec.convert(gathered.nested(f"{root}."), struct) for root, struct in ROOTS.items()]
    configuration, problems = check.check(Configuration(*roots))
    for key, value, problem in problems:
        gathered.fault(key, gathered.origin(key), value, problem)
    if gathered.faults:
        raise ConfigurationError(gathered.faults)
    return Loaded(configuration, {path: gathered.origin(path) for path in keys.table()})


class _Gathered:
    """The values that somebody set, where each came from, and what was wrong on the way."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._values: dict[str, Any] = {}
        self._origins: dict[str, str] = {}
        self.faults: list[Fault] = []

    def fault(self, key: str, origin: str, value: object, problem: str) -> None:
        """Note a fault; `value` None is shown as none, and a secret key's never."""
        shown = None if value is None or key in SECRET_KEYS else shorten(_written(value), _SHOWN)
        self.faults.append(Fault(shorten(key, _SHOWN), origin, shown, problem))

    def origin(self, path: str) -> str:
        """Tell where the value of a key, or of an item in it (`webhook.rules[1].from`), came from."""
        while path not in self._origins:
            end = max(path.rfind("."), path.rfind("["))
            if end < 0:
                return DEFAULT
            path = path[:end]
        return self._origins[path]

    def nested(self, prefix: str) -> dict[str, Any]:
        """Give the converted values below `prefix` as the nested mappings that the model's structs are made of."""
        mapping: dict[str, Any] = {}
        for path, value in self._values.items():
            if path.startswith(prefix):
                *above, last = path.removeprefix(prefix).split(".")
                below = mapping
                for key in above:
                    below = below.setdefault(key, {})
                below[last] = value
        return mapping

    def read_file(self, text: bytes) -> None:
        try:
            node = document.compose(text)
            if node is not None:
                self._read_branch(node, "")
        except DocumentError as error:
            self.fault("", self._line(error.line), None, str(error))

    def _read_branch(self, node: yaml.Node, path: str) -> None:
        if not isinstance(node, yaml.MappingNode):
            if not document.is_null(node):
                problem = "it holds further keys, and no value of its own"
                self.fault(path, self._line(document.line_of(node)), None, problem)
            return
        seen: dict[str, int] = {}
        for key_node, value_node in node.value:
            key, line = document.text_of(key_node), document.line_of(key_node)
            below = f"{path}.{key}" if path else key
            if key in seen:
                self.fault(below, self._line(line), None, f"written twice, first on line {seen[key]}: keep one")
            elif below in keys.branches():
                self._read_branch(value_node, below)
            elif below in keys.table():
                self._read_value(value_node, keys.table()[below], line)
            else:
                self.fault(below, self._line(line), None, _unknown_key(path, key))
            seen.setdefault(key, line)

    def _read_value(self, node: yaml.Node, key: Key, line: int) -> None:
        origin = self._line(line)
        try:
            value = document.value_of(node)
        except DocumentError as error:
            self.fault(key.path, self._line(error.line), None, str(error))
            return
        if value is None:
            return
        if isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self._origins[f"{key.path}[{index}]"] = self._line(document.line_of(item))
        self._take(key, value, origin, strict=True)

    def read_environment(self, environment: Mapping[str, str]) -> None:
        variables = {key.variable: key for key in keys.table().values()}
        for name, text in sorted(environment.items()):
            key = variables.get(name)
            if key is not None:
                self._origins = {path: at for path, at in self._origins.items() if not path.startswith(f"{key.path}[")}
                self._take(key, _of_variable(key, text), name, strict=False)
            elif name.startswith(_OURS):
                near = difflib.get_close_matches(name, variables, 1)
                self.fault("", shorten(name, _SHOWN), None, f"unknown variable{_meant(near)}")
            elif name.startswith(_PERHAPS_OURS):
                near = difflib.get_close_matches(name, variables, 1, cutoff=0.9)
                if near:
                    self.fault("", shorten(name, _SHOWN), None, f"unknown variable{_meant(near)}")

    def _take(self, key: Key, value: Any, origin: str, *, strict: bool) -> None:
        self._origins[key.path] = origin
        try:
            self._values[key.path] = msgspec.convert(value, key.type, strict=strict)
        except msgspec.ValidationError as error:
            self._values.pop(key.path, None)
            at = str(error).rpartition(" - at `$")[2].rstrip("`") if " - at `$" in str(error) else ""
            self.fault(f"{key.path}{at}", self.origin(f"{key.path}{at}"), value, f"must be {key.expected}")

    def _line(self, line: int | None) -> str:
        return self._name if line is None else f"{self._name}:{line}"


def _of_variable(key: Key, text: str) -> Any:
    """Read a variable's text: as it stands, a list of texts also with commas between them, any list as YAML or JSON."""
    if key.is_text:
        return text or None
    if not key.is_list:
        return text
    if not text.lstrip().startswith("["):
        return [item.strip() for item in text.split(",") if item.strip()]
    try:
        node = document.compose(text.encode())
        return None if node is None else document.value_of(node)
    except DocumentError:
        return text


def _written(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _unknown_key(path: str, key: str) -> str:
    known = {
        name.removeprefix(f"{path}." if path else "").split(".")[0] for name in keys.table() if name.startswith(path)
    }
    near = difflib.get_close_matches(key, known, 1)
    return f"unknown key{_meant(near)}" if near else f"unknown key: known here are {', '.join(sorted(known))}"


def _meant(near: list[str]) -> str:
    return f": did you mean {near[0]}?" if near else ""
