"""Generates docs/reference/metrics.md from what both processes export."""

from collections.abc import Iterator

from prometheus_client import Metric

from .markdown import table
from .monitoring_queries import server_exposition, sidecar_exposition
from .prometheus_text import families

_HEAD = """\
# Metrics
Both processes export metrics at `/metrics`, in plain HTTP. Both also export the `process_` metrics of the Prometheus
client library. A label has its values next to it if their number is fixed. A histogram has the series `_bucket`, `_sum`
and `_count`. The [alerts](alerts.md) and the dashboard in `manifests/monitoring` use these names.

This page is generated from the metrics that both processes export.
"""

_SERVER = """
## Server metrics
The container `webhook` exports them on port 8080, the port named `health`.

"""

_REFRESHER = """
## Refresher metrics
The container `refresher` exports them on port 8081, the port named `refresh-health`. The metrics that begin with
`registry_webhook_refresher_namespaces_`, and the writes, are those of the replica that holds the Lease.

"""

_NOTES = """
## Notes
- `hash` is equal in all processes, commands and generated policies that use the same configuration.
- The first 256 rules that a process applies have a label value of their own in `registry_webhook_rule_images_total`.
  All others share the value `other`.
- Most reviews are answered when their last byte is read. `registry_webhook_requests_in_flight` therefore counts
  requests that are incomplete, large requests that wait, and requests whose response is not read.
- Each refused request is also logged as `request refused`, at most one line for each reason in 10 seconds.
- Pods that the API server admitted without the webhook are counted by the API servers only.
"""


def metrics(exposition: str) -> dict[str, Metric]:
    """Return our metrics in an exposition by name, counters with `_total`."""
    ours = [one for one in families(exposition) if one.name.startswith("registry_webhook")]
    return {f"{one.name}_total" if one.type == "counter" else one.name: one for one in ours}


def page() -> str:
    """Return the page."""
    return _HEAD + _SERVER + _table(server_exposition()) + _REFRESHER + _table(sidecar_exposition()) + _NOTES


def _table(exposition: str) -> str:
    rows = (
        (f"`{name}`", metric.type, "<br>".join(_labels(metric)), metric.documentation)
        for name, metric in metrics(exposition).items()
    )
    return table(("Metric", "Type", "Labels and values", "Meaning"), rows)


def _labels(metric: Metric) -> Iterator[str]:
    samples = [sample.labels for sample in metric.samples]
    for label in dict.fromkeys(label for labels in samples for label in labels if label != "le"):
        values = dict.fromkeys(labels[label] for labels in samples)
        # An example has one value of a label that has any number of them.
        yield f"`{label}`: {', '.join(values)}" if len(values) > 1 else f"`{label}`"
