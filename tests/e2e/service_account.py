"""The refresher's ServiceAccount in a cluster: namespace, account, guard and permissions as shipped."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from webhook.constants import CERTIFICATE, DEFAULT_NAMESPACE, PROGRAM

from .cluster import Cluster, Manifest, eventually, find_kubectl
from .pods import PULL_SECRET

_CHECKOUT = Path(__file__).parents[2]
_FOLDER = _CHECKOUT / "manifests" / "base"
DEPLOYMENT = _FOLDER / "50-deployment.yaml"

#: As which the sidecar makes Events.
CONTROLLER = f"{PROGRAM}/refresher"

#: In the order in which they are applied. The ServiceAccount has the permissions of all variants.
_MANIFESTS = [
    *(
        _FOLDER / f"{name}.yaml"
        for name in ("00-namespace", "10-serviceaccount", "20-guard", "30-rbac", "40-availability")
    ),
    _CHECKOUT / "certs" / "self-managed" / "70-rbac.yaml",
]


@contextmanager
def granted(cluster: Cluster, folder: Path) -> Iterator[Path]:
    """Apply the manifests, and write a kubeconfig of the account into `folder`.

    When this gives it, rights and guard are in force.
    """
    cluster.expect_no_namespace(DEFAULT_NAMESPACE)
    try:
        for manifest in _MANIFESTS:
            ran = cluster.kubectl("apply", "--server-side", "--validate=strict", f"--filename={manifest}")
            assert not ran.warnings
        kubeconfig = write_kubeconfig(cluster, DEFAULT_NAMESPACE, PROGRAM, folder / "kubeconfig")
        eventually("the guard and the rights are in force", lambda: _in_force(kubeconfig))
        yield kubeconfig
    finally:
        for manifest in reversed(_MANIFESTS):
            cluster.kubectl("delete", "--ignore-not-found", "--timeout=50s", f"--filename={manifest}")


def write_kubeconfig(cluster: Cluster, namespace: str, account: str, file: Path) -> Path:
    """Write a kubeconfig with a token of a service account, which lives an hour, and give its path.

    Its context has the account's namespace.
    """
    kubeconfig = cluster.kubectl("config", "view", "--raw", "--minify", "--flatten", "--output=json").manifest
    token = cluster.kubectl("create", "token", account, "--namespace", namespace, "--duration=1h").stdout
    (user,), (context,) = kubeconfig["users"], kubeconfig["contexts"]
    user["user"] = {"token": token.strip()}
    context["context"]["namespace"] = namespace
    file.touch(mode=0o600)
    file.write_text(json.dumps(kubeconfig))
    return file


def acting(kubeconfig: Path) -> Cluster:
    """Give the cluster as the kubeconfig's account sees it."""
    kubectl = find_kubectl()
    assert kubectl is not None
    return Cluster(kubectl, kubeconfig)


def pull_secret(**metadata: object) -> Manifest:
    """Make a pull secret that holds no entry, with this further metadata."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": PULL_SECRET, **metadata},
        "type": "kubernetes.io/dockerconfigjson",
        "data": {".dockerconfigjson": "e30="},
    }


def certificate(**changes: object) -> Manifest:
    """Make the Secret of the certificate, without one in it, with these changes to its metadata."""
    metadata = {"name": CERTIFICATE, "namespace": DEFAULT_NAMESPACE, **changes}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "data": {"tls.crt": "e30="}}


def event(namespace: str, **changes: object) -> Manifest:
    """Make an Event about the pull secret of a namespace."""
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"generateName": f"{PULL_SECRET}-"},
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": CONTROLLER,
        "reportingInstance": "e2e",
        "action": "Publish",
        "reason": "Published",
        "type": "Normal",
        "regarding": {"apiVersion": "v1", "kind": "Secret", "namespace": namespace, "name": PULL_SECRET},
        **changes,
    }


def _in_force(kubeconfig: Path) -> bool:
    """Ask for what the rights allow and the guard refuses, and change nothing."""
    account = acting(kubeconfig)
    dry = ("--dry-run=server", "--filename=-", "--namespace")
    forged = event(DEFAULT_NAMESPACE, reportingController="kubelet")
    answers = [
        # In our own namespace nothing is made, and in one that is not selected neither.
        account.run("apply", "--server-side", *dry, DEFAULT_NAMESPACE, stdin=pull_secret()),
        account.run("apply", "--server-side", *dry, "default", stdin=pull_secret()),
        account.run("create", *dry, DEFAULT_NAMESPACE, stdin=forged),
    ]
    return all("ValidatingAdmissionPolicy" in answer.stderr for answer in answers)
