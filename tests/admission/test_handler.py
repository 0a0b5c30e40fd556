"""What a review's decision is, a Pod at a time; patches are applied with jsonpatch, as the API server would."""

import base64
import json
from collections.abc import Callable
from typing import Any

import jsonpatch
import pytest

from webhook.admission import review
from webhook.admission.decision import Decision, Outcome
from webhook.admission.handler import ANNOTATIONS_LIMIT, PLACES_LIMIT, Handler, Policy
from webhook.errors import MalformedReview
from webhook.images.globs import Globs
from webhook.images.resolver import Resolution, Resolver
from webhook.images.rules import Rule, Rules
from webhook.names import ENABLED_LABEL, MIRROR_ANNOTATION, ORIGINALS_ANNOTATION
from webhook.namespaces import NamespaceBounds

SERVER = "registry.example.com"
SECRET = "registry-webhook-pull"  # noqa: S105 - its name
Pod = dict[str, Any]


def handler(  # noqa: PLR0913 - each test names the one it is about
    *,
    server: str | None = SERVER,
    allow: tuple[str, ...] | None = None,
    deny: tuple[str, ...] = (),
    pull_secret: str | None = SECRET,
    pods_opt_out: bool = True,
    allow_on_error: bool = True,
    resolve: Callable[[str], Resolution] | None = None,
) -> Handler:
    resolver = Resolver(Rules([Rule("quay.io", f"{SERVER}/quay")], server), Globs(["gcr.io/**"]))
    bounds = NamespaceBounds(allow, deny)
    return Handler(Policy(resolve or resolver.resolve, bounds, pull_secret, pods_opt_out, allow_on_error))


def pod(**spec: Any) -> Pod:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": "team"}, "spec": spec}


def containers(**images: str) -> list[dict[str, str]]:
    return [{"name": name, "image": image} for name, image in images.items()]


def decided(document: Any, made: Handler | None = None, **request: Any) -> tuple[Decision, Any]:
    """Decide a review; give the decision, and the object after the patch of the encoded answer."""
    made = made or handler()
    answer = made.review(review.of_object(document, **{"dryRun": False, **request}))
    response = json.loads(answer.answer)["response"]
    assert response["uid"] == request.get("uid", "00000000-0000-0000-0000-000000000000")
    assert ("patch" in response) == ("patchType" in response)
    patch = json.loads(base64.b64decode(response["patch"])) if "patch" in response else []
    return answer.decision, jsonpatch.apply_patch(document, patch)


def originals(document: Pod) -> Any:
    return json.loads(document["metadata"]["annotations"][ORIGINALS_ANNOTATION])


def test_every_place_that_names_an_image_is_rewritten() -> None:
    before = pod(
        containers=containers(app="nginx", other="ghcr.io/x"),
        initContainers=containers(setup="busybox:1"),
        ephemeralContainers=containers(debug="netshoot"),
        volumes=[{"name": "model", "image": {"reference": "ml/model"}}, {"name": "tmp", "emptyDir": {}}],
    )
    decision, after = decided(before)
    assert after["spec"] == {
        "containers": containers(app=f"{SERVER}/nginx", other="ghcr.io/x"),
        "initContainers": containers(setup=f"{SERVER}/busybox:1"),
        "ephemeralContainers": containers(debug=f"{SERVER}/netshoot"),
        "volumes": [{"name": "model", "image": {"reference": f"{SERVER}/ml/model"}}, {"name": "tmp", "emptyDir": {}}],
        "imagePullSecrets": [{"name": SECRET}],
    }
    assert originals(after) == {"app": "nginx", "setup": "busybox:1", "debug": "netshoot", "model": "ml/model"}
    assert decision.outcome is Outcome.REWRITTEN
    assert ["stays" in image for image in decision.images] == [False, True, False, False, False]


def test_with_nothing_to_change_there_is_no_patch() -> None:
    decision, after = decided(pod(containers=containers(app="ghcr.io/x")))
    assert decision.response.patch is None
    assert decision.outcome is Outcome.UNCHANGED
    assert "annotations" not in after["metadata"]


def test_a_second_call_changes_nothing_more() -> None:
    _, once = decided(pod(containers=containers(app="nginx")))
    decision, twice = decided(once)
    assert twice == once
    assert decision.operations == ()


def test_the_secret_is_appended_once_after_the_users_own() -> None:
    _, after = decided(pod(containers=containers(a="nginx"), imagePullSecrets=[{"name": "theirs"}]))
    assert after["spec"]["imagePullSecrets"] == [{"name": "theirs"}, {"name": SECRET}]
    _, again = decided(after)
    assert again["spec"]["imagePullSecrets"] == [{"name": "theirs"}, {"name": SECRET}]


@pytest.mark.parametrize("absent", [{}, {"imagePullSecrets": None}, {"imagePullSecrets": []}])
def test_a_list_of_secrets_that_is_absent_null_or_empty_is_made(absent: dict[str, Any]) -> None:
    _, after = decided(pod(containers=containers(a="nginx"), **absent))
    assert after["spec"]["imagePullSecrets"] == [{"name": SECRET}]


def test_an_image_that_is_already_on_the_server_gets_the_secret_and_no_annotation() -> None:
    decision, after = decided(pod(containers=containers(a=f"{SERVER}/x")))
    assert after["spec"]["imagePullSecrets"] == [{"name": SECRET}]
    assert "annotations" not in after["metadata"]
    assert decision.outcome is Outcome.PULL_SECRET


def test_an_image_from_elsewhere_gets_no_secret() -> None:
    _, after = decided(pod(containers=containers(a="ghcr.io/x", b="gcr.io/y")))
    assert "imagePullSecrets" not in after["spec"]


def test_no_secret_is_appended_where_none_is_wanted() -> None:
    _, after = decided(pod(containers=containers(a="nginx")), handler(pull_secret=None))
    assert after["spec"] == {"containers": containers(a=f"{SERVER}/nginx")}


def test_without_a_registry_nothing_changes() -> None:
    before = pod(containers=containers(a="nginx"))
    assert decided(before, handler(server=None))[1] == before


@pytest.mark.parametrize("namespace", ["kube-system", "kube-public", "kube-node-lease", "registry-webhook", "secret-1"])
def test_a_namespace_that_is_not_served_is_left_alone(namespace: str) -> None:
    before = pod(containers=containers(a="nginx"))
    decision, after = decided(before, handler(deny=("secret-*",)), namespace=namespace)
    assert (decision.outcome, after) == (Outcome.NOT_SERVED, before)
    assert namespace in decision.why


def test_allowed_namespaces_bound_what_a_label_can_get_and_denied_ones_win() -> None:
    made = handler(allow=("team-*",), deny=("team-x",))
    before = pod(containers=containers(a="nginx"))
    assert decided(before, made, namespace="team-a")[0].outcome is Outcome.REWRITTEN
    assert decided(before, made, namespace="team-x")[0].outcome is Outcome.NOT_SERVED
    assert decided(before, made, namespace="other")[0].outcome is Outcome.NOT_SERVED


def test_a_pod_opts_out_by_its_label_unless_that_is_ignored() -> None:
    before = pod(containers=containers(a="nginx"))
    before["metadata"]["labels"] = {ENABLED_LABEL: "false"}
    assert decided(before)[0].outcome is Outcome.OPTED_OUT
    assert decided(before)[1] == before
    assert decided(before, handler(pods_opt_out=False))[0].outcome is Outcome.REWRITTEN
    before["metadata"]["labels"] = {ENABLED_LABEL: "true"}
    assert decided(before)[0].outcome is Outcome.REWRITTEN


@pytest.mark.parametrize("value", ["abc", "", None, 3])
def test_a_mirror_pod_is_left_alone_whatever_its_annotation_holds(value: Any) -> None:
    before = pod(containers=containers(a="nginx"))
    before["metadata"]["annotations"] = {MIRROR_ANNOTATION: value}
    decision, after = decided(before)
    assert (decision.outcome, after) == (Outcome.MIRROR, before)


@pytest.mark.parametrize(
    "request_fields",
    [
        {"operation": "DELETE", "object": None},
        {"operation": "CONNECT"},
        {"object": None},
        {"operation": "UPDATE", "oldObject": None},
        {"subResource": "binding", "kind": {"group": "", "version": "v1", "kind": "Binding"}},
        {"subResource": "eviction", "kind": {"group": "policy", "version": "v1", "kind": "Eviction"}},
        {"subResource": "status", "operation": "UPDATE", "oldObject": {}},
        {"subResource": "resize", "operation": "UPDATE", "oldObject": {}},
        {"kind": {"group": "apps", "version": "v1", "kind": "Deployment"}},
        {"kind": {"group": "example.com", "version": "v1", "kind": "Pod"}},
    ],
)
def test_a_request_that_is_none_of_ours_is_allowed_unchanged(request_fields: dict[str, Any]) -> None:
    before = pod(containers=containers(a="nginx"))
    answer = handler().review(review.of_object(before, **{"uid": "u-1", **request_fields}))
    decision = answer.decision
    assert (decision.response.allowed, decision.operations) == (True, ())
    assert json.loads(answer.answer)["response"]["uid"] == "u-1"
    assert decision.outcome is Outcome.NOT_OURS


def test_on_update_an_unchanged_image_is_left_alone() -> None:
    old = pod(containers=containers(a="nginx", b="redis"))
    new = pod(containers=containers(a="nginx", b="redis:7"))
    decision, after = decided(new, operation="UPDATE", oldObject=old)
    assert after["spec"]["containers"] == containers(a="nginx", b=f"{SERVER}/redis:7")
    assert originals(after) == {"b": "redis:7"}
    assert len(decision.images) == 1


def test_on_update_containers_are_compared_by_name() -> None:
    old = pod(containers=containers(a="nginx", b="redis"))
    new = pod(containers=containers(b="redis", a="nginx"))
    assert decided(new, operation="UPDATE", oldObject=old)[1] == new


def test_on_update_the_secrets_are_never_touched_and_a_missing_one_is_warned_of_dry_run_or_not() -> None:
    old = pod(containers=containers(a="ghcr.io/x"), imagePullSecrets=[{"name": "theirs"}])
    new = pod(containers=containers(a="nginx"), imagePullSecrets=[{"name": "theirs"}])
    for dry_run in (True, False):
        decision, after = decided(new, operation="UPDATE", oldObject=old, dryRun=dry_run)
        assert after["spec"]["imagePullSecrets"] == [{"name": "theirs"}]
        assert sum(SECRET in warning for warning in (decision.response.warnings or ())) == 1
    for document in (old, new):
        document["spec"]["imagePullSecrets"].append({"name": SECRET})
    assert decided(new, operation="UPDATE", oldObject=old)[0].response.warnings is None


def test_an_ephemeral_container_is_rewritten_without_an_annotation() -> None:
    old = pod(containers=containers(a="nginx"))
    new = pod(containers=containers(a="nginx"), ephemeralContainers=containers(debug="busybox"))
    _, after = decided(new, operation="UPDATE", subResource="ephemeralcontainers", oldObject=old)
    assert after["spec"]["ephemeralContainers"] == containers(debug=f"{SERVER}/busybox")
    assert after["spec"]["containers"] == containers(a="nginx")
    assert after["metadata"] == new["metadata"]


def test_the_first_original_is_kept_when_the_webhook_is_called_again() -> None:
    _, once = decided(pod(containers=containers(a="nginx")))
    once["spec"]["containers"][0]["image"] = "another-webhook/put-this"
    once["spec"]["containers"].append({"name": "injected", "image": "sidecar"})
    _, twice = decided(once)
    assert originals(twice) == {"a": "nginx", "injected": "sidecar"}


def test_a_later_update_replaces_the_original_of_what_it_changes() -> None:
    _, old = decided(pod(containers=containers(a="nginx:1", b="redis:1")))
    new = json.loads(json.dumps(old))
    new["spec"]["containers"][0]["image"] = "nginx:2"
    _, after = decided(new, operation="UPDATE", oldObject=old)
    assert originals(after) == {"a": "nginx:2", "b": "redis:1"}
    # Called again for the same update, after another webhook changed the image once more.
    after["spec"]["containers"][0]["image"] = "nginx:3"
    _, again = decided(after, operation="UPDATE", oldObject=old)
    assert originals(again) == {"a": "nginx:2", "b": "redis:1"}


@pytest.mark.parametrize("value", ["", "no JSON", "[]", '{"a": 1}', "null", "[" * 100_000])
def test_an_annotation_that_does_not_parse_is_replaced(value: str) -> None:
    before = pod(containers=containers(a="nginx"))
    before["metadata"]["annotations"] = {ORIGINALS_ANNOTATION: value, "theirs": "stays"}
    _, after = decided(before)
    assert originals(after) == {"a": "nginx"}
    assert after["metadata"]["annotations"]["theirs"] == "stays"


def test_a_container_goes_before_a_volume_of_the_same_name_in_the_annotation() -> None:
    _, after = decided(pod(containers=containers(x="nginx"), volumes=[{"name": "x", "image": {"reference": "ml/x"}}]))
    assert originals(after) == {"x": "nginx"}


@pytest.mark.parametrize("filler", ["x", "\u00e9", '"'])
def test_the_annotation_is_left_out_by_the_byte_where_the_annotations_would_pass_256_kib(filler: str) -> None:
    ours = len(ORIGINALS_ANNOTATION) + len('{"a":"nginx"}')
    room = ANNOTATIONS_LIMIT - ours - len("theirs")
    fits = filler * (room // len(filler.encode())) + "x" * (room % len(filler.encode()))
    for value, kept in ((fits, True), (fits + "x", False)):
        before = pod(containers=containers(a="nginx"))
        before["metadata"]["annotations"] = {"theirs": value}
        decision, after = decided(before)
        assert (ORIGINALS_ANNOTATION in after["metadata"]["annotations"]) is kept
        assert any("256 KiB" in warning for warning in (decision.response.warnings or ())) is not kept
        assert after["spec"]["containers"] == containers(a=f"{SERVER}/nginx")


def test_a_value_of_ours_that_is_replaced_makes_room() -> None:
    before = pod(containers=containers(a="nginx"))
    before["metadata"]["annotations"] = {ORIGINALS_ANNOTATION: "x" * (ANNOTATIONS_LIMIT - 100)}
    assert originals(decided(before)[1]) == {"a": "nginx"}


def test_on_a_dry_run_the_patch_is_the_same_and_warnings_say_each_change() -> None:
    before = pod(containers=containers(a="nginx", b="ghcr.io/x"))
    dry, wet = (decided(before, dryRun=dry_run)[0] for dry_run in (True, False))
    assert dry.operations == wet.operations
    assert wet.response.warnings is None
    assert dry.response.warnings == (
        f"container a: nginx -> {SERVER}/nginx (names no registry: {SERVER} goes in front)",
        f"imagePullSecrets: {SECRET} is appended",
    )


def test_audit_annotations_say_what_became_of_every_image_and_why() -> None:
    decision, _ = decided(pod(containers=containers(a="nginx", b="gcr.io/x", c="Bad Name")))
    annotations = decision.response.audit_annotations
    assert annotations == {
        "outcome": "rewritten: 1 of 3 images",
        "images": f"container a: nginx -> {SERVER}/nginx (names no registry: {SERVER} goes in front); "
        "container b: gcr.io/x stays (excluded by gcr.io/**); "
        "container c: Bad Name stays (no image reference: it has a blank or another character that no image name "
        "may have)",
        "pull-secret": f"{SECRET} appended",
    }


def test_what_is_said_is_bounded_and_printable_whatever_a_pod_holds() -> None:
    hostile = "\x1b[31m\n\r\u202e" * 1000
    decision, _ = decided(pod(containers=[{"name": hostile, "image": "nginx"}, {"name": "b", "image": hostile}] * 500))
    for text in (*(decision.response.audit_annotations or {}).values(), *(decision.response.warnings or ())):
        assert text.isascii()
        assert text.isprintable()
        assert len(text) <= 4096


@pytest.mark.parametrize(
    "spec",
    [
        {"containers": None},
        {"containers": {}},
        {"containers": "nginx"},
        {"containers": [None, 1, "nginx", [], {}]},
        {"containers": [{"name": "a"}, {"name": "b", "image": None}, {"image": 3}, {"name": 4, "image": "nginx"}]},
        {"containers": [{"name": "a", "image": image} for image in ("", " ", "a b", "a\0", "..", "a/../b", "a%2fb")]},
        {"containers": [{"name": "a", "image": "ngınx"}, {"name": "b", "image": "\ud800"}]},
        {"volumes": [{"name": "v", "image": "nginx"}, {"image": {"reference": None}}, 7], "initContainers": 1},
        None,
        [],
        "x",
    ],
)
def test_what_is_malformed_stays_as_it_is(spec: Any) -> None:
    before = pod()
    before["spec"] = spec
    envelope = json.loads(review.of_object(pod()))
    envelope["request"]["object"] = before
    decision = handler().review(json.dumps(envelope).encode()).decision
    assert decision.operations == ()
    assert decision.outcome is Outcome.UNCHANGED


def test_a_well_formed_container_among_malformed_ones_is_rewritten() -> None:
    before = pod(containers=[None, {"name": "a", "image": 7}, {"name": "b", "image": "nginx"}], imagePullSecrets={})
    decision, after = decided(before)
    assert after["spec"]["containers"] == [None, {"name": "a", "image": 7}, {"name": "b", "image": f"{SERVER}/nginx"}]
    assert after["spec"]["imagePullSecrets"] == {}
    assert originals(after) == {"b": "nginx"}
    assert decision.outcome is Outcome.REWRITTEN


@pytest.mark.parametrize("metadata", [None, "x", {"annotations": "x"}, {"annotations": {ORIGINALS_ANNOTATION: 3}}])
def test_where_no_annotation_can_be_put_the_images_are_rewritten_all_the_same(metadata: Any) -> None:
    before = pod(containers=containers(a="nginx"))
    before["metadata"] = metadata
    decision = handler().review(review.of_object(before, namespace="team")).decision
    assert [operation.path for operation in decision.operations] == [
        "/spec/containers/0/image",
        "/spec/imagePullSecrets",
    ]


def test_three_thousand_containers_are_all_rewritten() -> None:
    images = {f"c{number}": f"app-{number}" for number in range(3000)}
    _, after = decided(pod(containers=containers(**images)))
    assert after["spec"]["containers"] == containers(**{name: f"{SERVER}/{image}" for name, image in images.items()})
    assert originals(after) == images


#: By what it says: specs that are larger than what is looked at, and one that is just not.
TOO_LARGE: dict[str, tuple[Pod, Pod]] = {
    "it has more than 10,000 containers and volumes": (
        {"containers": [{"image": "a"}] * PLACES_LIMIT, "volumes": [{}]},
        {"containers": [{"image": "a"}] * (PLACES_LIMIT - 1), "volumes": [{}]},
    ),
    "its images have more than 1536 KiB": (
        {"containers": [{"image": "a" * 1024}] * 1537},
        {"containers": [{"image": "a" * 1024}] * 1535 + [{"image": "a"}]},
    ),
    "the review holds more than 100,000 objects": (
        {"containers": containers(a="nginx"), "more": [{"more": "more"}] * 100_000},
        {"containers": containers(a="nginx"), "more": [{"more": "more"}] * 99_900},
    ),
    "a field does not fit, in more than 256 KiB": (
        {"containers": [3, *containers(a="nginx")], "more": "x" * 256 * 1024},
        {"containers": [3, *containers(a="nginx")], "more": "x" * 255 * 1024},
    ),
}


@pytest.mark.parametrize("why", TOO_LARGE)
def test_a_pod_that_no_cluster_could_store_is_left_as_it_is_and_it_is_said(why: str) -> None:
    large, smaller = (pod(**spec) for spec in TOO_LARGE[why])
    decision, after = decided(large)
    assert after == large
    assert (decision.outcome, decision.why) == (Outcome.TOO_LARGE, why)
    assert decision.response.warnings == (f"registry-webhook left the Pod as it is: {why}",)
    assert decided(smaller)[0].outcome is Outcome.REWRITTEN


@pytest.mark.parametrize("why", TOO_LARGE)
def test_what_was_larger_before_is_not_looked_at_either(why: str) -> None:
    small = pod(containers=containers(a="nginx"))
    decision, _ = decided(small, operation="UPDATE", oldObject=pod(**TOO_LARGE[why][0]))
    assert (decision.outcome, decision.operations) == (Outcome.TOO_LARGE, ())


def test_what_is_left_alone_anyway_is_so_however_large_it_is() -> None:
    large = pod(**TOO_LARGE["its images have more than 1536 KiB"][0])
    assert decided(large, namespace="kube-system")[0].outcome is Outcome.NOT_SERVED


def test_originals_that_are_longer_than_annotations_can_be_are_replaced() -> None:
    before = pod(containers=containers(a="nginx"))
    earlier = json.dumps({"a": "first", "b": "x" * ANNOTATIONS_LIMIT})
    before["metadata"]["annotations"] = {ORIGINALS_ANNOTATION: earlier}
    assert originals(decided(before)[1]) == {"a": "nginx"}


@pytest.mark.parametrize("allowed", [True, False])
def test_a_fault_of_our_own_becomes_a_valid_review(allowed: bool) -> None:
    def fail(image: str) -> Resolution:
        raise KeyError(f"secret {image}")

    made = handler(resolve=fail, allow_on_error=allowed)
    answer = made.review(review.of_object(pod(containers=containers(a="nginx")), uid="u-7"))
    response = answer.decision.response
    assert (response.allowed, response.patch) == (allowed, None)
    assert json.loads(answer.answer)["response"]["uid"] == "u-7"
    said = str(response.warnings if allowed else response.status)
    assert "KeyError" in said
    assert "secret" not in said


def test_each_version_is_answered_as_it_was_asked() -> None:
    for version in ("admission.k8s.io/v1", "admission.k8s.io/v1beta1"):
        envelope = json.loads(review.of_object(pod(containers=containers(a="nginx"))))
        envelope["apiVersion"] = version
        decided = handler().review(json.dumps(envelope).encode())
        answer = json.loads(decided.answer)
        assert (answer["apiVersion"], answer["kind"]) == (version, "AdmissionReview")


@pytest.mark.parametrize(
    "change",
    [
        {"apiVersion": "admission.k8s.io/v2"},
        {"kind": "Pod"},
        {"request": {}},
        {"request": {"uid": ""}},
        {"request": None},
    ],
)
def test_an_envelope_that_cannot_be_answered_is_malformed(change: dict[str, Any]) -> None:
    envelope = json.loads(review.of_object(pod())) | change
    with pytest.raises(MalformedReview):
        handler().review(json.dumps(envelope).encode())


@pytest.mark.parametrize("field", ["apiVersion", "kind"])
@pytest.mark.parametrize("value", ["é", "x - at `$.x`", "y" * 100_000])
def test_what_is_said_of_a_malformed_envelope_quotes_nothing(field: str, value: str) -> None:
    envelope = json.loads(review.of_object(pod())) | {field: value}
    with pytest.raises(MalformedReview, match=rf"\A[ -~]{{1,200}}: Invalid enum value - at `\$\.{field}`\Z"):
        handler().review(json.dumps(envelope).encode())
