"""Updates of existing Pods."""

import pytest

from .cluster import Cluster, Manifest
from .installation import Installation
from .pods import IMAGE, PULL_SECRET, SERVER, images, originals, pod, pull_secrets

_NEWER = "opencti/connector-example:2.0.0"
_TWO = {"app": IMAGE, "sidecar": "acme/proxy:1"}


@pytest.fixture(scope="module")
def late(installation: Installation) -> str:
    """Make a namespace whose Pods are older than its label."""
    namespace = installation.namespace(labelled=False)
    for name in ("kept", "updated", "debugged"):
        installation.cluster.create(namespace, pod(name, **_TWO))
    installation.label(namespace)
    return namespace


@pytest.mark.parametrize(("verb", "field"), [("label", "labels"), ("annotate", "annotations")])
def test_update_metadata_unrewritten_pod_untouched(cluster: Cluster, late: str, verb: str, field: str) -> None:
    ran = cluster.kubectl(verb, "pod", "kept", "team=search", "--namespace", late)
    assert not ran.warnings
    stored = cluster.get(late, "pod/kept")
    assert stored["metadata"][field]["team"] == "search"
    assert images(stored) == _TWO
    assert originals(stored) is None


def test_update_image_rewritten_missing_secret_warned(cluster: Cluster, late: str) -> None:
    (warning,), stored = _set_image(cluster, late, "updated", app=_NEWER)
    assert images(stored) == {**_TWO, "app": f"{SERVER}/{_NEWER}"}
    assert originals(stored) == {"app": _NEWER}
    assert pull_secrets(stored) == []
    assert warning.startswith(f"Warning: container app: rewrote the image to {SERVER}/{_NEWER}, but ")
    assert PULL_SECRET in warning

    _, stored = _set_image(cluster, late, "updated", sidecar="acme/proxy:2")
    assert images(stored) == {"app": f"{SERVER}/{_NEWER}", "sidecar": f"{SERVER}/acme/proxy:2"}
    assert originals(stored) == {"app": _NEWER, "sidecar": "acme/proxy:2"}


def test_update_image_secret_present_no_warning(cluster: Cluster, served: str) -> None:
    cluster.create(served, pod("two", **_TWO))
    warnings, stored = _set_image(cluster, served, "two", app=_NEWER)
    assert images(stored) == {"app": f"{SERVER}/{_NEWER}", "sidecar": f"{SERVER}/acme/proxy:1"}
    assert originals(stored) == {**_TWO, "app": _NEWER}
    assert pull_secrets(stored) == [PULL_SECRET]
    assert not warnings


def test_update_init_container_image_rewritten(cluster: Cluster, served: str) -> None:
    manifest = pod("prepared", **_TWO)
    manifest["spec"]["initContainers"] = [{"name": "init", "image": "busybox:1.36"}]
    cluster.create(served, manifest)
    _, stored = _set_image(cluster, served, "prepared", init="busybox:1.37")
    assert images(stored, "initContainers") == {"init": f"{SERVER}/busybox:1.37"}
    assert originals(stored) == {**_TWO, "init": "busybox:1.37"}


def _set_image(cluster: Cluster, namespace: str, name: str, **to: str) -> tuple[list[str], Manifest]:
    settings = [f"{container}={image}" for container, image in to.items()]
    ran = cluster.kubectl("set", "image", f"pod/{name}", *settings, "--namespace", namespace)
    return ran.warnings, cluster.get(namespace, f"pod/{name}")


def test_debug_ephemeral_container_rewritten(cluster: Cluster, late: str) -> None:
    arguments = ("--image=busybox:1.36", "--container=debugger", "--profile=general", "--attach=false")
    ran = cluster.kubectl("debug", "pod/debugged", *arguments, "--namespace", late)
    stored = cluster.get(late, "pod/debugged")
    assert images(stored, "ephemeralContainers") == {"debugger": f"{SERVER}/busybox:1.36"}
    assert images(stored) == _TWO
    assert any("ephemeral" in warning and PULL_SECRET in warning for warning in ran.warnings)
