"""Documents that another version writes are read: those of 0.1, as they are, with unknown parts, and without new ones.

`tests/support/recorded` has what an installation of that version wrote and reported on a cluster. A change that cannot
read it breaks an upgrade, in which both versions run.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.installation_factory import replica, sound
from tests.unit.pki.test_rotation import begun
from webhook import __version__, readiness
from webhook.config.load import load
from webhook.diagnostics.doctor import analysis
from webhook.diagnostics.doctor.collect import samples
from webhook.diagnostics.doctor.snapshot import ProcessStatus
from webhook.errors import ConfigurationError
from webhook.kube import codec
from webhook.kube.objects import Lease, ManagedObject
from webhook.output.finding_codes import Code
from webhook.pki import secret_codec
from webhook.pki.secret_codec import TlsSecret
from webhook.readiness import Readiness

_RECORDED = Path(__file__).parents[1] / "support/recorded/0.1"
_UNKNOWN_METRIC = '# TYPE registry_webhook_new gauge\nregistry_webhook_new{a="b"} 1\n'


def _text(name: str) -> str:
    return (_RECORDED / name).read_text()


def _with_unknown(value: Any, name: str = "") -> Any:
    """Return a document with an unknown part in each mapping; the values of some mappings are strings."""
    if isinstance(value, list):
        return [_with_unknown(one) for one in value]
    if not isinstance(value, dict):
        return value
    unknown = "bmV3" if name in {"data", "annotations", "labels"} else {"since": [1, None]}
    return {**{key: _with_unknown(one, key) for key, one in value.items()}, "registry-webhook/new": unknown}


@pytest.fixture(params=[lambda value: value, _with_unknown], ids=["recorded", "with unknown parts"])
def document(request: pytest.FixtureRequest) -> Callable[[str], bytes]:
    """Return a recorded document, as it is or as a newer version may write it."""
    return lambda name: json.dumps(request.param(json.loads(_text(name)))).encode()


def test_readiness_read(document: Callable[[str], bytes]) -> None:
    found = readiness.decode(document("readyz.json"))
    assert found is not None
    assert found.ready
    assert found.lease is not None
    assert found.lease.leading
    assert found.last_refresh is not None
    assert [one.code for one in found.warnings] == [found.last_refresh.code] == ["registry-unavailable"]


def test_readiness_without_optional_parts_read() -> None:
    assert readiness.decode(b'{"ready":true}') == Readiness(ready=True)


def test_lease_read(document: Callable[[str], bytes]) -> None:
    found = codec.LEASE.decode(document("lease.json"))
    assert found.spec.lease_duration_seconds == 10
    assert found.spec.holder_identity
    assert codec.refused_logins(found) == (1796024000.5,)
    assert codec.refused_logins(Lease()) == ()


def test_pull_secret_read(document: Callable[[str], bytes]) -> None:
    found = codec.secret("acme", document("pull-secret.json"))
    assert (found.managed, found.labeled) == (True, True)
    assert found.refreshed == "2026-11-30T07:51:51Z"
    assert (found.expires, found.deselected_since) == (None, None)
    assert codec.published(document("pull-secret.json")).content == b'{"auths":{}}'
    assert msgspec.json.decode(document("pull-secret.json"), type=ManagedObject).metadata.managed_by


def test_certificate_with_unknown_parts_read() -> None:
    data, annotations = secret_codec.encode(begun())
    known = TlsSecret(1, secret_codec.TYPE, data, annotations)
    newer = TlsSecret(1, secret_codec.TYPE, {**data, "new-ca.crt": b"x"}, {**annotations, "registry-webhook/new": "x"})
    assert secret_codec.decode(newer) == secret_codec.decode(known)


@pytest.mark.parametrize("more", ["", " 0.2.0", " 0.2.0 x=y"])
def test_replica_report_with_unknown_fields_read(more: str) -> None:
    written = {"replica.registry-webhook/a": f"e3a3288bb57a47252328fa05dac48f6c 2026-11-30T07:47:45Z{more}"}
    (report,) = secret_codec.reports(TlsSecret(1, secret_codec.TYPE, {}, written)).values()
    assert report.serving == "e3a3288bb57a47252328fa05dac48f6c"


def _codes(webhook: str, refresher: str) -> list[Code]:
    """Return doctor's findings if a replica exposes these metrics."""
    state = readiness.decode(_text("readyz.json").encode())
    processes = ProcessStatus(samples=samples(webhook)), ProcessStatus(state, samples(refresher))
    return [one.code for one in analysis.diagnose(sound(replicas=(replica("a", *processes),)))]


def test_metrics_read() -> None:
    webhook, refresher = samples(_text("webhook.txt")), samples(_text("refresher.txt"))
    assert ProcessStatus(samples=webhook).build == ("0.1.0", "unknown")
    assert ProcessStatus(samples=refresher).value("registry_webhook_refresher_leading") == 1
    codes = _codes(_text("webhook.txt"), _text("refresher.txt"))
    assert {Code.CONFIG_SAME, Code.CONFIG_OUTDATED} & set(codes)
    assert codes == _codes(_text("webhook.txt") + _UNKNOWN_METRIC, _text("refresher.txt") + _UNKNOWN_METRIC)


def test_metrics_missing_no_version_finding_and_no_failure() -> None:
    codes = _codes("", "")
    assert not {Code.VERSION_OK, Code.VERSION_SKEW} & set(codes)


@pytest.mark.parametrize("text", ["scopes: []\n", "webhook: {scopes: []}\n"])
def test_key_of_a_newer_version_refused_by_this_one_by_name(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(text.encode(), "config.yaml", {})
    (issue,) = caught.value.issues
    assert "\n" not in issue.one_line
    assert __version__ in issue.one_line
