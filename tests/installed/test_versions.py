"""What every supported version of Kubernetes must do: the life of an installation, and generated policies or a refusal.

On the newest version the other files test all of it in more detail; `.ci/pytest versions` runs this one on older ones.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import node
from tests.e2e.cluster import Cluster, Manifest, eventually
from tests.e2e.installation import cleanup
from tests.e2e.pods import IMAGE, REWRITTEN, becomes, images, pod
from tests.e2e.program import program
from tests.e2e.refresher import has_password, new_password, selected_namespace
from tests.e2e.registry import Registry
from tests.e2e.service_account import acting, pull_secret, write_kubeconfig
from webhook.constants import CERTIFICATE, DEFAULT_NAMESPACE, ENABLED_LABEL, PROGRAM, REFRESHER
from webhook.kubernetes_version import POLICY_GUARD, POLICY_MUTATE

from .conftest import written
from .installation import CERTIFICATE_SECRET, CONFIGURATION, LEAVING, Installation, Variant
from .release import Release, needs_helm

#: The release, and its namespace.
_RELEASE, _NAMESPACE = "acme", "registry-webhook-e2e-release"
_CREDENTIAL = f"secret/{PROGRAM}-credential"
#: A CA is only replaced when API servers have had the time to load the one before.
_QUICK = {"certificate": {"overlap": 6}}
#: A password that changes reaches a mounted Secret when the kubelet syncs, and a refresh follows.
_TAKEN_UP = 150.0


@pytest.fixture(scope="module")
def life(
    image: str, registry: Registry, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """Apply an installation as it ships; it is removed by the last test, or here if a test failed."""
    with written(cluster, registry, tmp_path_factory.mktemp("life"), image, Variant(settings=_QUICK)) as installation:
        installation.apply()
        installation.wait()
        yield installation


@pytest.fixture(scope="module")
def labelled(life: Installation) -> Iterator[str]:
    """Make a namespace that is opted in, and wait for its pull secret."""
    name = selected_namespace(life.cluster)
    yield name
    life.cluster.run("delete", "namespace", name, "--wait=false")


def test_version_install_accepted_without_warnings(life: Installation) -> None:
    assert len(life.pods()) == 2
    assert life.apply("--dry-run=server", "--validate=strict").warnings == []
    assert life.diff() == ""


def test_version_pod_rewritten_and_runs(life: Installation, labelled: str) -> None:
    node.runs(life.cluster, labelled, node.written("app", secret=False))


@pytest.mark.usefixtures("labelled")
def test_version_doctor_finds_no_problem() -> None:
    ran = program("doctor", "--output=json")
    assert ran.status == 0, ran.stdout
    problems = {one["code"] for one in json.loads(ran.stdout)["findings"] if one["mark"] != "ok"}
    # The refresher may not have the registry's CA.
    assert problems <= {"RW-CREDENTIAL-UNTRUSTED", "RW-CREDENTIAL-UNCHECKED"}


def test_version_account_limited_by_guard(life: Installation, labelled: str, tmp_path: Path) -> None:
    """A pull secret that is none: the token of another ServiceAccount."""
    cluster = life.cluster
    account = acting(write_kubeconfig(cluster, DEFAULT_NAMESPACE, PROGRAM, tmp_path / "kubeconfig"))
    secret = pull_secret(annotations={"kubernetes.io/service-account.name": "generic-garbage-collector"})
    secret |= {"type": "kubernetes.io/service-account-token", "data": {}}
    apply = ("apply", "--server-side", f"--field-manager={REFRESHER}", "--force-conflicts", "--filename=-")
    for namespace in ("kube-system", labelled):
        ran = account.run(*apply, "--namespace", namespace, stdin=secret)
        assert ran.status
        assert f"ValidatingAdmissionPolicy '{PROGRAM}-" in ran.stderr or "type: Invalid" in ran.stderr
    assert not cluster.exists("kube-system", "secret/registry-webhook-pull")


def test_version_password_changed_pod_runs(life: Installation, labelled: str, registry: Registry) -> None:
    password = new_password()
    registry.admit(life.credential[0], password)
    patch = {"stringData": {"password": password}}
    words = ("patch", _CREDENTIAL, "--namespace", DEFAULT_NAMESPACE, f"--patch={json.dumps(patch)}")
    life.cluster.kubectl(*words)
    has_password(life.cluster, labelled, password, _TAKEN_UP)
    node.runs(life.cluster, labelled, node.written("after", secret=False))


def test_version_certificate_rotated_still_rewritten(life: Installation, labelled: str) -> None:
    before = life.bundle()
    life.cluster.kubectl("delete", CERTIFICATE_SECRET, "--namespace", DEFAULT_NAMESPACE)
    eventually("a new CA is trusted", lambda: life.bundle() not in {b"", before}, 60.0)
    eventually("Pods are rewritten", lambda: becomes(life.cluster, labelled) == REWRITTEN, 60.0)


@pytest.mark.parametrize(("which", "needed"), [("guard", POLICY_GUARD), ("mutate", POLICY_MUTATE)])
def test_version_policy_works_or_is_refused(life: Installation, which: str, needed: tuple[int, int]) -> None:
    cluster, minor = life.cluster, life.cluster.minor_version()
    ran = program("policy", which, "--from-cluster", "--output=json")
    if (1, minor) < needed:
        assert (ran.status, ran.stdout) == (2, "")
        error, hint = ran.stderr.splitlines()
        assert error.startswith(f"error: policy {which} requires Kubernetes {needed} or newer, not 1.{minor}")
        assert hint.startswith("hint: ")
        # And the refusal is right: the API server does not store the policy.
        ran = program("policy", which, "--from-cluster", f"--kubernetes-version={needed}", "--output=json")
        policy, _ = json.loads(ran.stdout)["items"]
        assert cluster.run("apply", "--server-side", "--filename=-", stdin=policy).status
        return
    objects: Manifest = json.loads(ran.stdout)
    try:
        cluster.kubectl("apply", "--server-side", "--filename=-", stdin=objects)
        if which == "guard":
            # What the webhook rewrites passes it.
            namespace = cluster.make_namespace({ENABLED_LABEL: "true"})
            eventually("Pods are rewritten", lambda: becomes(cluster, namespace) == REWRITTEN)
            cluster.kubectl("delete", CONFIGURATION)
        else:
            cluster.kubectl("delete", CONFIGURATION)
            namespace = cluster.make_namespace({ENABLED_LABEL: "true"})
        create = ("create", "--dry-run=server", "--namespace", namespace, "--filename=-", "--output=json")

        def works() -> bool:
            ran = cluster.run(*create, stdin=pod("asked", app=IMAGE))
            if which == "guard":
                return "ValidatingAdmissionPolicy 'registry-webhook-guard'" in ran.stderr
            return ran.status == 0 and images(ran.manifest)["app"] == REWRITTEN

        eventually("the policy works without the webhook", works)
        cluster.run("delete", "namespace", namespace, "--wait=false")
    finally:
        cluster.kubectl("delete", "--ignore-not-found", "--filename=-", stdin=objects)
        life.apply()
        eventually("the webhook has its bundle again", life.bundle)


def test_version_removal_leaves_nothing(life: Installation) -> None:
    ran = cleanup("--stop")
    assert ran.status == 0, ran.stdout + ran.stderr
    life.delete()
    eventually("nothing is left", lambda: not life.left(), LEAVING)
    assert life.pull_secrets() == []
    secrets = life.cluster.kubectl("get", "secrets", "--all-namespaces", "--output=name").stdout
    assert not {name for name in secrets.split() if PROGRAM in name or CERTIFICATE in name}


@pytest.fixture(scope="module")
def release(image: str, registry: Registry, cluster: Cluster) -> Iterator[Release]:
    """Give a release that is not installed yet; what is left of it is removed at the end."""
    needs_helm()
    cluster.expect_no_namespace(_NAMESPACE)
    release = Release(cluster, image, registry.admit_new(_RELEASE), _RELEASE, _NAMESPACE)
    try:
        yield release
    finally:
        release.remove()
        cleanup(f"--installation-namespace={_NAMESPACE}")


def test_version_release_installed_pod_runs(release: Release, cluster: Cluster) -> None:
    release.upgrade()
    namespace = selected_namespace(cluster)
    node.runs(cluster, namespace, node.written("app", secret=False))
    cluster.run("delete", "namespace", namespace, "--wait=false")


@pytest.mark.parametrize(("which", "needed"), [("guard", POLICY_GUARD), ("mutate", POLICY_MUTATE)])
def test_version_release_policy_accepted_or_refused(
    release: Release, cluster: Cluster, which: str, needed: tuple[int, int]
) -> None:
    words = ("--from-cluster", f"--installation-namespace={_NAMESPACE}", f"--kubernetes-version={needed}")
    ran = release.try_upgrade(policies={which: program("policy", which, *words).stdout})
    if (1, cluster.minor_version()) < needed:
        assert (
            f"policies.{which} requires Kubernetes {needed} or newer, not v1.{cluster.minor_version()}." in ran.stderr
        )
        assert ran.status
    else:
        assert ran.status == 0, ran.stderr


def test_version_release_uninstalled(release: Release) -> None:
    ran = release.uninstall("--wait")
    assert ran.status == 0, ran.stderr
    eventually("nothing is left", lambda: not release.left(), LEAVING)
