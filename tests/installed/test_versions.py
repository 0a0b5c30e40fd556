"""What every supported version of Kubernetes must do: the life of an installation, and generated policies or a refusal.

On the newest version the other files test all of it in more detail; `.ci/pytest versions` runs this one on older ones.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import node
from tests.e2e.cluster import Cluster, Manifest, Ran, eventually
from tests.e2e.installation import cleanup
from tests.e2e.pods import IMAGE, REWRITTEN, SERVER, images, pod
from tests.e2e.program import program
from tests.e2e.refresher import has_password, new_password, published
from tests.e2e.registry import Registry
from tests.e2e.service_account import acting, pull_secret
from webhook.constants import CERTIFICATE, DEFAULT_NAMESPACE, ENABLED_LABEL, PROGRAM, REFRESHER
from webhook.kubernetes_version import POLICY_GUARD, POLICY_MUTATE

from .conftest import gone_at_once
from .installation import CERTIFICATE_SECRET, CONFIGURATION, DEPLOYMENT, LEAVING, ROLLOUT, Installation, Variant

_CHART = Path(__file__).parents[2] / "manifests" / "helm" / PROGRAM
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
    if cluster.exists("default", f"namespace/{DEFAULT_NAMESPACE}"):
        pytest.fail(f"the cluster has a namespace {DEFAULT_NAMESPACE} already: tests need one that has none")
    credential = (PROGRAM, new_password())
    registry.admit(*credential)
    installation = Installation(cluster, tmp_path_factory.mktemp("life"), image, credential)
    installation.write(Variant(settings=_QUICK))
    try:
        installation.apply()
        installation.wait()
        yield installation
    finally:
        cluster.run("delete", CONFIGURATION, "--ignore-not-found")
        cluster.run("delete", DEPLOYMENT, "--namespace", DEFAULT_NAMESPACE, "--ignore-not-found")
        gone_at_once(installation)
        installation.delete("--wait=false")
        eventually("nothing is left", lambda: not installation.left(), LEAVING)
        cleanup()


@pytest.fixture(scope="module")
def labelled(life: Installation) -> Iterator[str]:
    """Make a namespace that is opted in, and wait for its pull secret."""
    name = life.cluster.make_namespace({ENABLED_LABEL: "true"})
    eventually("there is a pull secret", lambda: published(life.cluster, name))
    yield name
    life.cluster.run("delete", "namespace", name, "--wait=false")


def _becomes(cluster: Cluster, namespace: str) -> str:
    arguments = ("create", "--dry-run=server", "--namespace", namespace, "--filename=-", "--output=json")
    return images(cluster.kubectl(*arguments, stdin=pod("asked", app=IMAGE)).manifest)["app"]


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
    kubeconfig = cluster.kubectl("config", "view", "--raw", "--minify", "--flatten", "--output=json").manifest
    token = cluster.kubectl("create", "token", PROGRAM, f"--namespace={DEFAULT_NAMESPACE}").stdout.strip()
    kubeconfig["users"][0]["user"] = {"token": token}
    file = tmp_path / "kubeconfig"
    file.touch(mode=0o600)
    file.write_text(json.dumps(kubeconfig))
    secret = pull_secret(annotations={"kubernetes.io/service-account.name": "generic-garbage-collector"})
    secret |= {"type": "kubernetes.io/service-account-token", "data": {}}
    apply = ("apply", "--server-side", f"--field-manager={REFRESHER}", "--force-conflicts", "--filename=-")
    for namespace in ("kube-system", labelled):
        ran = acting(file).run(*apply, "--namespace", namespace, stdin=secret)
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
    eventually("Pods are rewritten", lambda: _becomes(life.cluster, labelled) == REWRITTEN, 60.0)


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
            assert _becomes(cluster, namespace) == REWRITTEN
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


def _helm(*words: str) -> Ran:
    done = subprocess.run(
        ["helm", *words, f"--namespace={_NAMESPACE}"],  # noqa: S607
        capture_output=True,
        text=True,
        timeout=ROLLOUT + 60,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def release(
    image: str, registry: Registry, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[str]]:
    """Give the words that install the chart; what is left of it is removed at the end."""
    if shutil.which("helm") is None:
        pytest.skip("needs helm on PATH")
    username, password = _RELEASE, new_password()
    registry.admit(username, password)
    repository, _, tag = image.rpartition(":")
    values = {
        "image": {"repository": repository, "tag": tag},
        "credentials": {"username": username, "password": password},
        "config": {"registry": {"server": SERVER}},
    }
    file = tmp_path_factory.mktemp("release") / "values.yaml"
    file.touch(mode=0o600)
    file.write_text(json.dumps(values))
    timeout = f"--timeout={ROLLOUT:.0f}s"
    try:
        yield [
            "upgrade",
            "--install",
            "--create-namespace",
            "--wait",
            timeout,
            _RELEASE,
            str(_CHART),
            f"--values={file}",
        ]
    finally:
        cluster.run("delete", f"mutatingwebhookconfiguration/{_RELEASE}-{PROGRAM}", "--ignore-not-found")
        _helm("uninstall", _RELEASE, "--ignore-not-found", "--no-hooks")
        cleanup(f"--installation-namespace={_NAMESPACE}")
        cluster.run("delete", "namespace", _NAMESPACE, "--ignore-not-found", "--wait=false")
        eventually("it is gone", lambda: not cluster.exists("default", f"namespace/{_NAMESPACE}"), LEAVING)


def test_version_release_installed_pod_runs(release: list[str], cluster: Cluster) -> None:
    ran = _helm(*release)
    assert ran.status == 0, ran.stderr
    namespace = cluster.make_namespace({ENABLED_LABEL: "true"})
    eventually("there is a pull secret", lambda: published(cluster, namespace))
    node.runs(cluster, namespace, node.written("app", secret=False))
    cluster.run("delete", "namespace", namespace, "--wait=false")


@pytest.mark.parametrize(("which", "needed"), [("guard", POLICY_GUARD), ("mutate", POLICY_MUTATE)])
def test_version_release_policy_accepted_or_refused(
    release: list[str], cluster: Cluster, tmp_path: Path, which: str, needed: tuple[int, int]
) -> None:
    words = ("--from-cluster", f"--installation-namespace={_NAMESPACE}", f"--kubernetes-version={needed}")
    (tmp_path / "policy.yaml").write_text(program("policy", which, *words).stdout)
    ran = _helm(*release, f"--set-file=policies.{which}={tmp_path / 'policy.yaml'}")
    if (1, cluster.minor_version()) < needed:
        assert (
            f"policies.{which} requires Kubernetes {needed} or newer, not v1.{cluster.minor_version()}." in ran.stderr
        )
        assert ran.status
    else:
        assert ran.status == 0, ran.stderr


def test_version_release_uninstalled(release: list[str], cluster: Cluster) -> None:
    assert release
    ran = _helm("uninstall", _RELEASE, "--wait")
    assert ran.status == 0, ran.stderr
    kinds = "mutatingwebhookconfigurations,clusterroles,clusterrolebindings,validatingadmissionpolicies"
    names = cluster.kubectl("get", kinds, "--output=name").stdout.split()
    assert [name for name in names if PROGRAM in name] == []
