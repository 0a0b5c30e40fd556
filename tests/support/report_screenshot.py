"""Writes the HTML report of an example cluster, for the screenshot in the documentation.

`python -m tests.support.report_screenshot > report.html`, then, for docs/assets/report.png:
`chromium --headless --hide-scrollbars --window-size=1100,1000 --screenshot=report.png report.html`
"""

import sys
from datetime import UTC, datetime

from webhook.diagnostics.drift import page
from webhook.diagnostics.drift.analysis import Counts, NamespaceDrift, OwnerDrift, Report
from webhook.diagnostics.evaluate import Change
from webhook.diagnostics.running_pods import Cause

_SERVER = "registry.example.com"


def _owner(name: str, image: str, pods: int, cause: Cause, namespace: str) -> OwnerDrift:
    return OwnerDrift(
        "Deployment",
        name,
        "apps",
        pods=pods,
        drifted=pods,
        lacking_secret=pods if cause is not Cause.CHANGED else 0,
        causes={cause: pods},
        changes=(Change(f"container {name}", image, f"{_SERVER}/{image}"),),
        names=tuple(f"{name}-7d9c5b6f4-{number}" for number in range(pods)),
        command=f"kubectl -n {namespace} rollout restart deployment/{name}",
    )


def report() -> Report:
    """Return the report of two selected namespaces, one of them with drifted Pods, and one that is not selected."""
    drifted = (
        _owner("ledger", "redis:7.4", 3, Cause.OLDER, "payments"),
        _owner("settle", "busybox:1.36", 1, Cause.MISSED, "payments"),
    )
    payments = Counts(pods=14, current=10, drifted=4, images=4, lacking_secret=4, missed=1)
    shop = Counts(pods=22, current=21, left_alone=1)
    staging = Counts(pods=9, not_selected=9, would_change=7)
    selected = "the label registry-webhook/enabled is true"
    namespaces = (
        NamespaceDrift("payments", selected=True, why=selected, counts=payments, owners=drifted),
        NamespaceDrift("shop", selected=True, why=selected, counts=shop, owners=()),
        NamespaceDrift("staging", selected=False, why="it has no label", counts=staging, owners=()),
    )
    totals = Counts(45, 31, 4, 4, 4, 1, 1, 9, 7)
    registries = {_SERVER: 41, "docker.io": 12, "quay.io": 3}
    configuration = "ConfigMap registry-webhook/registry-webhook"
    return Report(_SERVER, configuration, "aa42a572d130", "webhook", (), totals, namespaces, registries)


if __name__ == "__main__":
    sys.stdout.write(page.page(report(), "production", datetime(2026, 11, 30, 9, 0, tzinfo=UTC)))
