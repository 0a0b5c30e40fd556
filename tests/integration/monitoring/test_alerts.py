"""Each alert fires when it should and not otherwise: `promtool test rules`, with series written down here."""

import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.support.monitoring_queries import alerts, promtool_file, rules
from tests.support.prometheus_text import NO_PROMTOOL, promtool

pytestmark = pytest.mark.skipif(promtool() is None, reason=NO_PROMTOOL)

_OURS = "registry_webhook_"
_REFRESHER = "registry_webhook_refresher_"
_WEBHOOK = 'name="pods.registry-webhook.internal"'
_API = "apiserver_admission_webhook_"

#: A value for each minute: what stays, what grows from the twentieth on, what is new then.
_ZERO, _ONE = "0x60", "1x60"
_GROWS = "5x20 6x40"
_COMES = "_x20 1x40"
_INFINITE = " ".join(["Inf"] * 121)

Series = dict[str, str]


class Case(NamedTuple):
    """Series on which an alert is raised, and some on which it is not."""

    raised: Series
    labels: dict[str, str]
    """What it is raised with, beside its severity."""
    silent: tuple[Series, ...]
    at: str = "25m"


def _pod(metric: str, **labels: str) -> str:
    written = {"pod": "a", **labels}
    return metric + "{" + ",".join(f'{name}="{value}"' for name, value in written.items()) + "}"


def _gauge(metric: str, raised: str = _ONE, *silent: str, at: str = "25m") -> Case:
    return Case({_pod(metric): raised}, {"pod": "a"}, tuple({_pod(metric): one} for one in (silent or (_ZERO,))), at)


def _calls(metric: str) -> Case:
    ours, other = f"{_API}{metric}{{{_WEBHOOK}}}", f'{_API}{metric}{{name="another"}}'
    return Case({ours: _GROWS}, {"name": "pods.registry-webhook.internal"}, ({ours: "5x60"}, {other: _GROWS}))


def _durations(metric: str, labels: dict[str, str]) -> tuple[Series, Series]:
    """Give a histogram whose observations take up to two seconds, and one with up to a hundredth."""
    written = "".join(f'{name}="{value}",' for name, value in labels.items())
    slow = {
        f'{metric}_bucket{{{written}le="{le}"}}': values
        for le, values in (("0.01", _ZERO), ("2", "0+60x60"), ("+Inf", "0+60x60"))
    }
    fast = {f'{metric}_bucket{{{written}le="{le}"}}': "0+60x60" for le in ("0.01", "2", "+Inf")}
    return slow, fast


_SLOW, _FAST = _durations(f"{_OURS}review_duration_seconds", {"pod": "a"})
_API_SLOW, _API_FAST = _durations(f"{_API}admission_duration_seconds", {"name": "pods.registry-webhook.internal"})
_DAY = 24 * 60

CASES = {
    "RegistryWebhookAbsent": Case({}, {}, ({_pod(f"{_OURS}configuration_info", hash="x"): _ONE},)),
    "RegistryWebhookNoCertificate": _gauge(f"{_OURS}certificate_last_reload_success_timestamp_seconds", _ZERO, _ONE),
    # promtool's clock begins at 0, and a minute is a step.
    "RegistryWebhookCertificateExpires": Case(
        {_pod(f"{_OURS}certificate_expiry_timestamp_seconds"): f"{6 * 86400}x120"},
        {"pod": "a"},
        tuple({_pod(f"{_OURS}certificate_expiry_timestamp_seconds"): one} for one in (f"{9 * 86400}x120", _INFINITE)),
        "90m",
    ),
    "RegistryWebhookErrors": Case(
        {_pod(f"{_OURS}reviews_total", outcome="error", operation="CREATE"): _GROWS},
        {"pod": "a"},
        (
            {_pod(f"{_OURS}reviews_total", outcome="rewritten", operation="CREATE"): _GROWS},
            {_pod(f"{_OURS}reviews_total", outcome="error", operation="CREATE"): "5x60"},
        ),
    ),
    "RegistryWebhookNotExamined": Case(
        {
            _pod(f"{_OURS}reviews_total", outcome="unreadable", operation="other"): _GROWS,
            _pod(f"{_OURS}reviews_total", outcome="too-large", operation="CREATE"): _ZERO,
        },
        {"pod": "a", "outcome": "unreadable"},
        (
            {_pod(f"{_OURS}reviews_total", outcome="rewritten", operation="CREATE"): _GROWS},
            {_pod(f"{_OURS}reviews_total", outcome="too-large", operation="UPDATE"): "5x60"},
        ),
    ),
    "RegistryWebhookSlow": Case(_SLOW, {"pod": "a"}, (_FAST,)),
    "RegistryWebhookReloadFailed": _gauge(f"{_OURS}configuration_last_reload_successful", _ZERO, _ONE),
    "RegistryWebhookConfigurationDiffers": Case(
        {_pod(f"{_OURS}configuration_info", hash="x"): _ONE, _pod(f"{_REFRESHER}configuration_info", hash="y"): _ONE},
        {},
        (
            {
                _pod(f"{_OURS}configuration_info", hash="x"): _ONE,
                _pod(f"{_REFRESHER}configuration_info", hash="x"): _ONE,
            },
        ),
    ),
    "RegistryWebhookConnectionsRefused": Case(
        {_pod(f"{_OURS}connections_closed_total", port="https", reason="evicted"): _GROWS},
        {"pod": "a", "port": "https", "reason": "evicted"},
        ({_pod(f"{_OURS}connections_closed_total", port="https", reason="idle"): _GROWS},),
    ),
    "RegistryWebhookRequestsRefused": Case(
        {_pod(f"{_OURS}refused_reviews_total", status="413", reason="too-large"): _GROWS},
        {"pod": "a", "status": "413", "reason": "too-large"},
        ({_pod(f"{_OURS}refused_reviews_total", status="413", reason="too-large"): "5x60"},),
    ),
    "RegistryWebhookLogLinesDropped": _gauge(f"{_REFRESHER}log_lines_dropped_total", _GROWS, "5x60"),
    "RegistryWebhookCredentialExpires": _gauge(
        f"{_REFRESHER}credential_expiry_timestamp_seconds", f"{27 * 60}x60", f"{40 * 60}x60", _INFINITE
    ),
    # 0 is what it says before the first pass, or where there is none.
    "RegistryWebhookCredentialNotRefreshed": _gauge(
        f"{_REFRESHER}credential_refreshed_timestamp_seconds", "60x200", "0x200", "9000x200", at="150m"
    ),
    "RegistryWebhookCredentialRefused": _gauge(f"{_REFRESHER}credential_refused"),
    "RegistryWebhookPassesFail": Case(
        {
            _pod(f"{_REFRESHER}refreshes_total", outcome="provider"): "0+1x60",
            _pod(f"{_REFRESHER}refreshes_total", outcome="published"): "5x60",
        },
        {"pod": "a"},
        (
            {
                _pod(f"{_REFRESHER}refreshes_total", outcome="provider"): "0+1x60",
                _pod(f"{_REFRESHER}refreshes_total", outcome="published"): "0+1x60",
            },
        ),
    ),
    "RegistryWebhookPullSecretFails": _gauge(f"{_REFRESHER}namespaces_failing"),
    "RegistryWebhookForeignSecret": _gauge(f"{_REFRESHER}namespaces_foreign_secret"),
    "RegistryWebhookPullSecretContended": _gauge(f"{_REFRESHER}namespaces_contended"),
    "RegistryWebhookNobodyWrites": Case(
        {_pod(f"{_REFRESHER}leading"): _ZERO, _pod(f"{_REFRESHER}leading", pod="b"): _ZERO},
        {},
        ({_pod(f"{_REFRESHER}leading"): _ZERO, _pod(f"{_REFRESHER}leading", pod="b"): _ONE},),
    ),
    "RegistryWebhookLoopFailed": _gauge(f"{_REFRESHER}loop_restarts_total", _GROWS, "5x60"),
    "RegistryWebhookFailsOpen": _calls("fail_open_count"),
    "RegistryWebhookRejects": _calls("rejection_count"),
    "RegistryWebhookSlowForApiServer": Case(_API_SLOW, {}, (_API_FAST,)),
}


def tried(folder: Path, alert: str, series: Series, expected: list[dict[str, Any]], at: str) -> str:
    """Try one alert on series; give what promtool has against it, or nothing."""
    bare = [
        {
            "name": group["name"],
            "rules": [{k: v for k, v in rule.items() if k != "annotations"} for rule in group["rules"]],
        }
        for group in rules()
    ]
    promtool_file(folder, bare)
    case = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [{"eval_time": at, "alertname": alert, "exp_alerts": expected}],
    }
    path = folder / "test.yaml"
    path.write_text(yaml.safe_dump({"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": [case]}))
    done = subprocess.run([str(promtool()), "test", "rules", path], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_alerts_all_have_cases() -> None:
    assert alerts().keys() == CASES.keys()


@pytest.mark.parametrize("alert", CASES)
def test_alert_condition_met_fires(tmp_path: Path, alert: str) -> None:
    case = CASES[alert]
    labels = {**case.labels, "severity": alerts()[alert]["labels"]["severity"]}
    assert tried(tmp_path, alert, case.raised, [{"exp_labels": labels}], case.at) == ""


@pytest.mark.parametrize("alert", CASES)
def test_alert_condition_unmet_silent(tmp_path: Path, alert: str) -> None:
    case = CASES[alert]
    for series in case.silent:
        assert tried(tmp_path, alert, series, [], case.at) == ""


@pytest.mark.parametrize("alert", ["RegistryWebhookFailsOpen", "RegistryWebhookRejects"])
def test_alert_first_failing_call_new_series_fires(tmp_path: Path, alert: str) -> None:
    case = CASES[alert]
    (series,) = case.raised
    labels = {**case.labels, "severity": "critical"}
    assert tried(tmp_path, alert, {series: _COMES}, [{"exp_labels": labels}], case.at) == ""
    assert tried(tmp_path, alert, {series: _COMES}, [], "45m") == ""


@pytest.mark.parametrize(
    "series",
    [
        f"{_OURS}certificate_last_reload_successful",
        f"{_REFRESHER}configuration_last_reload_successful",
    ],
)
def test_reload_failed_alert_either_file_fires(tmp_path: Path, series: str) -> None:
    expected = [{"exp_labels": {"pod": "a", "severity": "warning"}}]
    assert tried(tmp_path, "RegistryWebhookReloadFailed", {_pod(series): _ZERO}, expected, "25m") == ""


def test_alert_rules_valid_for_promtool(tmp_path: Path) -> None:
    done = subprocess.run(
        [str(promtool()), "check", "rules", promtool_file(tmp_path, rules())],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
