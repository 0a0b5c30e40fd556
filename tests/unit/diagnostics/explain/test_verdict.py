"""The verdict on a Pod: the deciding step is first."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec
import pytest

from tests.unit.diagnostics.test_webhook_match import shipped
from webhook.config.effective import EffectiveConfig
from webhook.config.load import load
from webhook.diagnostics.explain.pod_context import PodContext
from webhook.diagnostics.explain.pod_images import as_written
from webhook.diagnostics.explain.verdict import Explanation, distinct, explain
from webhook.diagnostics.restart_commands import WorkloadName
from webhook.errors import InvalidManifest, NotPermitted
from webhook.kube.objects import (
    ConfigMap,
    DryRunResult,
    EndpointSlice,
    Event,
    ManagedFields,
    Namespace,
    Object,
    Secret,
    WebhookConfiguration,
)
from webhook.output.finding_codes import Code
from webhook.output.findings import Mark
from webhook.pki import ca

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
PULL = "registry-webhook-pull"
ENABLED = "registry-webhook/enabled"
ORIGINALS = "registry-webhook/original-images"
CONTENT = json.dumps({"auths": {"registry.example.com": {"username": "u", "password": "kept-secret"}}}).encode()
UNREADABLE = NotPermitted("read it")
#: When an installation's objects were made, and when the Pod was.
BEFORE, MADE, AFTER = "2026-11-25T10:00:00Z", "2026-11-25T11:00:00Z", "2026-11-25T11:30:00Z"


def settings(text: str = "") -> EffectiveConfig:
    configuration = f"opencti: {{daemon: {{registry: {{server: registry.example.com}}}}}}\n{text}"
    return EffectiveConfig(load(configuration.encode(), "config.yaml", {}).configuration, "config.yaml")


def pod(*images: str, rewritten: bool = False, labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    """Make a Pod of containers a, b and so on; as the webhook would have stored it, or as it was written."""
    names = "abcdefgh"[: len(images)]
    annotations = {ORIGINALS: json.dumps(dict(zip(names, images, strict=True)))} if rewritten else {}
    stored = [f"registry.example.com/{image}" if rewritten else image for image in images]
    containers = [{"name": name, "image": image} for name, image in zip(names, stored, strict=True)]
    secrets = {"imagePullSecrets": [{"name": PULL}]} if rewritten else {}
    metadata = {"name": "web-1", "namespace": "team-a", "labels": labels or {}, "annotations": annotations}
    statuses = [
        {"name": name, "state": {"running": {}}, "image": image} for name, image in zip(names, stored, strict=True)
    ]
    return {
        "metadata": {**metadata, "creationTimestamp": MADE},
        "spec": {"containers": containers, **secrets, **spec},
        "status": {"phase": "Running", "containerStatuses": statuses},
    }


def namespace(labels: dict[str, str] | None = None, changed: str = BEFORE, name: str = "team-a") -> Namespace:
    fields: dict[str, Any] = {"f:metadata": {"f:labels": {f"f:{ENABLED}": {}}}}
    managed = [{"manager": "kubectl-label", "operation": "Update", "time": changed, "fieldsV1": fields}]
    metadata = {"name": name, "labels": {ENABLED: "true"} if labels is None else labels, "managedFields": managed}
    return msgspec.convert({"metadata": metadata}, Namespace)


def configuration(bundle: bytes | None = None, created: str = BEFORE) -> WebhookConfiguration:
    found = shipped()
    if bundle is None:
        bundle = ca.create_ca("ours", NOW, timedelta(days=10)).certificate
    (webhook,) = found.webhooks
    called = msgspec.structs.replace(webhook.client_config, ca_bundle=base64.b64encode(bundle).decode())
    made = msgspec.structs.replace(found.metadata, creation_timestamp=created)
    return msgspec.structs.replace(
        found, metadata=made, webhooks=(msgspec.structs.replace(webhook, client_config=called),)
    )


def secret(content: bytes = CONTENT, *, ours: bool = True, **annotations: str) -> Secret:
    hashed = {"registry-webhook/refreshed-at": BEFORE}
    told = {key.replace("__", "/").replace("_", "-"): value for key, value in annotations.items()}
    labels = {"app.kubernetes.io/managed-by": "registry-webhook"} if ours else {}
    metadata = {"name": PULL, "namespace": "team-a", "labels": labels, "annotations": hashed | told}
    data = {".dockerconfigjson": base64.b64encode(content).decode()}
    return msgspec.convert({"metadata": metadata, "type": "kubernetes.io/dockerconfigjson", "data": data}, Secret)


def replicas(ready: int) -> tuple[EndpointSlice, ...]:
    endpoints = [{"addresses": ["10.0.0.1"], "conditions": {"ready": number < ready}} for number in range(2)]
    return (msgspec.convert({"endpoints": endpoints}, EndpointSlice), EndpointSlice())


def read(manifest: dict[str, Any], **changes: Any) -> PodContext:
    """Make what is read for a stored Pod of an installation that works."""
    return PodContext(
        subject="Pod team-a/web-1",
        namespace="team-a",
        manifest=manifest,
        exists=True,
        settings=settings(),
        namespace_object=namespace(),
        configuration=configuration(),
        policies=(),
        endpoints=replicas(2),
        config_map=None,
        secret=secret(),
        events=(),
        dry_run=None,
        now=NOW.timestamp(),
        owner=WorkloadName("Deployment", "web", "apps"),
    )._replace(**changes)


def explained(manifest: dict[str, Any], **changes: Any) -> Explanation:
    return explain(read(manifest, **changes))


def changed_at(time: str) -> ConfigMap:
    managed = [
        {"manager": "kubectl", "operation": "Apply", "time": time, "fieldsV1": {"f:data": {"f:config.yaml": {}}}}
    ]
    return msgspec.convert({"metadata": {"managedFields": managed}}, ConfigMap)


def policy(made_from: str) -> tuple[Object, ...]:
    annotations = {"registry-webhook/configuration-hash": made_from}
    metadata = {"name": "ours", "annotations": annotations, "creationTimestamp": AFTER}
    return (msgspec.convert({"metadata": metadata}, Object), Object())


EXCLUDING = 'webhook: {exclude: ["registry.k8s.io/**"]}'
OPTED_OUT = {ENABLED: "false"}


class Case(NamedTuple):
    """A Pod, what is read beside it that is not as usual, and what an explanation has."""

    manifest: dict[str, Any]
    changes: dict[str, Any]
    code: Code
    mark: Mark = Mark.FAIL
    values: tuple[str, ...] = ()
    """What the verdict names."""

    def explained(self) -> Explanation:
        return explained(self.manifest, **self.changes)


def check(case: Case) -> None:
    explanation = case.explained()
    assert (explanation.code, explanation.mark) == (case.code, case.mark)
    for value in case.values:
        assert value in f"{explanation.verdict}: {explanation.cause}: {explanation.unchecked}"
    assert explanation.mark is Mark.OK or (explanation.cause and explanation.hint)


SOUND = {
    "rewritten": Case(pod("nginx", "redis", rewritten=True), {}, Code.POD_OK, Mark.OK, ("2 of 2",)),
    "named by hand": Case(
        pod("registry.example.com/nginx", imagePullSecrets=[{"name": PULL}]), {}, Code.POD_OK, Mark.OK
    ),
    "no longer opted in": Case(
        pod("nginx", rewritten=True), {"namespace_object": namespace({})}, Code.POD_OK, Mark.OK, ("1 of 1",)
    ),
    "its secret cannot be read": Case(
        pod("nginx", rewritten=True),
        {"secret": UNREADABLE},
        Code.SECRET_UNKNOWN,
        Mark.OK,
        ("1 of 1", "no permission"),
    ),
}


@pytest.mark.parametrize("case", SOUND.values(), ids=SOUND)
def test_explain_correct_pod_ok(case: Case) -> None:
    check(case)


NOT_REWRITTEN = {
    "no label": Case(pod("nginx"), {"namespace_object": namespace({})}, Code.NAMESPACE_NOT_SELECTED),
    "denied": Case(
        pod("nginx"),
        {"settings": settings("webhook: {namespaces: {deny: [team-*]}}"), "namespace_object": namespace({})},
        Code.NAMESPACE_DENIED,
    ),
    "not allowed": Case(
        pod("nginx"), {"settings": settings("webhook: {namespaces: {allow: [others]}}")}, Code.NAMESPACE_DENIED
    ),
    "system namespace": Case(
        pod("nginx"),
        {"namespace": "kube-system", "namespace_object": namespace({}, name="kube-system")},
        Code.NAMESPACE_NEVER,
    ),
    "system namespace, nothing can be read": Case(
        pod("nginx"),
        {
            "namespace": "kube-system",
            "namespace_object": UNREADABLE,
            "settings": UNREADABLE,
            "configuration": UNREADABLE,
        },
        Code.NAMESPACE_NEVER,
    ),
    "Pod of the installation": Case(
        pod("registry-webhook:1"),
        {"namespace": "registry-webhook", "namespace_object": namespace({}, name="registry-webhook"), "secret": None},
        Code.NAMESPACE_NEVER,
        Mark.OK,
    ),
    "no webhook configuration": Case(pod("nginx"), {"configuration": None}, Code.WEBHOOK_MISSING),
    "no label, the webhook configuration cannot be read": Case(
        pod("nginx"), {"configuration": UNREADABLE, "namespace_object": namespace({})}, Code.NAMESPACE_NOT_SELECTED
    ),
    "opted out": Case(pod("nginx", labels=OPTED_OUT), {}, Code.POD_OPTED_OUT),
    "opted out, the webhook configuration cannot be read": Case(
        pod("nginx", labels=OPTED_OUT), {"configuration": UNREADABLE}, Code.POD_OPTED_OUT
    ),
    "excluded": Case(
        pod("registry.k8s.io/pause:3.10", "ghcr.io/a/b"), {"settings": settings(EXCLUDING)}, Code.IMAGE_UNCHANGED
    ),
    "another registry": Case(pod("ghcr.io/a/b:1"), {}, Code.IMAGE_UNCHANGED),
    "older than the label": Case(pod("nginx"), {"namespace_object": namespace(changed=AFTER)}, Code.POD_OLDER),
    "older than the configuration": Case(
        pod("nginx"), {"configuration": configuration(), "config_map": changed_at(AFTER)}, Code.POD_OLDER
    ),
    "older than the webhook": Case(
        pod("nginx"), {"configuration": configuration(created=AFTER)}, Code.POD_OLDER, values=(MADE, AFTER)
    ),
    "older than the policy": Case(
        pod("nginx"),
        {"configuration": None, "policies": policy(settings().digest)},
        Code.POD_OLDER,
        values=("ours", MADE, AFTER),
    ),
    "no endpoint": Case(pod("nginx"), {"endpoints": replicas(0)}, Code.ENDPOINTS_NONE),
    "caBundle is empty": Case(pod("nginx"), {"configuration": configuration(b"")}, Code.CABUNDLE_EMPTY),
    "caBundle is invalid": Case(pod("nginx"), {"configuration": configuration(b"none")}, Code.CABUNDLE_INVALID),
    "caBundle has expired": Case(pod("nginx"), {"now": (NOW + timedelta(days=20)).timestamp()}, Code.CABUNDLE_EXPIRED),
    "a dry run is unchanged": Case(pod("nginx"), {"dry_run": DryRunResult(pod("nginx"))}, Code.DRYRUN_UNCHANGED),
    "a dry run is rewritten": Case(
        pod("nginx"), {"dry_run": DryRunResult(pod("nginx", rewritten=True))}, Code.POD_MISSED
    ),
    "missed": Case(pod("nginx"), {}, Code.POD_MISSED),
    "the webhook configuration cannot be read": Case(pod("nginx"), {"configuration": UNREADABLE}, Code.POD_UNKNOWN),
}


@pytest.mark.parametrize("case", NOT_REWRITTEN.values(), ids=NOT_REWRITTEN)
def test_explain_pod_not_rewritten_names_cause(case: Case) -> None:
    check(case)


EMPTY = b'{"auths": {}}'
REFUSAL = "unexpected status: 401 Unauthorized"
FAILED = f'Failed to pull image "registry.example.com/nginx": {REFUSAL}'

OF_ANOTHER = FAILED.replace("/nginx", "/redis").replace("401 Unauthorized", "404 Not Found")
EARLIER = FAILED.replace("401 Unauthorized", "500 Internal Server Error")
LATEST = "2026-11-25T11:59:00Z"


def waiting(manifest: dict[str, Any]) -> dict[str, Any]:
    (status,) = manifest["status"]["containerStatuses"]
    status["state"] = {
        "waiting": {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "registry.example.com/nginx"'}
    }
    return manifest


def event(message: str, at: str) -> Event:
    return msgspec.convert({"reason": "Failed", "message": message, "lastTimestamp": at}, Event)


BACK_OFF = ("registry.example.com/nginx", "ImagePullBackOff")


def unpullable(changes: dict[str, Any], code: Code, *values: str) -> Case:
    return Case(waiting(pod("nginx", rewritten=True)), changes, code, values=values)


UNPULLABLE = {
    "no secret": unpullable({"secret": None}, Code.SECRET_MISSING, f"team-a/{PULL}"),
    "foreign secret": unpullable(
        {"secret": secret(ours=False)}, Code.SECRET_FOREIGN, f"team-a/{PULL}", "kubernetes.io/dockerconfigjson"
    ),
    "expired": unpullable({"secret": secret(registry_webhook__expires_at=MADE)}, Code.SECRET_EXPIRED, MADE),
    "no entry": unpullable({"secret": secret(EMPTY)}, Code.SECRET_NO_ENTRY, "registry.example.com"),
    "broken secret": unpullable({"secret": secret(b"{")}, Code.SECRET_UNUSABLE, "line 1, column 2"),
    "refused": unpullable(
        {"events": (event(FAILED, AFTER), event(OF_ANOTHER, LATEST), event(EARLIER, MADE))},
        *(Code.PULL_FAILED, *BACK_OFF, f'"{REFUSAL}"', "30 minutes"),
    ),
    "no events": unpullable({"events": ()}, Code.PULL_FAILED, *BACK_OFF),
}


@pytest.mark.parametrize("case", UNPULLABLE.values(), ids=UNPULLABLE)
def test_explain_failed_pull_names_cause(case: Case) -> None:
    check(case)


def test_explain_pull_without_cause_shows_events() -> None:
    assert UNPULLABLE["no events"].explained().commands == ("kubectl -n team-a describe pod web-1",)


def test_explain_edited_pull_secret_warns() -> None:
    editor = ManagedFields("kubectl-edit", "Update", BEFORE, {"f:data": {".": {}, "f:.dockerconfigjson": {}}})
    made = secret()
    changed = msgspec.structs.replace(made, metadata=msgspec.structs.replace(made.metadata, managed_fields=(editor,)))
    (step,) = [
        one for one in explained(pod("nginx", rewritten=True), secret=changed).steps if one.code is Code.SECRET_MODIFIED
    ]
    assert (step.mark, step.code) == (Mark.WARNING, Code.SECRET_MODIFIED)


def test_explain_hides_credential() -> None:
    explanation = explained(pod("nginx", rewritten=True))
    assert "kept-secret" not in msgspec.json.encode(explanation).decode() + repr(explanation) + repr(secret())


def test_explain_older_pod_lacks_pull_secret() -> None:
    check(OTHERS["no pull secret, older than the label"])


def test_explain_added_container_named() -> None:
    check(OTHERS["a container added later"])


def recorded(manifest: dict[str, Any], **originals: str) -> dict[str, Any]:
    manifest["metadata"]["annotations"][ORIGINALS] = json.dumps(originals)
    return manifest


IN_PLACE: dict[str, Any] = {"imagePullSecrets": [{"name": PULL}]}
RULE = settings("webhook: {rules: [{from: quay.io, to: registry.example.com/quay}]}")


@pytest.mark.parametrize(
    ("manifest", "code", "stays"),
    [
        # A copy of a rewritten Pod with another image, which was rewritten as well.
        (
            recorded(pod("registry.example.com/busybox:1.36", **IN_PLACE), a="nginx"),
            *(Code.POD_OK, ""),
        ),
        # The image was changed later to one that stays.
        (
            recorded(pod("ghcr.io/org/app:2", **IN_PLACE), a="nginx"),
            *(Code.IMAGE_UNCHANGED, "ghcr.io/org/app:2"),
        ),
        # Forged: neither names nor images are those of the Pod.
        (
            recorded(pod("ghcr.io/x/y:1"), a="evil/other:9", b="evil/other:9"),
            *(Code.IMAGE_UNCHANGED, "ghcr.io/x/y:1"),
        ),
        # Forged so that it looks as if it was due.
        (
            recorded(pod("ghcr.io/x/y:1"), a="ghcr.io/x/y:1"),
            *(Code.IMAGE_UNCHANGED, "ghcr.io/x/y:1"),
        ),
    ],
    ids=["copied", "changed", "forged", "no change"],
)
def test_explain_untrue_record_ignored(manifest: dict[str, Any], code: Code, stays: str) -> None:
    explanation = explained(manifest)
    assert explanation.code is code
    assert stays in explanation.cause
    (step,) = [one for one in explanation.steps if one.code is Code.IMAGE_RECORD]
    assert step.mark is Mark.WARNING
    assert "evil/other" not in str(explanation)
    assert "nginx" not in json.dumps(as_written(manifest, RULE.mutator))


@pytest.mark.parametrize("record", ["[]", "5", "{", '{"a": 5}', "null", '"nginx"', "[" * 2_000])
def test_explain_unreadable_record_ignored(record: str) -> None:
    manifest = pod("registry.example.com/nginx", **IN_PLACE)
    manifest["metadata"]["annotations"][ORIGINALS] = record
    assert explained(manifest).code is Code.POD_OK


def test_explain_true_record_used_by_container() -> None:
    manifest = pod("registry.example.com/nginx", **IN_PLACE)
    spec = manifest["spec"]
    spec["initContainers"] = [{"name": "i", "image": "registry.example.com/setup"}]
    spec["volumes"] = [{"name": "a", "image": {"reference": "registry.example.com/data"}}]
    recorded(manifest, a="nginx", i="setup", gone="redis")
    explanation = explained(manifest)
    assert "2 of 3" in explanation.verdict
    (step,) = [one for one in explanation.steps if one.code is Code.IMAGE_RECORD]
    assert "gone" in step.message
    tried = as_written(manifest, settings().mutator)["spec"]
    assert [tried["containers"][0]["image"], tried["initContainers"][0]["image"]] == ["nginx", "setup"]
    # The volume has the container's name and another image.
    assert tried["volumes"][0]["image"]["reference"] == "registry.example.com/data"


def test_explain_earlier_config_record_untrue() -> None:
    moved = settings("webhook: {rules: [{from: docker.io, to: registry.example.com/hub}]}")
    explanation = explained(pod("nginx", rewritten=True), settings=moved)
    assert explanation.mark is Mark.OK
    assert "another configuration" in explanation.verdict
    assert Code.IMAGE_RECORD in {one.code for one in explanation.steps}


def test_explain_record_without_config_unverified() -> None:
    explanation = explained(pod("nginx", rewritten=True), settings=UNREADABLE)
    assert explanation.mark is Mark.UNKNOWN
    assert Code.IMAGE_RECORD in {one.code for one in explanation.steps}


def test_explain_dry_run_ignores_record() -> None:
    forged = DryRunResult(recorded(pod("nginx"), a="nginx"))
    assert explained(pod("nginx"), dry_run=forged).code is Code.DRYRUN_UNCHANGED


def test_explain_image_never_pulled_hint() -> None:
    manifest = pod("myapp:dev")
    manifest["spec"]["containers"][0]["imagePullPolicy"] = "Never"
    stays = explained(manifest)
    assert stays.code is Code.IMAGE_UNCHANGED
    assert all(value in stays.cause for value in ("myapp:dev", "Never"))
    state = {"waiting": {"reason": "ErrImageNeverPull", "message": 'Container image "myapp:dev" is not present'}}
    manifest["status"]["containerStatuses"][0]["state"] = state
    explanation = explained(manifest)
    assert explanation.code is Code.PULL_NEVER
    assert "IfNotPresent" in explanation.hint


NO_HOST = "failed to do request: Head: dial tcp: lookup registry-1.docker.io on 10.0.0.2:53: no such host"


def unpulled(message: str, *images: str, waits: int = 0) -> dict[str, Any]:
    """Make a Pod with images as written, of which one cannot be pulled."""
    manifest = pod(*images)
    state = {"waiting": {"reason": "ErrImagePull", "message": message}}
    manifest["status"]["containerStatuses"][waits]["state"] = state
    return manifest


@pytest.mark.parametrize(
    ("manifest", "changes", "code", "hint"),
    [
        (
            unpulled(NO_HOST, "busybox:1.36"),
            {"settings": settings('webhook: {exclude: ["docker.io/**"]}')},
            Code.IMAGE_UNCHANGED,
            "webhook.exclude",
        ),
        (unpulled("403 Forbidden", "ghcr.io/a/b"), {}, Code.IMAGE_UNCHANGED, "webhook.rules"),
        (
            unpulled("403 Forbidden", "ghcr.io/a/b"),
            {"settings": settings("webhook: {namespaces: {deny: [team-*]}}")},
            Code.NAMESPACE_DENIED,
            "namespace team-a",
        ),
        (
            unpulled("403 Forbidden", "registry.k8s.io/pause:3.10", "ghcr.io/a/b", waits=1),
            {"settings": settings(EXCLUDING)},
            Code.IMAGE_UNCHANGED,
            "webhook.rules",
        ),
    ],
    ids=["excluded", "another registry", "denied", "of two images"],
)
def test_explain_not_rewritten_and_unpulled_reason_first(
    manifest: dict[str, Any], changes: dict[str, Any], code: Code, hint: str
) -> None:
    explanation = explained(manifest, **changes)
    assert explanation.code is code
    assert hint in explanation.hint
    assert "node cannot pull" in explanation.cause
    assert "DNS" not in explanation.hint


def test_explain_denied_and_unpulled_denial_named() -> None:
    denying = settings("webhook: {namespaces: {deny: [team-*]}}")
    explanation = explained(unpulled(NO_HOST, "busybox:1.36"), settings=denying)
    assert explanation.code is Code.NAMESPACE_DENIED
    assert Code.PULL_DNS in {step.code for step in explanation.steps}


@pytest.mark.parametrize(
    ("message", "changes", "code"),
    [
        ("no space left on device", {}, Code.PULL_DISK),
        ("no match for platform in manifest: not found", {}, Code.PULL_PLATFORM),
        ("403 Forbidden", {"namespace": "kube-system"}, Code.PULL_DENIED),
    ],
)
def test_explain_not_rewritten_failed_for_other_reason_pull_first(
    message: str, changes: dict[str, Any], code: Code
) -> None:
    explanation = explained(unpulled(message, "ghcr.io/a/b"), **changes)
    assert explanation.code is code
    assert "node cannot pull" in explanation.cause


@pytest.mark.parametrize("name", ["refreshed_at", "expires_at", "deselected_since"])
def test_explain_secret_annotation_of_tenant_truncated(name: str) -> None:
    annotations: dict[str, Any] = {f"registry_webhook__{name}": "2026\n" * 1000}
    forged = secret(**annotations)
    explanation = explained(pod("nginx", rewritten=True), secret=forged)
    assert max(len(step.message) for step in explanation.steps) < 300


@pytest.mark.parametrize("settings_", [settings(), UNREADABLE], ids=["all", "limited"])
def test_explain_own_pod_unpulled_gets_its_own_secret(settings_: Any) -> None:
    manifest = unpulled("401 Unauthorized", "registry.example.com/registry-webhook:1")
    manifest["metadata"]["namespace"] = "registry-webhook"
    own: dict[str, Any] = {"namespace": "registry-webhook", "settings": settings_, "secret": None}
    explanation = explained(manifest, **own)
    assert explanation.code is Code.PULL_REFUSED
    assert "install.md#create-the-secrets" in explanation.hint
    assert explanation.commands == ("kubectl -n registry-webhook rollout restart deployment/registry-webhook",)
    assert not {Code.SECRET_MISSING, Code.POD_SECRET_NOT_NAMED} & {step.code for step in explanation.steps}


@pytest.mark.parametrize("settings_", [settings(), UNREADABLE], ids=["all", "limited"])
@pytest.mark.parametrize("image", ["registry.example.com/registry-webhook:1", "ghcr.io/a/b", "registry-webhook:dev"])
def test_explain_own_pod_healthy_ok(settings_: Any, image: str) -> None:
    own: dict[str, Any] = {"namespace": "registry-webhook", "settings": settings_, "secret": None}
    running, template = explained(pod(image), **own), explained(pod(image), **own, exists=False)
    for one in (running, template):
        assert (one.code, one.mark, one.hint) == (Code.NAMESPACE_NEVER, Mark.OK, "")
    assert distinct([template, running]) == [running]


def test_explain_limited_user_unpulled_pod_not_rewritten() -> None:
    hidden = dict.fromkeys(("settings", "configuration", "policies", "guards", "endpoints"), UNREADABLE)
    explanation = explained(unpulled(NO_HOST, "busybox:1.36"), **hidden)
    assert (explanation.code, explanation.mark) == (Code.PULL_DNS, Mark.FAIL)
    assert explanation.verdict.startswith("was not rewritten")
    assert "--config" in explanation.hint
    assert "DNS" not in explanation.hint
    assert "component reader" in explanation.unchecked
    full = explained(unpulled("no space left on device", "busybox:1.36"), **hidden)
    assert "disk" in full.hint


def test_explain_setting_of_installation_changed_where_it_was_installed_from() -> None:
    excluded = settings('webhook: {exclude: ["docker.io/**"]}')
    for other in (excluded, settings("webhook: {namespaces: {deny: [team-*]}}")):
        explanation = explained(pod("nginx"), settings=other, config_map=changed_at(BEFORE))
        assert "config.yaml of the folder" in explanation.hint
        assert not [command for command in explanation.commands if " edit " in command]


def test_explain_static_pod_not_recreated() -> None:
    manifest = pod("registry.example.com/app")
    manifest["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "abc"}
    refused = {"reason": "ImagePullBackOff", "message": "401 Unauthorized"}
    manifest["status"]["containerStatuses"][0]["state"] = {"waiting": refused}
    explanation = explained(manifest, secret=None)
    steps = {one.code: one.hint for one in explanation.steps}
    assert "credential provider" in steps[Code.PULL_REFUSED]
    assert steps[Code.POD_SECRET_NOT_NAMED] == steps[Code.PULL_REFUSED]
    assert Code.SECRET_MISSING not in steps
    assert not [remedy for remedy in (explanation.hint, *steps.values()) if "recreate" in remedy]


def test_explain_without_config_unknown() -> None:
    check(OTHERS["the configuration cannot be read"])


PLANNED = {
    f"planned: {name}": case._replace(changes=case.changes | {"exists": False})
    for name, case in {
        "rewritten": Case(pod("nginx", "ghcr.io/a/b"), {}, Code.POD_OK, Mark.OK, ("1 of 2",)),
        "no label": Case(pod("nginx"), {"namespace_object": namespace({})}, Code.NAMESPACE_NOT_SELECTED),
        "another registry": Case(pod("ghcr.io/a/b"), {}, Code.IMAGE_UNCHANGED, values=("ghcr.io/a/b",)),
        "no endpoint": Case(pod("nginx"), {"endpoints": replicas(0)}, Code.ENDPOINTS_NONE),
        "no secret": Case(pod("nginx"), {"secret": None}, Code.SECRET_MISSING, values=(f"team-a/{PULL}",)),
        "the webhook configuration cannot be read": Case(
            pod("nginx"), {"configuration": UNREADABLE}, Code.WEBHOOK_UNKNOWN, Mark.UNKNOWN, ("no permission",)
        ),
        "a dry run is rewritten": Case(
            pod("nginx"),
            {"configuration": UNREADABLE, "dry_run": DryRunResult(pod("nginx", rewritten=True))},
            Code.POD_OK,
            Mark.OK,
            ("1 of 1",),
        ),
        "a dry run is refused": Case(
            pod("nginx"),
            {"dry_run": DryRunResult(None, refusal="exceeded quota: small (403)")},
            Code.DRYRUN_REFUSED,
            values=("exceeded quota: small (403)",),
        ),
        "a dry run failed": Case(pod("nginx"), {"dry_run": UNREADABLE}, Code.POD_OK, Mark.OK, ("1 of 1",)),
    }.items()
}


def with_added_container() -> dict[str, Any]:
    manifest = pod("nginx", rewritten=True)
    manifest["spec"]["containers"].append({"name": "z", "image": "redis"})
    return manifest


OTHERS = {
    "a container added later": Case(
        with_added_container(), {"endpoints": replicas(0)}, Code.ENDPOINTS_NONE, values=("container z",)
    ),
    "no pull secret, older than the label": Case(
        pod("registry.example.com/nginx"),
        {"namespace_object": namespace(changed=AFTER)},
        Code.POD_OLDER,
        values=(PULL, MADE, AFTER),
    ),
    "the configuration cannot be read": Case(
        pod("nginx"), {"settings": UNREADABLE}, Code.CONFIG_UNKNOWN, Mark.UNKNOWN, ("no permission",)
    ),
}
#: With the words of each in tests/integration/cli/golden/explain.txt.
CASES = SOUND | NOT_REWRITTEN | UNPULLABLE | PLANNED | OTHERS


@pytest.mark.parametrize("case", PLANNED.values(), ids=PLANNED)
def test_explain_planned_pod_verdict(case: Case) -> None:
    check(case)


def test_explain_policy_instead_of_webhook() -> None:
    explanation = explained(pod("nginx", rewritten=True), configuration=None, policies=policy(settings().digest))
    assert explanation.mark is Mark.OK
    steps = {one.subject: one for one in explanation.steps}
    assert steps["webhook configuration"].code is Code.POLICY_INSTEAD
    assert steps["admission policy"].code is Code.POLICY_OK
    stale = {one.subject: one for one in explained(pod("nginx"), policies=policy("other")).steps}
    assert (stale["admission policy"].mark, stale["admission policy"].code) == (Mark.WARNING, Code.POLICY_OUTDATED)


def test_explain_older_than_policy_and_not_webhook_is_not_older() -> None:
    # The webhook would have rewritten it, too.
    assert explained(pod("nginx"), policies=policy(settings().digest)).code is Code.POD_MISSED


@pytest.mark.parametrize("spoil", [lambda pod: pod.update(spec=5), lambda pod: pod["spec"].update(containers={})])
def test_explain_not_pod_raises(spoil: Callable[[dict[str, Any]], None]) -> None:
    manifest = pod("nginx")
    spoil(manifest)
    with pytest.raises(InvalidManifest):
        explained(manifest)


NOTHING: dict[str, Any] = {"configuration": None, "policies": (), "config_map": None, "settings": settings()}


def test_explain_dry_run_reveals_hidden_policy() -> None:
    tried = DryRunResult(pod("nginx", rewritten=True))
    stored = explained(pod("nginx"), **NOTHING, dry_run=tried)
    assert Code.POLICY_HIDDEN in {one.code for one in stored.steps}
    assert stored.code is not Code.WEBHOOK_MISSING
    planned = explained(pod("nginx"), **NOTHING, exists=False, dry_run=tried)
    assert planned.mark is Mark.OK
    without = explained(pod("nginx"), **NOTHING, exists=False)
    assert (without.code, without.mark) == (Code.WEBHOOK_MISSING, Mark.FAIL)
    assert "--dry-run" in without.hint


def test_explain_orphaned_guard_policy_named() -> None:
    guards = policy("abc")
    planned = explained(pod("nginx"), **NOTHING, exists=False, guards=guards)
    assert (planned.code, planned.mark) == (Code.POLICY_ORPHANED, Mark.FAIL)
    assert planned.commands[:1] == (
        "kubectl delete validatingadmissionpolicies,validatingadmissionpolicybindings ours",
    )
    # It is not why a Pod that is there was not rewritten.
    stored = explained(pod("nginx"), **NOTHING, guards=guards)
    assert (stored.code, Code.POLICY_ORPHANED in {one.code for one in stored.steps}) == (Code.WEBHOOK_MISSING, True)
    # Beside the webhook it does its work, and whose policy is not generated is not ours.
    assert Code.POLICY_ORPHANED not in {one.code for one in explained(pod("nginx"), guards=guards).steps}
    other = (msgspec.convert({"metadata": {"name": "other"}}, Object),)
    assert Code.POLICY_ORPHANED not in {one.code for one in explained(pod("nginx"), **NOTHING, guards=other).steps}


def test_explain_orphaned_mutating_policy_named() -> None:
    left = NOTHING | {"policies": policy(settings().digest)}
    explanation = explained(pod("nginx"), **left, exists=False)
    (step,) = [one for one in explanation.steps if one.code is Code.POLICY_ORPHANED]
    assert step.mark is Mark.WARNING
    assert step.commands[0].startswith("kubectl delete mutatingadmissionpolicies,")


def test_explain_pod_missed_past_state_unknown() -> None:
    explanation = explained(pod("nginx"))
    assert explanation.code is Code.POD_MISSED


def test_explain_limited_user_gets_what_can_be_known() -> None:
    hidden = dict.fromkeys(("settings", "configuration", "policies", "guards", "endpoints"), UNREADABLE)
    no_label = explained(pod("nginx"), **hidden, namespace_object=namespace({}))
    assert (no_label.code, no_label.mark) == (Code.NAMESPACE_NOT_SELECTED, Mark.FAIL)
    assert no_label.commands[0].startswith("kubectl label namespace team-a ")
    assert no_label.unchecked.count("admission policies") == 1
    assert "registry-webhook-reader" in no_label.unchecked
    older = explained(pod("nginx"), **hidden, namespace_object=namespace(changed=AFTER))
    assert older.code is Code.POD_OLDER
    opted_out = explained(pod("nginx", labels=OPTED_OUT), **hidden)
    assert opted_out.code is Code.POD_OPTED_OUT
    unpulled = explained(waiting(pod("registry.example.com/nginx")), **hidden)
    assert (unpulled.code, unpulled.mark) == (Code.PULL_FAILED, Mark.FAIL)
    rewritten = explained(pod("nginx", rewritten=True), **hidden)
    assert (rewritten.code, rewritten.mark) == (Code.CONFIG_UNKNOWN, Mark.UNKNOWN)
    assert "annotation" in rewritten.verdict
    assert "rule" in explained(pod("ghcr.io/a/b"), **hidden).cause


def test_explain_missing_image_copied_from_original() -> None:
    manifest = waiting(pod("nginx", rewritten=True))
    state = manifest["status"]["containerStatuses"][0]["state"]["waiting"]
    state["message"] = 'Back-off pulling image "registry.example.com/nginx": ErrImagePull: x: not found'
    explanation = explained(manifest)
    assert explanation.code is Code.PULL_NOT_FOUND
    assert explanation.commands == (
        "skopeo copy --all docker://docker.io/library/nginx docker://registry.example.com/nginx",
    )


@pytest.mark.parametrize("owner", ["web; reboot", "$(reboot)", "a b", "-x", "we'b"])
def test_explain_hostile_owner_no_command_with_it(owner: str) -> None:
    hostile = WorkloadName("Deployment", owner, "apps")
    explanation = explained(pod("nginx"), namespace_object=namespace({}), owner=hostile)
    assert explanation.code is Code.NAMESPACE_NOT_SELECTED
    assert not [command for command in explanation.commands if owner in command]


@pytest.mark.parametrize("place", ["team-a; reboot", "$(reboot)", "Team"])
def test_explain_hostile_namespace_no_command_with_it(place: str) -> None:
    explanation = explained(pod("nginx"), namespace=place, namespace_object=namespace({}, name=place))
    assert not [command for command in explanation.commands if place in command]


def test_distinct_template_repeated_by_its_pod_left_out() -> None:
    unselected: dict[str, Any] = {"namespace_object": namespace({})}
    template, found = explained(pod("nginx"), **unselected, exists=False), explained(pod("nginx"), **unselected)
    assert distinct([template, found]) == [found]
    unknown = explained(pod("nginx"), settings=UNREADABLE, configuration=UNREADABLE, exists=False)
    assert distinct([unknown, found]) == [found]
    older = explained(pod("nginx"), namespace_object=namespace(changed=AFTER))
    others = explained(pod("nginx"), **unselected, owner=WorkloadName("Deployment", "db", "apps"))
    for different in ([template, older], [template, others], [found, found], [template, template], [template], []):
        assert distinct(different) == different


def test_explain_stateful_set_with_failed_pull_deletes_pod() -> None:
    owner = WorkloadName("StatefulSet", "db", "apps")
    early: dict[str, Any] = {"namespace_object": namespace(changed=AFTER), "owner": owner}
    manifest = pod("nginx")
    assert explained(manifest, **early).commands == ("kubectl -n team-a rollout restart statefulset/db",)
    manifest["status"]["containerStatuses"][0]["ready"] = False
    assert explained(manifest, **early).commands[1:] == ("kubectl -n team-a delete pod web-1",)


@pytest.mark.parametrize("settings_", [settings(), UNREADABLE], ids=["all", "limited"])
def test_explain_static_pod_without_label_named_as_static(settings_: Any) -> None:
    manifest = pod("nginx")
    manifest["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "abc"}
    node = WorkloadName("Node", "node-1")
    explanation = explained(manifest, settings=settings_, namespace_object=namespace({}), owner=node)
    assert explanation.code is Code.POD_MIRROR
    assert explanation.commands == ()
