"""Loads YAML and environment variables, which win, into the frozen settings, with each value's origin.

All issues are reported at once, each with its key, origin, value, and what to write instead.
"""

import difflib
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
import yaml

from webhook.config import hints, schema, shapes, validation, yaml_errors, yaml_nodes
from webhook.config.schema import SettingKey
from webhook.config.validation import ValidationProblem
from webhook.config.yaml_nodes import DocumentError
from webhook.constants import installation_names
from webhook.errors import ConfigIssue, ConfigurationError
from webhook.images.prefix import MAY_HOLD_SECRETS
from webhook.log import shorten
from webhook.log.escaping import escape, truncate
from webhook.settings import ROOTS, SECRET_KEYS, Configuration

DEFAULT = "default"

#: Similarity, from 0 to 1, of a variable to refuse although it may be XTM Composer's.
_ALMOST = 0.9
_SHOWN = 80
_WORD = re.compile(r"[A-Za-z0-9_.-]*")


class Loaded(NamedTuple):
    """A valid configuration."""

    configuration: Configuration
    origins: dict[str, str]
    """The origin of each key's value: `config.yaml:4`, a variable's name, or `default`."""


def load(text: bytes, name: str, environment: Mapping[str, str]) -> Loaded:
    """Load a YAML file's bytes, which messages call `name`, and environment variables.

    An empty variable counts as not set. Raises `ConfigurationError` with all issues.
    """
    gathered = _ConfigReader(name)
    gathered.read_file(text)
    gathered.read_environment(environment)
    roots = [msgspec.convert(gathered.nested(f"{root}."), struct) for root, struct in ROOTS.items()]
    configuration, problems = validation.check(Configuration(*roots))
    for problem in problems:
        gathered.add_item_issue(problem)
    if gathered.issues:
        raise ConfigurationError(gathered.sorted_issues())
    configuration = msgspec.structs.replace(configuration, installation=installation_names(environment))
    return Loaded(configuration, {path: gathered.origin(path) for path in schema.table()})


class _ConfigReader:
    """The values that are set, their origins, and the issues found so far."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._values: dict[str, Any] = {}
        self._origins: dict[str, str] = {}
        #: For each list, the indices of the items of the right type.
        self._seen: dict[str, list[int]] = {}
        #: For each key that is set, the spelling of its path.
        self._spelled: dict[str, str] = {}
        self.issues: list[ConfigIssue] = []

    def add_issue(self, key: str, origin: str, value: object, problem: str, hint: str = "") -> None:
        """Add an issue; `value` is shown if it is a scalar that cannot contain a password."""
        shown = _shown(key, value)
        if shown and isinstance(value, str) and "{{" in value:
            hint = yaml_errors.unrendered(None).hint
        elif isinstance(value, str):
            hint = hints.straight_quotes(value) or hint
        self.issues.append(ConfigIssue(key, origin, shown, problem, hint))

    def add_item_issue(self, problem: ValidationProblem) -> None:
        """Add an issue; an index in its key (`webhook.rules[1].from`) counts only the items of the right type."""
        key = problem.key
        path, bracket, rest = key.partition("[")
        if bracket:
            index, _, below = rest.partition("]")
            key = f"{path}[{self._seen[path][int(index)]}]{below}"
        texts = map(self._as_written, (problem.problem, problem.hint))
        self.add_issue(self._as_written(key), self.origin(key), problem.value, *texts)

    def _as_written(self, text: str) -> str:
        """Replace the keys in `text` with the spelling in which they are set."""
        for canonical, written in self._spelled.items():
            text = text.replace(canonical, written)
        return text

    def sorted_issues(self) -> list[ConfigIssue]:
        """Return the issues of the file by line, then those of the variables."""

        def place(issue: ConfigIssue) -> tuple[bool, int]:
            name, _, line = issue.origin.rpartition(":")
            if name == self._name:
                return (False, int(line))
            return (issue.origin != self._name, 0)

        return sorted(self.issues, key=place)

    def origin(self, path: str) -> str:
        """Return the origin of the value of a key, or of an item in it."""
        while path not in self._origins:
            end = max(path.rfind("."), path.rfind("["))
            if end < 0:
                return DEFAULT
            path = path[:end]
        return self._origins[path]

    def nested(self, prefix: str) -> dict[str, Any]:
        """Return the converted values below `prefix` as nested mappings, for the model's structs."""
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
            node = yaml_nodes.compose(text)
            if node is not None and not self._is_other_format(node):
                self._read_branch(node, "")
        except DocumentError as error:
            found = shapes.other_format_of_text(text.decode(errors="replace"))
            if found is not None:
                self.add_issue("", self._line(1), None, found.problem, found.hint)
                return
            path = ""
            for key in error.path:
                path = _named(path, key)
            self.add_issue(path, self._line(error.line), None, str(error), error.hint)

    def _read_branch(self, node: yaml.Node, path: str) -> None:
        if not isinstance(node, yaml.MappingNode):
            if not yaml_nodes.is_null(node):
                problem = f"expected {shapes.expected(path)}, found {yaml_nodes.type_of(node)}"
                self.add_issue(path, self._line(yaml_nodes.line_of(node)), None, problem, shapes.instead_of(path, node))
            return
        if yaml_nodes.is_template(node):
            self._add_template(node, path)
            return
        seen: dict[str, int] = {}
        for key_node, value_node in node.value:
            key, line = yaml_nodes.text_of(key_node), yaml_nodes.line_of(key_node)
            below = f"{path}.{key}" if path else key
            if not key.replace("_", "").isalnum() or (
                below not in schema.branches() and below not in schema.spellings()
            ):
                problem, hint, _ = shapes.unknown_key(path, key)
                self.add_issue(_named(path, key), self._line(line), None, problem, hint)
            elif key in seen:
                problem = f"set twice, first on line {seen[key]}"
                self.add_issue(below, self._line(line), None, problem, "keep one of the two")
            elif below in schema.branches():
                self._read_branch(value_node, below)
            else:
                self._read_value(value_node, schema.spellings()[below], line)
            seen.setdefault(key, line)

    def _read_value(self, node: yaml.Node, key: SettingKey, line: int) -> None:
        try:
            value = yaml_nodes.value_of(node)
        except DocumentError as error:
            self.add_issue(key.path, self._line(error.line), None, str(error), error.hint)
            return
        if yaml_nodes.is_template(node):
            self._add_template(node, key.path)
            return
        if isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                place = f"{key.canonical}[{index}]"
                self._origins[place] = self._line(yaml_nodes.line_of(item))
                if isinstance(item, yaml.MappingNode):
                    self._read_names(item, f"{key.path}[{index}]", place)
        self._take(key, value, self._line(line))

    def _read_names(self, item: yaml.MappingNode, path: str, place: str) -> None:
        """Note the lines of the keys in an item."""
        seen: dict[str, int] = {}
        for node, _ in item.value:
            name, line = yaml_nodes.text_of(node), yaml_nodes.line_of(node)
            self._origins[f"{place}.{name}"] = self._line(line)
            if name in seen:
                problem = f"set twice, first on line {seen[name]}"
                self.add_issue(_named(path, name), self._line(line), None, problem, "keep one of the two")
            seen.setdefault(name, line)

    def read_environment(self, environment: Mapping[str, str]) -> None:
        variables = {key.variable: key for key in schema.spellings().values()}
        for name, text in sorted(environment.items()):
            key = variables.get(name)
            if key is not None:
                self._read_variable(key, text)
            elif name.startswith(schema.VARIABLE_PREFIXES):
                # All keys with these prefixes are known, so any other is an error.
                self._add_unknown_variable(name, difflib.get_close_matches(name, variables, 1, shapes.NEAR))
            elif name.startswith(schema.OPENCTI_PREFIX):
                # It may be XTM Composer's, so it is refused only if it is nearly one of ours.
                near = difflib.get_close_matches(name, variables, 1, _ALMOST)
                if near:
                    self._add_unknown_variable(name, near)

    def _add_unknown_variable(self, name: str, near: list[str]) -> None:
        hint = f"did you mean {near[0]}?" if near else f"the keys and variables are listed in {shapes.REFERENCE}"
        self.add_issue("", shorten(name, _SHOWN), None, "unknown environment variable", hint)

    def _add_template(self, node: yaml.Node, path: str) -> None:
        problem, hint, line = yaml_errors.unrendered(yaml_nodes.line_of(node))
        self.add_issue(path, self._line(line), None, problem, hint)

    def _is_other_format(self, node: yaml.Node) -> bool:
        """Add one issue if the file is something else, such as a Kubernetes manifest."""
        found = shapes.other_format(node)
        if found is not None:
            self.add_issue("", self._line(yaml_nodes.line_of(node)), None, found.problem, found.hint)
        return found is not None

    def _read_variable(self, key: SettingKey, text: str) -> None:
        if not text:
            return
        self._origins = {path: at for path, at in self._origins.items() if not path.startswith(f"{key.canonical}[")}
        try:
            text.encode()
            self._take(key, _of_variable(key, text), key.variable)
        except UnicodeEncodeError:
            self.add_issue(key.path, key.variable, None, "must be UTF-8 text")
        except DocumentError as error:
            self.add_issue(key.path, key.variable, None, str(error), error.hint)

    def _take(self, key: SettingKey, value: Any, origin: str) -> None:
        """Convert a value, or the items of a list one by one, and keep those of the right type; null is ignored."""
        if value is None:
            return
        written = self._spelled.setdefault(key.canonical, key.path)
        if written != key.path:
            problem = f"the same key is set as {written} in {self.origin(key.canonical)}"
            self.add_issue(key.path, origin, None, problem, "remove one of the two")
            return
        self._origins[key.canonical] = origin
        self._values.pop(key.canonical, None)
        if not (key.is_list and isinstance(value, list)):
            try:
                self._values[key.canonical] = msgspec.convert(value, key.type)
            except msgspec.ValidationError:
                self.add_issue(key.path, origin, value, f"must be {key.expected(value)}", hints.of_value(key, value))
            return
        if len(value) > key.most_items:
            self.add_issue(key.path, origin, None, f"must be {key.expected(value)}")
            return
        items = {}
        for index, item in enumerate(value):
            try:
                items[index] = msgspec.convert(item, key.item_type)
            except msgspec.ValidationError:
                self._add_item(key, index, item)
        self._values[key.canonical] = tuple(items.values())
        self._seen[key.canonical] = list(items)

    def _add_item(self, key: SettingKey, index: int, item: object) -> None:
        path, place = f"{key.path}[{index}]", f"{key.canonical}[{index}]"
        if not (key.items and isinstance(item, dict)):
            problem = f"must be {key.expected_item(item)}"
            self.add_issue(path, self.origin(place), item, problem, hints.of_item(key, item))
            return
        for name, value, problem, hint in hints.in_item(key, item):
            self.add_issue(_named(path, name), self.origin(f"{place}.{name}"), value, problem, hint)

    def _line(self, line: int | None) -> str:
        return self._name if line is None else f"{self._name}:{line}"


def _of_variable(key: SettingKey, text: str) -> Any:
    """Return a variable's value: a string unchanged, a list as YAML or separated by commas, anything else as YAML.

    Raises `DocumentError` for invalid YAML.
    """
    if key.is_text:
        return text
    if key.is_list and not text.lstrip().startswith("["):
        return [item.strip() for item in text.split(",") if item.strip()]
    node = yaml_nodes.compose(text.encode())
    return None if node is None else yaml_nodes.value_of(node)


def _shown(key: str, value: object) -> str | None:
    """Return a value as one short line; None if there is no value, or it could contain a password."""
    if isinstance(value, bool) or value is None:
        return None if value is None else str(value).lower()
    if isinstance(value, int | float):
        return None if key in SECRET_KEYS else shorten(str(value), _SHOWN)
    if not isinstance(value, str) or key in SECRET_KEYS or any(mark in value for mark in MAY_HOLD_SECRETS):
        return None
    return f'"{truncate(escape(value[: _SHOWN + 1]), _SHOWN)}"'


def _named(path: str, key: str) -> str:
    """Return the path of an unknown key, with its first word only: `password:secret`, without a space, is one key."""
    start = _WORD.match(key)
    word = start[0] if start else ""
    shown = key if key in (word, shapes.MERGE) else f"{word}..." if word else "?"
    return shorten(f"{path}.{shown}" if path else shown, _SHOWN)
