"""Strategies for objects from a cluster's OpenAPI schema."""

import json
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from tests.support import yaml_strategies

from .cluster import Cluster

#: The kinds with a Pod or a Pod template: the group's schema, the kind's name in it, and where the Pod is.
KINDS = {
    **dict.fromkeys((("api/v1", "core.v1", "Pod"),), ()),
    **dict.fromkeys((("api/v1", "core.v1", "PodTemplate"),), ("template",)),
    **dict.fromkeys(
        (
            ("api/v1", "core.v1", "ReplicationController"),
            *(("apis/apps/v1", "apps.v1", kind) for kind in ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet")),
            ("apis/batch/v1", "batch.v1", "Job"),
        ),
        ("spec", "template"),
    ),
    ("apis/batch/v1", "batch.v1", "CronJob"): ("spec", "jobTemplate", "spec", "template"),
}

_DEPTH = 9
_NUMBERS = {"integer": st.integers(-(2**63), 2**63 - 1), "number": st.sampled_from([0.1, 1e22, -1.5, 3, 1e-9])}


def schemas(cluster: Cluster) -> dict[str, Mapping[str, Any]]:
    """Read the schemas of the groups that have Pods or Pod templates."""
    found: dict[str, Mapping[str, Any]] = {}
    for path in sorted({path for path, _, _ in KINDS}):
        found |= json.loads(cluster.kubectl("get", "--raw", f"/openapi/v3/{path}").stdout)["components"]["schemas"]
    return found


@st.composite
def objects(draw: st.DrawFn, schemas: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Draw an object whose Pod has a container with an image."""
    (path, group, kind), below = draw(st.sampled_from(list(KINDS.items())))
    found: dict[str, Any] = _value(draw, schemas, schemas[f"io.k8s.api.{group}.{kind}"], 0)
    version = path.removeprefix("apis/").removeprefix("api/")
    # kubectl itself decodes the object's own metadata into its type.
    found |= {"apiVersion": version, "kind": kind, "metadata": {"name": "x"}}
    pod = found
    for key in below:
        pod[key] = _mapping(pod, key)
        pod = pod[key]
    pod["spec"] = _mapping(pod, "spec")
    container = st.fixed_dictionaries({"name": st.sampled_from(["a", "n"]), "image": yaml_strategies.images})
    pod["spec"]["containers"] = draw(st.lists(container, min_size=1, max_size=2))
    return dict(draw(st.permutations(list(found.items()))))


def _mapping(found: dict[str, Any], key: str) -> dict[str, Any]:
    value = found.get(key)
    return value if isinstance(value, dict) else {}


def _value(draw: st.DrawFn, schemas: Mapping[str, Mapping[str, Any]], schema: Mapping[str, Any], depth: int) -> Any:
    reference = schema.get("$ref") or next((part["$ref"] for part in schema.get("allOf", ()) if "$ref" in part), None)
    if reference:
        return _value(draw, schemas, schemas[reference.rpartition("/")[2]], depth)
    kind = schema.get("type")
    if kind in _NUMBERS:
        return draw(_NUMBERS[kind])
    if schema.get("format") == "date-time":
        return draw(st.sampled_from(["2001-01-01T00:00:00Z", "2026-11-29T17:45:00.5+01:00"]))
    if kind == "boolean":
        return draw(st.booleans())
    if kind == "array":
        return [_value(draw, schemas, schema["items"], depth + 1) for _ in range(draw(st.integers(0, 1)))]
    if "properties" in schema:
        names = sorted(schema["properties"])
        chosen = [] if depth > _DEPTH else draw(st.lists(st.sampled_from(names), max_size=3, unique=True))
        chosen += [name for name in schema.get("required", ()) if name not in chosen and depth <= _DEPTH]
        return {name: _value(draw, schemas, schema["properties"][name], depth + 1) for name in chosen}
    if "additionalProperties" in schema:
        keys = draw(st.lists(yaml_strategies.strings, max_size=2, unique=True))
        return {key: _value(draw, schemas, schema["additionalProperties"], depth + 1) for key in keys}
    return draw(yaml_strategies.strings) if kind == "string" or "oneOf" in schema else draw(yaml_strategies.values)
