"""Failures come first, causes before effects, with remedies."""

import base64
import dataclasses
import re
import shlex
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple, get_args

import msgspec
import pytest
from msgspec import structs

from tests.support.installation_factory import (
    NOW,
    PODS,
    PULL_SECRET,
    SERVED,
    calling,
    came,
    certificate_secret,
    deployment,
    expiring,
    guard_bindings,
    namespace,
    of_version,
    pull_secret,
    read,
    refreshers,
    replica,
    says,
    serving,
    settings,
    signer,
    sound,
    stored,
    tryout,
    waiting_pod,
)
from webhook.config import files
from webhook.constants import INSTALLATION_LABEL, MANAGED_BY_LABEL, PROGRAM, InstallationNames
from webhook.diagnostics.doctor import analysis
from webhook.diagnostics.doctor.check_rbac import EXCESSIVE, GUARDS, required_permissions
from webhook.diagnostics.doctor.snapshot import (
    Binding,
    CredentialSecret,
    InstallationSnapshot,
    InvalidConfig,
    Lease,
    Permission,
)
from webhook.errors import NotReadable
from webhook.kube.objects import DryRunResult, EndpointSlice, Metadata, Object
from webhook.kubernetes_version import KubernetesVersion
from webhook.output.finding_codes import Code
from webhook.output.findings import Mark
from webhook.readiness import Notice, Readiness, Refresh

_SECRET, _KEYS = "registry-webhook-credential", ("username", "password")
_OLD = serving(91)
_ENDING = serving(80)
_FUTURE = serving(-2)
_MISNAMED = serving(name="webhook.example.com")
_X509 = "failed to verify certificate: x509: certificate signed by unknown authority"
_REFUSAL = f'Internal error occurred: failed calling webhook "pods.registry-webhook.internal": {_X509} (500)'
_BUNDLE = signer().certificate
_BUNDLE64 = base64.b64encode(_BUNDLE).decode()
_ANNOTATED = read(Object, {"metadata": {"name": "p", "annotations": {"registry-webhook/configuration-hash": "abc"}}})
_UNREAD = NotReadable("no right to list it")
#: The parts of a snapshot that may not be readable.
_PARTS = [field.name for field in structs.fields(InstallationSnapshot) if NotReadable in get_args(field.type)]
_CRASHED = replica(
    PODS[0], containerStatuses=[{"name": "webhook", "state": {"waiting": {"reason": "ImagePullBackOff"}}}]
)


class Case(NamedTuple):
    """What is changed, and the code of the finding that is then first."""

    broken: dict[str, Any]
    code: Code
    remedy: str = ""


FAILING: dict[str, Case] = {
    "nothing is installed": Case(
        {"webhook_configuration": None, "deployment": None}, Code.INSTALL_MISSING, "how-to/install.md"
    ),
    "the configuration is broken": Case(
        {"configuration": InvalidConfig(("webhook.exclud: unknown key (config.yaml:2)",))},
        Code.CONFIG_INVALID,
    ),
    "there is no webhook configuration": Case({"webhook_configuration": None}, Code.WEBHOOK_MISSING),
    "the webhook is not called for creations": Case(
        {"webhook_configuration": calling(rules=[])},
        Code.WEBHOOK_RULES,
    ),
    "the policy that replaces the webhook is missing": Case(
        {"webhook_configuration": calling(matchConditions=[{"name": "the-policy-rewrites", "expression": "false"}])},
        Code.POLICY_MISSING,
        "policy-mutate",
    ),
    "the policy that replaces the webhook cannot exist": Case(
        {
            "kubernetes": KubernetesVersion(1, 35),
            "webhook_configuration": calling(matchConditions=[{"name": "the-policy-rewrites", "expression": "false"}]),
        },
        Code.POLICY_MISSING,
        "remove the component policy-alone",
    ),
    "the cluster is too old": Case({"kubernetes": KubernetesVersion(1, 29)}, Code.KUBERNETES_TOO_OLD),
    "the cluster is too old and nothing is installed": Case(
        {"kubernetes": KubernetesVersion(1, 29), "webhook_configuration": None, "deployment": None},
        Code.KUBERNETES_TOO_OLD,
    ),
    "Pods without labels are excluded": Case(
        {"webhook_configuration": calling(objectSelector={"matchLabels": {"app": "x"}})}, Code.SELECT_PODS
    ),
    "dry runs are refused": Case({"webhook_configuration": calling(sideEffects="Some")}, Code.WEBHOOK_SIDE_EFFECTS),
    "another Service is called": Case(
        {
            "webhook_configuration": calling(
                clientConfig={"service": {"namespace": "x", "name": "y", "path": "/mutate"}}
            )
        },
        Code.WEBHOOK_SERVICE,
    ),
    "the Deployment is gone": Case({"deployment": None}, Code.DEPLOY_MISSING),
    "the webhook is scaled to zero": Case(
        {"deployment": deployment(0), "endpoint_slices": (), "replicas": (), "lease": Lease("", None)},
        Code.DEPLOY_SCALED_DOWN,
        "kubectl -n registry-webhook scale --replicas=2 deployment/registry-webhook",
    ),
    "the webhook that fails closed is scaled to zero": Case(
        {"deployment": deployment(0), "endpoint_slices": (), "webhook_configuration": calling(failurePolicy="Fail")},
        Code.DEPLOY_SCALED_DOWN,
    ),
    "no replica is available": Case(
        {"deployment": deployment(availableReplicas=0), "endpoint_slices": (), "replicas": (_CRASHED,)},
        Code.DEPLOY_UNAVAILABLE,
    ),
    "no endpoint is ready": Case(
        {"endpoint_slices": (read(EndpointSlice, {"endpoints": [{"conditions": {"ready": False}}]}),)},
        Code.ENDPOINTS_NONE,
    ),
    "caBundle is empty": Case(
        {"webhook_configuration": calling(b""), "dry_run": tryout(DryRunResult(stored("registry-webhook/sample")))},
        Code.CABUNDLE_EMPTY,
        "kubectl -n registry-webhook logs",
    ),
    "caBundle is not a certificate": Case({"webhook_configuration": calling(b"x")}, Code.CABUNDLE_INVALID),
    "caBundle is of another CA": Case(
        {"webhook_configuration": calling(signer(1).certificate)},
        Code.CABUNDLE_MISMATCH,
    ),
    "caBundle by hand is empty": Case(
        {"webhook_configuration": calling(b"", "certs/by-hand"), "deployment": deployment(variant="certs/by-hand")},
        Code.CABUNDLE_EMPTY,
        "how-to/certificates.md",
    ),
    "caBundle of cert-manager is empty": Case(
        {
            "webhook_configuration": calling(b"", "certs/cert-manager"),
            "deployment": deployment(variant="certs/cert-manager"),
        },
        Code.CABUNDLE_EMPTY,
        "cainjector",
    ),
    "there is no certificate": Case({"certificate": None}, Code.CERT_MISSING),
    "the certificate is not readable": Case(
        {"certificate": read(type(certificate_secret()), {})},
        Code.CERT_INVALID,
    ),
    "the certificate has expired": Case(
        {"certificate": certificate_secret(_OLD)},
        Code.CERT_EXPIRED,
        "kubectl -n registry-webhook logs",
    ),
    "the certificate by hand has expired": Case(
        {"certificate": certificate_secret(_OLD), "deployment": deployment(variant="certs/by-hand")},
        Code.CERT_EXPIRED,
        "registry-webhook certs create --force",
    ),
    "the certificate is not valid yet": Case({"certificate": certificate_secret(_FUTURE)}, Code.CERT_NOT_YET_VALID),
    "the certificate is for another name": Case(
        {"certificate": certificate_secret(_MISNAMED)},
        Code.CERT_NAME,
    ),
    "a server has an expired certificate": Case(
        {
            "replicas": (
                replica(
                    PODS[0],
                    says(
                        "webhook",
                        settings().digest,
                        certificate_expiry_timestamp_seconds=NOW.timestamp() - 1,
                    ),
                ),
            )
        },
        Code.CERT_SERVED_EXPIRED,
    ),
    "a server cannot load its certificate": Case(
        {"replicas": (replica(PODS[0], says("webhook", settings().digest, certificate_last_reload_successful=0)),)},
        Code.CERT_NOT_LOADED,
    ),
    "a server cannot take its client CAs": Case(
        {"replicas": (replica(PODS[0], says("webhook", settings().digest, client_ca_last_reload_successful=0)),)},
        Code.CERT_NOT_LOADED,
    ),
    "the mode differs": Case(
        {"configuration": settings(namespaces={"mode": "all"})},
        Code.SELECT_MODE,
        "manifests/overlays/cluster-wide",
    ),
    "Pods can opt out although the configuration ignores it": Case(
        {"configuration": settings(pod_opt_out="ignore")},
        Code.SELECT_OPT_OUT,
    ),
    "the webhook is not called for a selected namespace": Case(
        {
            "webhook_configuration": calling(
                namespaceSelector={
                    "matchExpressions": [
                        {"key": "registry-webhook/enabled", "operator": "In", "values": ["true"]},
                        {
                            "key": "kubernetes.io/metadata.name",
                            "operator": "NotIn",
                            "values": ["kube-system", "kube-public", "kube-node-lease", "registry-webhook", "team-b"],
                        },
                    ]
                }
            )
        },
        Code.SELECT_NAMESPACES,
    ),
    "the webhook is not called for a selected namespace by its prefix": Case(
        {
            "webhook_configuration": calling(
                matchConditions=[
                    *msgspec.to_builtins(calling().webhooks[0].match_conditions),
                    {"name": "the-namespace-is-not-denied", "expression": "!(request.namespace.startsWith('team-'))"},
                ]
            )
        },
        Code.SELECT_NAMESPACES,
    ),
    "permissions are missing": Case(
        {
            "permissions": dict.fromkeys(required_permissions(PULL_SECRET, manages_certificate=True), False),
            "replicas": refreshers(came("cluster-unavailable", ready=False)),
            "lease": None,
            "pull_secrets": (),
        },
        Code.RBAC_MISSING,
        "kubectl apply -k certs/self-managed",
    ),
    "the pull secret's name is not granted": Case(
        {
            "configuration": settings(pull_secret={"name": "my-pull"}),
            "permissions": dict.fromkeys(required_permissions("my-pull", manages_certificate=True), True)
            | dict.fromkeys(
                (
                    right
                    for right in required_permissions("my-pull", manages_certificate=True)
                    if right.name == "my-pull"
                ),
                False,
            ),
            "pull_secrets": (),
        },
        Code.RBAC_MISSING,
        "ClusterRole registry-webhook",
    ),
    "a guard policy is missing": Case(
        {"guards": GUARDS[1:]},
        Code.GUARD_MISSING,
        "kubectl apply -k certs/self-managed",
    ),
    "a guard policy is not bound": Case(
        {"bindings": (*(Binding(name, denies=True) for name in GUARDS[1:]), Binding(GUARDS[0], denies=False))},
        Code.GUARD_NOT_BOUND,
    ),
    "a guard policy is bound to another Namespace": Case(
        {"bindings": guard_bindings("elsewhere")},
        Code.GUARD_NOT_BOUND,
    ),
    "no replica holds the Lease": Case({"lease": Lease("", None)}, Code.LEASE_NONE),
    "the Lease is old": Case({"lease": Lease("gone_1", NOW - timedelta(minutes=5))}, Code.LEASE_EXPIRED),
    "the Lease has expired by its own duration": Case(
        {"lease": Lease("gone_1", NOW - timedelta(seconds=41), timedelta(seconds=10))}, Code.LEASE_EXPIRED
    ),
    "two replicas write": Case({"replicas": (*refreshers(), *refreshers())}, Code.LEASE_SPLIT),
    "the password is wrong": Case(
        {
            "replicas": refreshers(came("credential-refused"), credential_refused=1),
            "waiting_pods": (waiting_pod("401 Unauthorized"),),
            "credential_secret": CredentialSecret(_SECRET, _KEYS, _KEYS),
        },
        Code.CREDENTIAL_REFUSED,
        "kubectl -n registry-webhook create secret generic registry-webhook-credential",
    ),
    "the credential cannot be published": Case(
        {"replicas": refreshers(came("cluster-unavailable", ready=False))}, Code.CREDENTIAL_UNPUBLISHED
    ),
    "the credential provider fails": Case(
        {"replicas": refreshers(came("provider-failed", ready=False)), "credential_secret": None},
        Code.CREDENTIAL_PROVIDER,
        "how-to/credentials.md",
    ),
    "the Secret with the credential does not exist": Case(
        {
            "replicas": refreshers(came("provider-failed", ready=False)),
            "credential_secret": CredentialSecret(_SECRET, _KEYS, None),
        },
        Code.CREDENTIAL_SECRET_MISSING,
        "kubectl -n registry-webhook create secret generic registry-webhook-credential",
    ),
    "the Secret with the credential has other keys": Case(
        {
            "replicas": refreshers(came("provider-failed", ready=False)),
            "credential_secret": CredentialSecret(_SECRET, _KEYS, ("password", "user")),
        },
        Code.CREDENTIAL_SECRET_KEYS,
        "kubectl -n registry-webhook create secret generic registry-webhook-credential",
    ),
    "the Secret with the credential has no keys": Case(
        {
            "replicas": refreshers(came("provider-failed", ready=False)),
            "credential_secret": CredentialSecret(_SECRET, _KEYS, ()),
        },
        Code.CREDENTIAL_SECRET_KEYS,
    ),
    "the Secret with the credential is a docker-registry Secret": Case(
        {
            "replicas": refreshers(came("provider-failed", ready=False)),
            "credential_secret": CredentialSecret(_SECRET, _KEYS, (".dockerconfigjson",)),
        },
        Code.CREDENTIAL_SECRET_KEYS,
        "kubectl -n registry-webhook delete secret registry-webhook-credential",
    ),
    "a value in the Secret is empty": Case(
        {
            "replicas": refreshers(
                came("provider-failed", "webhook.credential.file: /etc/x/password: it is empty", ready=False)
            ),
            "credential_secret": CredentialSecret(_SECRET, _KEYS, _KEYS),
        },
        Code.CREDENTIAL_PROVIDER,
        "kubectl -n registry-webhook create secret generic registry-webhook-credential",
    ),
    "a docker config is mounted from a Secret without it": Case(
        {
            "replicas": refreshers(came("provider-failed", ready=False)),
            "credential_secret": CredentialSecret("pull", (".dockerconfigjson",), ("config.json",)),
        },
        Code.CREDENTIAL_SECRET_KEYS,
        "how-to/credentials.md",
    ),
    "the credential has expired": Case(
        {
            "replicas": refreshers(
                came("provider-failed", ready=False), credential_expiry_timestamp_seconds=NOW.timestamp() - 60
            )
        },
        Code.CREDENTIAL_EXPIRED,
    ),
    "a foreign Secret has the name": Case(
        {"pull_secrets": (pull_secret("team-a", labels={}), pull_secret("team-b"))},
        Code.SECRET_FOREIGN,
        "kubectl -n team-a delete secret registry-webhook-pull",
    ),
    "a Secret is of another type": Case(
        {"wrong_type_secrets": (pull_secret("team-b"),)},
        Code.SECRET_FOREIGN,
    ),
    "a namespace has no Secret": Case({"pull_secrets": (pull_secret("team-a"),)}, Code.SECRET_MISSING),
    "a pull secret has expired": Case(
        {"pull_secrets": tuple(expiring(name, "2026-11-25T11:59:59Z") for name in SERVED)},
        Code.SECRET_EXPIRED,
    ),
    "policies are of another configuration": Case({"policies": (_ANNOTATED,)}, Code.POLICY_OUTDATED),
    "nodes do not trust the registry": Case(
        {"waiting_pods": (waiting_pod(_X509),)},
        Code.PULL_UNTRUSTED,
        "certs.d",
    ),
    "the registry refuses nodes": Case(
        {"waiting_pods": (waiting_pod("authorization failed: no basic auth credentials"),)},
        Code.PULL_REFUSED,
    ),
    "a dry run is not rewritten": Case(
        {"dry_run": tryout(DryRunResult(stored("registry-webhook/sample")))},
        Code.DRYRUN_UNCHANGED,
    ),
    "a dry run gets no pull secret": Case(
        {"dry_run": tryout(DryRunResult(stored()))},
        Code.DRYRUN_NO_SECRET,
    ),
    "a dry run is refused by the webhook that fails closed": Case(
        {"dry_run": tryout(DryRunResult(None, refusal=_REFUSAL))},
        Code.DRYRUN_REFUSED,
        "how-to/troubleshoot.md",
    ),
}

_UNLABELLED = ("some-a", "some-b", "some-c")

WARNING: dict[str, Case] = {
    "another installation selects the same namespaces": Case(
        {
            "other_configurations": (
                structs.replace(calling(), metadata=read(Metadata, {"name": "acme-registry-webhook"})),
            )
        },
        Code.SELECT_OVERLAP,
    ),
    "a pull secret belongs to another installation": Case(
        {
            "pull_secrets": (
                pull_secret(SERVED[0], labels={MANAGED_BY_LABEL: PROGRAM, INSTALLATION_LABEL: "other"}),
                *(pull_secret(name) for name in SERVED[1:]),
            )
        },
        Code.SECRET_OTHER,
    ),
    "no registry is set": Case({"configuration": settings("webhook: {}"), "dry_run": None}, Code.CONFIG_NO_REGISTRY),
    "the containers' variables differ": Case({"sidecar_hash": "other", "replicas": ()}, Code.CONFIG_VARIABLES),
    "processes differ and the configuration cannot be read": Case(
        {"configuration": _UNREAD, "replicas": (replica(PODS[0], says("webhook", "old")), replica(PODS[1]))},
        Code.CONFIG_DIFFERS,
    ),
    "a process has a version of another major release": Case(
        {"replicas": (replica(PODS[0], of_version("999.0.0", says("webhook", settings().digest))), replica(PODS[1]))},
        Code.VERSION_SKEW,
    ),
    "a replica has an older configuration": Case(
        {"replicas": (replica(PODS[0], says("webhook", "old")), replica(PODS[1]))},
        Code.CONFIG_OUTDATED,
    ),
    "a rollout is not complete": Case(
        {"deployment": deployment(updatedReplicas=1)},
        Code.DEPLOY_ROLLOUT,
    ),
    "the timeout differs": Case({"webhook_configuration": calling(timeoutSeconds=30)}, Code.WEBHOOK_TIMEOUT),
    "the webhook is called once": Case(
        {"webhook_configuration": calling(reinvocationPolicy="Never")}, Code.WEBHOOK_REINVOCATION
    ),
    "versions are matched exactly": Case(
        {"webhook_configuration": calling(matchPolicy="Exact")}, Code.WEBHOOK_MATCH_POLICY
    ),
    "the match conditions are missing": Case(
        {"webhook_configuration": calling(matchConditions=[])},
        Code.WEBHOOK_CONDITION_MISSING,
    ),
    "a condition is not a shipped one": Case(
        {
            "webhook_configuration": calling(
                matchConditions=[
                    *msgspec.to_builtins(calling().webhooks[0].match_conditions),
                    {"name": "mine", "expression": "request.namespace != 'x'"},
                ]
            )
        },
        Code.WEBHOOK_CONDITION_FOREIGN,
    ),
    "the webhook is called by its address": Case(
        {"webhook_configuration": calling(clientConfig={"url": "https://192.0.2.1/mutate", "caBundle": _BUNDLE64})},
        Code.WEBHOOK_URL,
    ),
    "system namespaces are not excluded": Case(
        {
            "webhook_configuration": calling(
                namespaceSelector={
                    "matchExpressions": [{"key": "registry-webhook/enabled", "operator": "In", "values": ["true"]}]
                }
            )
        },
        Code.SELECT_SYSTEM,
    ),
    "the certificate expires soon": Case({"certificate": certificate_secret(_ENDING)}, Code.CERT_EXPIRING),
    "the account can read all Secrets": Case(
        {
            "permissions": dict.fromkeys(
                (*required_permissions(PULL_SECRET, manages_certificate=True), EXCESSIVE[0]), True
            )
        },
        Code.RBAC_EXCESSIVE,
    ),
    "the account is exempt from the guard": Case(
        {"permissions": {Permission("exempt", "registry-webhook", "restrictions"): True}},
        Code.RBAC_EXCESSIVE,
    ),
    "the registry cannot be asked": Case(
        {"replicas": refreshers(came("registry-unavailable"))},
        Code.CREDENTIAL_UNCHECKED,
    ),
    "the registry has a certificate of a private CA": Case(
        {
            "replicas": refreshers(
                came(
                    "registry-untrusted",
                    "registry.example.com has a certificate that is not trusted: self-signed certificate",
                )
            )
        },
        Code.CREDENTIAL_UNTRUSTED,
        "webhook.verify_ca",
    ),
    "there is no credential": Case({"replicas": refreshers()}, Code.CREDENTIAL_NONE),
    "the first refresh is not complete": Case(
        {"replicas": refreshers(Readiness(ready=False, warnings=(Notice("refresh-pending", "x"),)))},
        Code.CREDENTIAL_NOT_READY,
    ),
    "a Secret is old": Case(
        {
            "pull_secrets": (
                pull_secret("team-a"),
                pull_secret("team-b", annotations={"registry-webhook/refreshed-at": "2026-11-25T09:00:00Z"}),
            )
        },
        Code.SECRET_OUTDATED,
    ),
    "the refresher warns": Case(
        {
            "replicas": refreshers(
                Readiness(ready=True, warnings=(Notice("certificate-failed", "it cannot be written"),)),
                credential_refreshed_timestamp_seconds=1,
            )
        },
        Code.SIDECAR_WARNING,
    ),
    "the refresher warns with an unknown code": Case(
        {
            "replicas": refreshers(
                Readiness(ready=True, warnings=(Notice("invented-later", "it is so", "team-a"),)),
                credential_refreshed_timestamp_seconds=1,
            )
        },
        Code.SIDECAR_WARNING,
    ),
    "the last refresh has an unknown code": Case(
        {"replicas": refreshers(came("invented-later"), credential_refreshed_timestamp_seconds=1)},
        Code.SIDECAR_WARNING,
    ),
    "a refresher of an older version": Case(
        {"replicas": refreshers(None, credential_refreshed_timestamp_seconds=1)}, Code.SIDECAR_OLDER
    ),
    "an image is not there": Case(
        {"waiting_pods": (waiting_pod("not found"),)},
        Code.PULL_NOT_FOUND,
    ),
    "many namespaces without a label lose the pull secret": Case(
        {
            "namespaces": (*map(namespace, _UNLABELLED), *(namespace(name, "true") for name in SERVED)),
            "pull_secrets": tuple(pull_secret(name) for name in (*_UNLABELLED, *SERVED)),
        },
        Code.SECRET_LEAVING,
        "manifests/overlays/cluster-wide",
    ),
    "no namespace is selected": Case(
        {"namespaces": (namespace("other"),), "dry_run": None},
        Code.DRYRUN_NO_NAMESPACE,
        "registry-webhook/enabled=true",
    ),
}


@pytest.mark.parametrize("case", FAILING.values(), ids=FAILING.keys())
def test_diagnose_error_first_with_hint(case: Case) -> None:
    first = analysis.diagnose(sound(**case.broken))[0]
    assert (first.code, first.mark) == (case.code, Mark.ERROR)
    assert first.hint
    assert case.remedy in "\n".join((first.hint, *first.commands))


@pytest.mark.parametrize("case", WARNING.values(), ids=WARNING.keys())
def test_diagnose_warning_first_with_hint(case: Case) -> None:
    found = analysis.diagnose(sound(**case.broken))
    assert (found[0].code, found[0].mark) == (case.code, Mark.WARNING)
    assert found[0].hint
    assert case.remedy in "\n".join((found[0].hint, *found[0].commands))


def test_doctor_every_code_has_case() -> None:
    def named(folder: Path) -> set[str]:
        return {name for path in folder.glob("*.py") for name in re.findall(r"\bCode\.([A-Z_]+)", path.read_text())}

    codes = {name for name in named(Path(analysis.__file__).parent) if not name.endswith(("_OK", "_UNKNOWN"))}
    assert codes - named(Path(__file__).parent) == set(), "add a case for each to a table or a test in this folder"


def test_diagnose_sound_installation_all_ok() -> None:
    found = analysis.diagnose(sound())
    assert [str(finding) for finding in found if finding.mark is not Mark.OK] == []
    assert Code.CONFIG_SAME in {finding.code for finding in found}
    assert re.findall(r"\d+", analysis.summary(found)) == [str(len(found))]


def test_pull_secret_disabled_is_ok() -> None:
    found = analysis.diagnose(sound(configuration=settings(pull_secret={"enabled": False}), pull_secrets=()))
    assert Code.CREDENTIAL_DISABLED in {finding.code for finding in found if finding.mark is Mark.OK}


def test_credential_secret_unreadable_refresher_reports() -> None:
    state = refreshers(came("provider-failed", "no such file or directory", ready=False))
    first = analysis.diagnose(sound(credential_secret=_UNREAD, replicas=state))[0]
    assert first.code is Code.CREDENTIAL_PROVIDER
    assert "no such file or directory" in first.message
    assert str(_UNREAD) in first.message


@pytest.mark.parametrize("code", ["credential-refused", "registry-unavailable", "published"])
def test_credential_age_of_last_check(code: str) -> None:
    refresh = Refresh("2026-11-25T11:36:00Z", "success" if code == "published" else "failure", code, "x")
    state = Readiness(ready=True, last_refresh=refresh)
    found = analysis.diagnose(sound(replicas=refreshers(state, credential_refreshed_timestamp_seconds=1)))
    (message,) = (finding.message for finding in found if finding.subject == "credential")
    assert re.search(r"\(last (checked|tried) 24 minutes ago\)", message)


def test_credential_standby_not_known() -> None:
    standby = Readiness(ready=True, last_refresh=Refresh("2026-11-25T11:59:00Z", "success", "standby", "x"))
    found = {one.code: one.mark for one in analysis.diagnose(sound(replicas=refreshers(standby)))}
    assert found[Code.CREDENTIAL_UNKNOWN] is Mark.UNKNOWN
    assert Code.CREDENTIAL_NONE not in found


def test_report_ignored_code_left_out_and_counted() -> None:
    seen = sound(lease=None, webhook_configuration=calling(timeoutSeconds=9))
    every, report = analysis.report(seen), analysis.report(seen, (Code.LEASE_NONE,))
    assert [one for one in every.findings if one not in report.findings] == [every.findings[0]]
    assert report.findings[0].code is Code.WEBHOOK_TIMEOUT
    assert "error" not in report.summary
    assert report.summary.endswith("1 ignored")


@pytest.mark.parametrize(
    ("changed", "folder"),
    [
        ({}, "certs/self-managed"),
        ({"deployment": deployment(variant="certs/by-hand")}, "certs/by-hand"),
        ({"webhook_configuration": calling(None, "certs/cert-manager", rules=[])}, "certs/cert-manager"),
        ({"webhook_configuration": calling(rules=[], failurePolicy="Fail")}, "manifests/overlays/fail-closed"),
        ({"configuration": settings(namespaces={"mode": "all"})}, "manifests/overlays/cluster-wide"),
        ({"names": InstallationNames(namespace="platform")}, None),
    ],
)
def test_reinstall_command_of_installed_variant(changed: dict[str, Any], folder: str | None) -> None:
    found = analysis.diagnose(sound(**{"webhook_configuration": calling(rules=[]), **changed}))
    (commands,) = {finding.commands for finding in found if finding.code is Code.WEBHOOK_RULES}
    assert commands == (() if folder is None else (f"kubectl apply -k {folder}",))


@pytest.mark.parametrize(
    ("changed", "code", "value"),
    [
        ({"webhook_configuration": calling(rules=[])}, Code.WEBHOOK_RULES, ""),
        ({"configuration": settings(namespaces={"mode": "all"})}, Code.SELECT_MODE, " --set clusterWide.enabled=true"),
        ({"configuration": settings(pod_opt_out="ignore")}, Code.SELECT_OPT_OUT, " --set podOptOut.enabled=false"),
    ],
)
def test_helm_release_command_upgrades_it(changed: dict[str, Any], code: Code, value: str) -> None:
    names = InstallationNames(namespace="platform", helm_release="acme")
    found = analysis.diagnose(sound(names=names, **changed))
    (commands,) = {finding.commands for finding in found if finding.code is code}
    upgrade = "helm upgrade acme manifests/helm/registry-webhook --namespace platform --reset-then-reuse-values"
    assert commands == (upgrade + value,)


@pytest.mark.parametrize(
    ("secret", "message", "code", "value"),
    [
        (
            CredentialSecret(_SECRET, _KEYS, (".dockerconfigjson",)),
            "",
            Code.CREDENTIAL_SECRET_KEYS,
            "dockerConfig.name",
        ),
        (
            CredentialSecret(_SECRET, _KEYS, _KEYS, is_of_release=True),
            "",
            Code.CREDENTIAL_PROVIDER,
            "credentials.password",
        ),
        (None, "401 Unauthorized", Code.PULL_REFUSED, "imagePullSecrets"),
        (None, "not found", Code.PULL_NOT_FOUND, "image.repository and image.tag"),
    ],
)
def test_helm_release_hint_names_value(secret: CredentialSecret | None, message: str, code: Code, value: str) -> None:
    names = InstallationNames(namespace="platform", helm_release="acme")
    own = structs.replace(waiting_pod(message), metadata=Metadata(name="a", namespace="platform"))
    changed: dict[str, Any] = {"waiting_pods": (own,)} if message else {"credential_secret": secret}
    if secret:
        changed["replicas"] = refreshers(came("provider-failed", ready=False))
    (finding,) = (one for one in analysis.diagnose(sound(names=names, **changed)) if one.code is code)
    assert value in finding.hint
    assert "component" not in finding.hint
    assert "folder" not in finding.hint


@pytest.mark.parametrize("case", [*FAILING.values(), *WARNING.values()], ids=[*FAILING, *WARNING])
def test_commands_parse_as_shell_without_placeholders(case: Case) -> None:
    for finding in analysis.diagnose(sound(**case.broken)):
        for command in finding.commands:
            assert shlex.split(command)
            assert "\n" not in command
            assert not re.search(r"\b(NAME|NAMESPACE|POD|HOST|FILE)\b|\.\.\.", command)


@pytest.mark.parametrize("part", sorted({*_PARTS} - {"credential_secret"}))
def test_diagnose_unreadable_part_unknown(part: str) -> None:
    found = analysis.diagnose(sound(**{part: _UNREAD}))
    assert {finding.mark for finding in found} == {Mark.UNKNOWN, Mark.OK}
    assert any(str(_UNREAD) in finding.message for finding in found)


def test_summary_counts_by_mark() -> None:
    seen = sound(lease=None, webhook_configuration=calling(timeoutSeconds=9), waiting_pods=_UNREAD)
    found = analysis.diagnose(seen)
    numbers = [
        len([one for one in found if one.mark is mark]) for mark in (Mark.ERROR, Mark.WARNING, Mark.UNKNOWN, Mark.OK)
    ]
    assert numbers[:3] == [1, 1, 1]
    assert [int(number) for number in re.findall(r"\d+", analysis.summary(found))] == numbers


def test_diagnose_sorted_by_severity() -> None:
    marks = [
        finding.mark
        for finding in analysis.diagnose(sound(lease=None, webhook_configuration=calling(timeoutSeconds=9)))
    ]
    assert marks == sorted(marks, key=[Mark.ERROR, Mark.WARNING, Mark.UNKNOWN, Mark.OK].index)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("", ""),
        ("--only-private", "--only-private "),
        ("--only-private --action Warn", "--only-private --action Warn "),
        ("--action Audit", "--action Audit "),
        ("--only-private; touch pwned", ""),
        ("--config /etc/passwd", ""),
        ("--only-private\n--action Warn", ""),
        ("--action Warn\n", ""),
    ],
)
def test_outdated_policies_hint_commands(options: str, told: str) -> None:
    configuration = dataclasses.replace(settings(), origin="ConfigMap registry-webhook/registry-webhook")
    outdated = {"registry-webhook/configuration-hash": "abc"}
    guard = outdated | ({"registry-webhook/policy-options": options} if options else {})
    policies = (
        read(Object, {"metadata": {"name": "registry-webhook-mutate", "annotations": outdated}}),
        read(Object, {"metadata": {"name": "registry-webhook-guard", "annotations": guard}}),
    )
    first = analysis.diagnose(sound(configuration=configuration, policies=policies))[0]
    assert first.code == Code.POLICY_OUTDATED
    assert first.commands == (
        "registry-webhook policy mutate --from-cluster | kubectl apply --server-side -f -",
        f"registry-webhook policy guard {told}--from-cluster | kubectl apply --server-side -f -",
    )


def test_outdated_policy_of_helm_release_is_its_value() -> None:
    """kubectl would conflict with Helm, and the next upgrade would bring back what the values have."""
    names = InstallationNames("platform", configuration="acme-registry-webhook", helm_release="acme")
    configuration = dataclasses.replace(settings(), origin="ConfigMap platform/acme-registry-webhook")
    marks = {"registry-webhook/configuration-hash": "abc", "registry-webhook/installation": "platform"}
    ours = {"annotations": {**marks, "meta.helm.sh/release-name": "acme"}, "labels": {MANAGED_BY_LABEL: "Helm"}}
    policies = (
        read(Object, {"metadata": {"name": "acme-registry-webhook-guard", **ours}}),
        read(Object, {"metadata": {"name": "registry-webhook-mutate", "annotations": marks}}),
    )
    found = analysis.diagnose(sound(configuration=configuration, policies=policies, names=names))
    (commands,) = (one.commands for one in found if one.code is Code.POLICY_OUTDATED)
    where = "--from-cluster --installation-namespace platform"
    upgrade = "helm upgrade acme manifests/helm/registry-webhook --namespace platform --reset-then-reuse-values"
    assert commands == (
        f"registry-webhook policy guard {where} > guard.yaml",
        f"registry-webhook policy mutate {where} | kubectl apply --server-side -f -",
        f"{upgrade} --set-file policies.guard=guard.yaml",
    )


def test_outdated_policy_hint_names_config_file() -> None:
    outdated = {"registry-webhook/configuration-hash": "abc"}
    policy = read(Object, {"metadata": {"name": "registry-webhook-guard", "annotations": outdated}})
    configuration = dataclasses.replace(settings(), origin="my config.yaml")
    first = analysis.diagnose(sound(configuration=configuration, policies=(policy,)))[0]
    assert "policy guard --config 'my config.yaml' | kubectl" in first.commands[0]
    elsewhere = sound(configuration=configuration, policies=(policy,), names=InstallationNames(namespace="platform"))
    commands = {finding.code: finding.commands for finding in analysis.diagnose(elsewhere)}
    assert "--installation-namespace platform | kubectl" in commands[Code.POLICY_OUTDATED][0]
    piped = dataclasses.replace(configuration, origin=files.STANDARD_INPUT)
    first = analysis.diagnose(sound(configuration=piped, policies=(policy,)))[0]
    assert "policy guard --config - | kubectl" in first.commands[0]


def test_policy_rewrites_uncalled_webhook_ok() -> None:
    conditions = [*msgspec.to_builtins(calling().webhooks[0].match_conditions)]
    conditions.append({"name": "the-policy-rewrites", "expression": "false"})
    policy = read(Object, {"metadata": {"name": "registry-webhook-mutate"}})
    found = analysis.diagnose(sound(webhook_configuration=calling(matchConditions=conditions), policies=(policy,)))
    assert {finding.mark for finding in found} == {Mark.OK}
    (instead,) = [finding for finding in found if finding.code is Code.POLICY_INSTEAD]
    assert "MutatingAdmissionPolicy registry-webhook-mutate" in instead.message


def test_policy_rewrites_missing_webhook_warning() -> None:
    policies = (read(Object, {"metadata": {"name": "registry-webhook-mutate"}}),)
    seen = sound(webhook_configuration=None, deployment=deployment(availableReplicas=0), policies=policies)
    found = analysis.diagnose(seen)
    marks = {finding.code: finding.mark for finding in found}
    assert marks[Code.WEBHOOK_MISSING] is Mark.WARNING
    assert marks[Code.DEPLOY_UNAVAILABLE] is Mark.ERROR
    without_policy = sound(webhook_configuration=None).outage_effect
    assert seen.outage_effect != without_policy
    assert not [finding for finding in found if without_policy in finding.message]


def test_bundle_of_two_cas_trusted() -> None:
    both = signer(1).certificate + _BUNDLE
    assert {finding.mark for finding in analysis.diagnose(sound(webhook_configuration=calling(both)))} == {Mark.OK}


def test_unreadable_certificate_expiry_from_metrics() -> None:
    ends = (NOW + timedelta(days=9)).timestamp()
    said = says("refresher", settings().digest, certificate_expiry_timestamp_seconds=ends, leading=1)
    found = analysis.diagnose(sound(certificate=_UNREAD, replicas=(replica(PODS[0], refresher=said),)))
    assert any("2026-12-04 12:00 UTC" in finding.message for finding in found)


_GENERATED = {"registry-webhook/configuration-hash": "abc"}
_GUARD, _MUTATE = (
    read(Object, {"metadata": {"name": f"registry-webhook-{name}", "annotations": _GENERATED}})
    for name in ("guard", "mutate")
)


def _codes(**changed: Any) -> list[tuple[Code, Mark]]:
    return [(one.code, one.mark) for one in analysis.diagnose(sound(**changed)) if one.code.startswith("RW-POLICY")]


def test_guard_policy_without_installation_first() -> None:
    seen = sound(webhook_configuration=None, deployment=None, guards=("registry-webhook-guard",), policies=(_GUARD,))
    first, second = analysis.diagnose(seen)
    assert (first.code, second.code) == (Code.POLICY_ORPHANED, Code.INSTALL_MISSING)
    (command,) = first.commands
    assert command.startswith("kubectl delete validatingadmissionpolicies,validatingadmissionpolicybindings ")


@pytest.mark.parametrize(
    ("changed", "codes"),
    [
        (
            {"webhook_configuration": None, "deployment": None, "policies": (_MUTATE,)},
            [(Code.POLICY_ORPHANED, Mark.WARNING)],
        ),
        (
            {"webhook_configuration": None, "deployment": None, "policies": (_MUTATE, _GUARD)},
            [(Code.POLICY_ORPHANED, Mark.WARNING)],
        ),
        (
            {
                "webhook_configuration": None,
                "deployment": None,
                "policies": (read(Object, {"metadata": {"name": "other"}}),),
            },
            [],
        ),
        ({"webhook_configuration": None, "policies": (_GUARD,)}, [(Code.POLICY_ORPHANED, Mark.ERROR)]),
    ],
    ids=["mutate", "both", "foreign", "only the webhook configuration is gone"],
)
def test_orphaned_policies_named(changed: dict[str, Any], codes: list[tuple[Code, Mark]]) -> None:
    found = _codes(guards=(*GUARDS, "registry-webhook-guard"), **changed)
    assert [one for one in found if one[0] is Code.POLICY_ORPHANED] == codes


@pytest.mark.parametrize("missing", [1, 2])
def test_message_singular_and_plural(missing: int) -> None:
    places = ("team-a", "team-b")
    found = analysis.diagnose(sound(pull_secrets=tuple(pull_secret(one) for one in places[missing:])))
    (why,) = (one.message for one in found if one.code is Code.SECRET_MISSING)
    assert why.endswith(["1 selected namespace: team-a", "2 selected namespaces: team-a, team-b"][missing - 1])


def test_secret_forged_date_others_not_outdated() -> None:
    places = ("team-a", "team-b", "team-c")
    forged = pull_secret(
        "team-c",
        annotations={"registry-webhook/refreshed-at": "9999-01-01T00:00:00Z"},
    )
    seen = sound(
        namespaces=tuple(namespace(one, "true") for one in places),
        pull_secrets=(pull_secret("team-a"), pull_secret("team-b"), forged),
    )
    (why,) = (one.message for one in analysis.diagnose(seen) if one.code is Code.SECRET_OUTDATED)
    assert why.endswith(": team-c")
