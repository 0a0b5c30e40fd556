"""A real Prometheus scrapes the real processes under load, for all metrics of dashboard and alerts.

It needs `prometheus` on PATH, from Debian's package of that name. The API server's metrics are written down here,
because tests/e2e has an API server but no Prometheus.
"""

import http.server
import json
import math
import re
import shutil
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.support.fake_api_server import SECRET
from tests.support.monitoring_queries import alert_queries, dashboard_queries, promtool_file, rules
from tests.support.refresher_process import Place as SidecarPlace
from tests.support.refresher_process import Sidecar, make_pair, refreshing
from tests.support.refresher_process import make_place as make_sidecar_place
from tests.support.server_process import Place, Server, serving, wait_until
from webhook.admission import review

from .traffic import Outcome, traffic

pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="prometheus is not on PATH: it is Debian's package of that name"
)

#: Seconds of traffic.
_TRAFFIC = 60.0
#: What Grafana would take for its rates, with a scrape a second.
_INTERVAL = "30s"
#: What Prometheus logs once it listens.
_LISTENS = re.compile(r'msg="Listening on" address=(\S+)\n')
_HOOK = 'name="pods.registry-webhook.internal",type="admit"'
_SETTINGS: dict[str, Any] = {"rules": [{"from": "quay.io", "to": "registry.example.com/quay"}]}
#: Alerts of a healthy system with an API server that could not call it, and a client that sends malformed reviews.
_RAISED = {
    "RegistryWebhookFailsOpen",
    "RegistryWebhookRejects",
    "RegistryWebhookRequestsRefused",
}


class _ApiServer(http.server.BaseHTTPRequestHandler):
    """Says what an API server says of its webhooks, a little more each time."""

    asked = 0

    def do_GET(self) -> None:
        type(self).asked += 1
        calls = f'{_HOOK},operation="CREATE"'
        duration = "apiserver_admission_webhook_admission_duration_seconds"
        failed = 'error_type="calling_webhook_error",rejection_code="0"'
        lines = [
            f"apiserver_admission_webhook_fail_open_count{{{_HOOK}}} {self.asked}",
            f"apiserver_admission_webhook_rejection_count{{{calls},{failed}}} {self.asked}",
            f'apiserver_admission_webhook_request_total{{{calls},code="200",rejected="false"}} {100 * self.asked}',
            *(
                f'{duration}_bucket{{{calls},rejected="false",le="{le}"}} {100 * self.asked}'
                for le in ("0.005", "0.025", "+Inf")
            ),
        ]
        self.send_response(200)
        self.end_headers()
        self.wfile.write("".join(f"{line}\n" for line in lines).encode())

    def log_message(self, *_: object) -> None:
        """Log no request."""


class Prometheus(NamedTuple):
    """One that runs."""

    address: str

    def ask(self, path: str, **parameters: str) -> Any:
        """Ask its API, and give the data."""
        query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
        with urllib.request.urlopen(f"http://{self.address}/api/v1/{path}{query}", timeout=20) as answer:
            said = json.load(answer)
        assert said["status"] == "success", said
        return said["data"]

    def values(self, query: str) -> list[float]:
        """Give what a query has now."""
        return [float(one["value"][1]) for one in self.ask("query", query=query)["result"]]

    def targets(self) -> set[str]:
        """Name the containers that were scraped without a fault."""
        return {one["labels"]["container"] for one in self.ask("targets")["activeTargets"] if one["health"] == "up"}


@contextmanager
def prometheus(folder: Path, targets: dict[str, str]) -> Iterator[Prometheus]:
    """Run one that scrapes each container's address once a second and has our rules, until the block ends."""
    jobs = [
        {"targets": [address], "labels": {"container": name, "pod": "a", "namespace": "registry-webhook"}}
        for name, address in targets.items()
    ]
    configuration = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(promtool_file(folder, rules()))],
        "scrape_configs": [{"job_name": "registry-webhook/registry-webhook", "static_configs": jobs}],
    }
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(configuration))
    command = ["prometheus", f"--config.file={folder / 'prometheus.yaml'}", f"--storage.tsdb.path={folder / 'tsdb'}"]
    said = folder / "prometheus.log"
    with said.open("wb") as log:
        process = subprocess.Popen([*command, "--web.listen-address=127.0.0.1:0"], stdout=log, stderr=log)
    try:
        wait_until(lambda: bool(_LISTENS.search(said.read_text())) or process.poll() is not None)
        listens = _LISTENS.search(said.read_text())
        assert listens, said.read_text()
        made = Prometheus(listens[1])
        wait_until(lambda: made.targets() == targets.keys())
        yield made
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def apiserver() -> Iterator[str]:
    """Say what an API server says, and give the address."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _ApiServer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture
def sidecar_place(tmp_path: Path) -> Iterator[SidecarPlace]:
    """A folder with all that a sidecar reads, and an API server of the test's own."""
    folder = tmp_path / "sidecar"
    folder.mkdir()
    made = make_sidecar_place(folder, *make_pair())
    made.configure(**_SETTINGS)
    yield made
    made.api.stop()


def _busy(server: Server, sidecar: Sidecar, prometheus: Prometheus) -> None:
    """Have everything happen that there is a panel for, for a minute."""
    mirrored = {"containers": [{"name": "a", "image": "quay.io/x"}]}
    body = review.encode_review(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "team"}, "spec": mirrored}
    )
    end = time.monotonic() + _TRAFFIC
    number = 0
    with traffic(server.secure, server.trust, rate=100, fresh=0.02, outcomes=(Outcome(pull_secret=SECRET),)) as load:
        while time.monotonic() < end:
            number += 1
            server.review(body)
            server.review(b"{")
            sidecar.place.api.label(f"team-{number}")
            sidecar.place.set_password(f"kept-secret-{number}")
            time.sleep(2)
    load.result().none_failed()
    # One that was scraped too late once is down until the next scrape.
    wait_until(lambda: prometheus.targets() == {"webhook", "refresher", "kube-apiserver"})


def test_prometheus_panels_have_data_expected_alerts(
    place: Place, sidecar_place: SidecarPlace, tmp_path: Path, figure: Callable[[str, object], None]
) -> None:
    place.configure((sidecar_place.folder / "config.yaml").read_text())
    with serving(place) as server, refreshing(sidecar_place) as sidecar, apiserver() as api:
        assert server.plain_address is not None
        webhook = "{}:{}".format(*server.plain_address)
        targets = {"webhook": webhook, "refresher": sidecar.address, "kube-apiserver": api}
        with prometheus(tmp_path, targets) as asked:
            _busy(server, sidecar, asked)
            empty = {
                str(query)
                for query in dashboard_queries(_INTERVAL)
                if not (values := asked.values(query.text)) or any(map(math.isnan, values))
            }
            raised = {str(query) for query in alert_queries() if asked.values(query.text)}
            health_of = {
                rule["name"]: rule["health"] for group in asked.ask("rules")["groups"] for rule in group["rules"]
            }
    assert empty == set()
    assert raised == _RAISED
    assert health_of == dict.fromkeys(map(str, alert_queries()), "ok")
    figure("Panels' queries with data", len(dashboard_queries()))
