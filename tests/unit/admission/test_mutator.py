"""Decisions for reviews; patches are applied with jsonpatch, as by the API server."""

import base64
import json
from collections.abc import Callable
from typing import Any

import jsonpatch
import pytest

from webhook.admission import review
from webhook.admission.decision import Decision, Outcome
from webhook.admission.mutator import IMAGES_LIMIT, Mutator
from webhook.admission.originals import ANNOTATIONS_LIMIT
from webhook.admission.patch import Operation
from webhook.constants import ENABLED_LABEL, MIRROR_ANNOTATION, ORIGINALS_ANNOTATION
from webhook.errors import MalformedReview
from webhook.images.resolver import Reason, Resolution, Resolver
from webhook.settings import (
    Configuration,
    NamespaceSettings,
    PullSecretSettings,
    RegistrySettings,
    RuleSettings,
    WebhookSettings,
)

SERVER = "registry.example.com"
SECRET = "registry-webhook-pull"  # noqa: S105 - its name
Pod = dict[str, Any]


class Resolving(Resolver):
    """A resolver that calls a function of the test."""

    def __init__(self, resolve: Callable[[str], Resolution]) -> None:
        super().__init__(Configuration())
        self._function = resolve

    def resolve(self, written: str) -> Resolution:
        return self._function(written)


def handler(  # noqa: PLR0913 - each test names the one it is about
    *,
    server: str | None = SERVER,
    allow: tuple[str, ...] | None = None,
    deny: tuple[str, ...] = (),
    pull_secret: str | None = SECRET,
    pods_opt_out: bool = True,
    allow_on_error: bool = True,
    resolve: Callable[[str], Resolution] | None = None,
) -> Mutator:
    webhook = WebhookSettings(
        rules=(RuleSettings("quay.io", f"{SERVER}/quay"),),
        exclude=("gcr.io/**",),
        namespaces=NamespaceSettings(allow=allow, deny=deny),
        pod_opt_out="allow" if pods_opt_out else "ignore",
        pull_secret=PullSecretSettings(enabled=pull_secret is not None),
        on_error="allow" if allow_on_error else "deny",
    )
    made = Mutator(Configuration(RegistrySettings(server), webhook))
    if resolve is not None:
        made.resolver = Resolving(resolve)
    return made


def pod(**spec: Any) -> Pod:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": "team"}, "spec": spec}


def containers(**images: str) -> list[dict[str, str]]:
    return [{"name": name, "image": image} for name, image in images.items()]


def decided(document: Any, made: Mutator | None = None, **request: Any) -> tuple[Decision, Any]:
    """Decide a review; return the decision and the object after the patch of the encoded answer."""
    made = made or handler()
    answer = made.review(review.encode_review(document, **{"dryRun": False, **request}))
    response = json.loads(answer.answer)["response"]
    assert response["uid"] == request.get("uid", "00000000-0000-0000-0000-000000000000")
    assert ("patch" in response) == ("patchType" in response)
    patch = json.loads(base64.b64decode(response["patch"])) if "patch" in response else []
    return answer.decision, jsonpatch.apply_patch(document, patch)


def originals(document: Pod) -> Any:
    return json.loads(document["metadata"]["annotations"][ORIGINALS_ANNOTATION])


def test_create_every_image_field_rewritten() -> None:
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
    assert ["unchanged" in str(image) for image in decision.images] == [False, True, False, False, False]


def test_unchanged_pod_has_no_patch() -> None:
    decision, after = decided(pod(containers=containers(app="ghcr.io/x")))
    assert decision.response.patch is None
    assert decision.outcome is Outcome.UNCHANGED
    assert "annotations" not in after["metadata"]


def test_second_call_changes_nothing() -> None:
    _, once = decided(pod(containers=containers(app="nginx")))
    decision, twice = decided(once)
    assert twice == once
    assert decision.operations == ()


def test_pull_secret_appended_once_after_others() -> None:
    _, after = decided(pod(containers=containers(a="nginx"), imagePullSecrets=[{"name": "theirs"}]))
    assert after["spec"]["imagePullSecrets"] == [{"name": "theirs"}, {"name": SECRET}]
    _, again = decided(after)
    assert again["spec"]["imagePullSecrets"] == [{"name": "theirs"}, {"name": SECRET}]


@pytest.mark.parametrize("absent", [{}, {"imagePullSecrets": None}, {"imagePullSecrets": []}])
def test_pull_secret_list_absent_null_or_empty_created(absent: dict[str, Any]) -> None:
    _, after = decided(pod(containers=containers(a="nginx"), **absent))
    assert after["spec"]["imagePullSecrets"] == [{"name": SECRET}]


def test_prefixed_image_gets_pull_secret_without_annotation() -> None:
    decision, after = decided(pod(containers=containers(a=f"{SERVER}/x")))
    assert after["spec"]["imagePullSecrets"] == [{"name": SECRET}]
    assert "annotations" not in after["metadata"]
    assert decision.outcome is Outcome.PULL_SECRET


def test_foreign_image_gets_no_pull_secret() -> None:
    _, after = decided(pod(containers=containers(a="ghcr.io/x", b="gcr.io/y")))
    assert "imagePullSecrets" not in after["spec"]


def test_pull_secret_disabled_not_appended() -> None:
    _, after = decided(pod(containers=containers(a="nginx")), handler(pull_secret=None))
    assert after["spec"] == {"containers": containers(a=f"{SERVER}/nginx")}


def test_no_registry_changes_nothing() -> None:
    before = pod(containers=containers(a="nginx"))
    assert decided(before, handler(server=None))[1] == before


@pytest.mark.parametrize("namespace", ["kube-system", "kube-public", "kube-node-lease", "registry-webhook", "secret-1"])
def test_namespace_not_selected_untouched(namespace: str) -> None:
    before = pod(containers=containers(a="nginx"))
    decision, after = decided(before, handler(deny=("secret-*",)), namespace=namespace)
    assert (decision.outcome, after) == (Outcome.NOT_SELECTED, before)
    assert namespace in decision.why


def test_denied_namespace_wins_over_allowed() -> None:
    made = handler(allow=("team-*",), deny=("team-x",))
    before = pod(containers=containers(a="nginx"))
    assert decided(before, made, namespace="team-a")[0].outcome is Outcome.REWRITTEN
    assert decided(before, made, namespace="team-x")[0].outcome is Outcome.NOT_SELECTED
    assert decided(before, made, namespace="other")[0].outcome is Outcome.NOT_SELECTED


def test_opted_out_pod_untouched_unless_ignored() -> None:
    before = pod(containers=containers(a="nginx"))
    before["metadata"]["labels"] = {ENABLED_LABEL: "false"}
    assert decided(before)[0].outcome is Outcome.OPTED_OUT
    assert decided(before)[1] == before
    assert decided(before, handler(pods_opt_out=False))[0].outcome is Outcome.REWRITTEN
    before["metadata"]["labels"] = {ENABLED_LABEL: "true"}
    assert decided(before)[0].outcome is Outcome.REWRITTEN


@pytest.mark.parametrize("value", ["abc", "", None, 3])
def test_mirror_pod_untouched(value: Any) -> None:
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
def test_unsupported_request_allowed_unchanged(request_fields: dict[str, Any]) -> None:
    before = pod(containers=containers(a="nginx"))
    answer = handler().review(review.encode_review(before, **{"uid": "u-1", **request_fields}))
    decision = answer.decision
    assert (decision.response.allowed, decision.operations) == (True, ())
    assert json.loads(answer.answer)["response"]["uid"] == "u-1"
    assert decision.outcome is Outcome.UNSUPPORTED


def test_update_unchanged_image_untouched() -> None:
    old = pod(containers=containers(a="nginx", b="redis"))
    new = pod(containers=containers(a="nginx", b="redis:7"))
    decision, after = decided(new, operation="UPDATE", oldObject=old)
    assert after["spec"]["containers"] == containers(a="nginx", b=f"{SERVER}/redis:7")
    assert originals(after) == {"b": "redis:7"}
    assert len(decision.images) == 1


def test_update_containers_compared_by_name() -> None:
    old = pod(containers=containers(a="nginx", b="redis"))
    new = pod(containers=containers(b="redis", a="nginx"))
    assert decided(new, operation="UPDATE", oldObject=old)[1] == new


def test_update_pull_secrets_untouched_and_missing_one_warned() -> None:
    old = pod(containers=containers(a="ghcr.io/x"), imagePullSecrets=[{"name": "theirs"}])
    new = pod(containers=containers(a="nginx"), imagePullSecrets=[{"name": "theirs"}])
    for dry_run in (True, False):
        decision, after = decided(new, operation="UPDATE", oldObject=old, dryRun=dry_run)
        assert after["spec"]["imagePullSecrets"] == [{"name": "theirs"}]
        assert sum(SECRET in warning for warning in (decision.response.warnings or ())) == 1
    for document in (old, new):
        document["spec"]["imagePullSecrets"].append({"name": SECRET})
    assert decided(new, operation="UPDATE", oldObject=old)[0].response.warnings is None


def test_ephemeral_container_rewritten_without_annotation() -> None:
    old = pod(containers=containers(a="nginx"))
    new = pod(containers=containers(a="nginx"), ephemeralContainers=containers(debug="busybox"))
    _, after = decided(new, operation="UPDATE", subResource="ephemeralcontainers", oldObject=old)
    assert after["spec"]["ephemeralContainers"] == containers(debug=f"{SERVER}/busybox")
    assert after["spec"]["containers"] == containers(a="nginx")
    assert after["metadata"] == new["metadata"]


def test_original_of_first_call_kept() -> None:
    _, once = decided(pod(containers=containers(a="nginx")))
    once["spec"]["containers"][0]["image"] = "another-webhook/put-this"
    once["spec"]["containers"].append({"name": "injected", "image": "sidecar"})
    _, twice = decided(once)
    # Of an image that another webhook has changed, the first original is true no more.
    assert originals(twice) == {"a": "another-webhook/put-this", "injected": "sidecar"}
    once["spec"]["containers"][0]["image"] = f"{SERVER}/nginx"
    _, twice = decided(once)
    assert originals(twice) == {"a": "nginx", "injected": "sidecar"}


def test_original_replaced_by_update() -> None:
    _, old = decided(pod(containers=containers(a="nginx:1", b="redis:1")))
    new = json.loads(json.dumps(old))
    new["spec"]["containers"][0]["image"] = "nginx:2"
    _, after = decided(new, operation="UPDATE", oldObject=old)
    assert originals(after) == {"a": "nginx:2", "b": "redis:1"}
    # Called again for the same update, after another webhook changed the image once more.
    after["spec"]["containers"][0]["image"] = "nginx:3"
    _, again = decided(after, operation="UPDATE", oldObject=old)
    assert originals(again) == {"a": "nginx:3", "b": "redis:1"}


@pytest.mark.parametrize("value", ["", "no JSON", "[]", '{"a": 1}', "null", "[" * 100_000])
def test_originals_unreadable_replaced(value: str) -> None:
    before = pod(containers=containers(a="nginx"))
    before["metadata"]["annotations"] = {ORIGINALS_ANNOTATION: value, "theirs": "stays"}
    _, after = decided(before)
    assert originals(after) == {"a": "nginx"}
    assert after["metadata"]["annotations"]["theirs"] == "stays"


def test_originals_container_wins_over_volume_of_same_name() -> None:
    _, after = decided(pod(containers=containers(x="nginx"), volumes=[{"name": "x", "image": {"reference": "ml/x"}}]))
    assert originals(after) == {"x": "nginx"}


@pytest.mark.parametrize("filler", ["x", "\u00e9", '"'])
def test_originals_over_annotations_limit_left_out(filler: str) -> None:
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


def test_originals_replaced_value_not_counted() -> None:
    before = pod(containers=containers(a="nginx"))
    before["metadata"]["annotations"] = {ORIGINALS_ANNOTATION: "x" * (ANNOTATIONS_LIMIT - 100)}
    assert originals(decided(before)[1]) == {"a": "nginx"}


def test_dry_run_same_patch_with_warnings() -> None:
    before = pod(containers=containers(a="nginx", b="ghcr.io/x"))
    dry, wet = (decided(before, dryRun=dry_run)[0] for dry_run in (True, False))
    assert dry.operations == wet.operations
    assert wet.response.warnings is None
    assert dry.response.warnings == (
        f"container a: nginx -> {SERVER}/nginx (no registry specified, prefixed with {SERVER})",
        f"added imagePullSecret {SECRET}",
    )


@pytest.mark.parametrize("dry_run", [True, False])
def test_warnings_beyond_shown_counted(dry_run: bool) -> None:
    old = pod(containers=containers(**{f"c{number}": "ghcr.io/x" for number in range(100)}))
    new = pod(containers=containers(**{f"c{number}": "nginx" for number in range(100)}))
    decision, _ = decided(new, operation="UPDATE", oldObject=old, dryRun=dry_run)
    *shown, last = decision.response.warnings or ()
    assert all(SECRET in warning for warning in shown)
    assert 3000 < sum(map(len, (*shown, last))) <= 4096
    number = 200 if dry_run else 100
    assert last == f"left out {number - len(shown)} of {number} warnings: API servers show 4,096 characters"


def test_audit_annotations_describe_every_image() -> None:
    decision, _ = decided(pod(containers=containers(a="nginx", b="gcr.io/x", c="Bad Name")))
    annotations = decision.response.audit_annotations
    assert annotations == {
        "outcome": "rewritten: 1 of 3 images",
        "images": f"container a: nginx -> {SERVER}/nginx (no registry specified, prefixed with {SERVER}); "
        "container b: gcr.io/x unchanged (excluded by gcr.io/**); "
        'container c: "Bad Name" unchanged (not an image name: contains a space or another character that image names '
        "do not have)",
        "pull-secret": f"added {SECRET}",
    }


def test_messages_printable_and_limited() -> None:
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
def test_malformed_field_untouched(spec: Any) -> None:
    before = pod()
    before["spec"] = spec
    envelope = json.loads(review.encode_review(pod()))
    envelope["request"]["object"] = before
    decision = handler().review(json.dumps(envelope).encode()).decision
    assert decision.operations == ()
    assert decision.outcome is Outcome.UNCHANGED


def test_valid_container_among_malformed_rewritten() -> None:
    before = pod(containers=[None, {"name": "a", "image": 7}, {"name": "b", "image": "nginx"}], imagePullSecrets={})
    decision, after = decided(before)
    assert after["spec"]["containers"] == [None, {"name": "a", "image": 7}, {"name": "b", "image": f"{SERVER}/nginx"}]
    assert after["spec"]["imagePullSecrets"] == {}
    assert originals(after) == {"b": "nginx"}
    assert decision.outcome is Outcome.REWRITTEN


@pytest.mark.parametrize("metadata", [None, "x", {"annotations": "x"}, {"annotations": {ORIGINALS_ANNOTATION: 3}}])
def test_malformed_annotations_images_rewritten(metadata: Any) -> None:
    before = pod(containers=containers(a="nginx"))
    before["metadata"] = metadata
    decision = handler().review(review.encode_review(before, namespace="team")).decision
    assert [operation.path for operation in decision.operations] == [
        "/spec/containers/0/image",
        "/spec/imagePullSecrets",
    ]


def test_three_thousand_containers_rewritten() -> None:
    images = {f"c{number}": f"app-{number}" for number in range(3000)}
    _, after = decided(pod(containers=containers(**images)))
    assert after["spec"]["containers"] == containers(**{name: f"{SERVER}/{image}" for name, image in images.items()})
    assert originals(after) == images


#: Pods that can be stored and have much of what is not examined, on CREATE and UPDATE alike.
STORABLE: dict[str, Pod] = {
    "volumes": {"volumes": [{"name": f"v{number}", "emptyDir": {}} for number in range(100_000)]},
    "mounts": {"initContainers": [{"name": "i", "volumeMounts": [{"name": "a", "mountPath": "/a"}] * 100_000}]},
    "terms": {"affinity": {"nodeAffinity": {"nodeSelectorTerms": [{}] * 700_000}}},
    "escapes": {"nodeName": "<&>" * 500_000},
    "pull secrets": {"imagePullSecrets": [{"name": "a"}] * 300_000},
    "long containers": {
        "initContainers": [{"name": f"c{n}", "env": [{"name": "A", "value": "<" * 5000}] * 20} for n in range(14)]
    },
}


def sent(document: Any, **request: Any) -> bytes:
    """Return the review of a Pod, escaped like Go's encoder does."""
    body = review.encode_review(document, **{"dryRun": False, **request})
    for character in b"<>&":
        body = body.replace(bytes([character]), b"\\u00%x" % character)
    return body


@pytest.mark.parametrize("much", STORABLE)
def test_storable_pod_rewritten(much: str) -> None:
    large = pod(**{"containers": containers(a="nginx"), **STORABLE[much]})
    create = handler(allow_on_error=False).review(sent(large)).decision
    assert create.operations[0] == Operation("replace", "/spec/containers/0/image", f"{SERVER}/nginx")
    changed = pod(**{"containers": containers(a="nginx:2"), **STORABLE[much]})
    update = handler(allow_on_error=False).review(sent(changed, operation="UPDATE", oldObject=large)).decision
    assert update.operations[0].value == f"{SERVER}/nginx:2"


def test_most_storable_images_rewritten() -> None:
    volumes = [{"name": f"v{number}", "image": {"reference": "a"}} for number in range(IMAGES_LIMIT)]
    decision = handler(allow_on_error=False).review(sent(pod(volumes=volumes))).decision
    assert sum(operation.op == "replace" for operation in decision.operations) == IMAGES_LIMIT


#: By what it says: specs with more of what is examined than can be stored.
TOO_LARGE: dict[str, Pod] = {
    f"did not process the Pod: more than {IMAGES_LIMIT:,} images": {
        "volumes": [{"image": {"reference": "a"}}] * (IMAGES_LIMIT + 1)
    },
    "did not process the Pod: image names of more than 1536 KiB": {"containers": [{"image": "a" * 1024}] * 1537},
    "could not read the Pod: more than 49,152 containers": {"containers": [{"image": "a"}] * 150_000},
    "could not read the Pod: more than 49,152 ephemeral containers": {
        "containers": containers(a="nginx"),
        "ephemeralContainers": [{"image": "a"}] * 150_000,
    },
    "could not read the Pod: more than 393,216 image pull secrets": {
        "containers": containers(a="nginx"),
        "imagePullSecrets": [{}] * 393_217,
    },
}


@pytest.mark.parametrize("allowed", [True, False])
@pytest.mark.parametrize("why", TOO_LARGE)
def test_too_large_pod_decided_by_on_error(why: str, allowed: bool) -> None:
    answer = handler(allow_on_error=allowed).review(sent(pod(**TOO_LARGE[why]), uid="u-7"))
    response = answer.decision.response
    assert json.loads(answer.answer)["response"]["uid"] == "u-7"
    assert (answer.decision.outcome, response.allowed, response.patch) == (Outcome.TOO_LARGE, allowed, None)
    what = f"registry-webhook {why}; the Pod was {'admitted unchanged' if allowed else 'denied'}"
    assert response.warnings == ((what,) if allowed else None)
    assert response.status == (None if allowed else {"code": 413, "message": what})


@pytest.mark.parametrize("allow", [True, False])
def test_truncated_review_decided_by_on_error(allow: bool) -> None:
    beginning = review.encode_review(pod(containers=containers(a="nginx")), uid="u-1")[:150]
    answer = json.loads(handler(allow_on_error=allow).review_truncated(beginning).answer)["response"]
    assert (answer["uid"], answer["allowed"]) == ("u-1", allow)
    assert ("warnings" in answer, "status" in answer, "patch" in answer) == (allow, not allow, False)


@pytest.mark.parametrize("beginning", [b"", b"{", b'{"request":{"uid":"u-1"'])
def test_review_truncated_before_uid_malformed(beginning: bytes) -> None:
    with pytest.raises(MalformedReview):
        handler().review_truncated(beginning)


def test_unreadable_old_pod_decided_by_on_error() -> None:
    large = pod(containers=[{"image": "a"}] * 150_000)
    body = sent(pod(containers=containers(a="nginx")), operation="UPDATE", oldObject=large)
    decision = handler(allow_on_error=False).review(body).decision
    assert (decision.outcome, decision.response.allowed) == (Outcome.TOO_LARGE, False)


def test_skipped_pod_too_large_untouched() -> None:
    large = pod(**TOO_LARGE["did not process the Pod: image names of more than 1536 KiB"])
    assert decided(large, namespace="kube-system")[0].outcome is Outcome.NOT_SELECTED


#: Values of fields that nobody reads, as an API server can send them. `@` stands for nesting.
SKIPPED = {
    "deep objects": b'{"f:a":' * 10_000 + b"{}" + b"}" * 10_000,
    "deep arrays": b"[" * 10_000 + b"]" * 10_000,
    "deep again and again": b"[" + b",".join([b'{"a":' * 3_000 + b"[]" + b"}" * 3_000] * 20) + b"]",
    "deep with strings": b'{"]}\\\\\\"[{":["\\\\",' * 2_000 + b'"}"' + b"]}" * 2_000,
    "half a character": b'"\\ud800"',
    "half a character as a key": b'{"f:\\udc00\\ud800":{}}',
    "deep, with half a character": b'[{"\\ud800":' * 1_000 + b"1" + b"}]" * 1_000,
    "no UTF-8": b'"\xff\xed\xa0\x80"',
    "no UTF-8 as a key": b'{"f:\xff":{}}',
    "deep, with no UTF-8": b'{"\xff":' * 5_000 + b"1" + b"}" * 5_000,
    "a large number": b"1e999",
    "a long number": b"-" + b"9" * 100_000,
    "a precise number": b"0." + b"1" * 100_000 + b"E-100000",
    "a key twice": b'{"a":1,"a":2}',
    "line separators": b'"\\u2028\\u2029\\u0000\\u003c"',
}
#: Where they can stand.
UNREAD: dict[str, tuple[str, ...]] = {
    "managed fields": ("object", "metadata", "managedFields"),
    "managed fields of the old object": ("oldObject", "metadata", "managedFields"),
    "an annotation": ("object", "metadata", "annotations", "x"),
    "a field of the spec": ("object", "spec", "x"),
    "a field of the old spec": ("oldObject", "spec", "x"),
    "a field of the Pod": ("object", "x"),
    "options": ("options", "x"),
    "user": ("userInfo", "extra", "x"),
}


@pytest.mark.parametrize("operation", ["CREATE", "UPDATE"])
@pytest.mark.parametrize("where", UNREAD)
@pytest.mark.parametrize("value", SKIPPED)
def test_unread_field_does_not_matter(value: str, where: str, operation: str) -> None:
    old = pod(containers=containers(a="nginx:1")) if operation == "UPDATE" else {"metadata": {}, "spec": {}}
    new = pod(containers=containers(a="nginx:2"))
    envelope = json.loads(review.encode_review(new, operation=operation, oldObject=old, dryRun=False))
    holder = envelope["request"]
    for name in UNREAD[where][:-1]:
        holder = holder.setdefault(name, {})
    holder[UNREAD[where][-1]] = "@"
    body = json.dumps(envelope).encode().replace(b'"@"', SKIPPED[value])
    decision = handler(allow_on_error=False).review(body).decision
    assert decision.operations[0] == Operation("replace", "/spec/containers/0/image", f"{SERVER}/nginx:2")
    assert decision.outcome is Outcome.REWRITTEN


@pytest.mark.parametrize("field", ["image", "name"])
def test_invalid_utf8_decided_by_on_error(field: str) -> None:
    document = pod(containers=[{"name": "a", "image": "nginx", field: "@"}])
    body = sent(document).replace(b"@", b"\xff")
    decision = handler(allow_on_error=False).review(body).decision
    assert (decision.outcome, decision.response.allowed) == (Outcome.UNREADABLE, False)


#: What a review can be in which no more than the uid can be read.
UNREADABLE: dict[str, Callable[[bytes], bytes]] = {
    "a kind of another type": lambda body: body.replace(b'"version":"v1"', b'"version":1', 1),
    "a namespace of another type": lambda body: body.replace(b'"namespace":"team"', b'"namespace":{}'),
    "cut off": lambda body: body[:-20],
    "more behind it": lambda body: body + b"}",
    "no string": lambda body: body.replace(b'"nginx"', b'"ngi\nnx"'),
    "cut off, and deep": lambda body: body[:-20] + b'{"a":' * 20_000,
    "as Go writes it, cut off": lambda body: b'{"kind":"AdmissionReview","apiVersion":' + body[14:34] + body[59:-9],
}


@pytest.mark.parametrize("allowed", [True, False])
@pytest.mark.parametrize("what", UNREADABLE)
def test_review_with_only_uid_decided_by_on_error(what: str, allowed: bool) -> None:
    body = UNREADABLE[what](review.encode_review(pod(containers=containers(a="nginx")), uid="u-7"))
    answer = json.loads(handler(allow_on_error=allowed).review(body).answer)
    response = answer.pop("response")
    assert answer == {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}
    assert (response["uid"], response["allowed"]) == ("u-7", allowed)
    assert ("warnings" in response, "status" in response) == (allowed, not allowed)
    assert "patch" not in response


NEVER = "Never"


def never(field: str) -> Pod:
    """Return a Pod with an image that is never pulled."""
    if field == "volumes":
        return pod(volumes=[{"name": "x", "image": {"reference": "nginx", "pullPolicy": NEVER}}])
    return pod(**{field: [{"name": "x", "image": "nginx", "imagePullPolicy": NEVER}]})


@pytest.mark.parametrize("operation", ["CREATE", "UPDATE"])
@pytest.mark.parametrize("field", ["containers", "initContainers", "ephemeralContainers", "volumes"])
def test_never_pulled_image_untouched(field: str, operation: str) -> None:
    decision, after = decided(never(field), operation=operation, oldObject=pod() if operation == "UPDATE" else None)
    assert after == never(field)
    assert decision.outcome is Outcome.UNCHANGED
    assert [image.resolution.reason for image in decision.images] == ["never-pulled"]
    assert "pull policy is Never" in (decision.response.audit_annotations or {})["images"]


def test_never_pulled_image_needs_no_pull_secret() -> None:
    document = pod(containers=[{"name": "a", "image": f"{SERVER}/nginx", "imagePullPolicy": NEVER}])
    assert decided(document)[1] == document
    document["spec"]["containers"].append({"name": "b", "image": "redis", "imagePullPolicy": "Always"})
    decision, after = decided(document)
    assert [image.resolution.reason for image in decision.images] == [Reason.NEVER_PULLED, Reason.SERVER]
    assert after["spec"]["imagePullSecrets"] == [{"name": SECRET}]
    assert originals(after) == {"b": "redis"}


@pytest.mark.parametrize("policy", ["never", "NEVER", "", None, "Always", "IfNotPresent"])
def test_other_pull_policy_rewritten(policy: str | None) -> None:
    document = pod(containers=[{"name": "a", "image": "nginx", "imagePullPolicy": policy}])
    assert decided(document)[0].outcome is Outcome.REWRITTEN


#: Annotations that are not true of a Pod with the image ghcr.io/x:1 in each place, each with what stays of it.
UNTRUE: dict[str, tuple[str, dict[str, str] | None]] = {
    "stale": ('{"x":"nginx"}', None),
    "forged": ('{"x":"evil/other:9"}', None),
    "of another container": ('{"gone":"nginx"}', None),
    "the image itself": ('{"x":"ghcr.io/x:1"}', None),
    "one of two": ('{"x":"nginx","true":"redis"}', {"true": "redis"}),
}


@pytest.mark.parametrize("operation", ["CREATE", "UPDATE"])
@pytest.mark.parametrize("field", ["containers", "initContainers", "ephemeralContainers", "volumes"])
@pytest.mark.parametrize("what", UNTRUE)
def test_originals_stale_dropped(what: str, field: str, operation: str) -> None:
    annotation, kept = UNTRUE[what]
    item = {"image": {"reference": "ghcr.io/x:1"}} if field == "volumes" else {"image": "ghcr.io/x:1"}
    spec = {"containers": containers(true=f"{SERVER}/redis"), "imagePullSecrets": [{"name": SECRET}]}
    new = pod(**{**spec, field: [*spec.get(field, []), {"name": "x", **item}]})
    new["metadata"]["annotations"] = {ORIGINALS_ANNOTATION: annotation, "theirs": "stays"}
    old = pod(**spec)
    old["metadata"]["annotations"] = new["metadata"]["annotations"]
    decision, after = decided(new, operation=operation, oldObject=old if operation == "UPDATE" else None, dryRun=True)
    assert json.loads(after["metadata"]["annotations"].pop(ORIGINALS_ANNOTATION, "null")) == kept
    assert after["metadata"]["annotations"] == {"theirs": "stays"}
    assert after["spec"] == new["spec"]
    assert any(ORIGINALS_ANNOTATION in warning for warning in decision.response.warnings or ())


def test_originals_of_copied_pod_replaced() -> None:
    _, copied = decided(pod(containers=containers(app="nginx", log="fluent-bit")))
    copied["spec"]["containers"][0]["image"] = "busybox:1.36"
    assert originals(decided(copied)[1]) == {"app": "busybox:1.36", "log": "fluent-bit"}


def test_originals_of_never_pulled_image_dropped() -> None:
    document = pod(containers=[{"name": "a", "image": f"{SERVER}/nginx", "imagePullPolicy": NEVER}])
    document["metadata"]["annotations"] = {ORIGINALS_ANNOTATION: '{"a":"nginx"}'}
    assert ORIGINALS_ANNOTATION not in decided(document)[1]["metadata"]["annotations"]


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ('{"a":"nginx"}', '{"a":"nginx"}'),
        ('{"a":"evil/other","a":"nginx"}', '{"a":"nginx"}'),
        ('{"a":"nginx","a":"evil/other"}', None),
        (r'{"\u0061":"nginx"}', None),
        (r'{"gone":"\u0061"}', None),
    ],
)
def test_originals_ambiguous_dropped(value: str, kept: str | None) -> None:
    document = pod(containers=containers(a=f"{SERVER}/nginx"))
    document["metadata"]["annotations"] = {ORIGINALS_ANNOTATION: value}
    assert decided(document)[1]["metadata"]["annotations"].get(ORIGINALS_ANNOTATION) == kept


@pytest.mark.parametrize("value", ["", "no JSON", '{"a":1}', "[" * 100_000])
def test_originals_unreadable_kept_if_nothing_to_record(value: str) -> None:
    document = pod(containers=containers(a="ghcr.io/x"))
    document["metadata"]["annotations"] = {ORIGINALS_ANNOTATION: value}
    assert decided(document)[1] == document


@pytest.mark.parametrize(
    "made_up",
    [
        {"annotations": {MIRROR_ANNOTATION: "x"}},
        {"labels": {ENABLED_LABEL: "false"}},
        {"deletionTimestamp": "2020-01-01T00:00:00Z"},
    ],
    ids=["mirror", "opted out", "deleted"],
)
def test_update_ephemeral_container_ignores_new_metadata(made_up: dict[str, Any]) -> None:
    old = pod(containers=containers(a="nginx"), imagePullSecrets=[{"name": SECRET}])
    new = pod(containers=containers(a="made-up"), ephemeralContainers=containers(debug="busybox"))
    new["metadata"] |= made_up
    decision, _ = decided(new, operation="UPDATE", subResource="ephemeralcontainers", oldObject=old)
    assert decision.operations == (Operation("replace", "/spec/ephemeralContainers/0/image", f"{SERVER}/busybox"),)
    assert decision.response.warnings is None


@pytest.mark.parametrize(
    ("metadata", "outcome"),
    [
        ({"annotations": {MIRROR_ANNOTATION: "x"}}, Outcome.MIRROR),
        ({"labels": {ENABLED_LABEL: "false"}}, Outcome.OPTED_OUT),
    ],
)
def test_update_ephemeral_container_excluded_pod_untouched(metadata: dict[str, Any], outcome: Outcome) -> None:
    old = pod(containers=containers(a="nginx"))
    old["metadata"] |= metadata
    new = pod(containers=containers(a="nginx"), ephemeralContainers=containers(debug="busybox"))
    decision, _ = decided(new, operation="UPDATE", subResource="ephemeralcontainers", oldObject=old)
    assert (decision.outcome, decision.operations) == (outcome, ())


def test_ephemeral_container_update_keeps_annotation() -> None:
    new = pod(ephemeralContainers=containers(x="busybox"))
    new["metadata"]["annotations"] = {ORIGINALS_ANNOTATION: '{"x":"forged"}'}
    decision, _ = decided(new, operation="UPDATE", subResource="ephemeralcontainers", oldObject=pod())
    assert [operation.path for operation in decision.operations] == ["/spec/ephemeralContainers/0/image"]


def test_originals_too_long_replaced() -> None:
    before = pod(containers=containers(a="nginx"))
    earlier = json.dumps({"a": "first", "b": "x" * ANNOTATIONS_LIMIT})
    before["metadata"]["annotations"] = {ORIGINALS_ANNOTATION: earlier}
    assert originals(decided(before)[1]) == {"a": "nginx"}


@pytest.mark.parametrize("allowed", [True, False])
def test_internal_error_is_a_valid_review(allowed: bool) -> None:
    def fail(image: str) -> Resolution:
        raise KeyError(f"secret {image}")

    made = handler(resolve=fail, allow_on_error=allowed)
    answer = made.review(review.encode_review(pod(containers=containers(a="nginx")), uid="u-7"))
    response = answer.decision.response
    assert (response.allowed, response.patch) == (allowed, None)
    assert json.loads(answer.answer)["response"]["uid"] == "u-7"
    said = str(response.warnings if allowed else response.status)
    assert "KeyError" in said
    assert "secret" not in said


def test_answer_in_requested_version() -> None:
    for version in ("admission.k8s.io/v1", "admission.k8s.io/v1beta1"):
        envelope = json.loads(review.encode_review(pod(containers=containers(a="nginx"))))
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
def test_decode_envelope_without_uid_malformed(change: dict[str, Any]) -> None:
    envelope = json.loads(review.encode_review(pod())) | change
    with pytest.raises(MalformedReview):
        handler().review(json.dumps(envelope).encode())


@pytest.mark.parametrize("field", ["apiVersion", "kind"])
@pytest.mark.parametrize("value", ["é", "x - at `$.x`", "y" * 100_000])
def test_decode_error_quotes_nothing(field: str, value: str) -> None:
    envelope = json.loads(review.encode_review(pod())) | {field: value}
    with pytest.raises(MalformedReview, match=rf"\A[ -~]{{1,200}}: Invalid enum value - at `\$\.{field}`\Z"):
        handler().review(json.dumps(envelope).encode())
