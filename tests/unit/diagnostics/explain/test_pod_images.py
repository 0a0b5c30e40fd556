"""Images of a stored Pod are restored as they were written."""

from typing import Any

import pytest

from tests.unit.diagnostics.explain.test_verdict import ORIGINALS, pod, settings
from webhook.diagnostics.explain.pod_images import as_written
from webhook.errors import InvalidManifest


def test_as_written_restores_original_pod() -> None:
    stored = pod("nginx", rewritten=True, nodeName="node-1", ephemeralContainers=[{"name": "d", "image": "busybox"}])
    stored["spec"]["volumes"] = [{"name": "v", "image": {"reference": "registry.example.com/data"}}]
    stored["metadata"]["annotations"] = {ORIGINALS: '{"a": "nginx", "v": "data"}', "kept": "1"}
    tried = as_written(stored, settings().mutator)
    assert tried["metadata"] == {"generateName": "web-1-", "labels": {}, "annotations": {"kept": "1"}}
    assert tried["spec"] == {
        "containers": [{"name": "a", "image": "nginx"}],
        "imagePullSecrets": [],
        "volumes": [{"name": "v", "image": {"reference": "data"}}],
    }
    assert stored["spec"]["containers"][0]["image"] == "registry.example.com/nginx"


@pytest.mark.parametrize(
    "spoiled",
    [
        {"spec": "x"},
        {"spec": {"imagePullSecrets": ["x"]}},
        {"spec": {"imagePullSecrets": "x"}},
        {"spec": {"containers": {}}},
        {"metadata": {"annotations": "x"}},
        {"metadata": {"labels": ["x"]}},
        {"metadata": {"name": 5}},
    ],
)
def test_as_written_not_pod_raises(spoiled: dict[str, Any]) -> None:
    with pytest.raises(InvalidManifest):
        as_written(pod("nginx") | spoiled, settings().mutator)


@pytest.mark.parametrize(
    ("given", "spec"),
    [({}, {}), ({"spec": None}, {}), ({"metadata": {"annotations": None}, "spec": {"imagePullSecrets": None}}, {})],
)
def test_as_written_absent_or_null_is_empty(given: dict[str, Any], spec: dict[str, Any]) -> None:
    tried = as_written(given, settings().mutator)
    assert (tried["metadata"], tried["spec"]) == ({"generateName": "pod-", "labels": {}, "annotations": {}}, spec)
