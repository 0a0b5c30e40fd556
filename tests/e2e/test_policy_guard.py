"""The guard policy denies what a fail-open webhook let through, and nothing else."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from webhook.admission_policy import guard
from webhook.constants import ENABLED_LABEL, MIRROR_ANNOTATION
from webhook.errors import Forbidden, Invalid
from webhook.kube.access import Access
from webhook.kube.client import Client, connect

from .cluster import Cluster, Manifest, eventually
from .engines import Engines, Wanted, pod_of
from .installation import installed
from .pods import IMAGE, PULL_SECRET, REWRITTEN, SERVER, images, originals

pytestmark = pytest.mark.kubernetes(33)

_SAID = f"container app: {IMAGE} should be {REWRITTEN}"
_WANTED = Wanted(SERVER, [("quay.io", f"{SERVER}/quay")], [("exclude", ["gcr.io/**"])])


class Guarded:
    """A namespace that is served by a webhook, and guarded."""

    def __init__(self, engines: Engines) -> None:
        self.engines = engines
        self.cluster = engines.cluster
        self.namespace = engines.by_policy

    def put(self, wanted: Wanted = _WANTED, action: guard.Action = "Deny", *, only_private: bool = False) -> None:
        """Put the guard in force, and wait until it is: by an image that no other test names."""
        self.engines.number += 1
        wanted = wanted._replace(rules=[*wanted.rules, (f"n{self.engines.number}.example.net", f"{SERVER}/n")])
        made = guard.policy(wanted.loaded(), action, only_private=only_private)
        self.engines.apply(made, "guard")
        probe = pod_of(probe=f"n{self.engines.number}.example.net/x")
        if action == "Deny":
            eventually("the guard is in force", lambda: not self.lets_through(probe))

    def lets_through(self, manifest: Manifest) -> bool:
        try:
            self.engines.dry(self.namespace, manifest)
        except Forbidden:
            return False
        return True


@pytest.fixture(scope="module")
def client() -> Client:
    return connect(Access(), lambda _method, _status: None)


@pytest.fixture(scope="module")
def guarded(
    cluster: Cluster, address: str, client: Client, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Guarded]:
    """Have a webhook fail open: it is dead when the first test begins, and Pods from before it are there."""
    with installed(cluster, address, tmp_path_factory.mktemp("server")) as installation:
        engines = Engines(installation, Path(), client)
        cluster.kubectl("label", "namespace", engines.by_policy, f"registry-webhook-e2e={installation.run}")
        try:
            cluster.create(engines.by_policy, _named("old", app=IMAGE, beside="acme/proxy:1"))
            installation.label(engines.by_policy)
            rewritten = cluster.create(engines.by_policy, _named("rewritten", app=IMAGE))
            assert images(rewritten) == {"app": REWRITTEN}
            assert originals(rewritten) == {"app": IMAGE}
            installation.server.stop()
            yield Guarded(engines)
        finally:
            engines.remove()


@pytest.fixture(scope="module")
def denying(guarded: Guarded) -> Guarded:
    assert guarded.lets_through(pod_of(app=IMAGE))
    guarded.put()
    return guarded


def _named(name: str, **named: str) -> Manifest:
    manifest = pod_of(**named)
    manifest["metadata"]["name"] = name
    return manifest


def test_guard_pod_let_through_refused_with_message(denying: Guarded) -> None:
    create = ("create", "--namespace", denying.namespace, "--filename=-")
    ran = denying.cluster.run(*create, stdin=_named("let-through", app=IMAGE))
    assert ran.status
    assert _SAID in ran.stderr
    assert not denying.cluster.exists(denying.namespace, "pod/let-through")


def _with(spec: dict[str, Any] | None = None, **metadata: Any) -> Manifest:
    manifest = pod_of(app=IMAGE)
    manifest["spec"] |= spec or {}
    manifest["metadata"] |= metadata
    return manifest


@pytest.mark.parametrize(
    ("manifest", "passes"),
    [
        (_with({"containers": [{"name": "app", "image": REWRITTEN}]}), True),
        (pod_of(app="ghcr.io/x"), True),
        (pod_of(app="gcr.io/excluded/x"), True),
        (pod_of(app="Not A Reference"), True),
        (_with(labels={ENABLED_LABEL: "false"}), True),
        (_with(labels={ENABLED_LABEL: "true"}), False),
        (_with({"nodeName": "nowhere"}, annotations={MIRROR_ANNOTATION: "abc"}), True),
        (pod_of(app="quay.io/x"), False),
        (pod_of(app="Quay.io:443/x"), False),
        (pod_of(app=f"{SERVER.upper()}:0443/x"), True),
        (pod_of(app="GCR.io/excluded/x"), True),
        (pod_of(app="sha256:" + "a" * 64), True),
        (pod_of(app="a" * 64), True),
        (_with({"containers": [{"name": "app", "image": IMAGE, "imagePullPolicy": "Never"}]}), True),
        (_with({"initContainers": [{"name": "setup", "image": "busybox"}]}), False),
        (pod_of(app=REWRITTEN, **{f"other-{number}": "nginx" for number in range(200)}), False),
        (
            {
                **pod_of(app=REWRITTEN),
                "spec": {
                    **pod_of(app=REWRITTEN)["spec"],
                    "volumes": [{"name": "model", "image": {"reference": "ml/model"}}],
                },
            },
            False,
        ),
    ],
)
def test_guard_refuses_only_images_to_be_rewritten(denying: Guarded, manifest: Manifest, passes: bool) -> None:
    assert denying.lets_through(manifest) is passes


@pytest.mark.parametrize(
    "spec",
    [
        {"volumes": [{"name": f"v{number}", "emptyDir": {}} for number in range(10_001)]},
        {"containers": [{"name": f"c{number}", "image": f"team/app-{number}"} for number in range(1000)]},
        # More than an expression may cost.
        {"containers": [{"name": "app", "image": f"quay.io:{'0' * 900_000}443/x"}]},
    ],
    ids=["volumes", "containers", "a long image"],
)
def test_large_pod_not_rewritten_refused(denying: Guarded, spec: dict[str, Any]) -> None:
    with pytest.raises((Forbidden, Invalid), match=denying.engines.name("guard")):
        denying.engines.dry(denying.namespace, _with(spec))


def test_guard_label_update_allowed(denying: Guarded) -> None:
    for name in ("old", "rewritten"):
        denying.cluster.kubectl("label", "pod", name, "team=search", "--namespace", denying.namespace)
        denying.cluster.kubectl("annotate", "pod", name, "team=search", "--namespace", denying.namespace)


def test_guard_update_only_changed_image_checked(denying: Guarded) -> None:
    manifest = denying.cluster.get(denying.namespace, "pod/old")
    manifest["spec"]["containers"][0]["image"] = f"{SERVER}/x:2"
    denying.engines.dry_update(denying.namespace, manifest)
    manifest["spec"]["containers"][0]["image"] = "x:2"
    with pytest.raises(Forbidden, match=f"container app: x:2 should be {SERVER}/x:2"):
        denying.engines.dry_update(denying.namespace, manifest)


def test_guard_ephemeral_container_checked(denying: Guarded) -> None:
    manifest = denying.cluster.get(denying.namespace, "pod/old")
    manifest["spec"]["ephemeralContainers"] = [{"name": "debug", "image": "ghcr.io/x"}]
    denying.engines.dry_update(denying.namespace, manifest, "/ephemeralcontainers")
    manifest["spec"]["ephemeralContainers"][0]["image"] = "busybox"
    with pytest.raises(Forbidden, match=f"ephemeral container debug: busybox should be {SERVER}/busybox"):
        denying.engines.dry_update(denying.namespace, manifest, "/ephemeralcontainers")


def test_guard_terminating_pod_finalizer_removed(denying: Guarded) -> None:
    manifest = _named("leaving", app=REWRITTEN)
    manifest["metadata"]["finalizers"] = ["example.com/waits"]
    denying.cluster.create(denying.namespace, manifest)
    where = ("--namespace", denying.namespace)
    denying.cluster.kubectl("delete", "pod", "leaving", "--wait=false", "--grace-period=0", *where)
    denying.cluster.kubectl(
        "patch", "pod", "leaving", "--type=merge", "--patch", '{"metadata":{"finalizers":null}}', *where
    )
    eventually("it is gone", lambda: not denying.cluster.exists(denying.namespace, "pod/leaving"))


# In another configuration; each of these leaves its own in force.


def test_guard_opt_out_ignored_pod_refused(guarded: Guarded) -> None:
    guarded.put(Wanted(webhook=[("pod_opt_out", "ignore")]))
    assert not guarded.lets_through(_with(labels={ENABLED_LABEL: "false"}))


def test_guard_denied_namespace_allowed(guarded: Guarded) -> None:
    guarded.put()
    assert not guarded.lets_through(pod_of(app=IMAGE))
    guarded.engines.apply(
        guard.policy(
            Wanted(webhook=[("namespaces", {"deny": ["registry-webhook-e2e-*"]})]).loaded(),
            "Deny",
        ),
        "guard",
    )
    eventually("the namespace is denied", lambda: guarded.lets_through(pod_of(app=IMAGE)))


def test_guard_action_warn_warns(guarded: Guarded) -> None:
    guarded.put(action="Warn")
    create = ("create", "--namespace", guarded.namespace, "--dry-run=server", "--filename=-")

    def warned() -> bool:
        ran = guarded.cluster.run(*create, stdin=pod_of(app=IMAGE))
        return any(_SAID in warning for warning in ran.warnings)

    eventually("it warns", warned)
    assert PULL_SECRET not in str(guarded.cluster.kubectl(*create, stdin=pod_of(app=REWRITTEN)).warnings)


@pytest.fixture(scope="module")
def only_private(guarded: Guarded) -> Guarded:
    """Refuse what is not on a private registry: with the webhook dead, so nothing is rewritten."""
    wanted = Wanted(
        SERVER,
        [("quay.io", "mirror.example.com/quay")],
        [("exclude", ["gcr.io/**"]), ("pull_secret", {"registries": ["further.example.com/team"]})],
    )
    guarded.put(wanted, only_private=True)
    eventually("the guard is in force", lambda: not guarded.lets_through(pod_of(app="ghcr.io/in/force")))
    return guarded


def _pod_with(**spec: Any) -> Manifest:
    manifest = pod_of(app=REWRITTEN)
    manifest["spec"] |= spec
    return manifest


@pytest.mark.parametrize(
    "manifest",
    [
        pod_of(app=REWRITTEN),
        pod_of(app=f"{SERVER.upper()}:0443/x@sha256:{'a' * 64}"),
        pod_of(app="mirror.example.com/quay/x"),
        pod_of(app="further.example.com:443/team/x"),
        pod_of(app="gcr.io/excluded/x"),
        _pod_with(initContainers=[{"name": "setup", "image": REWRITTEN, "imagePullPolicy": "Never"}]),
        _pod_with(volumes=[{"name": "model", "image": {"reference": f"{SERVER}/ml/model"}}]),
    ],
)
def test_only_private_private_and_excluded_images_admitted(only_private: Guarded, manifest: Manifest) -> None:
    assert only_private.lets_through(manifest)


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        (pod_of(app=IMAGE), _SAID),
        (pod_of(app="docker.io/evil/x:1"), "container app: docker.io/evil/x:1 is not on a private registry"),
        (
            pod_of(app="index.docker.io/evil/x:1"),
            "container app: index.docker.io/evil/x:1 is not on a private registry",
        ),
        (pod_of(app="ghcr.io/x"), "container app: ghcr.io/x is not on a private registry"),
        (pod_of(app=f"{SERVER}:5000/x"), f"container app: {SERVER}:5000/x is not on a private registry"),
        (
            pod_of(app=f"{SERVER}.evil.example/x"),
            f"container app: {SERVER}.evil.example/x is not on a private registry",
        ),
        (pod_of(app="mirror.example.com/x"), "container app: mirror.example.com/x is not on a private registry"),
        (
            pod_of(app="further.example.com/teams/x"),
            "container app: further.example.com/teams/x is not on a private registry",
        ),
        (pod_of(app="quay.io/x"), "container app: quay.io/x should be mirror.example.com/quay/x"),
        (pod_of(app="sha256:" + "a" * 64), f"container app: sha256:{'a' * 64} is not on a private registry"),
        (pod_of(app="a" * 64), f"container app: {'a' * 64} is not on a private registry"),
        (pod_of(app="Not A Reference"), "container app: an image with an invalid reference is not on a private"),
        (pod_of(app="x\x1b[31m\ny"), "container app: an image with an invalid reference is not on a private registry"),
        (pod_of(app="ghcr.io/" + "x/" * 5000 + "x"), "container app: an image with an invalid reference is not on"),
        (
            _pod_with(containers=[{"name": "app", "image": "nginx", "imagePullPolicy": "Never"}]),
            "container app: nginx is not on a private registry",
        ),
        (
            _pod_with(initContainers=[{"name": "setup", "image": "ghcr.io/x"}]),
            "init container setup: ghcr.io/x is not on a private registry",
        ),
        (
            _pod_with(volumes=[{"name": "model", "image": {"reference": "ghcr.io/ml", "pullPolicy": "Never"}}]),
            "volume model: ghcr.io/ml is not on a private registry",
        ),
    ],
)
def test_only_private_other_images_refused(only_private: Guarded, manifest: Manifest, said: str) -> None:
    with pytest.raises(Forbidden) as refused:
        only_private.engines.dry(only_private.namespace, manifest)
    assert said in str(refused.value)


def test_only_private_updates_refused(only_private: Guarded) -> None:
    manifest = only_private.cluster.get(only_private.namespace, "pod/old")
    manifest["metadata"]["labels"] = {"team": "search"}
    only_private.engines.dry_update(only_private.namespace, manifest)
    manifest["spec"]["containers"][0]["image"] = "ghcr.io/x:2"
    with pytest.raises(Forbidden, match=r"container app: ghcr\.io/x:2 is not on a private registry"):
        only_private.engines.dry_update(only_private.namespace, manifest)
    manifest = only_private.cluster.get(only_private.namespace, "pod/old")
    for image, policy in (("ghcr.io/x", "Always"), ("busybox", "Never"), ("a" * 64, "Never")):
        manifest["spec"]["ephemeralContainers"] = [{"name": "debug", "image": image, "imagePullPolicy": policy}]
        with pytest.raises(Forbidden, match=f"ephemeral container debug: {image} is not on a private"):
            only_private.engines.dry_update(only_private.namespace, manifest, "/ephemeralcontainers")
    manifest["spec"]["ephemeralContainers"][0]["image"] = f"{SERVER}/busybox"
    only_private.engines.dry_update(only_private.namespace, manifest, "/ephemeralcontainers")
