"""The values of the Helm chart, as values.yaml describes them by the conventions of helm-docs.

https://github.com/norwoodj/helm-docs#valuesyaml-metadata
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from webhook.config import json_schema

CHART = Path(__file__).parents[2] / "manifests/helm/registry-webhook"

_KEY = re.compile(r"( *)([A-Za-z]+):")
_DESCRIPTION = "# -- "

Schema = dict[str, Any]

_LABELS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
_ANY_OBJECTS: Schema = {"type": "array", "items": {"type": "object"}}
_STRINGS: Schema = {"type": "array", "items": {"type": "string"}}
_SECRET_NAME: Schema = {
    "type": "object",
    "required": ["name"],
    "properties": {"name": {"type": "string"}},
    "additionalProperties": False,
}
_PORT: Schema = {"type": "integer", "minimum": 1, "maximum": 65535}
_OWN_LABELS = [
    f"app.kubernetes.io/{name}" for name in ("component", "instance", "managed-by", "name", "part-of", "version")
]
#: The chart's own labels, by which objects are found and selected.
_OTHER_LABELS: Schema = {**_LABELS, "propertyNames": {"not": {"enum": _OWN_LABELS}}}

#: What values must have in addition to the type of their default.
_SCHEMAS: dict[str, Schema] = {
    "fullnameOverride": {"maxLength": 40, "pattern": r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$"},
    "nameOverride": {"maxLength": 40, "pattern": r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$"},
    "namespace.labels": _LABELS,
    "image.repository": {"minLength": 1},
    "image.digest": {"pattern": "^(sha256:[0-9a-f]{64})?$"},
    "image.pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
    "imagePullSecrets": {"type": "array", "items": _SECRET_NAME},
    "replicas": {"minimum": 0},
    "config": {**json_schema.configuration(), "type": "object"},
    "configFiles": {
        "type": "object",
        "additionalProperties": {"type": "string"},
        "propertyNames": {"pattern": "^[-._a-zA-Z0-9]+$", "not": {"enum": ["config.yaml"]}},
    },
    "certificates.mode": {"enum": ["self-managed", "cert-manager", "existing"]},
    "certificates.caBundle": {"pattern": "^$|-----BEGIN CERTIFICATE-----"},
    "certificates.certManager.issuerRef": {
        "type": "object",
        "properties": {name: {"type": "string"} for name in ("name", "kind", "group")},
        "additionalProperties": False,
    },
    "clusterWide.denyNamespaces": {
        "type": "array",
        "items": {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"},
    },
    "clusterWide.denyPrefixes": {"type": "array", "items": {"type": "string", "pattern": "^[a-z0-9][-a-z0-9]*$"}},
    "reader.groups": {**_STRINGS, "minItems": 1},
    "monitoring.podMonitor.labels": _OTHER_LABELS,
    "monitoring.alerts.labels": _OTHER_LABELS,
    "monitoring.dashboard.labels": _OTHER_LABELS,
    "autoscaling.averageValue": {"type": ["string", "integer"]},
    "autoscaling.minReplicas": {"minimum": 1},
    "autoscaling.maxReplicas": {"minimum": 1},
    "networkPolicy.reviewsFrom": _ANY_OBJECTS,
    "networkPolicy.egressPorts": {"type": "array", "items": _PORT},
    "ports.https": {**_PORT, "type": ["integer", "null"]},
    "ports.health": {**_PORT, "type": ["integer", "null"]},
    "ports.refreshHealth": {**_PORT, "type": ["integer", "null"]},
    "commonLabels": _OTHER_LABELS,
    "commonAnnotations": _LABELS,
    "podLabels": _OTHER_LABELS,
    "podAnnotations": _LABELS,
    "serviceAccount.annotations": _LABELS,
    "nodeSelector": _LABELS,
    "tolerations": _ANY_OBJECTS,
    "affinity": {
        "type": "object",
        "properties": {name: {"type": "object"} for name in ("nodeAffinity", "podAffinity", "podAntiAffinity")},
        "additionalProperties": False,
    },
    "topologySpreadConstraints": _ANY_OBJECTS,
    "priorityClass.value": {"minimum": -2147483648, "maximum": 1000000000},
    "podDisruptionBudget.maxUnavailable": {"type": ["integer", "string"]},
    "extraArgs.webhook": _STRINGS,
    "extraArgs.refresher": _STRINGS,
    "extraEnv": _ANY_OBJECTS,
    "extraVolumes": _ANY_OBJECTS,
    "extraVolumeMounts.webhook": _ANY_OBJECTS,
    "extraVolumeMounts.refresher": _ANY_OBJECTS,
}

#: JSON Schema's names of types, and those of helm-docs.
_TYPES = {str: ("string", "string"), bool: ("boolean", "bool"), int: ("integer", "int")}
_TYPES |= {list: ("array", "list"), dict: ("object", "object"), type(None): ("null", "int")}


class Value(NamedTuple):
    """A value with a description: everything below it is part of its default."""

    path: tuple[str, ...]
    description: str
    default: Any

    @property
    def name(self) -> str:
        return ".".join(self.path)


def values() -> Iterator[Value]:
    """Return the described values in the order of values.yaml."""
    text = (CHART / "values.yaml").read_text()
    defaults = yaml.safe_load(text)
    above: list[tuple[int, str]] = []
    description: list[str] = []
    for line in text.splitlines():
        comment = line.strip()
        if comment.startswith(_DESCRIPTION):
            description = [comment.removeprefix(_DESCRIPTION)]
        elif comment.startswith("#") and description:
            description.append(comment.removeprefix("#").strip())
        elif key := _KEY.match(line):
            above = [one for one in above if one[0] < len(key[1])] + [(len(key[1]), key[2])]
            if description:
                path = tuple(name for _, name in above)
                yield Value(path, " ".join(description), _at(defaults, path))
            description = []


def _at(tree: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        tree = tree[name]
    return tree


def table() -> str:
    """Return the table of values, as helm-docs makes it."""
    rows = ["| Key | Type | Default | Description |", "|-----|------|---------|-------------|"]
    for one in values():
        cells = (
            one.name,
            _TYPES[type(one.default)][1],
            f"`{json.dumps(one.default)}`",
            one.description.replace("|", "\\|"),
        )
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def schema() -> Schema:
    """Return the schema of the values, which refuses misspelt ones."""
    root = _closed()
    for one in values():
        parent = root
        for name in one.path[:-1]:
            parent = parent["properties"].setdefault(name, _closed())
        known = {"type": _TYPES[type(one.default)][0]} | _SCHEMAS.get(one.name, {})
        parent["properties"][one.path[-1]] = known | {"description": one.description}
    # Helm adds it for charts that depend on this one.
    root["properties"]["global"] = {"description": "Values of a parent chart. Not used.", "type": "object"}
    return {"$schema": json_schema.DRAFT, "title": "Values of registry-webhook", **root}


def _closed() -> Schema:
    return {"type": "object", "properties": {}, "additionalProperties": False}
