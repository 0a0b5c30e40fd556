"""A YAML document as nodes with line numbers, read as YAML 1.2's core schema reads it.

`off` and `yes` are texts, for `verify: off` means what it says; there are no dates and no sexagesimal numbers. A value
is constructed for one key at a time, so that one bad key hides no other.
"""

import re
from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the scalars of YAML 1.2."""


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", list("-+0123456789")),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", list("-+0123456789.")),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})\Z"), _first)


class DocumentError(Exception):
    """A text that is no YAML document: what is wrong, and the line, from 1, where it is known."""

    def __init__(self, problem: str, line: int | None = None) -> None:
        """Hold the problem in words that quote nothing of the text, which may hold a password."""
        super().__init__(problem)
        self.line = line


def compose(text: bytes) -> yaml.Node | None:
    """Read a document's nodes; None for an empty one.

    Raises `DocumentError`.
    """
    try:
        return yaml.compose(text, _Loader)
    except yaml.MarkedYAMLError as error:
        line = None if error.problem_mark is None else error.problem_mark.line + 1
        raise DocumentError(_in_words(error), line) from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise DocumentError("it is not UTF-8 text") from None
    except RecursionError:
        raise DocumentError("it is nested too deeply") from None


def line_of(node: yaml.Node) -> int:
    """Tell the line, from 1, on which a node begins."""
    return int(node.start_mark.line) + 1


def text_of(node: yaml.Node) -> str:
    """Give a scalar's text as written; that of a mapping or list, which is no key, is `?`."""
    return str(node.value) if isinstance(node, yaml.ScalarNode) else "?"


def is_null(node: yaml.Node) -> bool:
    """Tell whether a node is an empty value."""
    return bool(node.tag == "tag:yaml.org,2002:null")


def value_of(node: yaml.Node) -> Any:
    """Construct a node's value of plain dicts, lists and scalars.

    Raises `DocumentError` for a tag of no plain value.
    """
    constructor = _Loader("")
    try:
        return constructor.construct_document(node)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise DocumentError("it has a tag or a key of no plain value", line_of(node)) from None
    finally:
        constructor.dispose()


def _in_words(error: yaml.MarkedYAMLError) -> str:
    if isinstance(error, yaml.composer.ComposerError) and "alias" in str(error.problem):
        return 'a value that begins with * must be in quotes: "**/pause"'
    if "\\t" in str(error.problem):
        return "it is indented with a tab, where YAML takes spaces only"
    problem = str(error.problem or error.context or "it is no YAML")
    return f"it is no YAML: {problem}"
