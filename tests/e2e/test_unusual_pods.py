"""Very large or deeply nested Pods are rewritten, or denied where configured.

A missing answer is detected by the failure policy: with Ignore the Pod would be stored unchanged.
"""

import json
from collections.abc import Iterator

import pytest

from .cluster import Cluster
from .installation import CONFIGURATION, Installation, installed
from .pods import IMAGE, PULL_SECRET, REWRITTEN, SERVER, images, originals, pod, pull_secrets

_DENY = CONFIGURATION + "webhook: {on_error: deny}\n"
_CONFIGURED = {"Fail": _DENY, "Ignore": CONFIGURATION}
#: An API server reads 10,000 levels, of which the fields are below some.
_DEEP, _DEEPEST = 1_200, 9_990


@pytest.fixture(scope="module", params=_CONFIGURED)
def strict(
    request: pytest.FixtureRequest, cluster: Cluster, address: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """Put the webhook in force, with each failure policy."""
    folder = tmp_path_factory.mktemp("server")
    with installed(
        cluster, address, folder, configuration=_CONFIGURED[request.param], failurePolicy=request.param
    ) as installation:
        yield installation


@pytest.fixture(scope="module")
def labelled(strict: Installation) -> str:
    """Make a namespace that is opted in."""
    return strict.namespace(labelled=True)


def _nested(depth: int) -> str:
    fields = '{"f:metadata":{"f:annotations":' + '{"f:a":' * depth + "{}" + "}" * depth + "}}"
    manifest = pod("@name@", app=IMAGE)
    manifest["metadata"]["managedFields"] = [
        {"manager": "x", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": "@"}
        | {"time": "2026-11-01T00:00:00Z"}
    ]
    return json.dumps(manifest).replace('"@"', fields)


def _having(**spec: object) -> str:
    manifest = pod("@name@", app=IMAGE)
    manifest["spec"].update(spec)
    return json.dumps(manifest)


def _environment(value: str, variables: int) -> str:
    manifest = pod("@name@", app=IMAGE)
    manifest["spec"]["containers"][0]["env"] = [{"name": f"E{n}", "value": value} for n in range(variables)]
    return json.dumps(manifest, ensure_ascii=False)


_TERM = {"weight": 1, "podAffinityTerm": {"labelSelector": {}, "topologyKey": "a", "namespaceSelector": {}}}
#: As they are sent, but for the name.
UNUSUAL = {
    "volumes": _having(volumes=[{"name": f"v{n}", "emptyDir": {}} for n in range(10_001)]),
    "deep managed fields": _nested(_DEEP),
    "the deepest managed fields": _nested(_DEEPEST),
    "half a character in managed fields": _nested(1).replace("f:a", r"f:\ud800"),
    "what Go escapes": _environment("<" * 100_000, 14),
    "line separators": _environment("\u2028" * 33_000, 14),
    "pull secrets": _having(imagePullSecrets=[{"name": f"s{n}"} for n in range(100_000)]),
    "affinity": _having(
        affinity={"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [_TERM] * 25_000}}
    ),
    "init containers": _having(initContainers=[{"name": f"c{n}", "image": IMAGE} for n in range(3_000)]),
    "image volumes": _having(volumes=[{"name": f"v{n}", "image": {"reference": IMAGE}} for n in range(11_000)]),
}


def _named(much: str, name: str) -> str:
    return UNUSUAL[much].replace("@name@", name)


@pytest.mark.parametrize("much", UNUSUAL)
def test_pod_unusually_large_rewritten(cluster: Cluster, labelled: str, much: str) -> None:
    path = f"/api/v1/namespaces/{labelled}/pods"
    name = much.lower().replace(" ", "-")
    cluster.kubectl("create", "--raw", path, "--filename=-", stdin=_named(much, name))
    # Without managed fields, as kubectl shows it: Python reads no more than some hundred levels either.
    stored = cluster.get(labelled, f"pod/{name}")
    assert images(stored) == {"app": REWRITTEN}
    assert set(images(stored, "initContainers").values()) <= {REWRITTEN}
    references = {volume["image"]["reference"] for volume in stored["spec"].get("volumes", ()) if "image" in volume}
    assert references <= {REWRITTEN}
    assert pull_secrets(stored)[-1] == PULL_SECRET


#: Of the others, the API server itself takes half a minute for a change.
@pytest.mark.parametrize("much", ["deep managed fields", "the deepest managed fields", "what Go escapes"])
def test_pod_unusually_large_updated_rewritten(cluster: Cluster, labelled: str, much: str) -> None:
    name = "changed"
    path = f"/api/v1/namespaces/{labelled}/pods"
    cluster.kubectl("create", "--raw", path, "--filename=-", stdin=_named(much, name))
    image = [{"op": "replace", "path": "/spec/containers/0/image", "value": "evil/x:2"}]
    debug = {"spec": {"ephemeralContainers": [{"name": "debug", "image": "evil/x:3"}]}}
    for words in (
        ("--type=json", f"--patch={json.dumps(image)}"),
        ("--subresource=ephemeralcontainers", f"--patch={json.dumps(debug)}"),
    ):
        cluster.kubectl("patch", "pod", name, "--namespace", labelled, *words)
    changed = cluster.get(labelled, f"pod/{name}")
    assert images(changed) == {"app": f"{SERVER}/evil/x:2"}
    assert images(changed, "ephemeralContainers") == {"debug": f"{SERVER}/evil/x:3"}
    cluster.kubectl("delete", "pod", name, "--namespace", labelled, "--force", "--grace-period=0")


#: What a client makes up in the object of a request for ephemeral containers: the API server stores nothing of it.
MADE_UP = {
    "control": {},
    "mirror": {"annotations": {"kubernetes.io/config.mirror": "x"}},
    "deleted": {"deletionTimestamp": "2020-01-01T00:00:00Z"},
    "opted out": {"labels": {"registry-webhook/enabled": "false"}},
}


@pytest.mark.parametrize("what", MADE_UP)
def test_ephemeral_container_made_up_object_rewritten(cluster: Cluster, labelled: str, what: str) -> None:
    name = f"made-up-{what.replace(' ', '-')}"
    manifest = cluster.create(labelled, pod(name, app=IMAGE))
    manifest["spec"]["ephemeralContainers"] = [{"name": "debug", "image": "evil/x:3"}]
    manifest["metadata"] |= MADE_UP[what]
    del manifest["metadata"]["resourceVersion"]
    path = f"/api/v1/namespaces/{labelled}/pods/{name}/ephemeralcontainers"
    cluster.kubectl("replace", "--raw", path, "--filename=-", stdin=manifest)
    stored = cluster.get(labelled, f"pod/{name}")
    assert images(stored, "ephemeralContainers") == {"debug": f"{SERVER}/evil/x:3"}


def test_pod_never_pulled_images_untouched(cluster: Cluster, labelled: str) -> None:
    manifest = pod("never", app=IMAGE)
    manifest["spec"]["containers"][0]["imagePullPolicy"] = "Never"
    manifest["spec"]["volumes"] = [{"name": "model", "image": {"reference": "ml/model", "pullPolicy": "Never"}}]
    stored = cluster.create(labelled, manifest)
    assert images(stored) == {"app": IMAGE}
    assert stored["spec"]["volumes"][0]["image"]["reference"] == "ml/model"
    assert (pull_secrets(stored), originals(stored)) == ([], None)

    image = [{"op": "replace", "path": "/spec/containers/0/image", "value": "evil/x:2"}]
    cluster.kubectl("patch", "pod", "never", "--namespace", labelled, "--type=json", f"--patch={json.dumps(image)}")
    assert images(cluster.get(labelled, "pod/never")) == {"app": "evil/x:2"}


@pytest.mark.parametrize(
    ("image", "annotation", "expected"),
    [
        ("busybox:1.36", {"app": "nginx"}, {"app": "busybox:1.36"}),
        ("quay.io/x/y:1", {"app": "evil/other:9"}, None),
        (f"{SERVER}/nginx", {"app": "nginx", "gone": "redis"}, {"app": "nginx"}),
    ],
    ids=["copied", "forged", "true"],
)
def test_original_images_only_true_ones_kept(
    cluster: Cluster, labelled: str, image: str, annotation: dict[str, str], expected: dict[str, str] | None
) -> None:
    name = f"originals-{len(image)}"
    manifest = pod(name, app=image)
    manifest["metadata"]["annotations"] = {"registry-webhook/original-images": json.dumps(annotation)}
    assert originals(cluster.create(labelled, manifest)) == expected

    cluster.kubectl("set", "image", f"pod/{name}", "app=ghcr.io/org/app:2", "--namespace", labelled)
    assert originals(cluster.get(labelled, f"pod/{name}")) is None
