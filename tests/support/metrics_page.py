"""Writes docs/reference/metrics.md, from what both processes export: `make reference`."""

import sys
from collections.abc import Iterator

from prometheus_client import Metric

from .monitoring_queries import server_exposition, sidecar_exposition
from .prometheus_text import families

_HEAD = """\
# Metrics
The webhook exports these metrics on port 8080 and the refresher on port 8081, at `/metrics`. A label has its values
next to it if there is a fixed number of them. Both also export the `process_` metrics of the Prometheus client library.
This page is generated.

| metric | type | labels | meaning |
|---|---|---|---|
"""


def metrics(exposition: str) -> dict[str, Metric]:
    """Return our metrics in an exposition by name, counters with `_total`."""
    ours = [one for one in families(exposition) if one.name.startswith("registry_webhook")]
    return {
        f"{one.name}_total" if one.type == "counter" else one.name: one
        for one in ours
        if not one.name.endswith("_created")
    }


def page() -> str:
    """Return the page."""
    described = {**metrics(server_exposition()), **metrics(sidecar_exposition())}
    rows = (
        f"| `{name}` | {metric.type} | {', '.join(_labels(metric))} | {metric.documentation} |\n"
        for name, metric in described.items()
    )
    return _HEAD + "".join(rows).replace("|  |", "| |")


def _labels(metric: Metric) -> Iterator[str]:
    samples = [sample.labels for sample in metric.samples if not sample.name.endswith("_created")]
    for label in dict.fromkeys(label for labels in samples for label in labels if label != "le"):
        values = dict.fromkeys(labels[label] for labels in samples)
        # An example has one value of a label that has any number of them.
        yield f"`{label}` ({', '.join(values)})" if len(values) > 1 else f"`{label}`"


if __name__ == "__main__":
    sys.stdout.write(page())
