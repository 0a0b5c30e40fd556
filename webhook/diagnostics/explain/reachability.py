"""Whether the API server can call the webhook, as far as the API shows."""

from collections.abc import Iterator
from datetime import UTC, datetime

from webhook.constants import PROGRAM, InstallationNames
from webhook.errors import NotReadable
from webhook.kube.objects import EndpointSlice, Webhook
from webhook.kube.partial import known
from webhook.output import kubectl
from webhook.output.finding_codes import Code
from webhook.output.findings import Finding, Mark, or_unknown
from webhook.pki import ca
from webhook.timestamps import format_rfc3339

_REPLICAS = "webhook's replicas"
_DOCTOR = f"{PROGRAM} doctor looks at the installation from end to end"


def display_name(names: InstallationNames) -> str:
    """Return the kind and name of the webhook configuration."""
    return f"MutatingWebhookConfiguration {names.configuration}"


def steps(webhook: Webhook, endpoints: tuple[EndpointSlice, ...] | NotReadable, now: float) -> Iterator[Finding]:
    """Check that replicas are ready and that the API server would trust them, at POSIX time `now`."""
    yield from or_unknown(_REPLICAS, Code.ENDPOINTS_UNKNOWN, _check_endpoints(webhook, endpoints))
    yield _bundle(webhook, now)


def _then(webhook: Webhook) -> str:
    """Describe the outcome for a Pod when the webhook does not answer."""
    if webhook.failure_policy == "Ignore":
        return "failurePolicy Ignore lets Pods through as they are"
    return "failurePolicy Fail refuses Pods"


def _check_endpoints(webhook: Webhook, endpoints: tuple[EndpointSlice, ...] | NotReadable) -> Iterator[Finding]:
    service = webhook.client_config.service
    if service is None:
        yield Finding(Mark.OK, Code.WEBHOOK_URL, _REPLICAS, f"the webhook is called at {webhook.client_config.url}")
        return
    place = f"Service {service.namespace}/{service.name}"
    ready = sum(one.conditions.ready is not False for part in known(endpoints) for one in part.endpoints or ())
    if ready == 0:
        why = f"no replica of the webhook is ready behind {place}, and {_then(webhook)}"
        command = kubectl.line("get", "deployments,pods", namespace=service.namespace)
        yield Finding(Mark.FAIL, Code.ENDPOINTS_NONE, _REPLICAS, why, f"{command}; {_DOCTOR}" if command else _DOCTOR)
    else:
        yield Finding(Mark.OK, Code.ENDPOINTS_OK, _REPLICAS, f"{ready} ready behind {place}")


def _bundle(webhook: Webhook, now: float) -> Finding:
    what = "caBundle"
    authorities = ca.certificates_in(webhook.client_config.ca_certificates)
    if not webhook.client_config.ca_bundle:
        why = "the webhook configuration has no caBundle, by which the API server would know the webhook"
        why = f"{why}, and {_then(webhook)}"
        return Finding(Mark.FAIL, Code.CABUNDLE_EMPTY, what, why, f"the sidecar or cert-manager puts it in; {_DOCTOR}")
    if not authorities:
        why = f"the webhook configuration's caBundle holds no certificate, and {_then(webhook)}"
        return Finding(Mark.FAIL, Code.CABUNDLE_INVALID, what, why, _DOCTOR)
    end = max(ca.validity(one).ends for one in authorities)
    ends = format_rfc3339(end.timestamp())
    if end <= datetime.fromtimestamp(now, UTC):
        return Finding(
            Mark.FAIL,
            Code.CABUNDLE_EXPIRED,
            what,
            f"every authority in caBundle expired by {ends}, and {_then(webhook)}",
            _DOCTOR,
        )
    return Finding(Mark.OK, Code.CABUNDLE_OK, what, f"authorities until {ends}")
