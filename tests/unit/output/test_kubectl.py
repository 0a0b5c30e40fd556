"""kubectl command lines."""

import shlex

import pytest

from webhook.kube.object_names import is_name, is_namespace
from webhook.output import kubectl


@pytest.mark.parametrize("name", ["team.a", "a" * 64])
def test_namespace_name_must_be_dns_label(name: str) -> None:
    assert not is_namespace(name)
    assert is_name(name)


def test_line_quotes_arguments() -> None:
    line = kubectl.line("label", "a b", "$x;", name="web", kind="deployment")
    assert line is not None
    assert shlex.split(line) == ["kubectl", "label", "a b", "$x;", "deployment/web"]
