"""Every query of the alerts and the dashboard uses existing metrics."""

import json
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

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
    dashboard,
    dashboard_queries,
    panels,
    promtool_file,
    there_is,
)
from tests.support.prometheus_text import NO_PROMTOOL, promtool
from webhook.constants import DEFAULT_NAMESPACE, DOCS, WEBHOOK_NAME

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
            if label in SCRAPED:
                continue
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


def test_dashboard_can_be_imported() -> None:
    """Grafana asks for each input, and a dashboard that is provisioned has a variable of that name instead."""
    found = dashboard()
    (asked,) = found["__inputs"]
    assert (asked["type"], asked["pluginId"]) == ("datasource", "prometheus")
    source, *variables = found["templating"]["list"]
    assert (source["name"], source["type"]) == (asked["name"], "datasource")
    needed = {(one["type"], one["id"]) for one in found["__requires"]}
    shown = {("panel", panel["type"]) for panel in panels()}
    assert needed == {("grafana", "grafana"), ("datasource", "prometheus"), *shown}
    everything = [*variables, *panels(), *(target for panel in panels() for target in panel["targets"])]
    assert {one["datasource"]["uid"] for one in everything} == {f"${{{asked['name']}}}"}
    assert "id" not in found


def test_dashboard_variables_all_by_default() -> None:
    variables = dashboard()["templating"]["list"][1:]
    assert [one["name"] for one in variables] == ["cluster", "namespace", "pod"]
    for one in variables:
        # Series without the label match as well.
        assert (one["includeAll"], one["allValue"], one["current"]["value"]) == (True, ".*", ["$__all"])
        assert one["label"]
        assert one["description"]
        (metric,) = re.findall(r"label_values\((\w+)", one["query"]["query"])
        assert metric in there_is()


def test_panels_unique_titles_and_descriptions() -> None:
    identities = [panel["id"] for panel in dashboard()["panels"]]
    assert len(set(identities)) == len(identities)
    titles = [panel["title"] for panel in dashboard()["panels"]]
    assert len(set(titles)) == len(titles)
    for title in titles:
        first, *others = title.split()
        assert first[0].isupper()
        assert all(word[0].islower() or word in {"API", "Pods"} or word.isdecimal() for word in others), title
    for panel in panels():
        assert panel["description"].endswith("."), panel["title"]


_SELECTORS = re.compile(
    r"(?:(?:registry_webhook|process|apiserver)_\w+)?\{([^{}]*)\}|(?:registry_webhook|process|apiserver)_\w+"
)


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_panel_queries_use_variables(panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        selectors = list(_SELECTORS.finditer(target["expr"]))
        assert selectors
        for found in selectors:
            matchers = (found[1] or "").split(",")
            assert 'cluster=~"$cluster"' in matchers, found[0]
            if not found[0].startswith("apiserver_"):
                assert {'namespace=~"$namespace"', 'pod=~"$pod"'} <= set(matchers), found[0]
        assert DEFAULT_NAMESPACE not in target["expr"].replace(WEBHOOK_NAME, "")


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
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
