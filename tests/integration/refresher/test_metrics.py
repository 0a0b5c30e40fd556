"""The metrics are in the Prometheus text format."""

from tests.support.prometheus_text import families as families_of
from tests.support.prometheus_text import faults
from webhook import __version__
from webhook.refresher.runtime.metrics import Metrics


def test_exposition_names_types_and_help_complete() -> None:
    metrics = Metrics()
    metrics.count_request("GET", "200")
    metrics.count_request("PATCH", "none")
    metrics.refreshes.labels("published").inc()
    metrics.configuration.info({"hash": "0123456789ab"})
    text = metrics.exposition().decode()
    assert faults(text) == []
    families = [family for family in families_of(text) if not family.name.startswith("process_")]
    prefix = "registry_webhook_refresher_"
    assert all(family.name.startswith(prefix) for family in families if family.name != "registry_webhook_build_info")
    assert f'registry_webhook_build_info{{revision="unknown",version="{__version__}"}} 1.0' in text
    assert "_created" not in text
    assert all(family.documentation for family in families)
    samples = {(sample.name, tuple(sample.labels.values())): sample.value for f in families for sample in f.samples}
    assert samples[f"{prefix}api_requests_total", ("PATCH", "none")] == 1
    assert samples[f"{prefix}refreshes_total", ("published",)] == 1
    # Nothing is known of an end until something is.
    assert samples[f"{prefix}credential_expiry_timestamp_seconds", ()] == float("inf")


def test_metrics_instances_independent() -> None:
    one, other = Metrics(), Metrics()
    one.repairs.inc()
    assert b"repairs_total 1.0" in one.exposition()
    assert b"repairs_total 0.0" in other.exposition()
