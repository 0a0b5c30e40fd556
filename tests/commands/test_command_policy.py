"""`policy`: the configuration as admission policies."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

Run = Callable[..., "subprocess.CompletedProcess[str]"]

_MANIFESTS = Path(__file__).parents[2] / "manifests"
_CONFIGURATION = """\
opencti: {daemon: {registry: {server: registry.example.com}}}
webhook:
  rules:
    - from: quay.io
      to: registry.example.com/quay
"""


@pytest.fixture
def configured(tmp_path: Path) -> str:
    (tmp_path / "config.yaml").write_text(_CONFIGURATION)
    return "--config=config.yaml"


@pytest.mark.parametrize("which", ["mutate", "guard"])
def test_the_components_are_what_the_command_makes_of_the_configuration_as_it_ships(call: Run, which: str) -> None:
    made = call("policy", which, "--config", str(_MANIFESTS / "config.yaml"))
    assert made.returncode == 0
    assert made.stdout == (_MANIFESTS / "components" / f"policy-{which}" / "policy.yaml").read_text()


@pytest.mark.parametrize("which", ["mutate", "guard"])
def test_yaml_and_json_say_the_same(call: Run, configured: str, which: str) -> None:
    text = call("policy", which, configured).stdout
    listed = json.loads(call("policy", which, configured, "--output=json").stdout)
    assert list(yaml.safe_load_all(text)) == listed["items"]


def test_every_variable_has_a_comment_and_every_rule_its_place(call: Run, configured: str) -> None:
    lines = call("policy", "mutate", configured).stdout.splitlines()
    named = [number for number, line in enumerate(lines) if line.startswith("    - name: ")]
    assert len(named) > 20
    assert all(lines[number - 1].startswith("    # ") for number in named)
    assert "          'quay.io': 'registry.example.com/quay', // webhook.rules[0]" in lines


def test_the_guards_action_can_be_chosen(call: Run, configured: str) -> None:
    made = call("policy", "guard", configured, "--action=Warn")
    _, binding = yaml.safe_load_all(made.stdout)
    assert binding["spec"]["validationActions"] == ["Warn"]


def test_what_does_not_fit_is_one_line_and_status_2(call: Run, tmp_path: Path) -> None:
    patterns = [f"registry-{number}.*.org/*/team" for number in range(1000)]
    (tmp_path / "config.yaml").write_text(json.dumps({"webhook": {"exclude": patterns}}))
    made = call("policy", "mutate", "--config=config.yaml")
    assert (made.returncode, made.stdout) == (2, "")
    assert made.stderr.startswith("registry-webhook: webhook.exclude does not fit into a policy: ")
    assert made.stderr.count("\n") == 1
