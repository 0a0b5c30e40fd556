"""The server's metrics. Dashboards and alerts depend on their names."""

from pathlib import Path

import pytest

from tests.support.metrics_page import metrics
from tests.support.monitoring_queries import server_exposition
from tests.support.prometheus_text import families, faults
from tests.support.server_process import CONFIGURATION, Server, make_place, serving, wait_until
from webhook.admission import review
from webhook.server import tls

_PREFIX = "registry_webhook_"
_POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "x", "namespace": "team"},
    "spec": {"containers": [{"name": "a", "image": "nginx"}, {"name": "b", "image": "quay.io/x"}]},
}


def exposition(server: Server) -> str:
    return server.probe("/metrics").body.decode()


def test_exposition_is_well_formed(server: Server) -> None:
    server.review(review.encode_review(_POD))
    text = exposition(server)
    # What the reference page lists is what a running server exports.
    assert metrics(text).keys() == metrics(server_exposition()).keys()
    assert faults(text) == []


def test_answered_review_counted(server: Server) -> None:
    def counts() -> list[float]:
        series = (
            'reviews_total{operation="CREATE",outcome="rewritten"}',
            'images_total{reason="server"}',
            'images_total{reason="qualified"}',
            'refused_reviews_total{reason="malformed-review",status="400"}',
            "review_duration_seconds_count",
            "review_size_bytes_count",
        )
        return [server.metric(_PREFIX + one) for one in series]

    before = counts()
    for _ in range(2):
        server.review(review.encode_review(_POD))
    server.ask("POST", "/mut%61te", review.encode_review(_POD), {"Content-Type": "application/json"})
    server.review(b"{")
    assert [now - then for now, then in zip(counts(), before, strict=True)] == [3, 3, 3, 1, 3, 3]


def test_partial_request_in_flight(server: Server) -> None:
    series = 'registry_webhook_requests_in_flight{port="https"}'
    wait_until(lambda: server.metric(series) == 0)
    with server.tls() as connection:
        connection.sendall(b"POST /mutate HTTP/1.1\r\nHost: x\r\n")
        wait_until(lambda: server.metric(series) == 1)
    wait_until(lambda: server.metric(series) == 0)


def test_configuration_hash_and_certificate_expiry_exported(tmp_path: Path) -> None:
    place = make_place(tmp_path)
    with serving(place) as server:
        assert server.metric("registry_webhook_certificate_expiry_timestamp_seconds") == float("inf")
        assert server.metric("registry_webhook_certificate_not_before_timestamp_seconds") == 0
        place.write_pair()
        wait_until(lambda: server.metric("registry_webhook_certificate_last_reload_successful") == 1)
        validity = tls.validity((place.folder / "tls.crt").read_bytes())
        assert validity is not None
        assert server.metric("registry_webhook_certificate_expiry_timestamp_seconds") == validity.ends
        assert server.metric("registry_webhook_certificate_not_before_timestamp_seconds") == validity.begins
        before = hashes(server)
        place.configure(CONFIGURATION + "webhook: {exclude: ['**/pause']}\n")
        wait_until(lambda: hashes(server) != before)
        (now,) = hashes(server)
        assert f"configuration reloaded changed=webhook.exclude hash={now}" in server.log


def hashes(server: Server) -> set[str]:
    """Return the configuration hash; there is one at a time."""
    (info,) = (one for one in families(exposition(server)) if one.name == "registry_webhook_configuration_info")
    return {sample.labels["hash"] for sample in info.samples}


@pytest.mark.parametrize(
    "text",
    [
        "# HELP a_total x\n# TYPE a_total counter\na_total 1\na_total 2\n",
        "# HELP a x\n# TYPE a counter\na 1\n",
        "# HELP a_total x\n# TYPE a_total gauge\na_total 1\n",
        "# HELP aB x\n# TYPE aB gauge\naB 1\n",
        "# HELP a_ms x\n# TYPE a_ms gauge\na_ms 1\n",
        "# TYPE a gauge\na 1\n",
        "# HELP a x\na 1\n",
        "# HELP a x\n# TYPE a gauge\na 1",
    ],
)
def test_exposition_check_finds_errors(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert faults(text)
