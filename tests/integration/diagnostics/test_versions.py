"""`version --cluster`: what each process of an installation reports about itself."""

import pytest

from tests.integration.diagnostics.test_doctor_collect import Giving, giving, reader
from tests.support.fake_api_server import Answer, status
from tests.support.refresher_fixtures import pair, place
from webhook import __version__
from webhook.diagnostics import versions
from webhook.diagnostics.versions import Versions
from webhook.errors import NotReadable
from webhook.kube.reader import Reader
from webhook.output.terminal import Screen

#: The fixtures that are the same there.
__all__ = ["giving", "pair", "place", "reader"]

_OWN = "/api/v1/namespaces/registry-webhook"
_DEPLOYMENT = "/apis/apps/v1/namespaces/registry-webhook/deployments/registry-webhook"
_MAJOR, _MINOR = (int(number) for number in __version__.split(".")[:2])
_NEXT, _LATER = (f"{_MAJOR}.{_MINOR + number}.0" for number in (1, 2))


def _exposed(version: str, revision: str = "") -> Answer:
    labels = f'revision="{revision}",version="{version}"' if revision else f'version="{version}"'
    return Answer(200, f'registry_webhook_build_info{{{labels},new="1"}} 1.0\n'.encode(), "text/plain")


def _install(giving: Giving, webhook: Answer | None = None, refresher: Answer | None = None) -> None:
    labels = {"app.kubernetes.io/version": __version__, "helm.sh/chart": f"registry-webhook-{__version__}"}
    containers = [{"name": "webhook"}, {"name": "refresher"}]
    giving["/version"] = {"gitVersion": "v1.34.1"}
    giving[_DEPLOYMENT] = {
        "metadata": {"name": "registry-webhook", "namespace": "registry-webhook", "labels": labels},
        "spec": {"template": {"spec": {"containers": containers}}},
    }
    giving[f"{_OWN}/pods"] = {"metadata": {}, "items": [{"metadata": {"name": "a", "namespace": "registry-webhook"}}]}
    giving[f"{_OWN}/pods/a:8081/proxy/readyz"] = Answer(200, b'{"ready":true}', "application/json")
    for port, exposition in ((8080, webhook), (8081, refresher)):
        giving[f"{_OWN}/pods/a:{port}/proxy/metrics"] = exposition or _exposed(__version__, "abc")


def _shown(found: Versions) -> list[str]:
    return [str(line) for line in versions.lines(found, Screen())]


def test_equal_versions_no_difference(giving: Giving, reader: Reader) -> None:
    _install(giving)
    found = versions.collect_versions(reader, None)
    assert (found.differences, found.supported, found.has_unread) == ((), True, False)
    assert [(one.version, one.revision) for one in found.processes] == [(__version__, "abc")] * 2
    assert found.kubernetes == "v1.34.1"
    shown = _shown(found)
    assert len(shown) == 5
    assert f"registry-webhook-{__version__}" in shown[1]


def test_neighbouring_version_named_as_difference(giving: Giving, reader: Reader) -> None:
    _install(giving, refresher=_exposed(_NEXT))
    found = versions.collect_versions(reader, None)
    (difference,) = found.differences
    assert _NEXT in difference
    assert "Pod a, refresher" in difference
    assert "webhook" not in difference
    assert found.supported
    assert any(line.startswith("difference: ") for line in _shown(found))


def test_distant_version_unsupported(giving: Giving, reader: Reader) -> None:
    _install(giving, webhook=_exposed(_LATER))
    found = versions.collect_versions(reader, None)
    assert not found.supported
    assert _shown(found)[-1].startswith("hint: ")


@pytest.mark.parametrize("answer", [status(403, "Forbidden", "no"), Answer(200, b"# nothing\n", "text/plain")])
def test_unreadable_process_reason_shown(giving: Giving, reader: Reader, answer: Answer) -> None:
    _install(giving, webhook=answer)
    found = versions.collect_versions(reader, None)
    assert found.has_unread
    assert found.processes[0].version is None
    assert found.processes[0].note


def test_not_installed_one_error(reader: Reader) -> None:
    with pytest.raises(NotReadable) as caught:
        versions.collect_versions(reader, "elsewhere")
    assert "elsewhere" in str(caught.value)
    assert caught.value.hint
