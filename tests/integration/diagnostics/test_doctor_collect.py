"""Reading an installation from an API server that has only parts of it, or denies access to parts."""

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.integration.kube.test_reader import answer, at
from tests.support.fake_api_server import BROKEN, Answer, status
from tests.support.installation_factory import settings
from tests.support.refresher_process import Place
from webhook.config.effective import EffectiveConfig
from webhook.constants import InstallationNames
from webhook.diagnostics.doctor import analysis, collect
from webhook.diagnostics.doctor.snapshot import (
    CredentialSecret,
    InstallationSnapshot,
    InvalidConfig,
    Lease,
    ProcessStatus,
    Sample,
)
from webhook.errors import NotReadable
from webhook.kube import installed_config
from webhook.kube.access import Access
from webhook.kube.client import connect
from webhook.kube.reader import Reader
from webhook.output.finding_codes import Code
from webhook.output.findings import Mark
from webhook.readiness import Notice, Readiness

_NOW = datetime(2026, 11, 25, tzinfo=UTC)
_OWN = "/api/v1/namespaces/registry-webhook"
_DEPLOYMENT = "/apis/apps/v1/namespaces/registry-webhook/deployments/registry-webhook"
_LEASE = "/apis/coordination.k8s.io/v1/namespaces/registry-webhook/leases/registry-webhook-refresher"
_CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
_REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
_NOBODY = status(403, "Forbidden", "no")


@pytest.fixture
def reader(place: Place) -> Iterator[Reader]:
    made = Reader(connect(Access(place.folder / "kubeconfig"), lambda _method, _status: None))
    yield made
    made.close()


class Giving:
    """What the API server answers by path."""

    def __init__(self, place: Place, stack: ExitStack) -> None:
        """Answer nothing yet; at the stack's end nothing again."""
        self._place, self._stack = place, stack

    def __setitem__(self, path: str, body: Any) -> None:
        """Answer with an object, or as it is said."""
        given = body if isinstance(body, Answer) else answer(body)
        self._stack.enter_context(self._place.api.failing(at(path), given))


@pytest.fixture
def giving(place: Place) -> Iterator[Giving]:
    with ExitStack() as stack:
        yield Giving(place, stack)


def _examined(reader: Reader, own: EffectiveConfig | None = None) -> InstallationSnapshot:
    return collect.collect(reader, installed_config.find_installation(reader), own, _NOW)


def test_collect_nothing_installed_one_finding(reader: Reader) -> None:
    (finding,) = analysis.diagnose(_examined(reader))
    assert finding.code is Code.INSTALL_MISSING


def test_collect_no_permissions_checks_unknown(place: Place, reader: Reader) -> None:
    with place.api.failing(lambda _asked: True, _NOBODY):
        found = analysis.diagnose(_examined(reader))
    assert {finding.mark for finding in found} == {Mark.UNKNOWN}
    assert all(finding.message for finding in found)


def test_configuration_invalid_every_error_collected(reader: Reader, giving: Giving) -> None:
    giving[_DEPLOYMENT] = {"metadata": {"name": "registry-webhook"}}
    giving[f"{_OWN}/configmaps/registry-webhook"] = {"data": {"config.yaml": "webhook: {exclud: [a], rule: [b]}"}}
    configuration = _examined(reader).configuration
    assert isinstance(configuration, InvalidConfig)
    assert [line.split(": ")[0] for line in configuration.lines] == ["webhook.exclud", "webhook.rule"]


def test_configuration_missing_reported(reader: Reader, giving: Giving) -> None:
    giving[_DEPLOYMENT] = {"metadata": {"name": "registry-webhook"}}
    configuration = _examined(reader).configuration
    assert isinstance(configuration, InvalidConfig)
    assert "ConfigMap registry-webhook/registry-webhook" in configuration.lines[0]


def test_configuration_unreadable_unknown(reader: Reader, giving: Giving) -> None:
    giving[f"{_OWN}/configmaps/registry-webhook"] = _NOBODY
    assert isinstance(_examined(reader).configuration, NotReadable)


def test_replica_ports_from_deployment_both_processes(reader: Reader, giving: Giving) -> None:
    containers = [
        {"name": "webhook", "ports": [{"name": "health", "containerPort": 19080}]},
        {"name": "refresher", "ports": [{"name": "refresh-health", "containerPort": 8081}]},
    ]
    metadata = {"name": "registry-webhook", "namespace": "registry-webhook"}
    giving[_DEPLOYMENT] = {"metadata": metadata, "spec": {"template": {"spec": {"containers": containers}}}}
    leaving = {"metadata": {"name": "b", "deletionTimestamp": "2026-11-25T00:00:00Z"}}
    staying = {"metadata": {"name": "a", "namespace": "registry-webhook"}}
    giving[f"{_OWN}/pods"] = {"metadata": {}, "items": [staying, leaving]}
    metrics = b'# TYPE x info\nx_info{hash="1"} 1.0\n'
    giving[f"{_OWN}/pods/a:19080/proxy/metrics"] = Answer(200, metrics, "text/plain")
    giving[f"{_OWN}/pods/a:8081/proxy/metrics"] = BROKEN
    (replica,) = _examined(reader).replicas_or_empty
    assert replica.webhook == ProcessStatus(None, (Sample("x_info", {"hash": "1"}, 1.0),))
    assert isinstance(replica.refresher, NotReadable)


@pytest.mark.parametrize("known", ["its webhook configuration", "its label", "the option"])
def test_find_installation_moved_names_found(reader: Reader, giving: Giving, known: str) -> None:
    containers = [{"name": "webhook"}, {"name": "refresher"}]
    template = {
        "metadata": {
            "annotations": {"registry-webhook/configuration": "acme-calls", "registry-webhook/service": "acme-service"}
        },
        "spec": {
            "containers": containers,
            "serviceAccountName": "acme-account",
            "volumes": [{"name": "config", "configMap": {"name": "acme-config"}}],
        },
    }
    other = {"metadata": {"name": "other", "namespace": "platform"}}
    ours = {"metadata": {"name": "acme", "namespace": "platform"}, "spec": {"template": template}}
    service = {"namespace": "platform", "name": "acme-service"}
    webhook = {"name": "pods.registry-webhook.internal", "clientConfig": {"service": service}}
    if known == "its label":
        giving["/apis/apps/v1/deployments"] = {"metadata": {}, "items": [other, ours]}
    else:
        giving["/apis/apps/v1/namespaces/platform/deployments"] = {"metadata": {}, "items": [other, ours]}
    if known == "its webhook configuration":
        calling = {"webhooks": [webhook], "metadata": {"name": "acme-calls"}}
        giving[_CONFIGURATIONS] = {"metadata": {}, "items": [calling]}
    found = installed_config.find_installation(reader, "platform" if known == "the option" else None)
    assert found == InstallationNames(
        "platform",
        "acme-service",
        "acme-calls",
        deployment="acme",
        config_map="acme-config",
        service_account="acme-account",
    )
    assert found.hosts[0] == "acme-service.platform.svc"


def test_find_installation_missing_default_names(reader: Reader) -> None:
    assert installed_config.find_installation(reader) == InstallationNames()
    assert installed_config.find_installation(reader, "platform") == InstallationNames("platform")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (
            b'{"ready":true,"configHash":"1","novelty":[],"warnings":[{"code":"new","message":"x","since":5}]}',
            Readiness(ready=True, config_hash="1", warnings=(Notice("new", "x"),)),
        ),
        (b"ready\nthis replica writes, a_1\nlast pass: refused: x\n", None),
        (b'{"ready":"perhaps"}', None),
    ],
    ids=["a newer version", "an older version, text", "something else"],
)
def test_refresher_state_read_only_from_json(
    place: Place, reader: Reader, giving: Giving, answer: bytes, expected: Readiness | None
) -> None:
    giving[f"{_OWN}/pods"] = {"metadata": {}, "items": [{"metadata": {"name": "a", "namespace": "registry-webhook"}}]}
    for port in (8080, 8081):
        giving[f"{_OWN}/pods/a:{port}/proxy/metrics"] = Answer(200, b"", "text/plain")
    giving[f"{_OWN}/pods/a:8081/proxy/readyz"] = Answer(503, answer, "text/plain")
    (replica,) = _examined(reader).replicas_or_empty
    assert replica.refresher == ProcessStatus(expected)
    assert [one.accept for one in place.api.asked if one.path.endswith("/readyz")] == ["application/json"]


def _with_credential(giving: Giving, *files: tuple[str, str], items: dict[str, str] | None = None) -> None:
    """Install a refresher that reads files below `/etc/login`, mounted from the Secret `login`."""
    env = [{"name": f"WEBHOOK__CREDENTIAL__{name}", "value": f"/etc/login/{path}"} for name, path in files]
    mounts = [{"name": "login", "mountPath": "/etc/login"}]
    refresher = {"name": "refresher", "env": env, "volumeMounts": mounts}
    mounted = {"secretName": "login", "items": [{"key": key, "path": path} for key, path in (items or {}).items()]}
    template = {"spec": {"containers": [refresher], "volumes": [{"name": "login", "secret": mounted}]}}
    giving[_DEPLOYMENT] = {"metadata": {"name": "registry-webhook"}, "spec": {"template": template}}
    giving[f"{_OWN}/configmaps/registry-webhook"] = {"data": {"config.yaml": "webhook: {}"}}


_LOGIN = (("USERNAME_FILE", "name"), ("FILE", "word"))
_LOGIN_SECRET = f"{_OWN}/secrets/login"


def _secret(*keys: str) -> dict[str, Any]:
    fields: dict[str, Any] = {"f:data": {".": {}, **{f"f:{key}": {} for key in keys}}, "f:type": {}}
    return {"metadata": {"name": "login", "managedFields": [{"manager": "kubectl-create", "fieldsV1": fields}]}}


def test_credential_secret_keys_from_metadata(place: Place, reader: Reader, giving: Giving) -> None:
    _with_credential(giving, *_LOGIN, items={"user": "name", "pass": "word"})
    giving[_LOGIN_SECRET] = _secret("b", ".dockerconfigjson")
    found = _examined(reader).credential_secret
    assert found == CredentialSecret("login", ("user", "pass"), (".dockerconfigjson", "b"))
    (asked,) = [request for request in place.api.asked if request.path == _LOGIN_SECRET]
    assert "PartialObjectMetadata" in asked.accept


def test_credential_secret_of_helm_release_known(reader: Reader, giving: Giving) -> None:
    _with_credential(giving, *_LOGIN, items={"user": "name", "pass": "word"})
    secret = _secret("user", "pass")
    secret["metadata"]["labels"] = {"app.kubernetes.io/managed-by": "Helm"}
    secret["metadata"]["annotations"] = {"meta.helm.sh/release-name": "acme"}
    giving[_LOGIN_SECRET] = secret
    found = _examined(reader).credential_secret
    assert found == CredentialSecret("login", ("user", "pass"), ("pass", "user"), is_of_release=True)


def test_credential_secret_without_items_key_is_path(reader: Reader, giving: Giving) -> None:
    _with_credential(giving, ("DOCKER_CONFIG", "config.json"))
    assert _examined(reader).credential_secret == CredentialSecret("login", ("config.json",), None)


def test_credential_secret_unreadable_or_unrecorded_not_known(reader: Reader, giving: Giving) -> None:
    _with_credential(giving, *_LOGIN)
    giving[_LOGIN_SECRET] = {"metadata": {"name": "login"}}
    assert isinstance(_examined(reader).credential_secret, NotReadable)
    giving[_LOGIN_SECRET] = _NOBODY
    assert isinstance(_examined(reader).credential_secret, NotReadable)


def test_credential_not_mounted_no_secret(reader: Reader, giving: Giving) -> None:
    _with_credential(giving, ("USERNAME_FILE", "../name"), ("FILE", "word"))
    assert _examined(reader).credential_secret is None


def test_lease_read_with_times(reader: Reader, giving: Giving) -> None:
    giving[_LEASE] = {
        "spec": {"holderIdentity": "a_1", "renewTime": "2026-11-25T00:00:00.000000Z", "leaseDurationSeconds": 10}
    }
    assert _examined(reader).lease == Lease("a_1", _NOW, timedelta(seconds=10))


def test_permissions_from_access_reviews(place: Place, reader: Reader, giving: Giving) -> None:
    giving[_REVIEWS] = {"status": {"allowed": True}}
    seen = _examined(reader, settings())
    assert set(seen.permissions.values()) == {True}
    asked = [request.body for request in place.api.asked if request.path == _REVIEWS and request.body]
    assert len(asked) == len(seen.permissions)
    assert {body["spec"]["user"] for body in asked} == {"system:serviceaccount:registry-webhook:registry-webhook"}


def test_dry_run_in_selected_namespace_stores_nothing(place: Place, reader: Reader, giving: Giving) -> None:
    place.api.label("team-b")
    place.api.label("team-a")
    giving["/api/v1/namespaces/team-a/pods"] = {"metadata": {"name": "sample"}}
    tryout = _examined(reader, settings()).dry_run
    assert tryout is not None
    assert tryout.namespace == "team-a"
    posts = [request for request in place.api.asked if request.method == "POST" and request.path.endswith("/pods")]
    assert [post.query for post in posts] == [{"dryRun": "All"}]


def test_collect_writes_nothing(place: Place, reader: Reader, giving: Giving) -> None:
    place.api.label("team-a")
    giving[_REVIEWS] = {"status": {"allowed": True}}
    _examined(reader, settings())
    writing = [one for one in place.api.asked if one.method != "GET" and one.path != _REVIEWS]
    assert all(one.query.get("dryRun") == "All" for one in writing)
    assert {one.method for one in writing} == {"POST"}
