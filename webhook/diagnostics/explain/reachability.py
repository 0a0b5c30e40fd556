"""Whether the API server can call the webhook, as far as the API shows."""

from collections.abc import Iterator
from datetime import UTC, datetime

from webhook.constants import InstallationNames
from webhook.diagnostics.remedy import Remedy, remedy
from webhook.errors import NotReadable
from webhook.kube.objects import EndpointSlice, Webhook
from webhook.kube.partial import known
from webhook.output import invocation, kubectl
from webhook.output.finding_codes import Code
from webhook.output.findings import Finding, Mark, or_unknown
from webhook.pki import ca
from webhook.timestamps import format_rfc3339

_REPLICAS = "webhook replicas"


def check_installation(hint: str = "check the installation") -> Remedy:
    """Return how to check the installation from end to end."""
    return Remedy(hint, (invocation.command("doctor"),))


def display_name(names: InstallationNames) -> str:
    """Return the kind and name of the webhook configuration."""
    return f"MutatingWebhookConfiguration {names.configuration}"


def steps(webhook: Webhook, endpoints: tuple[EndpointSlice, ...] | NotReadable, now: float) -> Iterator[Finding]:
    """Check that replicas are ready and that the API server would trust them, at POSIX time `now`."""
    yield from or_unknown(_REPLICAS, Code.ENDPOINTS_UNKNOWN, _check_endpoints(webhook, endpoints))
    yield _check_bundle(webhook, now)


def _effect(webhook: Webhook) -> str:
    """Describe the outcome for a Pod when the webhook cannot be called."""
    if webhook.failure_policy == "Ignore":
        return "so Pods are created unchanged (failurePolicy: Ignore)"
    return "so Pods are refused (failurePolicy: Fail)"


def _check_endpoints(webhook: Webhook, endpoints: tuple[EndpointSlice, ...] | NotReadable) -> Iterator[Finding]:
    service = webhook.client_config.service
    if service is None:
        why = f"the API server calls the webhook at {webhook.client_config.url}"
        yield Finding(Mark.OK, Code.WEBHOOK_URL, _REPLICAS, why)
        return
    place = f"Service {service.namespace}/{service.name}"
    ready = sum(one.conditions.ready is not False for part in known(endpoints) for one in part.endpoints or ())
    if ready == 0:
        why = f"{place} has no ready endpoint, {_effect(webhook)}"
        pods = kubectl.line("get", "deployments,pods", namespace=service.namespace)
        yield Finding(
            Mark.FAIL,
            Code.ENDPOINTS_NONE,
            _REPLICAS,
            why,
            *remedy("check the webhook's Pods", pods, invocation.command("doctor")),
        )
    else:
        yield Finding(Mark.OK, Code.ENDPOINTS_OK, _REPLICAS, f"{place} has {ready} ready")


def _check_bundle(webhook: Webhook, now: float) -> Finding:
    what = "caBundle"
    if not webhook.client_config.ca_bundle:
        why = f"the webhook configuration has an empty caBundle, {_effect(webhook)}"
        hint = "check why the refresher or cert-manager does not write caBundle"
        return Finding(Mark.FAIL, Code.CABUNDLE_EMPTY, what, why, *check_installation(hint))
    certificates = ca.certificates_in(webhook.client_config.ca_certificates)
    if not certificates:
        why = f"caBundle in the webhook configuration has no readable certificate, {_effect(webhook)}"
        return Finding(Mark.FAIL, Code.CABUNDLE_INVALID, what, why, *check_installation())
    end = max(ca.validity(one).ends for one in certificates)
    ends = format_rfc3339(end.timestamp())
    if end <= datetime.fromtimestamp(now, UTC):
        why = f"the last CA in caBundle expired at {ends}, {_effect(webhook)}"
        return Finding(Mark.FAIL, Code.CABUNDLE_EXPIRED, what, why, *check_installation())
    return Finding(Mark.OK, Code.CABUNDLE_OK, what, f"valid until {ends}")
