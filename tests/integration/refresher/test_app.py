"""The refresher's process: start, reload, stop and hand-over to another replica."""

import resource
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from tests.support.fake_api_server import FOREIGN, ApiServer, status
from tests.support.refresher_process import PASSWORD, Place, Sidecar, refreshing, run, wait_until
from webhook.constants import DESELECTED_ANNOTATION
from webhook.settings import RegistrySettings
from webhook.timestamps import format_rfc3339

from .test_pull_secrets import SOON, publish, published, settle


def forbid(api: ApiServer) -> Callable[[], None]:
    """Take every right away; give what gives them back."""
    stack = ExitStack()
    stack.enter_context(api.failing(lambda _: True, status(403, "Forbidden", "no right")))
    return stack.close


def disconnect(api: ApiServer) -> Callable[[], None]:
    """Be gone; give what brings it back."""
    api.close()
    return api.open


@pytest.mark.parametrize("outage", [disconnect, forbid], ids=["gone", "forbidden"])
def test_start_without_credential_and_api_recovers(
    place: Place, outage: Callable[[ApiServer], Callable[[], None]]
) -> None:
    api = place.api
    api.label("team")
    (place.folder / "password").unlink()
    over = outage(api)
    with refreshing(place) as sidecar:
        wait_until(lambda: sidecar.metric("refreshes_total", "provider") >= 2)
        assert sidecar.probe("/healthz") == (200, "ok\n")
        state = sidecar.state()
        assert not state.ready
        assert state.last_refresh
        assert (state.last_refresh.result, state.last_refresh.code) == ("failure", "provider-failed")
        assert "webhook.credential.file: no such file or directory (password)" in state.last_refresh.message
        code, shown = sidecar.probe("/readyz")
        assert code == 503
        assert shown.splitlines()[0] == "not ready"
        assert all(code in shown for code, _ in sidecar.warnings())
        over()
        wait_until(lambda: sidecar.metric("leading") == 1)
        wait_until(lambda: len(api.streams) == 3)
        assert sidecar.probe("/readyz")[0] == 503
        assert api.writes() == []
        place.set_password()
        wait_until(published(api, "team"))
        wait_until(lambda: sidecar.probe("/readyz")[0] == 200)
        assert sidecar.probe("/readyz")[1].splitlines()[0] == "ready"


def test_refresher_core_dumps_disabled(place: Place) -> None:
    with refreshing(place) as sidecar:
        assert resource.prlimit(sidecar.process.pid, resource.RLIMIT_CORE) == (0, 0)


def test_unselected_namespace_secret_deleted_after_linger(place: Place) -> None:
    place.configure(pull_secret={"linger": 1})
    api = place.api
    with refreshing(place):
        publish(api, "team")
        publish(api, "other")
        api.label("team", None)
        wait_until(lambda: "team" not in api.secrets)
        assert [asked.method for asked in api.writes("team")] == ["PATCH", "PATCH", "DELETE"]
        marked, deleted = api.writes("team")[1:]
        assert marked.body is not None
        assert DESELECTED_ANNOTATION in marked.body["metadata"]["annotations"]
        assert deleted.at - marked.at > 0.01  # what is written down is the second that has begun
        wait_until(lambda: api.reasons("team") == ["PullSecretRemovalScheduled", "PullSecretRemoved"])
        publish(api, "team")
        assert [asked.method for asked in api.writes("other")] == ["PATCH"]


def test_linger_expired_before_start_kept_except_once(place: Place) -> None:
    api = place.api
    api.label("team", None)
    api.put("team", ours=True, **{DESELECTED_ANNOTATION: format_rfc3339(time.time() - 7 * 86_400)})
    with refreshing(place) as sidecar:
        # A machine that comes up may have its clock set yet.
        settle(api)
        assert "team" in api.secrets
        sidecar.stop()
    assert run(place, "--once").returncode == 0
    assert "team" not in api.secrets


def test_tenant_secret_unselected_namespace_not_filled(place: Place) -> None:
    """Neither the one that is there when the sidecar comes up, nor the one that comes, nor by a single pass."""
    place.configure(pull_secret={"linger": 2})
    api = place.api
    api.label("early", None)
    api.put("early", ours=True)
    api.label("late", "false")
    api.label("team")
    with refreshing(place) as sidecar:
        wait_until(published(api, "team"))
        api.put("late", ours=True)
        for name in ("early", "late"):
            wait_until(partial(api.annotation, name, DESELECTED_ANNOTATION))
            assert api.secrets[name]["data"] == {".dockerconfigjson": FOREIGN}
        place.set_password(f"{PASSWORD}-new")
        wait_until(published(api, "team", f"{PASSWORD}-new"))
        sidecar.stop()
    assert run(place, "--once").returncode == 0
    patches = [one for name in ("early", "late") for one in api.writes(name) if one.method == "PATCH"]
    assert {one.body["data"][".dockerconfigjson"] for one in patches if one.body} == {FOREIGN}


def test_restart_provider_failing_tenant_content_not_spread(place: Place) -> None:
    """Whoever owns most namespaces that are looked at does not decide what stands in the others."""
    api = place.api
    tenants, others = ("a-1", "a-2", "a-3"), ("team", "z")
    for name in (*tenants, *others):
        api.label(name)
    with refreshing(place) as sidecar:
        for name in (*tenants, *others):
            wait_until(published(api, name))
        sidecar.stop()
    for name in tenants:
        api.edit(name)
    (place.folder / "password").unlink()
    with refreshing(place, "again") as sidecar:
        wait_until(lambda: "credential refresh failed outcome=provider" in sidecar.log)
        settle(api)
        assert all(published(api, name)() for name in others)
        # What one of them deletes comes back, and a new password reaches all.
        api.remove("team")
        wait_until(lambda: "team" in api.secrets)
        place.set_password(f"{PASSWORD}-new")
        for name in (*tenants, *others):
            wait_until(published(api, name, f"{PASSWORD}-new"))


def test_linger_tenant_removes_mark_not_prolonged(place: Place) -> None:
    place.configure(pull_secret={"linger": 3})
    api = place.api
    with refreshing(place):
        publish(api, "team")
        api.label("team", None)
        wait_until(lambda: api.annotation("team", DESELECTED_ANNOTATION))
        marked = time.monotonic()
        while "team" in api.secrets and time.monotonic() < marked + 30:
            api.annotate("team", **{DESELECTED_ANNOTATION: ""})
            time.sleep(0.3)
        assert "team" not in api.secrets


def test_configuration_reload_valid_applied_invalid_ignored(place: Place) -> None:
    api = place.api
    for name in ("team", "other"):
        api.label(name)
    with refreshing(place) as sidecar:
        for name in ("team", "other"):
            wait_until(published(api, name))
        assert sidecar.metric("configuration_last_reload_successful") == 1
        assert sidecar.metric("credential_refresh_interval_seconds") == RegistrySettings().token_ttl
        place.write("config.yaml", f"webhook: {{nonsense: 1, credential: {{file: {PASSWORD}}}}}\n")
        wait_until(lambda: "configuration reload failed, keeping previous configuration" in sidecar.log)
        assert sidecar.metric("configuration_last_reload_successful") == 0
        assert ("configuration-invalid", None) in sidecar.warnings()
        wait_until(lambda: api.reasons("registry-webhook") == ["ConfigurationInvalid"])
        (event,) = (event for event in api.events if event["reason"] == "ConfigurationInvalid")
        assert (event["type"], event["regarding"]["kind"]) == ("Warning", "Lease")
        assert "webhook.nonsense" in event["note"]
        assert PASSWORD not in event["note"]
        api.edit("team")
        wait_until(published(api, "team"), SOON)
        (place.folder / "config.yaml").unlink()
        wait_until(lambda: sidecar.log.count("configuration reload failed") == 2)
        # The credential cannot be read any more: the last good one outlives the change.
        (place.folder / "password").unlink()
        place.configure(namespaces={"deny": ["other"]})
        wait_until(lambda: "other" not in api.secrets)
        wait_until(lambda: ("configuration-invalid", None) not in sidecar.warnings())
        publish(api, "new")
        settle(api)
        assert len(api.writes("team")) == 2
        api.edit("team")
        wait_until(published(api, "team"), SOON)
        assert [asked.method for asked in api.writes("other")] == ["PATCH", "DELETE"]
        assert sidecar.probe("/healthz") == (200, "ok\n")
        assert sidecar.metric("leading") == 1


def test_stop_quick_and_successor_writes_nothing(place: Place) -> None:
    api = place.api
    names = [f"team-{number}" for number in range(10)]
    for name in names:
        api.label(name)
    with refreshing(place, "first.log") as sidecar:
        for name in names:
            wait_until(published(api, name))
        assert well(sidecar)
        assert sidecar.probe("/nowhere")[0] == 404
        took = sidecar.stop()
        print(f"stopped in {took:.2f} s")  # noqa: T201 - a figure to look at: pytest -rP
        assert took < SOON
    assert api.holder is None
    assert len(api.writes()) == len(names)
    with refreshing(place, "second.log") as sidecar:
        wait_until(lambda: sidecar.metric("leading") == 1, SOON)
        wait_until(lambda: sidecar.metric("refreshes_total", "published") == 1)
        settle(api)
        assert len(api.writes()) == len(names) + 1
        # One that cannot reach the API server any more stops as soon.
        api.close()
        assert sidecar.stop() < SOON


def second(place: Place, folder: Path) -> Place:
    """Make a second replica's folder, with a password of its own."""
    folder.mkdir()
    for name in ("kubeconfig", "config.yaml"):
        shutil.copy(place.folder / name, folder)
    other = place._replace(folder=folder)
    other.set_password(f"{PASSWORD}-of-the-other")
    return other


def test_replicas_leader_killed_other_takes_over(place: Place, tmp_path: Path) -> None:
    api = place.api
    other = second(place, tmp_path / "other")
    with refreshing(place) as first:
        wait_until(lambda: first.metric("leading") == 1)
        with refreshing(other) as follower:
            wait_until(lambda: (lease := follower.state().lease) and lease.holder and not lease.leading)
            wait_until(lambda: follower.probe("/readyz")[0] == 200)
            publish(api, "team")
            api.remove("team")
            wait_until(published(api, "team"))
            for number in range(20):
                publish(api, f"team-{number}")
                assert published(api, "team")()
            assert len(api.writes("team")) == 2
            assert follower.metric("leading") == 0
            killed = time.monotonic()
            first.process.kill()
            wait_until(published(api, "team", f"{PASSWORD}-of-the-other"))
            took = time.monotonic() - killed
            print(f"taken over in {took:.1f} s")  # noqa: T201
            assert 5 < took < 20
            assert len(api.writes("team")) == 3
            assert follower.metric("leading") == 1


def well(sidecar: Sidecar) -> bool:
    """Tell whether it says that it has nothing to complain of."""
    wait_until(lambda: sidecar.probe("/readyz")[0] == 200)
    state = sidecar.state()
    assert state.lease
    assert state.last_refresh
    assert (state.last_refresh.result, state.last_refresh.code) == ("success", "published")
    return state.ready and state.lease.leading and not state.warnings
