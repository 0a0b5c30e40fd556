"""What alerts and dashboard ask for, and what there is to be asked."""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from webhook.admission.mutator import Mutator
from webhook.config.load import load
from webhook.refresher.runtime.metrics import Metrics as SidecarMetrics
from webhook.server.counters import ReviewCounters
from webhook.server.metrics import CloseReason, Metrics
from webhook.server.reloader import ServerState

from .manifest_variants import BASE
from .prometheus_text import families

MONITORING = BASE / "monitoring"
#: What the API server says of its webhooks: https://kubernetes.io/docs/reference/instrumentation/metrics/.
APISERVER: dict[str, set[str]] = {
    "apiserver_admission_webhook_admission_duration_seconds_bucket": {"name", "operation", "rejected", "type", "le"},
    "apiserver_admission_webhook_fail_open_count": {"name", "type"},
    "apiserver_admission_webhook_rejection_count": {"name", "operation", "type", "error_type", "rejection_code"},
    "apiserver_admission_webhook_request_total": {"name", "operation", "type", "code", "rejected"},
}
#: What Prometheus puts to each series of what podmonitor.yaml selects.
SCRAPED = {"namespace", "pod", "container", "instance", "job"}
_BY_NAME = re.compile(r'\{__name__=~"([^"]*)"\}')
_SELECTOR = re.compile(r"\b([a-z_][a-z0-9_]*)\s*\{([^{}]*)\}|\b((?:registry_webhook|apiserver|process)_[a-z0-9_]*)")
_MATCHER = re.compile(r'([a-z_]+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
_GROUPED = re.compile(r"\b(?:by|on)\s*\(([^)]*)\)")


class Query(NamedTuple):
    """A query, and where it stands."""

    where: str
    text: str

    def __str__(self) -> str:
        """Name it in a test's name."""
        return self.where

    def metrics(self) -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
        """Give the metrics that it asks for, each with its matchers: label, operator, value."""
        for pattern in _BY_NAME.findall(self.text):
            yield from ((name, []) for name in there_is() if re.fullmatch(pattern, name))
        for found in _SELECTOR.finditer(_BY_NAME.sub("", self.text)):
            name, inside, bare = found.groups()
            yield name or bare, _MATCHER.findall(inside or "")

    def grouped(self) -> set[str]:
        """Give the labels that it groups by."""
        return {label.strip() for inside in _GROUPED.findall(self.text) for label in inside.split(",") if label.strip()}


def rules() -> list[dict[str, Any]]:
    """Give the groups of rules."""
    groups: list[dict[str, Any]] = yaml.safe_load((MONITORING / "alerts.yaml").read_text())["spec"]["groups"]
    return groups


def alerts() -> dict[str, dict[str, Any]]:
    """Give the alerts by their names."""
    return {rule["alert"]: rule for group in rules() for rule in group["rules"]}


def panels() -> list[dict[str, Any]]:
    """Give the dashboard's panels that ask for something."""
    dashboard = json.loads((MONITORING / "dashboard.json").read_text())
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def dashboard_queries(interval: str = "5m") -> list[Query]:
    """Give the queries of all panels; `interval` takes the place of what Grafana knows."""
    return [
        Query(f"{panel['title']} {target['refId']}", target["expr"].replace("$__rate_interval", interval))
        for panel in panels()
        for target in panel["targets"]
    ]


def alert_queries() -> list[Query]:
    """Give the alerts' expressions."""
    return [Query(name, rule["expr"]) for name, rule in alerts().items()]


class _Place:
    open = busy = buffered_bytes = 1


def server_exposition() -> str:
    """Give what a server says that has answered something."""
    loaded = load(b"", "config.yaml", {})
    tally = ReviewCounters()
    tally.rules["quay.io -> registry.example.com/quay"] = 1
    metrics = Metrics(lambda: ServerState(loaded, Mutator(loaded.configuration), "0123456789ab", 0), tally)
    for port in ("https", "health"):
        metrics.watch(port, _Place())
        for reason in CloseReason:
            metrics.on_close(port)(reason)
    return metrics.exposition().decode()


def sidecar_exposition() -> str:
    """Give what a sidecar says that has asked the API server."""
    metrics = SidecarMetrics()
    metrics.configuration.info({"hash": "0123456789ab"})
    metrics.count_request("GET", "200")
    return metrics.exposition().decode()


@cache
def there_is() -> dict[str, dict[str, set[str]]]:
    """Give every series that there is, by name, with the values of its labels; of API servers' labels none is known."""
    found: dict[str, dict[str, set[str]]] = {
        name: {label: set() for label in labels} for name, labels in APISERVER.items()
    }
    for text in (server_exposition(), sidecar_exposition()):
        for family in families(text):
            for sample in family.samples:
                labels = found.setdefault(sample.name, {})
                for label, value in sample.labels.items():
                    labels.setdefault(label, set()).add(value)
    return found


def promtool_file(folder: Path, groups: list[dict[str, Any]]) -> Path:
    """Write rules as Prometheus itself reads them."""
    path = folder / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": groups}))
    return path
