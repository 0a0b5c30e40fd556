"""The generated policy does to a Pod what the webhook does with the same configuration."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, reject, settings

from tests.support import resolver_cases
from webhook.admission.originals import ANNOTATIONS_LIMIT
from webhook.admission_policy import mutate
from webhook.constants import ENABLED_LABEL, MIRROR_ANNOTATION, ORIGINALS_ANNOTATION
from webhook.errors import ConfigurationError, PolicyLimitExceeded
from webhook.images.resolver import Resolver
from webhook.kube.access import Access
from webhook.kube.client import Client, connect

from .cluster import Cluster, Manifest, eventually
from .engines import Engines, Wanted, comparable, pod_of, side_by_side
from .injector import injecting
from .installation import installed
from .pods import PULL_SECRET, SERVER, images, originals, pull_secrets

pytestmark = pytest.mark.kubernetes(36)

_OLD = {"app": "nginx:1", "sidecar": "acme/proxy:1", "far": "ghcr.io/x"}


@pytest.fixture(scope="module")
def client() -> Client:
    return connect(Access(), lambda _method, _status: None)


@pytest.fixture(scope="module")
def engines(
    cluster: Cluster, address: str, client: Client, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engines]:
    folder = tmp_path_factory.mktemp("server")
    with installed(cluster, address, folder) as installation, side_by_side(installation, folder, client) as engines:
        for namespace in (engines.by_webhook, engines.by_policy):
            cluster.create(namespace, _old())
        engines.label()
        yield engines


def _old() -> Manifest:
    manifest = pod_of(**_OLD)
    manifest["metadata"]["name"] = "old"
    manifest["spec"]["initContainers"] = [{"name": "setup", "image": "busybox:1"}]
    return manifest


# Resolution.


@pytest.mark.parametrize("case", resolver_cases.CASES, ids=str)
def test_engines_resolve_like_resolver(engines: Engines, case: resolver_cases.Case) -> None:
    configuration = engines.configure(
        Wanted(case.server, case.rules, [("exclude", case.exclude), ("pull_secret", {"registries": case.registries})])
    )
    resolve = Resolver(configuration).resolve
    # Whether a Pod gets the pull secret is not to depend on other images: where that matters there is one for each.
    for written in (case.images, *([image] for image in case.images if case.registries)):
        by_webhook, by_policy = engines.both(pod_of(*written))
        assert by_webhook == by_policy
        assert isinstance(by_policy, dict)
        assert list(images(by_policy).values()) == [resolve(image).image for image in written]
        assert bool(pull_secrets(by_policy)) is any(resolve(image).private for image in written)


def test_engines_generated_cases_resolve_alike(engines: Engines) -> None:
    compared: list[str] = []

    # Nothing is made smaller when it fails: that would take minutes.
    @settings(
        max_examples=12, deadline=None, database=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate]
    )
    @given(resolver_cases.DRAWN)
    def compare(drawn: resolver_cases.Case) -> None:
        further = [("exclude", drawn.exclude), ("pull_secret", {"registries": drawn.registries})]
        wanted = Wanted(drawn.server, drawn.rules, further)
        try:
            resolve = Resolver(wanted.loaded()).resolve
        except ConfigurationError:
            reject()
        engines.configure(wanted)
        by_webhook, by_policy = engines.both(pod_of(*drawn.images))
        assert by_policy == by_webhook
        assert isinstance(by_policy, dict)
        assert list(images(by_policy).values()) == [resolve(image).image for image in drawn.images]
        compared.extend(drawn.images)

    compare()
    assert len(compared) == 12 * 100


def test_policy_1000_rules_100_images_within_limits(engines: Engines) -> None:
    rules = [(f"registry-{each}.example.org/some/team", f"{SERVER}/mirrors/team-{each}") for each in range(1000)]
    patterns = [f"registry-{each}.*.org/*/nothing" for each in range(95)]
    with pytest.raises(PolicyLimitExceeded):
        mutate.policy(Wanted(SERVER, rules, [("exclude", patterns)]).loaded())
    configuration = engines.configure(Wanted(SERVER, rules, [("exclude", patterns[:90])]))
    names = [f"registry-{each}.example.org/some/team/application-{each:03}" for each in range(900, 999)]
    by_webhook, by_policy = engines.both(pod_of(*(name + "/x" * (50 - len(name) // 2) for name in names), "nginx"))
    assert by_policy == by_webhook
    assert isinstance(by_policy, dict)
    assert images(by_policy)["c98"].startswith(f"{SERVER}/mirrors/team-998/application-998/")
    assert images(by_policy)["c99"] == f"{SERVER}/nginx"
    assert len(configuration.webhook.rules) == 1001


# Pods that are made.


def _with(spec: dict[str, Any] | None = None, **metadata: Any) -> Manifest:
    manifest = pod_of(app="nginx", far="ghcr.io/x")
    manifest["spec"] |= spec or {}
    manifest["metadata"] |= metadata
    return manifest


def _annotated(annotations: dict[str, str]) -> Manifest:
    return _with(annotations=annotations)


def _claimed(value: str | dict[str, str], **named: str) -> Manifest:
    """Make a Pod that comes with the annotation already."""
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    return pod_of(**named) | {"metadata": {"name": "x", "annotations": {ORIGINALS_ANNOTATION: text}}}


def _never(image: str, name: str = "app") -> Manifest:
    return {"name": name, "image": image, "imagePullPolicy": "Never"}


def _volume(name: str, reference: str, policy: str = "IfNotPresent") -> Manifest:
    return {"name": name, "image": {"reference": reference, "pullPolicy": policy}}


def _filled(over: int) -> dict[str, str]:
    """Fill the annotations up to the limit, and a number of bytes over it, with what is rewritten counted in."""
    ours = len(ORIGINALS_ANNOTATION) + len('{"app":"nginx"}')
    room = ANNOTATIONS_LIMIT - ours - len("theirs") + over
    return {"theirs": "é" * (room // 2) + "x" * (room % 2)}


_PODS: dict[str, Manifest] = {
    "every place": _with(
        {
            "initContainers": [{"name": "setup", "image": "busybox:1"}],
            "volumes": [{"name": "model", "image": {"reference": "ml/model"}}, {"name": "tmp", "emptyDir": {}}],
        }
    ),
    "nothing to change": pod_of("ghcr.io/x", "gcr.io/y"),
    "the user's own secret": _with({"imagePullSecrets": [{"name": "theirs"}]}),
    "our secret already": _with({"imagePullSecrets": [{"name": PULL_SECRET}, {"name": "theirs"}]}),
    "an empty list of secrets": _with({"imagePullSecrets": []}),
    "already on the server": pod_of(f"{SERVER}/x"),
    "a rule": pod_of("quay.io/x:1"),
    "opted out": _with(labels={ENABLED_LABEL: "false"}),
    "opted in by its label": _with(labels={ENABLED_LABEL: "true"}),
    "a mirror": _with({"nodeName": "nowhere"}, annotations={MIRROR_ANNOTATION: "abc"}),
    "a mirror whose annotation is empty": _annotated({MIRROR_ANNOTATION: ""}),
    "another annotation": _annotated({"theirs": "stays"}),
    "an original that is there": _annotated({ORIGINALS_ANNOTATION: '{"app":"first:1"}'}),
    "an original of another container": _annotated({ORIGINALS_ANNOTATION: '{"gone":"first:1"}'}),
    "no originals": _annotated({ORIGINALS_ANNOTATION: "{}"}),
    "every container never pulled": _with(
        {
            "containers": [_never("nginx"), _never(f"{SERVER}/x", "far")],
            "initContainers": [_never("quay.io/x:1", "setup")],
            "volumes": [_volume("model", "ml/model", "Never")],
        }
    ),
    "one container never pulled": _with({"containers": [_never("nginx"), {"name": "other", "image": "nginx"}]}),
    "a volume always pulled": _with({"containers": [_never("nginx")], "volumes": [_volume("model", "ml/m", "Always")]}),
    "image IDs": pod_of("a" * 64, *(f"sha{size}:{'b' * (size // 4)}" for size in (256, 384, 512)), "nginx"),
    "a true original": _claimed({"app": "nginx"}, app=f"{SERVER}/nginx", other="redis"),
    "a true original and no more": _claimed({"app": "nginx"}, app=f"{SERVER}/nginx"),
    "true originals in another order": _claimed({"b": "b:1", "a": "a:1"}, a=f"{SERVER}/a:1", b=f"{SERVER}/b:1"),
    "a true original with blanks": _claimed(' {\n "app" :\t"nginx" } ', app=f"{SERVER}/nginx", other="redis"),
    "a true original by a rule": _claimed({"app": "Quay.io:443/x:1"}, app=f"{SERVER}/quay/x:1"),
    "a copied original": _claimed({"app": "nginx"}, app=f"{SERVER}/busybox:1.36"),
    "a copied original, rewritten again": _claimed({"app": "nginx"}, app="busybox:1.36"),
    "a forged original": _claimed({"app": "evil/other:9"}, app="quay.io/x/y:1"),
    "a forged original that stays": _claimed({"app": "evil/other:9"}, app="ghcr.io/x"),
    "an original that is forged before it is true": _claimed('{"app":"evil/x","app":"nginx"}', app=f"{SERVER}/nginx"),
    "a true original with an escape": _claimed(r'{"\u0061pp":"nginx"}', app=f"{SERVER}/nginx"),
    "a forged original with an escape": _claimed(r'{"\u0061pp":"evil/other:9"}', app="ghcr.io/x"),
    "a forged original with an escape, rewritten again": _claimed(r'{"\u0061pp":"evil/other:9"}', app="nginx"),
    "an original that is the image": _claimed({"app": "ghcr.io/x"}, app="ghcr.io/x"),
    "a stale original among true ones": _claimed(
        {"gone": "x", "a": "nginx", "b": "wrong", "c": "redis"},
        a=f"{SERVER}/nginx",
        b=f"{SERVER}/b",
        c=f"{SERVER}/redis",
    ),
    "a true original that is never pulled": _claimed({"app": "nginx"}, far="ghcr.io/x")
    | {"spec": {**pod_of()["spec"], "containers": [_never(f"{SERVER}/nginx")]}},
    "an original of a volume": _claimed({"model": "ml/x"}, app="ghcr.io/x")
    | {"spec": {**pod_of(app="ghcr.io/x")["spec"], "volumes": [_volume("model", f"{SERVER}/ml/x")]}},
    "an original of a container and a volume": _claimed({"app": "ml/x"}, app=f"{SERVER}/ml/x")
    | {"spec": {**pod_of(app=f"{SERVER}/ml/x")["spec"], "volumes": [_volume("app", f"{SERVER}/ml/x")]}},
    "an original of a volume, its name rewritten as a container": _claimed({"app": "ml/x"}, app="nginx")
    | {"spec": {**pod_of(app="nginx")["spec"], "volumes": [_volume("app", f"{SERVER}/ml/x")]}},
    **{
        f"an annotation that does not parse: {value[:9]}": _annotated({ORIGINALS_ANNOTATION: value})
        for value in ("", "no JSON", "[]", '{"a": 1}', "null", "[" * 100_000, '{"a":"b",}', '{"a":"b"', "{,}")
    },
    "a container and a volume of one name": _with({"volumes": [{"name": "app", "image": {"reference": "ml/x"}}]}),
    "a volume alone of a container's name": _with({"volumes": [{"name": "far", "image": {"reference": "ml/x"}}]}),
    "annotations that leave room to the byte": _annotated(_filled(0)),
    "annotations that leave a byte too little": _annotated(_filled(1)),
    "an annotation of ours that makes room": _annotated({ORIGINALS_ANNOTATION: "x" * (ANNOTATIONS_LIMIT - 100)}),
    "images that are none": pod_of("a b", "..", "a/../b", "a%2fb", "ngınx", "x\ny", "a" * 300, "nginx"),
    "a variable that is named twice": _with(
        {"containers": [{"name": "app", "image": "nginx", "env": [{"name": "A", "value": v} for v in "bc"]}]}
    ),
    "what the API server refuses": _with({"containers": [{"name": "A b", "image": "nginx"}] * 2}),
    "three hundred containers": pod_of(*(f"team/app-{number}:1" for number in range(300))),
}


@pytest.fixture(scope="module")
def configured(engines: Engines) -> Engines:
    engines.configure(Wanted(SERVER, [("quay.io", f"{SERVER}/quay")], [("exclude", ["gcr.io/**"])]))
    return engines


@pytest.mark.parametrize("manifest", _PODS.values(), ids=_PODS)
def test_engines_pod_same_result(configured: Engines, manifest: Manifest) -> None:
    by_webhook, by_policy = configured.both(manifest)
    if isinstance(by_webhook, str):
        assert isinstance(by_policy, str)
    else:
        assert by_policy == by_webhook


def test_policy_never_pulled_image_untouched_no_secret(configured: Engines) -> None:
    _, made = configured.both(_PODS["every container never pulled"])
    assert isinstance(made, dict)
    assert images(made) == {"app": "nginx", "far": f"{SERVER}/x"}
    assert images(made, "initContainers") == {"setup": "quay.io/x:1"}
    assert pull_secrets(made) == []
    _, made = configured.both(_PODS["one container never pulled"])
    assert isinstance(made, dict)
    assert images(made) == {"app": "nginx", "other": f"{SERVER}/nginx"}
    assert pull_secrets(made) == [PULL_SECRET]


@pytest.mark.parametrize(
    ("which", "kept"),
    [
        ("a true original", {"app": "nginx", "other": "redis"}),
        ("a copied original", None),
        ("a copied original, rewritten again", {"app": "busybox:1.36"}),
        ("a forged original", {"app": "quay.io/x/y:1"}),
        ("a forged original that stays", None),
        ("a stale original among true ones", {"a": "nginx", "c": "redis"}),
    ],
)
def test_policy_originals_only_matching_kept(configured: Engines, which: str, kept: dict[str, str] | None) -> None:
    _, made = configured.both(_PODS[which])
    assert isinstance(made, dict)
    annotation = made["metadata"].get("annotations", {}).get(ORIGINALS_ANNOTATION)
    assert (annotation and json.loads(annotation)) == kept


def test_policy_rewrites_all_places_appends_secret(configured: Engines) -> None:
    _, made = configured.both(_PODS["every place"])
    assert isinstance(made, dict)
    assert images(made) == {"app": f"{SERVER}/nginx", "far": "ghcr.io/x"}
    assert originals(made) == {"app": "nginx", "setup": "busybox:1", "model": "ml/model"}
    assert pull_secrets(made) == [PULL_SECRET]


# Large Pods.

_LONG = "quay.io:" + "0" * 300_000 + "443/x"
_LARGE: dict[str, Manifest] = {
    "volumes that nothing mounts": _with(
        {"volumes": [{"name": f"v{number}", "emptyDir": {}} for number in range(10_001)]}
    ),
    "containers": pod_of(*(f"team/app-{number}:1" for number in range(1000))),
    "a long port": pod_of(app="evil/x:1", long=_LONG),
    "a long path": pod_of(app="evil/x:1", long="x/" * 200_000 + "x"),
    "entries of the annotation": _claimed("{" + ",".join(['"app":"b"'] * 20_000) + "}", app="evil/x:1"),
    "entries that are true": _claimed(
        {f"c{number}": f"app-{number}:1" for number in range(200)},
        **{f"c{number}": f"{SERVER}/app-{number}:1" for number in range(200)},
        new="nginx",
    ),
}


@pytest.mark.parametrize("manifest", _LARGE.values(), ids=_LARGE)
def test_engines_large_pod_same_result(configured: Engines, manifest: Manifest) -> None:
    by_webhook, by_policy = configured.both(manifest)
    assert by_policy == by_webhook
    assert isinstance(by_policy, dict)
    assert any(image.startswith(f"{SERVER}/") for image in images(by_policy).values())


# Pods that are there already, and older than the label.


def _changed(engines: Engines, change: Callable[[Manifest], None], below: str = "") -> tuple[Manifest, Manifest]:
    """Change the old Pod in both as a dry run."""

    def changed(namespace: str) -> Manifest:
        manifest = engines.cluster.get(namespace, "pod/old")
        change(manifest)
        return comparable(engines.dry_update(namespace, manifest, below))

    return changed(engines.by_webhook), changed(engines.by_policy)


def test_update_no_image_changed_untouched(configured: Engines) -> None:
    def label(manifest: Manifest) -> None:
        manifest["metadata"]["labels"] = {"team": "search"}

    by_webhook, by_policy = _changed(configured, label)
    assert by_policy == by_webhook
    assert images(by_policy) == _OLD
    assert pull_secrets(by_policy) == []


def test_update_image_rewritten_alone_no_secret(configured: Engines) -> None:
    def set_images(manifest: Manifest) -> None:
        manifest["spec"]["containers"][0]["image"] = "nginx:2"
        manifest["spec"]["initContainers"][0]["image"] = "quay.io/busybox:2"

    by_webhook, by_policy = _changed(configured, set_images)
    assert by_policy == by_webhook
    assert images(by_policy) == {**_OLD, "app": f"{SERVER}/nginx:2"}
    assert images(by_policy, "initContainers") == {"setup": f"{SERVER}/quay/busybox:2"}
    assert originals(by_policy) == {"app": "nginx:2", "setup": "quay.io/busybox:2"}
    assert pull_secrets(by_policy) == []


@pytest.mark.parametrize(
    ("annotation", "kept"),
    [
        ('{"app":"first:1"}', {"app": "nginx:2"}),
        ('{"sidecar":"acme/proxy:1","app":"before:1"}', {"app": "nginx:2"}),
        ("none", {"app": "nginx:2"}),
        ("", {"app": "nginx:2"}),
    ],
)
def test_update_untrue_original_dropped(configured: Engines, annotation: str, kept: dict[str, str]) -> None:
    def set_image(manifest: Manifest) -> None:
        manifest["metadata"].setdefault("annotations", {})[ORIGINALS_ANNOTATION] = annotation
        manifest["spec"]["containers"][0]["image"] = "nginx:2"

    by_webhook, by_policy = _changed(configured, set_image)
    assert by_policy == by_webhook
    assert originals(by_policy) == kept


def test_update_true_original_of_unchanged_image_kept(configured: Engines) -> None:
    def set_image(manifest: Manifest) -> None:
        manifest["metadata"].setdefault("annotations", {})[ORIGINALS_ANNOTATION] = '{"sidecar":"a/b","app":"nginx:2"}'
        manifest["spec"]["containers"][0]["image"] = f"{SERVER}/nginx:2"

    by_webhook, by_policy = _changed(configured, set_image)
    assert by_policy == by_webhook
    assert originals(by_policy) == {"app": "nginx:2"}


def test_update_qualified_image_removes_stale_original(configured: Engines) -> None:
    def set_image(manifest: Manifest) -> None:
        manifest["metadata"].setdefault("annotations", {})[ORIGINALS_ANNOTATION] = '{"app":"nginx"}'
        manifest["spec"]["containers"][0]["image"] = "ghcr.io/org/app:2"

    by_webhook, by_policy = _changed(configured, set_image)
    assert by_policy == by_webhook
    assert ORIGINALS_ANNOTATION not in by_policy["metadata"].get("annotations", {})


def test_ephemeral_container_never_pulled_untouched(configured: Engines) -> None:
    def debug(manifest: Manifest) -> None:
        manifest["spec"]["ephemeralContainers"] = [_never("busybox", "debug"), {"name": "other", "image": "busybox"}]

    by_webhook, by_policy = _changed(configured, debug, "/ephemeralcontainers")
    assert by_policy == by_webhook
    assert images(by_policy, "ephemeralContainers") == {"debug": "busybox", "other": f"{SERVER}/busybox"}


def test_update_label_opts_out_untouched(configured: Engines) -> None:
    def opt_out(manifest: Manifest) -> None:
        manifest["metadata"]["labels"] = {ENABLED_LABEL: "false"}
        manifest["spec"]["containers"][0]["image"] = "nginx:2"

    by_webhook, by_policy = _changed(configured, opt_out)
    assert by_policy == by_webhook
    assert images(by_policy) == {**_OLD, "app": "nginx:2"}


def test_ephemeral_container_rewritten_without_annotation(configured: Engines) -> None:
    def debug(manifest: Manifest) -> None:
        manifest["spec"]["ephemeralContainers"] = [{"name": "debug", "image": "busybox"}]

    by_webhook, by_policy = _changed(configured, debug, "/ephemeralcontainers")
    assert by_policy == by_webhook
    assert images(by_policy, "ephemeralContainers") == {"debug": f"{SERVER}/busybox"}
    assert images(by_policy) == _OLD


@pytest.mark.parametrize(
    "made_up",
    [
        {"annotations": {MIRROR_ANNOTATION: "x"}},
        {"labels": {ENABLED_LABEL: "false"}},
        {"deletionTimestamp": "2020-01-01T00:00:00Z"},
    ],
    ids=["mirror", "opted out", "deleted"],
)
def test_ephemeral_container_metadata_changed_rewritten(configured: Engines, made_up: dict[str, Any]) -> None:
    def debug(manifest: Manifest) -> None:
        manifest["metadata"] |= made_up
        manifest["spec"]["containers"] = [{"name": "made-up", "image": "redis"}]
        manifest["spec"]["ephemeralContainers"] = [{"name": "debug", "image": "busybox"}]

    by_webhook, by_policy = _changed(configured, debug, "/ephemeralcontainers")
    assert by_policy == by_webhook
    assert images(by_policy, "ephemeralContainers") == {"debug": f"{SERVER}/busybox"}
    assert images(by_policy) == _OLD


# Who else has a hand in it.


@pytest.mark.parametrize("manifest", [pod_of(app="nginx"), pod_of(app="ghcr.io/x")], ids=["rewritten", "left alone"])
def test_container_added_by_other_webhook_rewritten(
    configured: Engines, address: str, manifest: Manifest, tmp_path: Path
) -> None:
    with injecting(configured.cluster, address, tmp_path, [configured.by_webhook, configured.by_policy]):
        for namespace in (configured.by_webhook, configured.by_policy):
            eventually(
                "the other webhook is in force",
                lambda: "injected" in images(configured.dry(namespace, manifest)),  # noqa: B023
            )
        by_webhook, by_policy = configured.both(manifest)
    assert by_policy == by_webhook
    assert isinstance(by_policy, dict)
    assert images(by_policy)["injected"] == f"{SERVER}/injected:1"
    assert originals(by_policy) == {
        **({"app": "nginx"} if images(manifest)["app"] == "nginx" else {}),
        "injected": "injected:1",
    }
    assert pull_secrets(by_policy) == [PULL_SECRET]


# What else the configuration says.


@pytest.mark.parametrize(
    ("webhook", "rewritten"),
    [
        ({"pull_secret": {"enabled": False}}, True),
        ({"pull_secret": {"name": "another"}}, True),
        ({"namespaces": {"allow": ["registry-webhook-*"]}}, True),
        ({"namespaces": {"allow": ["registry-webhook-e2e-*", "x"], "deny": ["x", "y-*"]}}, True),
        ({"exclude": ["docker.io/library/nginx"]}, False),
    ],
    ids=str,
)
def test_engines_other_settings_same_result(engines: Engines, webhook: dict[str, Any], rewritten: bool) -> None:
    engines.configure(Wanted(webhook=list(webhook.items())))
    by_webhook, by_policy = engines.both(pod_of(app="nginx"))
    assert by_policy == by_webhook
    assert isinstance(by_policy, dict)
    assert (images(by_policy)["app"] != "nginx") is rewritten
    secret = webhook.get("pull_secret", {"name": PULL_SECRET}).get("name")
    assert pull_secrets(by_policy) == ([secret] if secret and rewritten else [])


@pytest.mark.parametrize("on_error", ["allow", "deny"])
def test_policy_pod_over_cost_limit_decided_by_on_error(engines: Engines, on_error: str) -> None:
    engines.configure(Wanted(webhook=[("on_error", on_error)]))
    outcome = engines.both(pod_of(app="evil/x:1", long="quay.io:" + "0" * 900_000 + "443/x"))[1]
    if on_error == "allow":
        assert isinstance(outcome, dict)
        assert images(outcome)["app"] == "evil/x:1"
    else:
        assert isinstance(outcome, str)
        assert engines.name("mutate") in outcome
