"""Command lines of this program begin with what the user typed."""

from pathlib import Path

import pytest

import webhook
from webhook.cli import _COMMANDS
from webhook.output import invocation

_PACKAGE = Path(webhook.__file__).parent


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/usr/local/bin/kubectl-registry_webhook", "explain"])


@pytest.mark.usefixtures("plugin")
def test_command_as_plugin_named_and_quoted() -> None:
    assert invocation.command("plan", "team a") == "kubectl registry-webhook plan 'team a'"


@pytest.mark.parametrize("name", _COMMANDS)
def test_sources_outside_cli_name_no_command_literally(name: str) -> None:
    """Hints and findings use `invocation.command`; only the help of commands is adapted when it is shown."""
    outside = [path for path in _PACKAGE.rglob("*.py") if path.parent.name != "cli"]
    literal = f"registry-webhook {name}"
    found = [str(path) for path in outside if f"{literal} " in (text := path.read_text()) or f"{literal}`" in text]
    assert found == []
