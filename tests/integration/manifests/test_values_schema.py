"""The chart's values.schema.json: Helm refuses wrong values, also in `config`, and says where they are.

tests/integration/manifests/test_chart.py fails if the file is not current: `make chart`.
"""

import json
from typing import Any

import pytest
import yaml

from tests.support.chart import COMPONENT_VALUES, RenderError, needs_helm, render
from tests.support.chart_values import CHART
from tests.support.json_schema_validator import violations

if not CHART.exists():
    pytest.skip("the chart is in the checkout alone", allow_module_level=True)

_SCHEMA = json.loads((CHART / "values.schema.json").read_text())

#: Wrong values, each with the place that is reported.
_WRONG: dict[str, tuple[Any, str]] = {
    "an unknown value": ({"replica": 2}, ""),
    "a wrong type": ({"replicas": "two"}, "/replicas"),
    "a number as tag": ({"image": {"tag": 1.0}}, "/image/tag"),
    "an unknown word": ({"certificates": {"mode": "certmanager"}}, "/certificates/mode"),
    "a port": ({"ports": {"https": 0}}, "/ports/https"),
    "an unknown setting": ({"config": {"registry": {"sever": "a.com"}}}, "/config/registry"),
    "a setting's word": ({"config": {"webhook": {"verify": "maybe"}}}, "/config/webhook/verify"),
    "a setting's limit": ({"config": {"registry": {"token_ttl": 1}}}, "/config/registry/token_ttl"),
    "a setting's type": ({"config": {"webhook": {"exclude": ["a", 3]}}}, "/config/webhook/exclude/1"),
    "a rule without target": ({"config": {"webhook": {"rules": [{"from": "quay.io"}]}}}, "/config/webhook/rules/0"),
    "two spellings": (
        {"config": {"registry": {"server": "a.com"}, "opencti": {"daemon": {"registry": {"server": "a.com"}}}}},
        "/config/opencti/daemon/registry/server",
    ),
}


@pytest.mark.parametrize("name", COMPONENT_VALUES)
def test_values_of_components_valid(name: str) -> None:
    assert list(violations(_SCHEMA, COMPONENT_VALUES[name])) == []


def test_default_values_valid_and_described() -> None:
    assert list(violations(_SCHEMA, yaml.safe_load((CHART / "values.yaml").read_text()))) == []
    described = [one for one in _SCHEMA["properties"].values() if one.get("description")]
    assert len(described) > 10


@pytest.mark.parametrize("name", _WRONG)
def test_wrong_value_refused(name: str) -> None:
    values, place = _WRONG[name]
    assert any(one.startswith(place) for one in violations(_SCHEMA, values))


@needs_helm
@pytest.mark.parametrize("name", _WRONG)
def test_wrong_value_refused_by_helm_at_its_place(name: str) -> None:
    values, place = _WRONG[name]
    with pytest.raises(RenderError) as caught:
        render(values)
    assert f"at '{place}':" in str(caught.value)


@needs_helm
def test_settings_as_helm_writes_them_valid() -> None:
    # Helm reads numbers as floating point and writes large ones with an exponent.
    values = {"config": {"webhook": {"verify": "off", "certificate": {"authority_life": 157_680_000}}}}
    assert "verify: " in render(values)
