"""Each alert fires when it should and not otherwise: `promtool test rules`, with series written down here."""

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.support.monitoring_queries import alerts, promtool_file, rules
from tests.support.prometheus_text import NO_PROMTOOL, promtool
from webhook.pki import ca
from webhook.server import tls

pytestmark = pytest.mark.skipif(promtool() is None, reason=NO_PROMTOOL)

_OURS = "registry_webhook_"
_REFRESHER = "registry_webhook_refresher_"
_WEBHOOK = "pods.registry-webhook.internal"
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


_PLACE = {"cluster": "c", "namespace": "n"}
_POD = {**_PLACE, "pod": "a"}


def _pod(metric: str, **labels: str) -> str:
    written = {**_POD, **labels}
    return metric + "{" + ",".join(f'{name}="{value}"' for name, value in written.items()) + "}"


def _gauge(metric: str, raised: str = _ONE, *silent: str, at: str = "25m") -> Case:
    return Case({_pod(metric): raised}, _POD, tuple({_pod(metric): one} for one in (silent or (_ZERO,))), at)


def _of_leader(metric: str, raised: str, *silent: str, at: str = "25m", **others: str) -> Case:
    """A gauge that counts only where the replica leads, with the values of others beside it."""
    beside = {_pod(f"{_REFRESHER}{name}"): value for name, value in others.items()}
    leads = {_pod(f"{_REFRESHER}leading"): "1x200", **beside}
    follows = {_pod(f"{_REFRESHER}leading"): "0x200", **beside}
    quiet = ({_pod(metric): raised, **follows}, *({_pod(metric): one, **leads} for one in silent))
    return Case({_pod(metric): raised, **leads}, _POD, quiet, at)


def _calls(metric: str) -> Case:
    ours, other = (f'{_API}{metric}{{cluster="c",name="{name}"}}' for name in (_WEBHOOK, "another"))
    return Case({ours: _GROWS}, {"cluster": "c", "name": _WEBHOOK}, ({ours: "5x60"}, {other: _GROWS}))


def _durations(metric: str, labels: dict[str, str]) -> tuple[Series, Series]:
    """Give a histogram whose observations take up to two seconds, and one with up to a hundredth."""
    written = "".join(f'{name}="{value}",' for name, value in labels.items())
    slow = {
        f'{metric}_bucket{{{written}le="{le}"}}': values
        for le, values in (("0.01", _ZERO), ("2", "0+60x60"), ("+Inf", "0+60x60"))
    }
    fast = {f'{metric}_bucket{{{written}le="{le}"}}': "0+60x60" for le in ("0.01", "2", "+Inf")}
    return slow, fast


_SLOW, _FAST = _durations(f"{_OURS}review_duration_seconds", _POD)
_API_SLOW, _API_FAST = _durations(f"{_API}admission_duration_seconds", {"cluster": "c", "name": _WEBHOOK})
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def _certificate(begins: float, ends: float, *, self_managed: bool) -> Series:
    """A certificate by its validity; promtool's clock begins at 0."""
    series = {
        f"{_OURS}certificate_not_before_timestamp_seconds": begins,
        f"{_OURS}certificate_expiry_timestamp_seconds": ends,
        f"{_REFRESHER}certificate_expiry_timestamp_seconds": ends if self_managed else float("inf"),
    }
    return {
        _pod(name): " ".join(["Inf" if value == float("inf") else f"{value:.0f}"] * 121)
        for name, value in series.items()
    }


CASES = {
    "RegistryWebhookAbsent": Case({}, {}, ({_pod(f"{_OURS}configuration_info", hash="x"): _ONE},)),
    "RegistryWebhookNoCertificate": _gauge(f"{_OURS}certificate_last_reload_success_timestamp_seconds", _ZERO, _ONE),
    "RegistryWebhookCertificateNotRenewed": Case(
        _certificate(-81 * _DAY, 10 * _DAY, self_managed=True),
        _POD,
        (
            _certificate(-60 * _DAY, 30 * _DAY, self_managed=True),
            _certificate(-81 * _DAY, 10 * _DAY, self_managed=False),
            _certificate(0, float("inf"), self_managed=True),
        ),
    ),
    "RegistryWebhookCertificateExpires": Case(
        _certificate(-81 * _DAY, 10 * _DAY, self_managed=False),
        _POD,
        (
            _certificate(-60 * _DAY, 30 * _DAY, self_managed=False),
            _certificate(-81 * _DAY, 10 * _DAY, self_managed=True),
            # A fifth of ten years is too early.
            _certificate(-3635 * _DAY, 15 * _DAY, self_managed=False),
            _certificate(0, float("inf"), self_managed=False),
        ),
    ),
    "RegistryWebhookErrors": Case(
        {_pod(f"{_OURS}reviews_total", outcome="error", operation="CREATE"): _GROWS},
        _POD,
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
        {**_POD, "outcome": "unreadable"},
        (
            {_pod(f"{_OURS}reviews_total", outcome="rewritten", operation="CREATE"): _GROWS},
            {_pod(f"{_OURS}reviews_total", outcome="too-large", operation="UPDATE"): "5x60"},
        ),
    ),
    "RegistryWebhookSlow": Case(_SLOW, _POD, (_FAST,)),
    "RegistryWebhookReloadFailed": _gauge(f"{_OURS}configuration_last_reload_successful", _ZERO, _ONE),
    "RegistryWebhookConfigurationDiffers": Case(
        {_pod(f"{_OURS}configuration_info", hash="x"): _ONE, _pod(f"{_REFRESHER}configuration_info", hash="y"): _ONE},
        _PLACE,
        (
            {
                _pod(f"{_OURS}configuration_info", hash="x"): _ONE,
                _pod(f"{_REFRESHER}configuration_info", hash="x"): _ONE,
            },
        ),
    ),
    "RegistryWebhookConnectionsRefused": Case(
        {_pod(f"{_OURS}connections_closed_total", port="https", reason="evicted"): _GROWS},
        {**_POD, "port": "https", "reason": "evicted"},
        ({_pod(f"{_OURS}connections_closed_total", port="https", reason="idle"): _GROWS},),
    ),
    "RegistryWebhookRequestsRefused": Case(
        {_pod(f"{_OURS}refused_reviews_total", status="413", reason="too-large"): _GROWS},
        {**_POD, "status": "413", "reason": "too-large"},
        ({_pod(f"{_OURS}refused_reviews_total", status="413", reason="too-large"): "5x60"},),
    ),
    "RegistryWebhookLogLinesDropped": _gauge(f"{_REFRESHER}log_lines_dropped_total", _GROWS, "5x60"),
    # An hour's token that was renewed until minute 5; one of 60 s that is renewed each minute; one without an end.
    "RegistryWebhookCredentialExpires": _of_leader(
        f"{_REFRESHER}credential_expiry_timestamp_seconds",
        f"{28 * _MINUTE}x60",
        f"{40 * _MINUTE}x60",
        "60+60x60",
        _INFINITE,
        at="27m",
    ),
    # 0 is what it says before the first refresh, or if there is none.
    "RegistryWebhookCredentialNotRefreshed": _of_leader(
        f"{_REFRESHER}credential_refreshed_timestamp_seconds",
        "60x200",
        "0x200",
        "1800x200",
        at="130m",
        credential_refresh_interval_seconds="1800x200",
    ),
    "RegistryWebhookCredentialRefused": _of_leader(f"{_REFRESHER}credential_refused", _ONE, _ZERO),
    "RegistryWebhookRefreshFails": Case(
        {
            _pod(f"{_REFRESHER}refreshes_total", outcome="provider"): "0+1x60",
            _pod(f"{_REFRESHER}refreshes_total", outcome="published"): "5x60",
        },
        _POD,
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
    "RegistryWebhookNoLeader": Case(
        {_pod(f"{_REFRESHER}leading"): _ZERO, _pod(f"{_REFRESHER}leading", pod="b"): _ZERO},
        _PLACE,
        ({_pod(f"{_REFRESHER}leading"): _ZERO, _pod(f"{_REFRESHER}leading", pod="b"): _ONE},),
    ),
    "RegistryWebhookLoopFailed": _gauge(f"{_REFRESHER}loop_restarts_total", _GROWS, "5x60"),
    "RegistryWebhookFailsOpen": _calls("fail_open_count"),
    "RegistryWebhookRejects": _calls("rejection_count"),
    "RegistryWebhookSlowForApiServer": Case(_API_SLOW, {"cluster": "c"}, (_API_FAST,)),
}


class Moments(NamedTuple):
    """Times at which an alert is tried, and the time between two values of a series."""

    times: str
    step: str = "1m"


def complaint(folder: Path, alert: str, series: Series, expected: list[dict[str, Any]], when: Moments) -> str:
    """Return what promtool complains about if these alerts are expected, or nothing.

    Annotations count only if they are expected.
    """
    without = {"annotations"} if all("exp_annotations" not in one for one in expected) else set()
    kept = [
        {
            "name": group["name"],
            "rules": [{k: v for k, v in rule.items() if k not in without} for rule in group["rules"]],
        }
        for group in rules()
    ]
    promtool_file(folder, kept)
    case = {
        "interval": when.step,
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [
            {"eval_time": time, "alertname": alert, "exp_alerts": expected} for time in when.times.split()
        ],
    }
    path = folder / "test.yaml"
    path.write_text(yaml.safe_dump({"rule_files": ["rules.yaml"], "evaluation_interval": when.step, "tests": [case]}))
    done = subprocess.run([str(promtool()), "test", "rules", path], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def assert_fires(folder: Path, alert: str, series: Series, labels: dict[str, str], when: Moments) -> None:
    expected = [{"exp_labels": {**labels, "severity": alerts()[alert]["labels"]["severity"]}}]
    assert complaint(folder, alert, series, expected, when) == ""


def assert_silent(folder: Path, alert: str, series: Series, when: Moments) -> None:
    assert complaint(folder, alert, series, [], when) == ""


def test_alerts_all_have_cases() -> None:
    assert alerts().keys() == CASES.keys()


@pytest.mark.parametrize("alert", CASES)
def test_alert_condition_met_fires(tmp_path: Path, alert: str) -> None:
    case = CASES[alert]
    assert_fires(tmp_path, alert, case.raised, case.labels, Moments(case.at))


@pytest.mark.parametrize("alert", CASES)
def test_alert_condition_unmet_silent(tmp_path: Path, alert: str) -> None:
    case = CASES[alert]
    for series in case.silent:
        assert_silent(tmp_path, alert, series, Moments(case.at))


@pytest.mark.parametrize("alert", CASES)
def test_alert_annotations_name_the_object(tmp_path: Path, alert: str) -> None:
    """The annotations are in what promtool complains about, because none are expected."""
    case = CASES[alert]
    shown = complaint(tmp_path, alert, case.raised, [{"exp_annotations": {}}], Moments(case.at))
    assert f"troubleshoot.md#{alert.lower()}" in shown
    assert "no value" not in shown
    assert "<error" not in shown
    assert "{{ $" in alerts()[alert]["annotations"]["summary"] or not case.labels


@pytest.mark.parametrize("alert", ["RegistryWebhookFailsOpen", "RegistryWebhookRejects"])
def test_alert_first_failing_call_new_series_fires(tmp_path: Path, alert: str) -> None:
    case = CASES[alert]
    (series,) = case.raised
    assert_fires(tmp_path, alert, {series: _COMES}, case.labels, Moments(case.at))
    assert_silent(tmp_path, alert, {series: _COMES}, Moments("45m"))


@pytest.mark.parametrize("life", [60, 90, 300, 450, _HOUR, 7 * _DAY, 90 * _DAY, 365 * _DAY])
def test_certificate_alert_every_life_fires_only_if_not_renewed(tmp_path: Path, life: int) -> None:
    """The refresher renews a certificate after two thirds of its life; here it takes up to a step more."""
    now = datetime.now(UTC).replace(microsecond=0)
    validity = tls.validity(ca.create_ca("any", now, timedelta(seconds=life)).certificate)
    assert validity is not None
    step = max(2, life // 40)
    times = [number * step for number in range(121)]
    cycle = life * 2 // 3 + step
    healthy, forgotten = (
        {
            _pod(name): " ".join(f"{one + end - now.timestamp():.0f}" for one in issued)
            for name, end in (
                (f"{_OURS}certificate_not_before_timestamp_seconds", validity.begins),
                (f"{_OURS}certificate_expiry_timestamp_seconds", validity.ends),
                (f"{_REFRESHER}certificate_expiry_timestamp_seconds", validity.ends),
            )
        }
        for issued in ([time // cycle * cycle for time in times], [0] * len(times))
    )
    every = " ".join(f"{time}s" for time in times)
    alert = "RegistryWebhookCertificateNotRenewed"
    assert_silent(tmp_path, alert, healthy, Moments(every, f"{step}s"))
    # A short life is over before the alert has waited.
    early, late = life * 7 // 10, max(life * 8 // 10 + 60, life * 9 // 10) + 2 * step
    assert_silent(tmp_path, alert, forgotten, Moments(f"{early}s", f"{step}s"))
    assert_fires(tmp_path, alert, forgotten, _POD, Moments(f"{late}s", f"{step}s"))


@pytest.mark.parametrize(
    "series",
    [
        f"{_OURS}certificate_last_reload_successful",
        f"{_REFRESHER}configuration_last_reload_successful",
    ],
)
def test_reload_failed_alert_either_file_fires(tmp_path: Path, series: str) -> None:
    assert_fires(tmp_path, "RegistryWebhookReloadFailed", {_pod(series): _ZERO}, _POD, Moments("25m"))


def test_alert_rules_valid_for_promtool(tmp_path: Path) -> None:
    done = subprocess.run(
        [str(promtool()), "check", "rules", promtool_file(tmp_path, rules())],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
