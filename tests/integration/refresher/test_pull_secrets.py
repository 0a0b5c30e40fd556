"""The pull secret in every selected namespace is maintained, by the real refresher with a fake API server."""

import base64
import time
from collections.abc import Callable

import pytest

from tests.support.fake_api_server import BROKEN, BUSY, FOREIGN, HTML, QUOTA, Answer, ApiServer, Asked, status
from tests.support.refresher_process import PASSWORD, Sidecar, wait_until
from webhook.constants import DESELECTED_ANNOTATION, EXPIRES_ANNOTATION, REFRESHED_ANNOTATION

#: Seconds that an action expected within one second may take on a busy machine; less than the delays of the fakes.
SOON = 15.0


def published(api: ApiServer, namespace: str, password: str = PASSWORD) -> Callable[[], bool]:
    return lambda: api.content(namespace) == password


def publish(api: ApiServer, namespace: str) -> None:
    """Have a namespace be served."""
    api.label(namespace)
    wait_until(published(api, namespace))


def settle(api: ApiServer, mark: str = "settle") -> None:
    """Wait until all that happened before has been looked at: a namespace that comes later has been served."""
    name = f"{mark}-{len(api.changes)}"
    api.label(name)
    wait_until(lambda: name in api.secrets)


def writing(namespace: str) -> Callable[[Asked], bool]:
    return lambda asked: asked.method == "PATCH" and asked.namespace == namespace


@pytest.mark.parametrize("existing", [False, True])
def test_namespace_labelled_secret_created_at_once(api: ApiServer, team: str, existing: bool) -> None:
    if existing:
        api.label(team, None)
        settle(api)
    api.label(team)
    wait_until(published(api, team), SOON)
    settle(api)
    (write,) = api.writes(team)
    assert write.query == {"fieldManager": "registry-webhook-refresher", "force": "false"}
    secret = api.secrets[team]
    assert secret["type"] == "kubernetes.io/dockerconfigjson"
    assert secret["metadata"]["labels"] == {
        "app.kubernetes.io/managed-by": "registry-webhook",
        "registry-webhook/installation": "registry-webhook",
    }
    assert set(secret["metadata"]["annotations"]) == {REFRESHED_ANNOTATION}
    assert api.annotation(team, EXPIRES_ANNOTATION) is None


@pytest.mark.parametrize("value", [None, "false", "True", "yes", ""])
def test_namespace_not_selected_untouched(api: ApiServer, team: str, value: str | None) -> None:
    api.label(team, value)
    settle(api)
    assert api.writes(team) == []


@pytest.mark.parametrize("name", ["kube-system", "kube-public", "registry-webhook", "denied-1"])
def test_namespace_excluded_label_ignored(api: ApiServer, name: str) -> None:
    api.label(name)
    settle(api)
    assert api.writes(name) == []


def test_secret_edited_restored_in_place(api: ApiServer, team: str) -> None:
    publish(api, team)
    uid = api.uid(team)
    api.edit(team)
    wait_until(published(api, team), SOON)
    assert api.uid(team) == uid
    write = api.writes(team)[-1]
    assert write.query["force"] == "true"
    assert write.body is not None
    assert write.body["metadata"]["uid"] == uid
    assert [asked.method for asked in api.writes(team)] == ["PATCH", "PATCH"]


def test_secret_deleted_recreated(sidecar: Sidecar, api: ApiServer, team: str) -> None:
    publish(api, team)
    repairs = sidecar.metric("repairs_total")
    api.remove(team)
    wait_until(published(api, team), SOON)
    wait_until(lambda: sidecar.metric("repairs_total") == repairs + 1)


@pytest.mark.parametrize("what", ["labels", "annotations"])
def test_secret_metadata_removed_restored(api: ApiServer, team: str, what: str) -> None:
    publish(api, team)
    before = api.secrets[team]["metadata"][what]
    with api.changed:
        del api.secrets[team]["metadata"][what]
        api.edit(team, api.secrets[team]["data"][".dockerconfigjson"])
    wait_until(lambda: api.secrets[team]["metadata"].get(what) == before, SOON)


def test_secret_conflicting_updates_back_off_alone(sidecar: Sidecar, api: ApiServer, team: str) -> None:
    publish(api, team)
    for _ in range(3):
        api.edit(team)
        wait_until(published(api, team), SOON)
    api.remove(team)
    wait_until(lambda: "PullSecretContended" in api.reasons(team))
    assert sidecar.metric("namespaces_contended") == 1
    settle(api)
    assert len(api.writes(team)) == 4
    assert team not in api.secrets
    (event,) = (event for event in api.events if event["reason"] == "PullSecretContended")
    assert event["type"] == "Warning"
    api.remove_namespace(team)
    wait_until(lambda: sidecar.metric("namespaces_contended") == 0)


@pytest.mark.parametrize(
    ("ours", "type_"), [(False, "kubernetes.io/dockerconfigjson"), (False, "Opaque"), (True, "Opaque")]
)
def test_foreign_secret_reported_untouched(sidecar: Sidecar, api: ApiServer, team: str, ours: bool, type_: str) -> None:
    publish(api, f"{team}-ours")
    conflicts = sidecar.metric("foreign_conflicts_total")
    api.put(team, ours=ours, type_=type_)
    api.edit(f"{team}-ours")
    wait_until(published(api, f"{team}-ours"))  # so the one before is known, too
    api.label(team)
    wait_until(lambda: "ForeignSecret" in api.reasons(team))
    wait_until(lambda: sidecar.metric("namespaces_foreign_secret") == 1)
    assert ("foreign-secret", team) in sidecar.warnings()
    api.edit(team)
    api.label(team, None)
    settle(api, "one")
    api.label(team)
    settle(api, "two")
    assert api.writes(team) == []
    assert api.secrets[team]["data"] == {".dockerconfigjson": FOREIGN}
    assert set(api.reasons(team)) == {"ForeignSecret"}
    # Once more for the label that came back, and not for every look.
    assert sidecar.metric("foreign_conflicts_total") == conflicts + 2
    # Once it is gone there is room for ours.
    api.remove(team)
    wait_until(published(api, team), SOON)
    wait_until(lambda: sidecar.metric("namespaces_foreign_secret") == 0)


def test_publisher_foreign_secret_never_read(api: ApiServer, team: str) -> None:
    api.put(team, ours=False)
    api.label(team)
    wait_until(lambda: "ForeignSecret" in api.reasons(team))
    assert [asked for asked in api.asked if asked.method == "GET" and asked.namespace == team] == []


@pytest.mark.parametrize("annotated", [False, True])
def test_publisher_content_changed_with_forged_hash_restored(api: ApiServer, team: str, annotated: bool) -> None:
    """An editor of the Secret can write every annotation, and so none of them says what the content is."""
    publish(api, team)
    if annotated:
        api.annotate(team, **{REFRESHED_ANNOTATION: "2026-01-01T00:00:00Z"})
    api.edit(team)
    wait_until(published(api, team), SOON)


def test_publisher_each_version_read_once(sidecar: Sidecar, api: ApiServer, team: str) -> None:
    api.put(team, ours=True)
    api.label(team)
    wait_until(published(api, team))
    for _ in range(3):
        sidecar.place.set_password(f"{PASSWORD}-{_}")
        wait_until(published(api, team, f"{PASSWORD}-{_}"))
    reads = [asked for asked in api.asked if asked.method == "GET" and asked.namespace == team]
    # The one that was found. What is written ourselves is known from the answer.
    assert len(reads) == 1


@pytest.mark.parametrize("obstacle", ["immutable", "full", "too large"])
def test_secret_unpatchable_replaced_by_uid(sidecar: Sidecar, api: ApiServer, team: str, obstacle: str) -> None:
    publish(api, team)
    uid = api.uid(team)
    with api.changed:
        secret = api.secrets[team]
        if obstacle == "immutable":
            secret["immutable"] = True
            api.edit(team, secret["data"][".dockerconfigjson"])
        else:
            size = 1024 * 1024 if obstacle == "full" else 4 * 1024 * 1024
            secret["data"]["other"] = base64.b64encode(b"x" * size).decode()
            api.annotate(team, other="other")
    sidecar.place.set_password(f"{PASSWORD}-new")
    wait_until(published(api, team, f"{PASSWORD}-new"), SOON)
    assert api.uid(team) != uid
    delete = next(asked for asked in api.writes(team) if asked.method == "DELETE")
    assert delete.body is not None
    assert delete.body["preconditions"]["uid"] == uid
    wait_until(lambda: "PullSecretReplaced" in api.reasons(team))


def test_secret_unpatchable_again_backs_off(api: ApiServer, team: str) -> None:
    publish(api, team)
    for number in range(4):
        with api.changed:
            api.secrets[team]["immutable"] = True
            api.edit(team)
        if number < 3:
            wait_until(published(api, team), SOON)
    wait_until(lambda: "PullSecretContended" in api.reasons(team))
    settle(api)
    deleted = [
        asked.body["preconditions"]["uid"] for asked in api.writes(team) if asked.method == "DELETE" and asked.body
    ]
    assert len(set(deleted)) == 3


@pytest.mark.parametrize("name", ["denied-2", "kube-node-lease"])
def test_foreign_secret_excluded_namespace_untouched(api: ApiServer, name: str) -> None:
    api.put(name, ours=False)
    api.label(name)
    settle(api)
    assert api.writes(name) == []
    assert api.reasons(name) == []


@pytest.mark.parametrize("selected", [True, False])
def test_secret_of_other_installation_untouched_until_its_namespace_is_gone(
    api: ApiServer, team: str, selected: bool
) -> None:
    """Neither replaced where both select a namespace, nor deleted after the grace period where only the other does."""
    api.label("acme", None)
    settle(api)
    api.label(team, None)
    api.put(team, ours=True, installation="acme")
    settle(api, "settle-too")
    api.label(team, "true" if selected else None)
    settle(api)
    assert api.writes(team) == []
    assert ("ForeignSecret" in api.reasons(team)) is selected
    api.remove_namespace("acme")
    # Namespaces and Secrets are watched apart.
    settle(api, "settle-last")
    api.edit(team)
    wait_until(lambda: api.writes(team))


def test_foreign_secret_created_concurrently_not_adopted(api: ApiServer, team: str) -> None:
    """Our watch has not told of it yet: only the API server knows."""
    api.deaf.add("secrets")
    api.put(team, ours=False)
    api.label(team)
    wait_until(lambda: api.writes(team))
    settle(api)
    assert api.secrets[team]["data"] == {".dockerconfigjson": FOREIGN}
    api.deaf.clear()
    api.edit(team)
    wait_until(lambda: "ForeignSecret" in api.reasons(team))
    assert api.secrets[team]["data"] == {".dockerconfigjson": FOREIGN}


def test_foreign_secret_replacing_ours_not_adopted(api: ApiServer, team: str) -> None:
    publish(api, team)
    api.deaf.add("secrets")
    api.remove(team)
    api.put(team, ours=False)
    api.label(team, None)  # ours is to be marked as no longer served
    wait_until(lambda: len(api.writes(team)) > 1)
    settle(api)
    assert api.secrets[team]["data"] == {".dockerconfigjson": FOREIGN}
    assert api.annotation(team, DESELECTED_ANNOTATION) is None


def test_label_removed_and_restored_secret_kept(api: ApiServer, team: str) -> None:
    publish(api, team)
    uid = api.uid(team)
    api.label(team, None)
    wait_until(lambda: api.annotation(team, DESELECTED_ANNOTATION), SOON)
    wait_until(lambda: "PullSecretRemovalScheduled" in api.reasons(team))
    assert published(api, team)()
    api.label(team)
    wait_until(lambda: api.annotation(team, DESELECTED_ANNOTATION) is None, SOON)
    assert api.uid(team) == uid
    assert [asked.method for asked in api.writes(team)] == ["PATCH"] * 3


def test_linger_secret_updated_and_restored(sidecar: Sidecar, api: ApiServer, team: str) -> None:
    publish(api, team)
    api.label(team, None)
    wait_until(lambda: api.annotation(team, DESELECTED_ANNOTATION))
    since = api.annotation(team, DESELECTED_ANNOTATION)
    sidecar.place.set_password(f"{PASSWORD}-new")
    wait_until(published(api, team, f"{PASSWORD}-new"))
    api.edit(team)
    wait_until(published(api, team, f"{PASSWORD}-new"), SOON)
    assert api.annotation(team, DESELECTED_ANNOTATION) == since


def test_excluded_namespace_our_secret_deleted(api: ApiServer) -> None:
    api.label("denied-3")
    api.put("denied-3", ours=True)
    wait_until(lambda: "denied-3" not in api.secrets, SOON)
    wait_until(lambda: "PullSecretRemoved" in api.reasons("denied-3"))
    write = api.writes("denied-3")[0]
    assert write.method == "DELETE"
    assert write.body is not None
    assert set(write.body["preconditions"]) == {"uid", "resourceVersion"}


def test_namespace_terminating_skipped(sidecar: Sidecar, api: ApiServer, team: str) -> None:
    publish(api, team)
    api.terminate(team)
    settle(api, "one")
    api.remove(team)  # as the namespace controller does
    settle(api, "two")
    assert len(api.writes(team)) == 1
    assert sidecar.metric("namespaces_failing") == 0


def test_namespace_recreated_secret_recreated(api: ApiServer, team: str) -> None:
    publish(api, team)
    uid = api.uid(team)
    api.remove_namespace(team)
    settle(api)
    assert team not in api.secrets
    publish(api, team)
    assert api.uid(team) != uid


def test_quota_exceeded_backs_off_alone_then_created(sidecar: Sidecar, api: ApiServer, team: str) -> None:
    failures = sidecar.metric("write_failures_total", "forbidden")
    with api.failing(writing(team), QUOTA) as fault:
        began = time.monotonic()
        api.label(team)
        wait_until(lambda: "PullSecretFailed" in api.reasons(team))
        assert sidecar.metric("namespaces_failing") == 1
        assert 0 < sidecar.metric("write_failures_total", "forbidden") - failures <= fault.met
        assert ("pull-secret-failed", team) in sidecar.warnings()
        other = time.monotonic()
        settle(api)
        assert time.monotonic() - other < SOON
        # At 0, 0.25, 0.75, 1.75, 3.75 s and so on: no hot loop.
        assert fault.met <= 3 + (time.monotonic() - began)
    wait_until(published(api, team))
    wait_until(lambda: sidecar.metric("namespaces_failing") == 0)


def test_write_slow_other_namespaces_not_delayed(api: ApiServer, team: str) -> None:
    with api.failing(writing(team), None, delay=30.0) as fault:
        api.label(team)
        wait_until(lambda: fault.met)
        for number in range(3):
            began = time.monotonic()
            publish(api, f"{team}-{number}")
            assert time.monotonic() - began < SOON
        assert fault.met == 1
    assert team not in api.secrets
    api.remove_namespace(team)


@pytest.mark.parametrize("answer", [BROKEN, BUSY, HTML, Answer(200, b""), Answer(502, b"<html>"), status(409, "", "")])
def test_write_invalid_response_retried(api: ApiServer, team: str, answer: Answer) -> None:
    with api.failing(writing(team), answer) as fault:
        api.label(team)
        wait_until(lambda: fault.met >= 2)
    wait_until(published(api, team), SOON)
    settle(api)
    assert len(api.writes(team)) == fault.met + 1


def test_events_refused_publishing_continues(sidecar: Sidecar, api: ApiServer, team: str) -> None:
    with api.failing(lambda asked: asked.path.endswith("/events"), status(403, "Forbidden", "no right")) as fault:
        api.put(team, ours=False)
        api.label(team)
        wait_until(lambda: fault.met)
        wait_until(lambda: sidecar.metric("namespaces_foreign_secret") == 1)
        settle(api)
    assert api.events == []


# The password changes


def test_password_changed_all_secrets_patched(sidecar: Sidecar, api: ApiServer, team: str) -> None:
    names = [f"{team}-{number}" for number in range(10)]
    for name in names:
        publish(api, name)
    uids = [api.uid(name) for name in names]
    sidecar.place.set_password(f'{PASSWORD}-:"\\$пароль')
    for name in names:
        wait_until(published(api, name, f'{PASSWORD}-:"\\$пароль'))
    assert [api.uid(name) for name in names] == uids
    assert all([asked.method for asked in api.writes(name)] == ["PATCH", "PATCH"] for name in names)


def test_provider_failing_previous_credential_published(sidecar: Sidecar, api: ApiServer, team: str) -> None:
    publish(api, team)
    failed = sidecar.metric("refreshes_total", "provider")
    (sidecar.place.folder / "password").unlink()
    wait_until(lambda: sidecar.metric("refreshes_total", "provider") > failed)
    wait_until(lambda: "ProviderFailed" in api.reasons("registry-webhook"))
    publish(api, f"{team}-new")
    api.edit(team)
    wait_until(published(api, team), SOON)
    state = sidecar.state()
    assert state.ready
    assert ("provider-failed", None) in sidecar.warnings()
    sidecar.place.set_password(f"{PASSWORD}-mended")
    for name in (team, f"{team}-new"):
        wait_until(published(api, name, f"{PASSWORD}-mended"))
