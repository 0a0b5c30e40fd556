"""The files, environment and permissions of the two containers, seen from within."""

import json
from typing import Any

import pytest

from tests.e2e.cluster import Cluster
from tests.e2e.pods import PULL_SECRET
from webhook.constants import CERTIFICATE, DEFAULT_NAMESPACE, PROGRAM, REFRESHER

from .installation import Installation

_TLS = "/etc/registry-webhook/tls"
_TOKENS = "/secrets/kubernetes.io/"

#: Says what can be seen of one's own process, and whether the root is writable.
_SELF = """
import json, os, pathlib
status = dict(line.split(":\\t", 1) for line in open("/proc/1/status").read().splitlines() if ":\\t" in line)
def writable(folder):
    path = pathlib.Path(folder, "written")
    try:
        path.write_text("")
    except OSError:
        return False
    path.unlink()
    return True
mounts = {line.split()[1]: line.split()[3].split(",") for line in open("/proc/1/mounts")}
print(json.dumps({
    "uid": os.getuid(),
    "status": status,
    "mounts": mounts,
    "writable": {folder: writable(folder) for folder in ("/", "/tmp", "/opt", "/etc/registry-webhook/tls")},
    "processes": [path.read_bytes().decode() for path in pathlib.Path("/proc").glob("[0-9]*/cmdline")],
    "environment": open("/proc/1/environ").read(),
}))
"""

#: Says what files there are beside those of the image and of the kernel, and what is in them.
_FILES = """
import json, os
skipped = ("/proc", "/sys", "/usr", "/opt", "/lib", "/bin", "/sbin", "/var/lib", "/dev")
files = {}
for folder, below, names in os.walk("/", followlinks=False):
    below[:] = [name for name in below if os.path.join(folder, name) not in skipped]
    for name in names:
        path = os.path.join(folder, name)
        try:
            files[path] = open(path, "rb").read(1 << 20).decode("latin-1")
        except OSError as error:
            files[path] = ""
print(json.dumps(files))
"""

#: Asks the API server, which the environment names, for what only a credential gives.
_ASKING = """
import json, os, ssl, urllib.error, urllib.request
host, port = (os.environ[f"KUBERNETES_SERVICE_{name}"] for name in ("HOST", "PORT"))
answers = {}
for path in ("/api/v1/secrets", "/api/v1/namespaces", "/apis/apps/v1/deployments", "/api/v1/namespaces/registry-webhook/secrets"):
    try:
        address = f"https://{host}:{port}{path}"
        answers[path] = urllib.request.urlopen(address, timeout=10, context=ssl._create_unverified_context()).status
    except urllib.error.HTTPError as error:
        answers[path] = error.code
print(json.dumps(answers))
"""  # noqa: E501 - a program


def _told(installation: Installation, container: str, program: str) -> Any:
    ran = installation.run(installation.pods()[0], container, program)
    assert ran.status == 0, ran.stderr
    return json.loads(ran.stdout)


@pytest.mark.parametrize("container", ["webhook", "refresher"])
def test_container_unprivileged_and_read_only(installed: Installation, container: str) -> None:
    seen = _told(installed, container, _SELF)
    assert seen["uid"] != 0
    capabilities = {name: int(seen["status"][name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
    assert set(capabilities.values()) == {0}, capabilities
    assert seen["status"]["NoNewPrivs"] == "1"
    assert seen["status"]["Seccomp"] == "2"  # a filter
    assert "ro" in seen["mounts"]["/"]
    assert [folder for folder, writable in seen["writable"].items() if writable and folder != _TLS] == []


def test_certificate_writable_by_refresher_only(installed: Installation) -> None:
    serving, keeping = (_told(installed, container, _SELF) for container in ("webhook", "refresher"))
    assert "ro" in serving["mounts"][_TLS]
    assert serving["writable"][_TLS] is False
    assert keeping["writable"][_TLS] is True


def test_webhook_container_has_no_token_or_credential(installed: Installation) -> None:
    username, password = installed.credential
    files: dict[str, str] = _told(installed, "webhook", _FILES)
    assert any(path.startswith("/etc/registry-webhook/config/") for path in files)  # they are looked through
    assert [path for path in files if _TOKENS in path or path.endswith("/token")] == []
    assert [path for path, content in files.items() if password in content or f"{username}:" in content] == []
    # A service account's token begins so, as every JWT does.
    assert [path for path, content in files.items() if "eyJhbGciOi" in content] == []
    # The serving pair's key, and no authority's.
    keys = {path.rpartition("/")[2] for path, content in files.items() if "PRIVATE KEY" in content}
    assert keys == {"tls.key"}

    seen = _told(installed, "webhook", _SELF)
    assert [mount for mount in seen["mounts"] if "credential" in mount or _TOKENS in mount] == []
    assert password not in seen["environment"]
    assert not [name for name in seen["environment"].split("\0") if "PASSWORD" in name or "TOKEN" in name]
    # Nor does it see the other container, which has both.
    assert not [words for words in seen["processes"] if "refresh" in words.split("\0")]


def test_refresher_container_has_token_and_credential(installed: Installation) -> None:
    """So that the test above would see them."""
    files: dict[str, str] = _told(installed, "refresher", _FILES)
    assert any("eyJhbGciOi" in content for path, content in files.items() if _TOKENS in path)
    assert any(installed.credential[1] in content for content in files.values())


def test_webhook_container_api_requests_refused(installed: Installation) -> None:
    answers = _told(installed, "webhook", _ASKING)
    assert answers
    assert set(answers.values()) <= {401, 403}, answers


#: Resource, the names that a right is bound to, and verbs: in every namespace.
_RIGHTS = {
    ("namespaces", "", "get list watch"),
    ("secrets", PULL_SECRET, "get list watch create patch delete"),
    ("mutatingwebhookconfigurations.admissionregistration.k8s.io", PROGRAM, "get list watch patch"),
    ("events.events.k8s.io", "", "create"),
    # It permits nothing: the guard binds the accounts that have it.
    ("restrictions.registry-webhook", "", "bound"),
}
#: The same: in our own.
_OWN_RIGHTS = _RIGHTS | {
    ("leases.coordination.k8s.io", REFRESHER, "get create update"),
    ("secrets", CERTIFICATE, "get list watch create patch"),
}


@pytest.mark.parametrize(
    ("namespace", "expected"),
    [(DEFAULT_NAMESPACE, _OWN_RIGHTS), ("default", _RIGHTS), ("kube-system", _RIGHTS)],
)
def test_service_account_exact_permissions(
    installed: Installation, namespace: str, expected: set[tuple[str, str, str]]
) -> None:
    ours, anybody_s = (_can_i(installed.cluster, name, namespace) for name in (PROGRAM, "default"))
    assert {(resource, name, " ".join(sorted(verbs.split()))) for resource, name, verbs in expected} == ours - anybody_s


def _can_i(cluster: Cluster, account: str, namespace: str) -> set[tuple[str, str, str]]:
    """List what an account of our namespace may do with resources."""
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{DEFAULT_NAMESPACE}", "system:authenticated")
    whom = (f"--as=system:serviceaccount:{DEFAULT_NAMESPACE}:{account}", *(f"--as-group={group}" for group in groups))
    table = cluster.kubectl("auth", "can-i", "--list", "--no-headers", "--namespace", namespace, *whom).stdout
    found = set()
    for line in table.splitlines():
        resource, _, names, verbs = (part.strip("[] ") for part in _columns(line))
        if resource:
            found.add((resource, names, " ".join(sorted(verbs.split()))))
    return found


def _columns(line: str) -> list[str]:
    """Take a line apart: resource, addresses, names and verbs, the last three in brackets."""
    resource, _, rest = line.partition("[")
    return [resource, *rest.split("[")]
