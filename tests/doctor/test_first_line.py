"""What is wrong is said first, with the cause before what follows from it, and with what to do."""

from datetime import timedelta
from typing import Any, NamedTuple

import msgspec
import pytest

from webhook.inspection import doctor
from webhook.inspection.doctor.rights import GUARDS, UNNEEDED, needed
from webhook.inspection.doctor.seen import Binding, Faults, Lease
from webhook.inspection.findings import Mark
from webhook.inspection.objects import EndpointSlice, Object
from webhook.inspection.snapshot import Tried, Unknown

from .sound import (
    NOW,
    PODS,
    PULL_SECRET,
    SERVED,
    SERVER,
    calling,
    certificate_secret,
    deployment,
    expiring,
    failed_pull,
    namespace,
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
)

_OLD = serving(91)
_ENDING = serving(80)
_FUTURE = serving(-2)
_MISNAMED = serving(name="webhook.example.com")
_X509 = "failed to verify certificate: x509: certificate signed by unknown authority"
_REFUSAL = f'Internal error occurred: failed calling webhook "pods.registry-webhook.internal": {_X509} (500)'
_BUNDLE = signer().certificate
_REFUSED = "last pass: refused: registry.example.com refused the credential (401)"
_ANNOTATED = read(Object, {"metadata": {"name": "p", "annotations": {"registry-webhook/configuration-hash": "abc"}}})
_CRASHED = replica(
    PODS[0], containerStatuses=[{"name": "webhook", "state": {"waiting": {"reason": "ImagePullBackOff"}}}]
)


class Case(NamedTuple):
    """What is changed, and how the line that is then first goes."""

    broken: dict[str, Any]
    line: str
    remedy: str = ""


_FAILING: dict[str, Case] = {
    "nothing is installed": Case(
        {"calling": None, "deployment": None}, "failure installation: there is nothing of it", "kubectl apply -k"
    ),
    "the configuration is broken": Case(
        {"configuration": Faults(("config.yaml:2: webhook.exclud: unknown key",))},
        "failure configuration: config.yaml:2: webhook.exclud: unknown key",
        "correct it",
    ),
    "there is no webhook configuration": Case(
        {"calling": None}, "failure webhook configuration: there is no MutatingWebhookConfiguration registry-webhook:"
    ),
    "the webhook is not called for creations": Case(
        {"calling": calling(rules=[])},
        "failure webhook configuration: it does not call the webhook for CREATE of pods",
    ),
    "nobody rewrites": Case(
        {"calling": calling(matchConditions=[{"name": "the-policy-rewrites", "expression": "false"}])},
        "failure webhook configuration: it keeps the webhook from being called, and there is no "
        "MutatingAdmissionPolicy registry-webhook-mutate",
        "policy-mutate",
    ),
    "dry runs are refused": Case(
        {"calling": calling(sideEffects="Some")}, "failure webhook configuration: sideEffects is Some"
    ),
    "another Service is called": Case(
        {"calling": calling(clientConfig={"service": {"namespace": "x", "name": "y", "path": "/mutate"}})},
        "failure webhook configuration: it calls /mutate of the Service x/y",
    ),
    "the Deployment is gone": Case({"deployment": None}, "failure webhook runs: there is no Deployment"),
    "the webhook is scaled to zero": Case(
        {"deployment": deployment(0), "slices": (), "replicas": (), "lease": Lease("", None)},
        "failure webhook runs: Deployment registry-webhook/registry-webhook is scaled to 0: Pods are made as they are",
        "scale deployment/registry-webhook --replicas=2",
    ),
    "the webhook that fails closed is scaled to zero": Case(
        {"deployment": deployment(0), "slices": (), "calling": calling(failurePolicy="Fail")},
        "failure webhook runs: Deployment registry-webhook/registry-webhook is scaled to 0: Pods of served namespaces "
        "are refused",
    ),
    "no replica comes up": Case(
        {"deployment": deployment(availableReplicas=0), "slices": (), "replicas": (_CRASHED,)},
        "failure webhook runs: none of 2 replicas is available: Pods are made as they are written "
        "(webhook ImagePullBackOff)",
    ),
    "no endpoint is ready": Case(
        {"slices": (read(EndpointSlice, {"endpoints": [{"conditions": {"ready": False}}]}),)},
        "failure webhook reached: no endpoint of the Service",
    ),
    "caBundle is empty": Case(
        {"calling": calling(b""), "tryout": tryout(Tried(stored("registry-webhook/sample")))},
        "failure caBundle: caBundle is empty: the API server does not trust the webhook",
        "the sidecar puts it right",
    ),
    "caBundle is no certificate": Case({"calling": calling(b"x")}, "failure caBundle: caBundle: there is no PEM"),
    "caBundle is another authority's": Case(
        {"calling": calling(signer(1).certificate)},
        "failure caBundle: none of its authorities has signed the certificate (x509)",
    ),
    "caBundle by hand is empty": Case(
        {"calling": calling(b"", "certs/by-hand"), "deployment": deployment(variant="certs/by-hand")},
        "failure caBundle: caBundle is empty",
        "registry-webhook certs create",
    ),
    "caBundle of cert-manager is empty": Case(
        {"calling": calling(b"", "certs/cert-manager"), "deployment": deployment(variant="certs/cert-manager")},
        "failure caBundle: caBundle is empty",
        "cert-manager's cainjector",
    ),
    "there is no certificate": Case(
        {"certificate": None}, "failure certificate: there is no Secret registry-webhook/registry-webhook-certificate"
    ),
    "the certificate is none": Case(
        {"certificate": read(type(certificate_secret()), {})},
        "failure certificate: Secret registry-webhook/registry-webhook-certificate, tls.crt: there is no PEM",
    ),
    "the certificate has expired": Case(
        {"certificate": certificate_secret(_OLD)},
        "failure certificate: it ended on 2026-11-24 12:00 UTC: where it is served, Pods are made as they are written",
        "the sidecar makes and renews it",
    ),
    "the certificate by hand has expired": Case(
        {"certificate": certificate_secret(_OLD), "deployment": deployment(variant="certs/by-hand")},
        "failure certificate: it ended on 2026-11-24",
        "registry-webhook certs create --force",
    ),
    "the certificate is of the future": Case(
        {"certificate": certificate_secret(_FUTURE)}, "failure certificate: it is not valid before"
    ),
    "the certificate is for another name": Case(
        {"certificate": certificate_secret(_MISNAMED)},
        "failure certificate: it is not for the name that the API server calls",
    ),
    "a server has one that expired": Case(
        {
            "replicas": (
                replica(
                    PODS[0],
                    says(
                        "webhook",
                        settings().hash,
                        certificate_expiry_timestamp_seconds=NOW.timestamp() - 1,
                    ),
                ),
            )
        },
        f"failure certificate: what {PODS[0]} (webhook) has, has ended",
    ),
    "a server cannot take its certificate": Case(
        {"replicas": (replica(PODS[0], says("webhook", settings().hash, certificate_last_reload_successful=0)),)},
        f"failure certificate: {PODS[0]}: its certificate cannot be served",
    ),
    "the mode is another one": Case(
        {"configuration": settings(namespaces={"mode": "all"})},
        "failure selected: it selects labelled namespaces, and webhook.namespaces.mode is all",
        "overlays/cluster-wide",
    ),
    "Pods opt themselves out against the configuration": Case(
        {"configuration": settings(pod_opt_out="ignore")},
        "failure selected: Pods opt themselves out by a label, and webhook.pod_opt_out is ignore",
    ),
    "a served namespace is not selected": Case(
        {
            "calling": calling(
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
        "failure selected: not called for 1 namespace that is served: team-b",
    ),
    "rights are missing": Case(
        {
            "rights": dict.fromkeys(needed(PULL_SECRET, keeps_certificate=True), False),
            "replicas": refreshers("not ready: no", "nobody writes", "last pass: cluster: cannot list namespaces"),
            "lease": None,
            "pull_secrets": (),
        },
        "failure rights: the account may not get, list, watch namespaces; get, list, watch, patch "
        "mutatingwebhookconfigurations.admissionregistration.k8s.io registry-webhook; create events.events.k8s.io; "
        "get, create, update leases.coordination.k8s.io registry-webhook-refresher in registry-webhook; "
        "get, list, watch, create, patch, delete secrets registry-webhook-pull; "
        "get, list, watch, create, patch secrets registry-webhook-certificate in registry-webhook",
        "manifests/30-rights.yaml",
    ),
    "a guard is gone": Case(
        {"guards": GUARDS[1:]},
        "failure guard: ValidatingAdmissionPolicy registry-webhook-secrets is gone",
        "manifests/20-guard.yaml",
    ),
    "a guard is not bound": Case(
        {"bindings": (*(Binding(name, denies=True) for name in GUARDS[1:]), Binding(GUARDS[0], denies=False))},
        "failure guard: ValidatingAdmissionPolicy registry-webhook-secrets is bound by no binding that denies",
    ),
    "nobody has the Lease": Case({"lease": Lease("", None)}, "failure leadership: no replica holds the Lease"),
    "the Lease is old": Case(
        {"lease": Lease("gone_1", NOW - timedelta(minutes=5))}, "failure leadership: gone_1 holds the Lease"
    ),
    "two replicas write": Case(
        {"replicas": (*refreshers(), *refreshers())}, "failure leadership: 2 replicas say that they write"
    ),
    "the password is wrong": Case(
        {
            "replicas": refreshers("ready", "a writes", _REFUSED, credential_refused=1),
            "failed_pulls": (failed_pull("401 Unauthorized"),),
        },
        "failure credential: the registry refuses it: registry.example.com refused the credential (401)",
        "Secret registry-webhook/registry-webhook-credential",
    ),
    "the source gives nothing": Case(
        {"replicas": refreshers("not ready: x", "a writes", "last pass: source: no such file")},
        "failure credential: its source gives none: no such file",
    ),
    "the credential has expired": Case(
        {"replicas": refreshers("not ready: x", "a writes", credential_expiry_timestamp_seconds=NOW.timestamp() - 60)},
        "failure credential: what is published ended at 2026-11-25 11:59 UTC",
    ),
    "a foreign Secret is in the way": Case(
        {"pull_secrets": (pull_secret("team-a", labels={}), pull_secret("team-b"))},
        f"failure pull secrets: in 1 served namespace a Secret {PULL_SECRET} is in the way that is not ours: team-a",
        "kubectl -n team-a delete secret registry-webhook-pull",
    ),
    "a Secret is of another type": Case(
        {"mistyped": (pull_secret("team-b"),)},
        f"failure pull secrets: in 1 served namespace a Secret {PULL_SECRET} is in the way that is not ours: team-b",
    ),
    "a namespace has no Secret": Case(
        {"pull_secrets": (pull_secret("team-a"),)}, "failure pull secrets: 1 served namespace has none: team-b"
    ),
    "a pull secret has expired": Case(
        {"pull_secrets": tuple(expiring(name, "2026-11-25T11:59:59Z") for name in SERVED)},
        "failure pull secrets: in 2 served namespaces the credential has expired: team-a, team-b",
    ),
    "policies are of another configuration": Case(
        {"policies": (_ANNOTATED,)}, "failure generated policies: made from another configuration than"
    ),
    "nodes do not trust the registry": Case(
        {"failed_pulls": (failed_pull(_X509),)},
        f"failure pulls by nodes: nodes do not trust {SERVER}: Pod team-a/app: {_X509}",
        "certs.d",
    ),
    "nodes are refused": Case(
        {"failed_pulls": (failed_pull("authorization failed: no basic auth credentials"),)},
        f"failure pulls by nodes: {SERVER} refuses nodes: Pod team-a/app",
    ),
    "a sample stays as it is": Case(
        {"tryout": tryout(Tried(stored("registry-webhook/sample")))},
        "failure sample: a Pod with registry-webhook/sample in team-a (dry run) stays as it is written",
    ),
    "a sample gets no secret": Case(
        {"tryout": tryout(Tried(stored()))},
        "failure sample: a Pod with registry-webhook/sample in team-a (dry run) is rewritten and does not get",
    ),
    "a sample is refused by the webhook that fails closed": Case(
        {"tryout": tryout(Tried(None, refusal=_REFUSAL))},
        "failure sample: a Pod with registry-webhook/sample in team-a (dry run) is refused: Internal error occurred: "
        f'failed calling webhook "pods.registry-webhook.internal": {_X509}',
        "x509 is about certificate and caBundle",
    ),
}

_WARNING: dict[str, Case] = {
    "no registry is set": Case(
        {"configuration": settings("webhook: {}"), "tryout": None}, "warning configuration: config.yaml has no"
    ),
    "the containers' variables differ": Case(
        {"sidecar_hash": "other", "replicas": ()}, "warning same everywhere: the containers' variables differ"
    ),
    "a replica is late": Case(
        {"replicas": (replica(PODS[0], says("webhook", "old")), replica(PODS[1]))},
        f"warning same everywhere: not by {settings().hash} yet: {PODS[0]} (webhook: old)",
        "kubelet brings a ConfigMap within two minutes",
    ),
    "a rollout is not over": Case(
        {"deployment": deployment(updatedReplicas=1)},
        "warning webhook runs: the rollout is not over: 2 of 2 replicas are available, 1 of the newest",
    ),
    "the timeout is another one": Case(
        {"calling": calling(timeoutSeconds=30)}, "warning webhook configuration: timeoutSeconds is 30"
    ),
    "the webhook is called once": Case(
        {"calling": calling(reinvocationPolicy="Never")}, "warning webhook configuration: reinvocationPolicy is not"
    ),
    "versions are matched exactly": Case(
        {"calling": calling(matchPolicy="Exact")}, "warning webhook configuration: matchPolicy is Exact"
    ),
    "the conditions are gone": Case(
        {"calling": calling(matchConditions=[])},
        "warning webhook configuration: its match condition an-image-differs is gone",
    ),
    "the system's namespaces are not kept out": Case(
        {
            "calling": calling(
                namespaceSelector={
                    "matchExpressions": [{"key": "registry-webhook/enabled", "operator": "In", "values": ["true"]}]
                }
            )
        },
        "warning selected: it does not keep out kube-node-lease, kube-public, kube-system, registry-webhook",
    ),
    "the certificate ends soon": Case(
        {"certificate": certificate_secret(_ENDING)}, "warning certificate: it ends on 2026-12-05 12:00 UTC"
    ),
    "the account can read all Secrets": Case(
        {"rights": dict.fromkeys((*needed(PULL_SECRET, keeps_certificate=True), UNNEEDED[0]), True)},
        "warning rights: the account may list secrets",
    ),
    "the registry cannot be asked": Case(
        {"replicas": refreshers("ready", "a writes", "last pass: registry: no answer in time")},
        "warning credential: the registry could not be asked: no answer in time",
    ),
    "there is no credential": Case(
        {"replicas": refreshers("ready", "a writes")}, "warning credential: none is configured"
    ),
    "the first pass is not over": Case(
        {"replicas": refreshers("not ready: the first pass is not over", "a writes")},
        "warning credential: the sidecar is not ready: the first pass is not over",
    ),
    "a Secret is old": Case(
        {
            "pull_secrets": (
                pull_secret("team-a"),
                pull_secret("team-b", annotations={"registry-webhook/refreshed-at": "2026-11-25T09:00:00Z"}),
            )
        },
        "warning pull secrets: in 1 served namespace the content is older than elsewhere: team-b",
    ),
    "the sidecar complains": Case(
        {
            "replicas": refreshers(
                "ready",
                "a writes",
                "certificate: it cannot be written",
                credential_refreshed_timestamp_seconds=1,
            )
        },
        f"warning sidecar: {PODS[0]}: certificate: it cannot be written",
    ),
    "an image is not there": Case(
        {"failed_pulls": (failed_pull("not found"),)},
        f"warning pulls by nodes: pulls from {SERVER} fail: Pod team-a/app",
    ),
    "no namespace is served": Case(
        {"namespaces": (namespace("other"),), "tryout": None},
        "warning sample: none was tried",
        "kubectl label namespace",
    ),
}

_UNREAD = Unknown("no right to list it")


@pytest.mark.parametrize("case", _FAILING.values(), ids=_FAILING.keys())
def test_what_fails_is_said_first(case: Case) -> None:
    first = doctor.diagnose(sound(**case.broken))[0]
    assert str(first).startswith(case.line)
    assert first.remedy
    assert case.remedy in first.remedy


@pytest.mark.parametrize("case", _WARNING.values(), ids=_WARNING.keys())
def test_what_works_and_is_not_as_it_should_be_is_a_warning(case: Case) -> None:
    found = doctor.diagnose(sound(**case.broken))
    assert Mark.FAILURE not in {finding.mark for finding in found}
    assert str(found[0]).startswith(case.line)
    assert found[0].remedy
    assert case.remedy in found[0].remedy


def test_where_all_is_well_everything_is_ok() -> None:
    found = doctor.diagnose(sound())
    assert [str(finding) for finding in found if finding.mark is not Mark.OK] == []
    assert doctor.summary(found) == f"no failure, {len(found)} ok"


@pytest.mark.parametrize(
    "part",
    [
        "configuration",
        "calling",
        "deployment",
        "slices",
        "replicas",
        "certificate",
        "lease",
        "namespaces",
        "pull_secrets",
        "mistyped",
        "guards",
        "bindings",
        "policies",
        "failed_pulls",
    ],
)
def test_what_may_not_be_read_is_said_so_and_fails_nothing(part: str) -> None:
    found = doctor.diagnose(sound(**{part: _UNREAD}))
    assert {finding.mark for finding in found} == {Mark.UNKNOWN, Mark.OK}
    assert "not known: no right to list it" in {finding.why for finding in found}


def test_it_is_said_how_many_lines_are_how() -> None:
    seen = sound(lease=None, calling=calling(timeoutSeconds=9), failed_pulls=_UNREAD)
    assert doctor.summary(doctor.diagnose(seen)).startswith("1 failure, 1 warning, 1 not known, ")


def test_failures_come_before_warnings_and_those_before_what_is_not_known() -> None:
    marks = [finding.mark for finding in doctor.diagnose(sound(lease=None, calling=calling(timeoutSeconds=9)))]
    assert marks == sorted(marks, key=[Mark.FAILURE, Mark.WARNING, Mark.UNKNOWN, Mark.OK].index)


def test_an_old_failure_of_a_pull_is_passed_over() -> None:
    old = failed_pull(_X509, last="2026-11-25T11:40:00Z")
    assert {finding.mark for finding in doctor.diagnose(sound(failed_pulls=(old,)))} == {Mark.OK}


def test_a_failed_pull_from_elsewhere_is_none_of_ours() -> None:
    other = failed_pull(_X509, image="registry.example.org/app:1")
    assert {finding.mark for finding in doctor.diagnose(sound(failed_pulls=(other,)))} == {Mark.OK}


def test_where_no_pull_secret_is_kept_a_node_that_is_refused_is_none_of_ours_but_whom_it_trusts_is() -> None:
    refused, untrusted = (failed_pull(why, place="other") for why in ("401 Unauthorized", _X509))
    assert {finding.mark for finding in doctor.diagnose(sound(failed_pulls=(refused,)))} == {Mark.OK}
    assert str(doctor.diagnose(sound(failed_pulls=(refused, untrusted)))[0]).startswith(
        f"failure pulls by nodes: nodes do not trust {SERVER}: Pod other/app: {_X509}"
    )


def test_of_a_long_reason_the_end_is_shown_for_it_has_the_cause() -> None:
    why = doctor.diagnose(sound(failed_pulls=(failed_pull(f"{'failed to pull: ' * 30}{_X509}"),)))[0].why
    assert why.endswith(_X509)
    assert len(why) < 300


def test_where_a_policy_rewrites_the_webhook_need_not_be_called() -> None:
    conditions = [*msgspec.to_builtins(calling().webhooks[0].match_conditions)]
    conditions.append({"name": "the-policy-rewrites", "expression": "false"})
    policy = read(Object, {"metadata": {"name": "registry-webhook-mutate"}})
    found = doctor.diagnose(sound(calling=calling(matchConditions=conditions), policies=(policy,)))
    assert {finding.mark for finding in found} == {Mark.OK}
    why = "the webhook is not called, for MutatingAdmissionPolicy registry-webhook-mutate rewrites"
    assert why in {finding.why for finding in found}


def test_a_bundle_of_two_authorities_is_trusted_by_one_of_them() -> None:
    both = signer(1).certificate + _BUNDLE
    assert {finding.mark for finding in doctor.diagnose(sound(calling=calling(both)))} == {Mark.OK}


def test_nothing_of_a_certificate_that_may_not_be_read_is_guessed_but_what_processes_say() -> None:
    ends = (NOW + timedelta(days=9)).timestamp()
    said = says("refresher", settings().hash, certificate_expiry_timestamp_seconds=ends, leading=1)
    found = doctor.diagnose(sound(certificate=_UNREAD, replicas=(replica(PODS[0], refresher=said),)))
    why = "the processes say that it is good until 2026-12-04 12:00 UTC"
    assert why in {finding.why for finding in found}
