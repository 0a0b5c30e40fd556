"""Repeated applies change nothing: no other manager owns the refresher's fields."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.cluster import Manifest
from tests.e2e.refresher import SECRET
from webhook.constants import DEFAULT_NAMESPACE, PROGRAM

from .installation import CERTIFICATE_SECRET, CONFIGURATION, DEPLOYMENT, Installation

#: Under which names Argo CD and Flux apply, both server-side and by force.
_CONTROLLERS = ("argocd-controller", "kustomize-controller")


def _by(manager: str) -> tuple[str, ...]:
    return ("--server-side", f"--field-manager={manager}", "--force-conflicts")


@pytest.fixture
def before(installed: Installation, served: str) -> Manifest:
    """Give what must stay: each object by what it is called."""
    return _seen(installed, served)


def _seen(installed: Installation, served: str, *options: str) -> Manifest:
    objects = {
        "configuration": (DEFAULT_NAMESPACE, CONFIGURATION),
        "deployment": (DEFAULT_NAMESPACE, DEPLOYMENT),
        "certificate": (DEFAULT_NAMESPACE, CERTIFICATE_SECRET),
        "pull secret": (served, SECRET),
    }
    words = ("--output=json", *options)
    return {
        called: installed.cluster.kubectl("get", what, "--namespace", namespace, *words).manifest
        for called, (namespace, what) in objects.items()
    }


def test_apply_no_diff_afterwards(installed: Installation) -> None:
    assert installed.diff() == ""


def test_apply_again_changes_nothing(installed: Installation, served: str, before: Manifest) -> None:
    objects = installed.versions()
    assert len(objects) > 20
    installed.apply()
    assert installed.versions() == objects
    after = _seen(installed, served)
    for what in ("certificate", "pull secret"):
        assert after[what]["data"] == before[what]["data"], what
        assert after[what]["metadata"]["uid"] == before[what]["metadata"]["uid"], what


@pytest.mark.parametrize("manager", _CONTROLLERS)
def test_forced_apply_keeps_refresher_fields(
    installed: Installation, served: str, before: Manifest, manager: str
) -> None:
    for _ in range(2):
        installed.apply(*_by(manager))
    assert installed.diff(*_by(manager)) == ""
    after = _seen(installed, served)
    assert after["configuration"]["webhooks"] == before["configuration"]["webhooks"]
    assert base64.b64decode(after["configuration"]["webhooks"][0]["clientConfig"]["caBundle"])
    assert (
        after["configuration"]["metadata"]["ownerReferences"] == before["configuration"]["metadata"]["ownerReferences"]
    )
    # Its generation changes with kubectl's own annotation, which a server-side apply takes away.
    assert after["deployment"]["spec"] == before["deployment"]["spec"]
    for what in ("certificate", "pull secret"):
        assert after[what]["data"] == before[what]["data"], what
        assert after[what]["metadata"]["uid"] == before[what]["metadata"]["uid"], what


def test_managed_fields_owned_by_refresher(installed: Installation, served: str) -> None:
    for manager in _CONTROLLERS:
        installed.apply(*_by(manager))
    seen = _seen(installed, served, "--show-managed-fields")
    for field in ("f:caBundle", "f:ownerReferences"):
        owners = _owners(seen["configuration"], field)
        assert owners, field
        assert all(owner.startswith(PROGRAM) for owner in owners), (field, owners)
    for what in ("certificate", "pull secret"):
        managers = {entry["manager"] for entry in seen[what]["metadata"]["managedFields"]}
        assert managers, what
        assert all(manager.startswith(PROGRAM) for manager in managers), (what, managers)


def _owners(stored: Manifest, field: str) -> set[str]:
    """Name those who own a field, wherever it stands."""
    entries = stored["metadata"]["managedFields"]
    return {entry["manager"] for entry in entries if field in _fields(entry["fieldsV1"])}


def _fields(tree: dict[str, Any]) -> Iterator[str]:
    for key, below in tree.items():
        yield key
        yield from _fields(below)


def test_manual_change_shown_in_diff(installed: Installation) -> None:
    """So that the tests above would see one."""
    patch = json.dumps([{"op": "replace", "path": "/webhooks/0/timeoutSeconds", "value": 6}])
    installed.cluster.kubectl("patch", "mutatingwebhookconfiguration", PROGRAM, "--type=json", f"--patch={patch}")
    assert "timeoutSeconds" in installed.diff()
    installed.apply()
    assert installed.diff() == ""
