"""Every query of the alerts and the dashboard uses existing metrics."""

import json
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.support.kustomize import compose
from tests.support.manifest_variants import FOLDERS, Objects
from tests.support.monitoring_queries import (
    APISERVER,
    MONITORING,
    SCRAPED,
    Query,
    alert_queries,
    alerts,
    dashboard_queries,
    panels,
    promtool_file,
    there_is,
)
from tests.support.prometheus_text import NO_PROMTOOL, promtool
from webhook.constants import DOCS

#: What another metric that is shown says as well.
NOT_SHOWN = {"registry_webhook_configuration_last_reload_success_timestamp_seconds"}
QUERIES = [*alert_queries(), *dashboard_queries()]
needs_promtool = pytest.mark.skipif(promtool() is None, reason=NO_PROMTOOL)


@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_query_metrics_and_labels_exist(query: Query) -> None:
    asked = list(query.metrics())
    assert asked
    for metric, matchers in asked:
        assert metric in there_is(), metric
        labels = there_is()[metric]
        for label, operator, value in matchers:
            assert label in labels, f"{metric} has no label {label}"
            if metric not in APISERVER:
                wanted = {value} if operator in {"=", "!="} else set(value.split("|"))
                assert wanted <= labels[label], f"{metric}: {label} is never {value}"


@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_query_grouping_labels_exist(query: Query) -> None:
    known = SCRAPED.union(*(there_is()[metric] for metric, _ in query.metrics()))
    assert query.grouped() <= known


def test_query_check_finds_unknown_names() -> None:
    for text in ("registry_webhook_reviews", 'registry_webhook_reviews_total{result="x"}'):
        with pytest.raises(AssertionError):
            test_query_metrics_and_labels_exist(Query("wrong", text))
    with pytest.raises(AssertionError):
        test_query_metrics_and_labels_exist(Query("wrong", 'registry_webhook_reviews_total{outcome="fine"}'))
    with pytest.raises(AssertionError):
        test_query_grouping_labels_exist(Query("wrong", "sum by (node) (registry_webhook_reviews_total)"))


def families(names: Iterable[str]) -> set[str]:
    """Give our metrics by the name of the whole histogram."""
    ours = {name for name in names if name.startswith("registry_webhook")}
    return {re.sub(r"_(bucket|count|sum)$", "", name) for name in ours}


def test_metrics_all_used_by_query() -> None:
    shown = families(metric for query in QUERIES for metric, _ in query.metrics())
    assert families(there_is()) - shown == NOT_SHOWN, "show each in a panel of dashboard.json, or alert on it"


@needs_promtool
def test_queries_valid_for_promtool(tmp_path: Path) -> None:
    rules = [{"record": f"query:{number}", "expr": query.text} for number, query in enumerate(QUERIES)]
    path = promtool_file(tmp_path, [{"name": "queries", "rules": rules}])
    done = subprocess.run([str(promtool()), "check", "rules", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_panels_unique_and_use_datasource_variable() -> None:
    dashboard = json.loads((MONITORING / "dashboard.json").read_text())
    (variable,) = dashboard["templating"]["list"]
    assert variable["type"] == "datasource"
    identities = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(identities)) == len(identities)
    titles = [panel["title"] for panel in panels()]
    assert len(set(titles)) == len(titles)
    for panel in panels():
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == panel["datasource"]["uid"] == "${datasource}"


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads((MONITORING / "dashboard.json").read_text())["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, f"gridPos of {panel['title']}: another panel is there"
        assert at["x"] + at["w"] <= 24, f"gridPos of {panel['title']}: the dashboard is 24 wide"
        taken |= cells


def test_alerts_have_severity_and_annotations() -> None:
    for name, rule in alerts().items():
        assert name.startswith("RegistryWebhook")
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
        assert rule["annotations"]["runbook_url"] == f"{DOCS}/how-to/troubleshoot.md#{name.lower()}"
        assert "Start with `" in rule["annotations"]["description"]


def test_monitoring_folder_composes_in_namespace() -> None:
    objects = compose(MONITORING, {})
    assert [one["kind"] for one in objects] == ["PodMonitor", "PrometheusRule", "ConfigMap"]
    assert {one["metadata"]["namespace"] for one in objects} == {"registry-webhook"}
    assert json.loads(objects[2]["data"]["dashboard.json"])["uid"] == "registry-webhook"


@pytest.mark.parametrize("variant", FOLDERS, ids=str)
def test_pod_monitor_selects_metrics_ports(variant: object) -> None:
    monitor = compose(MONITORING, {})[0]["spec"]
    objects = Objects(variant)  # type: ignore[arg-type] # parametrize has no types
    labels = objects.deployment["spec"]["template"]["metadata"]["labels"]
    assert monitor["selector"]["matchLabels"].items() <= labels.items()
    ports = {name for container in objects.containers for name in objects.ports(container)}
    assert {endpoint["port"] for endpoint in monitor["podMetricsEndpoints"]} == ports - {"https"}
