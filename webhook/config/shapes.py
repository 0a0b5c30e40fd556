"""Files and keys of a wrong shape, each with what to write instead."""

import difflib
import re
from collections.abc import Mapping

import yaml

from webhook import __version__
from webhook.config import hints, schema, yaml_nodes
from webhook.config.yaml_errors import Problem
from webhook.constants import DOCS

REFERENCE = f"{DOCS}/reference/configuration.md"

MERGE = "<<"
#: Similarity, from 0 to 1, of a key or variable to suggest.
NEAR = 0.75
_TOP_LEVEL = re.compile(r"(?m)^([A-Za-z]+):[ \t]*([^\s#]*)")
_FEW = 4
#: Keys at the top of the values file that `helm create` writes. Some may be keys of a configuration one day.
_HELM_VALUES = frozenset(
    {
        "affinity",
        "fullnameOverride",
        "global",
        "image",
        "imagePullSecrets",
        "ingress",
        "nameOverride",
        "nodeSelector",
        "podAnnotations",
        "podSecurityContext",
        "replicaCount",
        "resources",
        "securityContext",
        "service",
        "serviceAccount",
        "tolerations",
    }
)

#: What every manifest has, and no configuration at its top level.
_KIND = re.compile(rb"""(?m)^(?:["']?kind["']?\s*:|\s*\{.*?["']?kind["']?\s*:)""", re.DOTALL)


def may_be_manifest(content: bytes) -> bool:
    """Return whether a file is worth parsing as manifests."""
    return _KIND.search(content) is not None


def other_format(root: yaml.Node) -> Problem | None:
    """Recognize a Kubernetes manifest and a Helm values file by the keys at the top."""
    if not isinstance(root, yaml.MappingNode):
        return None
    return _other_format({yaml_nodes.text_of(key): yaml_nodes.text_of(value) for key, value in root.value})


def other_format_of_text(text: str) -> Problem | None:
    """Recognize them in YAML that cannot be read: with an anchor, a template or several documents, for example."""
    return _other_format(dict(_TOP_LEVEL.findall(text)))


def _other_format(values: Mapping[str, str]) -> Problem | None:
    if {"apiVersion", "kind"} <= values.keys():
        problem = "this is a Kubernetes manifest, not a configuration"
        if values["kind"] == "ConfigMap":
            return Problem(problem, "save the text under data to a file of its own, and pass that file")
        return Problem(problem, f"write a file with {expected('').removeprefix('a mapping with ')}, see {REFERENCE}")
    if len(_HELM_VALUES & values.keys()) > 1 and values.keys().isdisjoint(_keys_below("")):
        problem = "this looks like a Helm values file, not a configuration"
        return Problem(problem, "pass the file that the chart writes into the ConfigMap")
    return None


def expected(path: str) -> str:
    """Return what is expected at a path: a mapping, with its keys if they are few."""
    *keys, last = _keys_below(path)
    if len(keys) >= _FEW:
        return "a mapping"
    names = f"keys {', '.join(keys)} and {last}" if keys else f"key {last}"
    return f"a mapping with the {names}" if path else f"a mapping with the top-level {names}"


def instead_of(path: str, node: yaml.Node) -> str:
    """Return what to write instead of a node that is not a mapping."""
    if _lacks_space(path, yaml_nodes.text_of(node)):
        return hints.SPACE_AFTER_COLON
    if "registry" in path or not path:
        return _nested(["registry", "server"], "registry.example.com")
    key = next(key for key in schema.spellings().values() if key.path.startswith(f"{path}."))
    return _nested(key.path.split("."), "...")


def unknown_key(path: str, key: str) -> Problem:
    """Return what is wrong with an unknown key below a path."""
    if key == MERGE:
        return Problem("YAML merge keys are not supported", "write the keys themselves")
    return Problem("unknown key", _similar(path, key))


def _similar(path: str, key: str) -> str:
    full = f"{path}.{key}" if path else key
    if full in schema.spellings() or full in schema.branches():
        # With dots in the key.
        return _nested(full.split("."), "...")
    below = _keys_below(path)
    if _lacks_space(path, key):
        return hints.SPACE_AFTER_COLON
    near = difflib.get_close_matches(key, below, 1, NEAR)
    if near:
        return f"did you mean {near[0]}?"
    elsewhere = [known for known in (*schema.spellings(), *schema.branches()) if known.split(".")[-1] == key]
    if elsewhere:
        above = min(elsewhere, key=len).rpartition(".")[0]
        return f"write {key} below {above}" if above else f"write {key} at the top level"
    if not path:
        return f"the top-level keys of version {__version__} are {', '.join(below)}"
    return f"the keys of {path} in version {__version__} are {', '.join(below)}"


def _lacks_space(path: str, text: str) -> bool:
    """Return whether `text` is `server:registry.example.com`, a key without a space before its value."""
    key, colon, _ = text.partition(":")
    return bool(colon) and key in _keys_below(path)


def _nested(keys: list[str], value: str) -> str:
    opened = "".join(f"{{{key}: " for key in keys[1:])
    return f"write the keys nested, as in {keys[0]}: {opened}{value}{'}' * (len(keys) - 1)}"


def _keys_below(path: str) -> list[str]:
    prefix = f"{path}." if path else ""
    found = {known.removeprefix(prefix).split(".")[0] for known in schema.spellings() if known.startswith(prefix)}
    return sorted(found)
