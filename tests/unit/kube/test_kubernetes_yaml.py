"""YAML with the scalar rules of kubectl's decoder: reading, errors and writing."""

import json
import math
from typing import Any

import pytest
import yaml
from hypothesis import given

from tests.support import yaml_strategies
from webhook.config import yaml_nodes
from webhook.errors import InvalidManifest
from webhook.kube import kubernetes_yaml
from webhook.kube.kubernetes_yaml import Source


def _read(text: str) -> Any:
    return kubernetes_yaml.read(Source(text))


#: What kubectl 1.37 reads each plain scalar as.
_SCALARS: dict[str, Any] = {
    "=": "=", "<<": "<<", "y": True, "Y": True, "yes": True, "yEs": "yEs", "on": True, "ON": True, "n": False,
    "No": False, "off": False, "true": True, "tRue": "tRue", "~": None, "null": None, "nULL": "nULL", "": None,
    "0": 0, "00": 0, "017": 15, "0o17": 15, "0O17": 15, "018": 18, "08": 8, "09.5": 9.5, "0x1F": 31, "0X1f": 31,
    "0b101": 5, "-0b101": -5, "0b-101": -5, "0b12": "0b12", "0x": "0x", "0o8": "0o8", "+12": 12, "-0": 0, "-0.0": 0,
    "1_000": 1000, "0x_1f": 31, "_1": "_1", "+_1": 1, "1__0": 10, "1,000": "1,000",
    "1e3": 1000, "12e03": 12000, "0e123": 0, "1E-3": 0.001, ".5": 0.5, "5.": 5, ".5e3": 500, ".6_1": 0.61, "1.50": 1.5,
    ".": ".", "1e": "1e", "1e999": "1e999", "Infinity": "Infinity", "nan": "nan", "1.2.3": "1.2.3",
    "22:22": "22:22", "1:30.5": "1:30.5", "190:20:30": "190:20:30", "2001-01-01": "2001-01-01",
    "2001-12-14T21:59:43.10-05:00": "2001-12-14T21:59:43.10-05:00",
    "9223372036854775808": 9223372036854775808, "18446744073709551616": 18446744073709552000,
    "+18446744073709551615": 18446744073709552000, "-9223372036854775809": -9223372036854776000,
    "0x1ffffffffffffffff": "0x1ffffffffffffffff", "1e20": 100000000000000000000, "1e22": 1e22,
    "2001:db8::1": "2001:db8::1", "::1": "::1",
    "!!str 1": "1", "!!int '1'": 1, "!!float 1": 1, "!!float '08'": 8, "!!bool yes": True, "!!null ''": None,
    "!!binary aGk=": "hi", "!foo 1": "1", "!Ref x": "x", "! '1'": "1", "!!timestamp 2001-01-01": "2001-01-01",
    "!!set {a, b}": {"a": None, "b": None}, "!!omap [a: 1]": [{"a": 1}], "!x [1]": [1],
}  # fmt: skip

#: What it reads each plain scalar as where it is a key.
_KEYS = {
    "1": "1", "017": "15", "true": "true", "n": "false", "1.5": "1.5", "1e3": "1000", "123456.789": "123456.79",
    "1e6": "1e+06", "1e-7": "1e-07", ".inf": ".inf", "-.INF": "-.inf", ".nan": ".nan", "=": "=", "22:22": "22:22",
    "!!binary aGk=": "hi", "!!str 1": "1", "1e300": ".inf", "-0.0": "-0",
}  # fmt: skip

_REFUSED = (
    *(".inf", "-.Inf", ".nan", "!!float .inf", "!!int 1.5", "!!bool x", "!!null x", "!!binary x", "!!timestamp x"),
    *("*unknown", "&a [*a]", "[a?b]", '"\\/"', "'x", "@x", "`x`", "\t- b", "a: b", "{<<: 1}", "{<<: [1]}", "{~: 1}"),
    *("{[a]: 1}", "{{a: 1}: 1}", "{{ x }}", "18446744073709551615: x", '"\\ud800"', "\x1b", "\x9b"),
    "[" * 101 + "]" * 101,
)


@pytest.mark.parametrize("text", _SCALARS)
def test_read_plain_scalar_as_kubectl(text: str) -> None:
    read = [_read(f"v: {text}")["v"], _read(f"- {text}")[0]]
    if not set("{[,:") & set(text):
        read.append(_read(f"[{text}, 1]")[0] if text else None)
    for value in read:
        assert json.dumps(value) == json.dumps(_SCALARS[text])


@pytest.mark.parametrize("text", _KEYS)
def test_read_key_as_kubectl(text: str) -> None:
    assert list(_read(f"{text}: x")) == [_KEYS[text]]


@pytest.mark.parametrize("text", _REFUSED)
def test_read_value_without_json_form_raises_one_line(text: str) -> None:
    with pytest.raises(InvalidManifest) as error:
        _read(f"k: {text}\n")
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1\na: 2", {"a": 2}),
        ("a: 1\n<<: {a: 2}", {"a": 2}),
        ("<<: {a: 2}\na: 1", {"a": 1}),
        ("x: &x {a: 1}\nz: {<<: [*x, {a: 3, c: 4}], b: 2}", {"x": {"a": 1}, "z": {"a": 1, "c": 4, "b": 2}}),
        ("'<<': {a: 1}", {"<<": {"a": 1}}),
        ("!!merge <<: {a: 1}", {"a": 1}),
        ("a: &x 1\nb: &x 2\nc: *x", {"a": 1, "b": 2, "c": 2}),
        ("&a a: &b b\n*a : *b", {"a": "b"}),
        ("a: [2001:db8::]", {"a": ["2001:db8::"]}),
        ("[1.2.3.4, 001:db8::, [x::],\t{a:}]", ["1.2.3.4", "001:db8::", ["x::"], {"a:": None}]),
        ("{a: b:, c: d}", {"a": "b:", "c": "d"}),
        ("a: |\n  x", {"a": "x\n"}),
        ("a: |+\n  x", {"a": "x\n"}),
        ("a: >-\n  x\n  y", {"a": "x y"}),
        ("a: |\r\n  x\r\n  y\r\n", {"a": "x\ny\n"}),
        ("a: 1\n...\nb: ]", {"a": 1}),
        ("# nothing", None),
    ],
)
def test_read_document_as_kubectl(text: str, value: Any) -> None:
    assert _read(text) == value


@pytest.mark.parametrize("size", [12, 400])
def test_read_alias_expansion_over_limit_raises(size: int) -> None:
    lines = ["a0: &a0 [x]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, size)]
    with pytest.raises(InvalidManifest, match="line "):
        _read("\n".join(lines))


@given(yaml_strategies.values)
def test_dump_value_round_trips(value: Any) -> None:
    for text in (kubernetes_yaml.dump({"k": value}), kubernetes_yaml.dump_json({"k": value}, 1)):
        assert text.replace("\n", "").isprintable()
    assert json.dumps(_read(kubernetes_yaml.dump({"k": value}))) == json.dumps({"k": value})
    assert json.dumps(kubernetes_yaml.read_json(kubernetes_yaml.dump_json({"k": value}))[0]) == json.dumps({"k": value})


@given(yaml_strategies.strings)
def test_dump_string_is_string_in_yaml_1_1_and_1_2(text: str) -> None:
    written = kubernetes_yaml.dump({text: [text]})
    assert yaml.safe_load(written) == {text: [text]}
    node = yaml_nodes.compose(written.encode())
    assert node is not None
    assert yaml_nodes.value_of(node) == {text: [text]}


def test_dump_repeated_list_no_anchor() -> None:
    inner = [1]
    assert "&" not in kubernetes_yaml.dump({"a": inner, "b": inner})


@pytest.mark.parametrize(
    "text", ['{"a": NaN}', '{"a": 01}', '{"a": "\\ud800"}', '{"a": 1e999}', '{"a": ' + "9" * 500 + "}"]
)
def test_read_json_rejected_by_kubectl_raises(text: str) -> None:
    with pytest.raises(InvalidManifest):
        kubernetes_yaml.read_json(text)


def test_number_without_fraction_to_int() -> None:
    assert [kubernetes_yaml.number(value) for value in (1.0, 1e20, 1e21, 0.5)] == [1, 10**20, 1e21, 0.5]
    assert math.isclose(kubernetes_yaml.number(1e300), 1e300)
