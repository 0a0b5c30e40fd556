"""`cleanup`, with a fake API server that fails as a real one cannot be made to."""

import json
import re
import subprocess
from collections.abc import Callable

import pytest

from tests.support.fake_api_server import BROKEN, GONE, HTML, METADATA, SECRET, Answer, ApiServer, Asked, status
from tests.support.refresher_fixtures import pair, place
from tests.support.refresher_process import PASSWORD, Place
from webhook.cli.cleanup import holder_of
from webhook.kube.api import HeldLease
from webhook.kube.objects import LeaseSpec

_Run = Callable[..., "subprocess.CompletedProcess[str]"]

_FORBIDDEN = status(403, "Forbidden", 'User "eve" cannot delete resource "secrets" in the namespace "team-1"')
_CONFLICT = status(409, "Conflict", "the object has been modified")


#: The fixtures that are the same there.
__all__ = ["pair", "place"]


@pytest.fixture
def api(place: Place) -> ApiServer:
    """The API server, with three pull secrets of ours and one that is somebody's own."""
    for number in range(3):
        place.api.put(f"team-{number}", ours=True)
    place.api.put("theirs", ours=False)
    return place.api


@pytest.fixture
def cleanup(place: Place, call: _Run) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Give a function that runs the command; nothing that it says holds a credential, and it reads none."""

    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        done = call("cleanup", "--kubeconfig=kubeconfig", *words)
        said = done.stdout + done.stderr
        assert PASSWORD not in said
        asked = [one for one in place.api.asked if "/secrets" in one.path]
        assert all(one.accept.startswith(METADATA) for one in asked)
        return done

    return run


_Cleanup = Callable[..., "subprocess.CompletedProcess[str]"]


def _deleting(namespace: str) -> Callable[[Asked], bool]:
    return lambda asked: asked.method == "DELETE" and asked.namespace == namespace


def _first(about: Callable[[Asked], bool]) -> Callable[[Asked], bool]:
    """Be about the first of these requests alone."""
    seen: list[Asked] = []

    def holds(asked: Asked) -> bool:
        if about(asked):
            seen.append(asked)
        return seen == [asked]

    return holds


def _named(done: "subprocess.CompletedProcess[str]") -> list[str]:
    """Give the namespaces of the lines on a Secret."""
    return re.findall(rf"^Secret (.*)/{SECRET}: ", done.stdout, re.MULTILINE)


def _counts(done: "subprocess.CompletedProcess[str]") -> list[str]:
    """Return the numbers in the last line: of those that were deleted, and of those that are left."""
    return re.findall(r"\d+", done.stdout.splitlines()[-1])


_TEAMS = ["team-0", "team-1", "team-2"]


def test_cleanup_deletes_only_managed_secrets(api: ApiServer, cleanup: _Cleanup) -> None:
    done = cleanup()
    assert (done.returncode, done.stderr) == (0, "")
    assert (_named(done), _counts(done)) == (_TEAMS, ["3", "0"])
    assert set(api.secrets) == {"theirs"}


def test_cleanup_no_secrets_exit_0(place: Place, run: _Run) -> None:
    """As a process of its own, as a user calls it."""
    assert place.api.url
    done = run("cleanup", "--kubeconfig=kubeconfig")
    assert (done.returncode, done.stderr, _counts(done)) == (0, "", ["0", "0"])
    assert done.stdout.count("\n") == 1


def test_cleanup_label_removed_recognized_by_manager(api: ApiServer, cleanup: _Cleanup) -> None:
    managers = [{"manager": "kubectl", "operation": "Update"}]
    api.secrets["theirs"]["metadata"]["managedFields"] = managers
    applied = {"manager": "registry-webhook-refresher", "operation": "Apply"}
    api.secrets["team-1"]["metadata"] |= {"labels": {}, "managedFields": [*managers, applied]}
    assert cleanup().returncode == 0
    assert set(api.secrets) == {"theirs"}


def test_cleanup_other_installation_secrets_kept(api: ApiServer, cleanup: _Cleanup) -> None:
    """Unless its namespace does not exist any more."""
    for team, installation in (("team-0", "acme"), ("team-1", "registry-webhook"), ("team-2", "gone")):
        api.secrets[team]["metadata"]["labels"]["registry-webhook/installation"] = installation
    api.label("acme")
    done = cleanup()
    assert (done.returncode, _named(done)) == (0, ["team-1", "team-2"])
    assert done.stdout.splitlines()[-1] == "pull secrets of the installation in namespace acme: kept"
    assert set(api.secrets) == {"theirs", "team-0"}


def test_cleanup_dry_run_deletes_nothing(api: ApiServer, cleanup: _Cleanup) -> None:
    done = cleanup("--dry-run")
    assert (done.returncode, done.stderr) == (0, "")
    assert (_named(done), _counts(done)) == (_TEAMS, ["3"])
    assert len(api.secrets) == 4
    assert {asked.method for asked in api.asked if "dryRun" not in asked.query} == {"GET"}


def test_cleanup_page_expired_lists_again(api: ApiServer, cleanup: _Cleanup) -> None:
    api.page = 2
    with api.failing(_first(lambda asked: "continue" in asked.query), GONE) as fault:
        assert cleanup().returncode == 0
    assert fault.met == 1
    assert set(api.secrets) == {"theirs"}


@pytest.mark.parametrize("answer", [_CONFLICT, BROKEN])
def test_cleanup_secret_changed_read_again(api: ApiServer, cleanup: _Cleanup, answer: object) -> None:
    with api.failing(_first(_deleting("team-1")), answer):  # type: ignore[arg-type]
        done = cleanup()
    assert done.returncode == 0, done.stdout
    assert set(api.secrets) == {"theirs"}
    assert (_named(done)[-1], _counts(done)) == ("team-1", ["3", "0"])


def test_cleanup_secret_replaced_by_foreign_kept(api: ApiServer, cleanup: _Cleanup) -> None:
    """Somebody replaces the Secret by one of their own between the list and the deletion."""

    def replaced(asked: Asked) -> bool:
        if _deleting("team-1")(asked) and asked.body == before:
            api.put("team-1", ours=False)
        return False

    uid = api.secrets["team-1"]["metadata"]
    wanted = {"uid": uid["uid"], "resourceVersion": uid["resourceVersion"]}
    before = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": wanted}
    with api.failing(replaced, None):
        assert cleanup().returncode == 0
    assert set(api.secrets) == {"theirs", "team-1"}


def test_cleanup_permission_missing_others_deleted(api: ApiServer, cleanup: _Cleanup) -> None:
    with api.failing(_deleting("team-1"), _FORBIDDEN) as fault:
        done = cleanup()
    assert done.returncode == 1
    assert fault.met == 1
    said = done.stdout.splitlines()[-2]
    assert said.startswith(f"Secret team-1/{SECRET}: not deleted: ")
    assert said.endswith('User "eve" cannot delete resource "secrets" in the namespace "team-1" (403)')
    assert _counts(done) == ["2", "1"]


def test_cleanup_secret_always_changing_reported(api: ApiServer, cleanup: _Cleanup) -> None:
    with api.failing(_deleting("team-1"), _CONFLICT) as fault:
        done = cleanup()
    assert done.returncode == 1
    assert fault.met == 5
    assert re.search(f"^Secret team-1/{SECRET}: not deleted: .*the object has been modified", done.stdout, re.MULTILINE)
    assert _counts(done) == ["2", "1"]


def test_cleanup_secret_recreated_reported(api: ApiServer, cleanup: _Cleanup) -> None:
    def again(asked: Asked) -> bool:
        if asked.path == "/api/v1/secrets" and "team-1" not in api.secrets:
            api.put("team-1", ours=True)
        return False

    with api.failing(again, None):
        done = cleanup()
    assert done.returncode == 1
    assert _named(done)[-1] == "team-1"
    assert _counts(done)[-1] == "1"


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (status(403, "Forbidden", "no right"), "no right (403)"),
        (status(401, "Unauthorized", "Unauthorized"), "rejected the credentials (401)"),
        (HTML, ""),
        (BROKEN, "etcdserver: leader changed (500)"),
        (GONE, "too old resource version (410)"),
    ],
)
def test_cleanup_list_failing_one_line(api: ApiServer, cleanup: _Cleanup, answer: object, problem: str) -> None:
    with api.failing(lambda asked: asked.path == "/api/v1/secrets", answer):  # type: ignore[arg-type]
        done = cleanup()
    assert (done.returncode, done.stdout) == (2, "")
    line, *hints = done.stderr.splitlines()
    assert "Secrets" in line
    assert problem in line
    assert [hint.startswith("hint: ") for hint in hints] in ([], [True])


def test_cleanup_kubeconfig_missing_one_line(cleanup: _Cleanup) -> None:
    done = cleanup("--kubeconfig=gone")
    assert (done.returncode, done.stdout) == (2, "")
    line, hint = done.stderr.splitlines()
    assert "gone" in line
    assert "--kubeconfig" in hint


def test_cleanup_refresher_running_refused(api: ApiServer, cleanup: _Cleanup) -> None:
    api.somebody_renews = True
    done = cleanup()
    assert (done.returncode, done.stdout) == (2, "")
    line, hint = done.stderr.splitlines()
    assert "somebody" in line
    assert hint == "hint: registry-webhook cleanup --stop"
    assert len(api.secrets) == 4
    assert cleanup("--dry-run").returncode == 0


def test_cleanup_lease_not_renewed_proceeds(api: ApiServer, cleanup: _Cleanup) -> None:
    spec = {"holderIdentity": "gone", "leaseDurationSeconds": 1, "renewTime": "2099-01-01T00:00:00.000000Z"}
    api.lease = {"metadata": {"name": "registry-webhook-refresher", "resourceVersion": "7"}, "spec": spec}
    assert cleanup().returncode == 0
    assert set(api.secrets) == {"theirs"}


def _hold_lease(api: ApiServer) -> None:
    released = {"holderIdentity": "", "leaseDurationSeconds": 1}
    api.lease = {"metadata": {"name": "registry-webhook-refresher", "resourceVersion": "7"}, "spec": released}


def test_cleanup_deletes_lease_and_certificate(api: ApiServer, cleanup: _Cleanup) -> None:
    own = ("Lease registry-webhook/registry-webhook-refresher", "Secret registry-webhook/registry-webhook-certificate")
    _hold_lease(api)
    api.certificates["registry-webhook-certificate"] = {"metadata": {}, "data": {"ca.key": "x"}}
    dry = cleanup("--dry-run").stdout.splitlines()
    assert dry[:2] == [f"{one}: would be deleted" for one in own]
    assert api.lease
    assert api.certificates
    assert cleanup().stdout.splitlines()[:2] == [f"{one}: deleted" for one in own]
    assert not api.lease
    assert not api.certificates


_ISSUED = "/apis/cert-manager.io/v1/namespaces/registry-webhook/certificates/registry-webhook"


def test_cleanup_deletes_certificate_before_its_secret(api: ApiServer, cleanup: _Cleanup) -> None:
    """Otherwise cert-manager would create the Secret again."""
    api.certificates |= {name: {"metadata": {}} for name in ("webhook-tls", "other")}
    found = Answer(200, json.dumps({"spec": {"secretName": "webhook-tls", "isCA": False}}).encode())
    words = ("--certificate=registry-webhook", "--certificate=gone", "--keep-pull-secrets")
    with api.failing(lambda asked: asked.path == _ISSUED, found):
        dry = cleanup("--dry-run", *words).stdout
        assert api.certificates.keys() == {"webhook-tls", "other"}
        done = cleanup(*words)
    own = ("Certificate registry-webhook/registry-webhook", "Secret registry-webhook/webhook-tls")
    assert dry.splitlines() == [f"{one}: would be deleted" for one in own]
    assert done.stdout.splitlines() == [f"{one}: deleted" for one in own]
    assert api.certificates.keys() == {"other"}
    deleted = [one.path for one in api.asked if one.method == "DELETE" and "dryRun" not in one.query]
    assert deleted.index(_ISSUED) < deleted.index("/api/v1/namespaces/registry-webhook/secrets/webhook-tls")


def test_cleanup_keep_pull_secrets_deletes_the_rest(api: ApiServer, cleanup: _Cleanup) -> None:
    _hold_lease(api)
    done = cleanup("--keep-pull-secrets")
    assert (done.returncode, done.stdout.count("\n")) == (0, 1)
    assert not api.lease
    assert len(api.secrets) == 4


def test_cleanup_in_pod_asks_only_for_named_objects(api: ApiServer, cleanup: _Cleanup) -> None:
    """The requests for which the chart grants its hook permissions."""
    names = {"CONFIGURATION": "acme-registry-webhook", "DEPLOYMENT": "acme-registry-webhook"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in names.items():
            patch.setenv(f"REGISTRY_WEBHOOK_{name}", value)
        done = cleanup("--stop", f"--pull-secret={SECRET}")
    assert (done.returncode, _counts(done)) == (0, ["3", "0"])
    assert "kubectl" not in done.stdout
    asked = [(one.method, one.path.rpartition("/")[2]) for one in api.asked]
    policies = [("DELETE", f"acme-registry-webhook-{one}") for one in ("mutate", "guard")]
    assert asked[:8] == policies * 4
    assert asked[8:10] == [("DELETE", "acme-registry-webhook"), ("PATCH", "scale")]
    assert all(SECRET in one.query["fieldSelector"] for one in api.asked if one.path == "/api/v1/secrets")


def test_cleanup_stop_nothing_installed_exit_0(api: ApiServer, cleanup: _Cleanup) -> None:
    done = cleanup("--stop")
    assert (done.returncode, done.stderr) == (0, "")
    assert "MutatingWebhookConfiguration" not in done.stdout
    assert "kubectl delete --ignore-not-found -k" in done.stdout.splitlines()[-1]
    wrote = [(asked.method, asked.path.rpartition("/")[2]) for asked in api.asked if asked.method != "GET"]
    assert wrote[:2] == [("DELETE", "registry-webhook"), ("PATCH", "scale")]


def test_cleanup_stop_forbidden_nothing_deleted(api: ApiServer, cleanup: _Cleanup) -> None:
    with api.failing(lambda asked: asked.path.endswith("/scale"), _FORBIDDEN):
        done = cleanup("--stop")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert all(value in line for value in ("Deployment registry-webhook/registry-webhook", 'User "eve"', "(403)"))
    assert len(api.secrets) == 4


def _held(version: str, holder: str | None = "one", duration: int | None = 10) -> HeldLease:
    return HeldLease(LeaseSpec(holder_identity=holder, lease_duration_seconds=duration), version)


@pytest.mark.parametrize(
    ("seen", "holder"),
    [
        ([HeldLease(LeaseSpec(), None)], None),
        ([_held("1", None)], None),
        ([_held("1", "")], None),
        ([_held("1"), _held("1"), _held("2")], "one"),
        ([_held("1"), _held("2", "two")], "two"),
        ([_held("1"), _held("2", "")], None),
        ([*[_held("1", "")] * 5, _held("2", "two")], "two"),
        ([*[_held("1")] * 15, *[_held("2", "")] * 5, _held("3", "two")], "two"),
        ([_held("1"), HeldLease(LeaseSpec(), None)], None),
        ([_held("1")] * 25, None),
        ([*[_held("1")] * 20, _held("2")], "one"),
        ([_held("1", duration=None)] * 40, None),
        ([*[_held("1", duration=None)] * 30, _held("2", duration=None)], "one"),
    ],
)
def test_holder_of_only_renewed_lease_held(seen: list[HeldLease], holder: str | None) -> None:
    now = [0.0]
    answers = iter([*seen, *[seen[-1]] * 100])

    def sleep(seconds: float) -> None:
        now[0] += seconds

    assert holder_of(lambda: next(answers), lambda: now[0], sleep) == holder
