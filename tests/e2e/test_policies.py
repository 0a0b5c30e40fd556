"""The generated policy does to a Pod what the webhook does: both are asked, with the same configuration."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, reject, settings

from tests.images import cases
from webhook.adapters.cluster.client import Client, connect
from webhook.admission.originals import ANNOTATIONS_LIMIT
from webhook.config import assemble
from webhook.errors import ConfigurationError, UnfitPolicy
from webhook.names import ENABLED_LABEL, MIRROR_ANNOTATION, ORIGINALS_ANNOTATION
from webhook.policy import mutate

from .cluster import Cluster, Manifest, eventually
from .engines import Engines, Wanted, comparable, pod_of, side_by_side
from .injector import injecting
from .installation import installed
from .pods import PULL_SECRET, SERVER, images, originals, pull_secrets

_OLD = {"app": "nginx:1", "sidecar": "acme/proxy:1", "far": "ghcr.io/x"}


@pytest.fixture(scope="module")
def client() -> Client:
    return connect(None, None, lambda _method, _status: None)


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


@pytest.mark.parametrize("case", cases.CASES, ids=str)
def test_both_engines_resolve_as_the_resolver_does(engines: Engines, case: cases.Case) -> None:
    configuration = engines.configure(
        Wanted(case.server, case.rules, [("exclude", case.exclude), ("pull_secret", {"registries": case.registries})])
    )
    resolve = assemble.resolver(configuration).resolve
    # Whether a Pod gets the pull secret is not to depend on other images: where that matters there is one for each.
    for written in (case.images, *([image] for image in case.images if case.registries)):
        by_webhook, by_policy = engines.both(pod_of(*written))
        assert by_webhook == by_policy
        assert isinstance(by_policy, dict)
        assert list(images(by_policy).values()) == [resolve(image).image for image in written]
        assert bool(pull_secrets(by_policy)) is any(resolve(image).private for image in written)


def test_whatever_references_and_configurations_are_drawn_both_engines_resolve_alike(engines: Engines) -> None:
    compared: list[str] = []

    # Nothing is made smaller when it fails: that would take minutes.
    @settings(
        max_examples=12, deadline=None, database=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate]
    )
    @given(cases.DRAWN)
    def compare(drawn: cases.Case) -> None:
        further = [("exclude", drawn.exclude), ("pull_secret", {"registries": drawn.registries})]
        wanted = Wanted(drawn.server, drawn.rules, further)
        try:
            resolve = assemble.resolver(wanted.loaded()).resolve
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


def test_a_thousand_rules_and_as_many_patterns_as_fit_leave_room_for_a_hundred_images(engines: Engines) -> None:
    rules = [(f"registry-{each}.example.org/some/team", f"{SERVER}/mirrors/team-{each}") for each in range(1000)]
    patterns = [f"registry-{each}.*.org/*/nothing" for each in range(95)]
    with pytest.raises(UnfitPolicy):
        mutate.policy(assemble.policy_terms(Wanted(SERVER, rules, [("exclude", patterns)]).loaded()))
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
def test_both_engines_make_the_same_of_a_pod(configured: Engines, manifest: Manifest) -> None:
    by_webhook, by_policy = configured.both(manifest)
    if isinstance(by_webhook, str):
        assert isinstance(by_policy, str)
    else:
        assert by_policy == by_webhook


def test_the_policy_rewrites_every_place_and_appends_the_secret(configured: Engines) -> None:
    _, made = configured.both(_PODS["every place"])
    assert isinstance(made, dict)
    assert images(made) == {"app": f"{SERVER}/nginx", "far": "ghcr.io/x"}
    assert originals(made) == {"app": "nginx", "setup": "busybox:1", "model": "ml/model"}
    assert pull_secrets(made) == [PULL_SECRET]


# Pods that are there already, and older than the label.


def _changed(engines: Engines, change: Callable[[Manifest], None], below: str = "") -> tuple[Manifest, Manifest]:
    """Change the old Pod in both as a dry run."""

    def changed(namespace: str) -> Manifest:
        manifest = engines.cluster.get(namespace, "pod/old")
        change(manifest)
        return comparable(engines.dry_update(namespace, manifest, below))

    return changed(engines.by_webhook), changed(engines.by_policy)


def test_an_update_that_changes_no_image_changes_nothing_more(configured: Engines) -> None:
    def label(manifest: Manifest) -> None:
        manifest["metadata"]["labels"] = {"team": "search"}

    by_webhook, by_policy = _changed(configured, label)
    assert by_policy == by_webhook
    assert images(by_policy) == _OLD
    assert pull_secrets(by_policy) == []


def test_an_image_that_is_set_is_rewritten_alone_and_gets_no_secret(configured: Engines) -> None:
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
        # Made by an earlier call for this same request: the first original.
        ('{"app":"first:1"}', {"app": "first:1"}),
        ('{"gone":"first:1"}', {"gone": "first:1", "app": "nginx:2"}),
        # There before the request.
        ('{"sidecar":"acme/proxy:0","app":"before:1"}', {"sidecar": "acme/proxy:0", "app": "nginx:2"}),
        ("none", {"app": "nginx:2"}),
    ],
)
def test_on_update_the_first_original_of_the_same_request_is_kept(
    configured: Engines, annotation: str, kept: dict[str, str]
) -> None:
    def set_image(manifest: Manifest) -> None:
        manifest["metadata"].setdefault("annotations", {})[ORIGINALS_ANNOTATION] = annotation
        manifest["spec"]["containers"][0]["image"] = "nginx:2"

    before = {"metadata": {"annotations": {ORIGINALS_ANNOTATION: '{"sidecar":"acme/proxy:0","app":"before:1"}'}}}
    for namespace in (configured.by_webhook, configured.by_policy):
        configured.cluster.kubectl(
            "patch", "pod", "old", "--type=merge", "--patch", json.dumps(before), "--namespace", namespace
        )
    by_webhook, by_policy = _changed(configured, set_image)
    assert by_policy == by_webhook
    assert originals(by_policy) == kept


def test_a_pod_whose_label_opts_it_out_only_now_is_left_alone(configured: Engines) -> None:
    def opt_out(manifest: Manifest) -> None:
        manifest["metadata"]["labels"] = {ENABLED_LABEL: "false"}
        manifest["spec"]["containers"][0]["image"] = "nginx:2"

    by_webhook, by_policy = _changed(configured, opt_out)
    assert by_policy == by_webhook
    assert images(by_policy) == {**_OLD, "app": "nginx:2"}


def test_an_ephemeral_container_is_rewritten_without_an_annotation(configured: Engines) -> None:
    def debug(manifest: Manifest) -> None:
        manifest["spec"]["ephemeralContainers"] = [{"name": "debug", "image": "busybox"}]

    by_webhook, by_policy = _changed(configured, debug, "/ephemeralcontainers")
    assert by_policy == by_webhook
    assert images(by_policy, "ephemeralContainers") == {"debug": f"{SERVER}/busybox"}
    assert images(by_policy) == _OLD


# Who else has a hand in it.


@pytest.mark.parametrize("manifest", [pod_of(app="nginx"), pod_of(app="ghcr.io/x")], ids=["rewritten", "left alone"])
def test_a_container_that_another_webhook_adds_later_is_rewritten(
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
def test_the_rest_of_the_configuration_counts_for_both(
    engines: Engines, webhook: dict[str, Any], rewritten: bool
) -> None:
    engines.configure(Wanted(webhook=list(webhook.items())))
    by_webhook, by_policy = engines.both(pod_of(app="nginx"))
    assert by_policy == by_webhook
    assert isinstance(by_policy, dict)
    assert (images(by_policy)["app"] != "nginx") is rewritten
    secret = webhook.get("pull_secret", {"name": PULL_SECRET}).get("name")
    assert pull_secrets(by_policy) == ([secret] if secret and rewritten else [])
