"""Generates docs/reference/dashboard.md from the Grafana dashboard in manifests/monitoring."""

import json
from typing import Any

from .markdown import table
from .monitoring_queries import MONITORING

_HEAD = """\
# Dashboard
`manifests/monitoring/dashboard.json` is a Grafana dashboard of both processes. `kubectl apply -k manifests/monitoring`
creates a ConfigMap that Grafana's sidecar loads. You can also import the file, as
[monitoring](../how-to/monitoring.md) describes. The [metrics](metrics.md) page explains
the metrics in its queries, and the [alerts](alerts.md) page the alerts on them.

This page is generated from that file.
"""


def page() -> str:
    """Return the page."""
    dashboard = json.loads((MONITORING / "dashboard.json").read_text())
    sections: dict[str, list[tuple[str, str]]] = {}
    for panel in sorted(dashboard["panels"], key=_place):
        if panel["type"] == "row":
            sections[panel["title"]] = []
        else:
            sections[list(sections)[-1]].append((panel["title"], panel.get("description", "")))
    return _HEAD + "".join(f"\n## {title}\n{table(('Panel', 'Meaning'), panels)}" for title, panels in sections.items())


def _place(panel: dict[str, Any]) -> tuple[int, int]:
    """Return the top and left edge of a panel."""
    return panel["gridPos"]["y"], panel["gridPos"]["x"]
