"""The life of a Helm release under load: no Pod is refused or missed, and nothing is left."""

import base64
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.e2e import node
from tests.e2e.cert_manager import certificate_kinds
from tests.e2e.cluster import Cluster, eventually
from tests.e2e.program import program
from tests.e2e.refresher import published, selected_namespace
from tests.e2e.registry import Registry
from webhook.constants import DEFAULT_NAMESPACE, PROGRAM
from webhook.kube.client import Client
from webhook.pki import ca

from .installation import LEAVING
from .load import making_pods
from .release import CHART, Release, earlier_version, needs_helm, policy_text

_Figure = Callable[[str, object], None]

_OTHER = "registry-webhook-e2e-helm"
#: Pods a second: enough to see a gap.
_RATE = 20.0
_FAIL_CLOSED: dict[str, Any] = {"failClosed": {"enabled": True}}
#: How long a hook may take whose image does not exist.
_HOOK = {"cleanup": {"timeoutSeconds": 10}}


@pytest.fixture(scope="module")
def release(
    image: str, registry: Registry, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Release]:
    """Install the version before this one from nothing, with the names that the documentation has."""
    needs_helm()
    release = Release(cluster, image, registry.admit_new(PROGRAM), PROGRAM, DEFAULT_NAMESPACE)
    try:
        release.upgrade(chart=earlier_version(tmp_path_factory.mktemp("before")))
        yield release
    finally:
        release.remove()


@pytest.fixture(scope="module")
def served(release: Release) -> str:
    """Make a namespace that is opted in, and wait for its pull secret."""
    return selected_namespace(release.cluster)


@pytest.fixture(scope="module")
def fail_closed(release: Release, served: str, api: Client, tmp_path_factory: pytest.TempPathFactory) -> Release:
    """Make it fail-closed, still in the version before, while Pods are made."""
    with making_pods([api], served) as load:
        release.upgrade(chart=earlier_version(tmp_path_factory.mktemp("closed")), **_FAIL_CLOSED)
    load.taken().all_rewritten()
    assert release.webhook()["webhooks"][0]["failurePolicy"] == "Fail"
    return release


def test_release_installed_pod_runs(release: Release, served: str) -> None:
    node.runs(release.cluster, served, node.written("app", secret=False))
    release.succeed("test", release.name, "--timeout=60s")
    assert release.kept_by_refresher()[1][0]["name"] == DEFAULT_NAMESPACE


def test_release_upgraded_no_pod_missed(fail_closed: Release, served: str, api: Client, figure: _Figure) -> None:
    """To another version of the chart, other settings and more replicas."""
    before, kept = fail_closed.pods(), fail_closed.kept_by_refresher()
    with making_pods([api], served) as load:
        fail_closed.upgrade(replicas=3, config={"webhook": {"log_level": "warning"}}, **_FAIL_CLOSED)
    figure("helm upgrade, fail-closed", load.taken().all_rewritten())
    assert len(fail_closed.pods()) == 3
    assert not before & fail_closed.pods()
    assert fail_closed.kept_by_refresher() == kept


@pytest.mark.parametrize("options", [("--server-side=true",), ("--server-side=false",)])
def test_release_rolled_back_no_pod_missed(
    fail_closed: Release, served: str, api: Client, figure: _Figure, options: tuple[str, ...]
) -> None:
    """To the version before, and once more to the newer one, by helm's two ways to apply."""
    if "--server-side" not in fail_closed.helm("rollback", "--help").stdout:
        options = ()
    before, kept = fail_closed.pods(), fail_closed.kept_by_refresher()
    revision = max(
        2, int(json.loads(fail_closed.succeed("history", fail_closed.name, "--output=json").stdout)[-1]["revision"]) - 1
    )
    with making_pods([api], served) as load:
        fail_closed.rollback(revision, *options)
    figure(f"helm rollback {' '.join(options)}, fail-closed", load.taken().all_rewritten())
    assert not before & fail_closed.pods()
    assert fail_closed.kept_by_refresher() == kept


def test_values_turned_on_and_off_leave_nothing(fail_closed: Release) -> None:
    """A client-side apply, as Helm 3 does, and then a server-side one."""
    client = ca.create_ca("clients", datetime.now(UTC), timedelta(days=1)).certificate.decode()
    data = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "clients"}, "data": {"ca.crt": client}}
    fail_closed.cluster.create(fail_closed.namespace, data)
    fail_closed.upgrade()
    before, kept = fail_closed.state(), fail_closed.kept_by_refresher()
    options = ("--server-side=false",) if "--server-side" in fail_closed.helm("upgrade", "--help").stdout else ()
    fail_closed.upgrade(
        *options,
        clusterWide={"enabled": True},
        podOptOut={"enabled": False},
        mutualTLS={"enabled": True, "configMap": "clients"},
        autoscaling={"enabled": True},
        networkPolicy={"enabled": True},
        reader={"enabled": True},
        policies={"guard": _guard(fail_closed, "Audit")},
    )
    changed = fail_closed.state()
    assert {"HorizontalPodAutoscaler", "NetworkPolicy"} <= {
        name.partition("/")[0] for name in changed.keys() - before.keys()
    }
    assert len(changed["ValidatingAdmissionPolicyBinding/registry-webhook-guard"]["spec"]["validationActions"]) == 1
    assert fail_closed.kept_by_refresher() == kept
    fail_closed.upgrade()
    assert fail_closed.state() == before
    fail_closed.cluster.kubectl("delete", "configmap/clients", "--namespace", fail_closed.namespace)


def _guard(release: Release, action: str) -> str:
    """Generate the policy that refuses what was not rewritten, for a release."""
    words = ("--from-cluster", f"--installation-namespace={release.namespace}", f"--action={action}", "--output=json")
    made = program("policy", "guard", *words)
    assert made.status == 0, made.stderr
    return policy_text(made.stdout)


def test_second_release_beside_it(  # noqa: PLR0913, PLR0917 - fixtures
    fail_closed: Release, served: str, api: Client, image: str, registry: Registry, figure: _Figure
) -> None:
    """One with its own name, namespace, pull secret and mode comes and goes, and the first one is not touched."""
    cluster = fail_closed.cluster
    other = Release(cluster, image, registry.admit_new("acme"), "acme", _OTHER)
    wide = cluster.make_namespace({})
    denied = [served, fail_closed.namespace, "default"]
    before = fail_closed.state()

    def has(name: str) -> bool:
        return cluster.exists(wide, f"secret/{name}")

    try:
        with making_pods([api], served, _RATE) as load:
            other.upgrade(
                clusterWide={"enabled": True, "denyNamespaces": denied},
                config={"webhook": {"pull_secret": {"name": "acme-pull"}}},
                **_FAIL_CLOSED,
            )
            eventually("there is a pull secret", lambda: has("acme-pull"))
            assert not has("registry-webhook-pull")
            assert not cluster.exists(served, "secret/acme-pull")
            with making_pods([api], wide, _RATE) as elsewhere:
                ran = other.uninstall()
                assert ran.status == 0, ran.stderr
                eventually("nothing is left", lambda: not other.left(), LEAVING)
        load.taken().all_rewritten()
        figure("helm uninstall of one of two releases, cluster-wide and fail-closed", elsewhere.taken().all_made())
    finally:
        other.remove()
    assert fail_closed.state() == before
    assert published(cluster, served)


@pytest.mark.parametrize(
    ("name", "namespace", "problem"),
    [
        ("other", DEFAULT_NAMESPACE, f"the namespace {DEFAULT_NAMESPACE} already has an installation, {PROGRAM}; "),
        (PROGRAM, _OTHER, f"an installation in the namespace {DEFAULT_NAMESPACE} has the name {PROGRAM}; "),
    ],
)
def test_release_in_the_way_of_another_refused(fail_closed: Release, name: str, namespace: str, problem: str) -> None:
    before = fail_closed.state()
    ran = Release(fail_closed.cluster, "any:1", ("myuser", "any"), name, namespace).try_upgrade("--take-ownership")
    assert ran.status
    assert problem in ran.stderr
    assert fail_closed.state() == before


def test_release_uninstalled_nothing_left(fail_closed: Release, served: str, api: Client, figure: _Figure) -> None:
    """With a policy that refuses every image that was not rewritten."""
    values = dict(_FAIL_CLOSED)
    if fail_closed.cluster.minor_version() >= 33:
        values["policies"] = {"guard": _guard(fail_closed, "Deny")}
    fail_closed.upgrade(**values)
    assert {*fail_closed.own()} <= {*fail_closed.left()}
    with making_pods([api], served) as load:
        ran = fail_closed.uninstall()
        assert ran.status == 0, ran.stdout + ran.stderr
        eventually("nothing is left", lambda: not fail_closed.left(), LEAVING)
    figure("helm uninstall, fail-closed", load.taken().all_made())
    assert not published(fail_closed.cluster, served)


def test_uninstall_deletes_what_cert_manager_keeps(fail_closed: Release) -> None:
    """In cert-manager's place the test creates the Secrets. Another one of their type stays."""
    cluster, namespace = fail_closed.cluster, fail_closed.namespace
    moment, day = datetime.now(UTC), timedelta(days=1)
    pair = ca.sign(ca.create_ca("issuer", moment, day), ["any.example.com"], moment, day)
    data = {
        name: base64.b64encode(part).decode() for name, part in (("tls.crt", pair.certificate), ("tls.key", pair.key))
    }
    names = [f"{PROGRAM}-tls", f"{PROGRAM}-ca", "other-tls"]
    with certificate_kinds(cluster):
        for name in names:
            secret = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"name": name}}
            cluster.create(namespace, {**secret, "data": data})
        fail_closed.upgrade(certificates={"mode": "cert-manager"})
        ran = fail_closed.uninstall()
        assert ran.status == 0, ran.stdout + ran.stderr
        eventually("the rest is gone", lambda: fail_closed.left() == ["secret/other-tls"], LEAVING)
        assert cluster.items(namespace, "certificates") == []
        cluster.kubectl("delete", "secret/other-tls", "--namespace", namespace)


def test_uninstall_image_gone_fails_soon_and_works_without_hooks(fail_closed: Release) -> None:
    """The hook cannot start, which must not keep the release for ever."""
    gone = {"repository": "registry.example.com/none", "tag": "gone", "pullPolicy": "Never"}
    fail_closed.succeed("install", fail_closed.name, str(CHART), "--values=-", values={"image": gone, **_HOOK})
    ran = fail_closed.uninstall()
    assert ran.status
    assert f"{PROGRAM}-cleanup" in ran.stderr
    ran = fail_closed.uninstall("--no-hooks")
    assert ran.status == 0, ran.stderr
    job = f"job.batch/{PROGRAM}-cleanup"
    eventually("only the failed Job is left", lambda: {*fail_closed.left()} <= {job, *_job_pods(fail_closed)}, LEAVING)


def _job_pods(release: Release) -> set[str]:
    return {f"pod/{pod['metadata']['name']}" for pod in release.cluster.items(release.namespace, "pods")}
