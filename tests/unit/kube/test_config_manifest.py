"""The configuration in a ConfigMap, or in a stream with one: which it is, and the lines of its errors."""

import json
from typing import Any

import pytest
import yaml

from webhook.config import shapes
from webhook.config.load import load
from webhook.errors import ConfigurationError, FileError, InvalidManifest
from webhook.kube import config_manifest

_WRONG = "webhook:\n  verify: maybe\n"
_OURS = {"app.kubernetes.io/name": "registry-webhook"}


def _config_map(text: Any = _WRONG, name: str = "a", labels: dict[str, str] | None = None) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "team", "labels": labels or {}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"config.yaml": text}}


def _dump(*objects: Any, style: str | None = "|") -> bytes:
    return yaml.safe_dump_all(objects, default_style=style).encode()


_OTHER = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}}
_LIST = {"apiVersion": "v1", "kind": "List", "items": [_OTHER, _config_map()]}


def _origin(content: bytes, *, is_file: bool) -> str:
    """Return where the error of `_WRONG` is reported."""
    found = config_manifest.configuration(content, "in.yaml", is_file=is_file)
    assert found is not None
    with pytest.raises(ConfigurationError) as caught:
        load(*found, {})
    (issue,) = caught.value.issues
    return issue.origin


_LITERAL = b"""\
# A comment with kind: ConfigMap
apiVersion: v1
kind: Service
---
---
apiVersion: v1
data:
  config.yaml: |  # the configuration
    webhook:
      verify: maybe
kind: ConfigMap
metadata: {name: a, namespace: team}
"""


@pytest.mark.parametrize("before", [b"", b"\n\n", b"---\n", b"apiVersion: v1\nkind: Pod\n---\n# text\n---\n"])
def test_error_in_literal_block_at_line_of_file(before: bytes) -> None:
    line = before.count(b"\n") + _LITERAL.split(b"\n").index(b"      verify: maybe") + 1
    assert _origin(before + _LITERAL, is_file=True) == f"in.yaml:{line}"


@pytest.mark.parametrize(
    "content",
    [
        _LITERAL,
        _dump(_OTHER, _config_map(), style='"'),
        _dump(_LIST),
        json.dumps(_config_map()).encode(),
        json.dumps(_LIST, indent=1).encode(),
    ],
)
def test_error_in_stream_at_line_of_configuration(content: bytes) -> None:
    assert shapes.may_be_manifest(content)
    assert _origin(content, is_file=False) == "in.yaml, ConfigMap team/a, config.yaml:2"


@pytest.mark.parametrize("content", [_dump(_config_map(), style='"'), json.dumps(_config_map()).encode()])
def test_error_in_file_without_literal_block_at_line_of_configuration(content: bytes) -> None:
    assert _origin(content, is_file=True) == "in.yaml, ConfigMap team/a, config.yaml:2"


def test_literal_block_in_list_at_line_of_file() -> None:
    content = _dump(_LIST)
    line = content.split(b"\n").index(next(one for one in content.split(b"\n") if b"verify: maybe" in one)) + 1
    assert _origin(content, is_file=True) == f"in.yaml:{line}"


def test_config_map_with_our_label_before_others() -> None:
    content = _dump(_config_map("a: 1"), _config_map(name="b", labels=_OURS), _config_map("c: 1", name="c"))
    assert _origin(content, is_file=False) == "in.yaml, ConfigMap team/b, config.yaml:2"


@pytest.mark.parametrize(
    ("objects", "shown"),
    [
        ([_OTHER], "without a ConfigMap"),
        ([{**_config_map(), "data": {"x": "y"}}], "team/a"),
        ([{**_config_map(), "data": None}], "team/a"),
        ([_config_map(), _config_map(name="b")], "team/a, team/b"),
        ([_config_map(labels=_OURS), _config_map(name="b", labels=_OURS)], "team/a, team/b"),
        ([_config_map({"webhook": {}})], "must be a string"),
        ([{"apiVersion": "v1", "kind": "ConfigMap", "metadata": 3, "data": ["config.yaml"]}], "?"),
        ([{**_config_map(), "apiVersion": ...}], "team/a has no apiVersion"),
        ([{**_OTHER, "apiVersion": ...}], "without a ConfigMap"),
    ],
)
def test_none_or_several_one_error_with_hint(objects: list[Any], shown: str) -> None:
    objects = [{key: value for key, value in one.items() if value is not ...} for one in objects]
    for content in (
        _dump(*objects, style='"'),
        json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}).encode(),
    ):
        with pytest.raises(FileError) as caught:
            config_manifest.configuration(content, "in.yaml", is_file=False)
        assert shown in caught.value.message
        assert "\n" not in caught.value.message
        assert caught.value.where == "in.yaml"
        assert caught.value.hint


def test_invalid_yaml_at_line_of_file() -> None:
    with pytest.raises(InvalidManifest) as caught:
        config_manifest.configuration(_LITERAL + b"---\na: {\n", "in.yaml", is_file=False)
    assert caught.value.where.startswith("in.yaml:")


@pytest.mark.parametrize(
    "content",
    [b"webhook: {}\n", b'{"webhook": {"kind": 1}}', b"kind: ConfigMap\n", b"registry:\n  server: a.com\n"],
)
def test_configuration_left_to_the_loader(content: bytes) -> None:
    is_manifest = shapes.may_be_manifest(content)
    assert not is_manifest or config_manifest.configuration(content, "in.yaml", is_file=True) is None
