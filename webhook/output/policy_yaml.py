"""Generated admission policies as readable YAML, with a comment above each variable."""

import re
from collections.abc import Mapping
from typing import Any

import yaml

from webhook.admission_policy.model import Generated
from webhook.constants import PROGRAM

_NAMED = re.compile(r"(?P<indent> *)- name: (?P<name>[A-Za-z0-9-]+)\Z")


class _Readable(yaml.SafeDumper):
    """Writes multi-line strings as blocks, without doubled quotes, and indents lists below their key."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> Any:  # noqa: ARG002, FBT001, FBT002
        return super().increase_indent(flow, indentless=False)


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    block = "\n" in text or "'" in text
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if block else None)


_Readable.add_representer(str, _text)


def written(made: Generated, command: str) -> str:
    """Return the policy and its binding as two documents; `command` is the command that generated them."""
    policy = _dumped(made.policy).splitlines()
    lines = [line for one in policy for line in _with_comment(one, made.comments)]
    head = f"# Made by `{PROGRAM} {command}`: change the configuration and make it anew."
    return "\n".join([head, *lines, "---", _dumped(made.binding)])


def _dumped(document: dict[str, Any]) -> str:
    return str(yaml.dump(document, Dumper=_Readable, sort_keys=False, allow_unicode=True, width=10_000))


def _with_comment(line: str, comments: Mapping[str, str]) -> list[str]:
    found = _NAMED.match(line)
    comment = comments.get(found["name"]) if found else None
    return [f"{found['indent']}# {comment}", line] if found and comment else [line]
