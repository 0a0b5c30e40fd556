"""Generates the chart's values.schema.json from its values.yaml and the settings model.

A value has the type of its default, and the comment above it as description. An empty mapping may have any keys.
"""

import json
from pathlib import Path
from typing import Any

import yaml

from webhook.config import json_schema

_Schema = dict[str, Any]

_PORT: _Schema = {"type": ["integer", "null"], "minimum": 1, "maximum": 65535}
#: Mappings whose keys are examples or defaults.
_OPEN = {"resources.webhook", "resources.refresher", "monitoring.dashboard.labels"}
#: What the default does not show.
_KNOWN: dict[str, _Schema] = {
    "image.pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
    "certificates.mode": {"enum": ["self-managed", "cert-manager", "existing"]},
    "replicas": {"minimum": 0},
    "autoscaling.minReplicas": {"minimum": 1},
    "autoscaling.maxReplicas": {"minimum": 1},
    "autoscaling.averageValue": {"type": ["string", "integer"]},
    "podDisruptionBudget.maxUnavailable": {"type": ["integer", "string"]},
    "ports.https": _PORT,
    "ports.health": _PORT,
    "ports.refreshHealth": _PORT,
}


def file(values: Path) -> str:
    """Return the file, for a values.yaml."""
    text = values.read_text()
    node = yaml.compose(text, yaml.SafeLoader)
    assert isinstance(node, yaml.MappingNode)
    schema = _mapping(node, text.splitlines(), "")
    # Helm adds `global` if the chart is a dependency of another.
    schema["properties"]["global"] = {"type": "object"}
    return f"{json.dumps({'$schema': json_schema.DRAFT, **schema}, indent=2, ensure_ascii=False)}\n"


def _mapping(node: yaml.MappingNode, lines: list[str], path: str) -> _Schema:
    properties = {}
    for key, value in node.value:
        below = f"{path}.{key.value}" if path else key.value
        description = _description(lines, key.start_mark.line)
        properties[key.value] = {**({"description": description} if description else {}), **_value(value, lines, below)}
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _value(node: yaml.Node, lines: list[str], path: str) -> _Schema:
    if path == "config":
        return json_schema.configuration()
    if isinstance(node, yaml.MappingNode):
        return {"type": "object"} if path in _OPEN or not node.value else _mapping(node, lines, path)
    default = yaml.SafeLoader("").construct_object(node, deep=True)
    return {**_type(default), **_KNOWN.get(path, {}), "default": default}


def _type(default: object) -> _Schema:
    match default:
        case bool():
            return {"type": "boolean"}
        case int():
            return {"type": "integer"}
        case str():
            return {"type": "string"}
        case [str() | int(), *_]:
            return {"type": "array", "items": _type(default[0])}
        case list():
            return {"type": "array"}
    return {}


def _description(lines: list[str], line: int) -> str:
    """Return the comment above a line."""
    first = line
    while lines[first - 1].lstrip().startswith("#"):
        first -= 1
    text = " ".join(one.strip().removeprefix("#").strip() for one in lines[first:line])
    return text.removeprefix("-- ")
