"""`completion`: shell scripts, and their completions."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

_Run = Callable[..., "subprocess.CompletedProcess[str]"]

_CALL = "import sys; sys.argv = ['registry-webhook']; from webhook.cli import main; main()"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script_per_shell(run: _Run, shell: str) -> None:
    done = run("completion", shell)
    assert (done.returncode, done.stderr) == (0, "")
    assert "registry-webhook" in done.stdout
    assert f"_REGISTRY_WEBHOOK_COMPLETE={shell}_complete" in done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script_valid_in_shell(run: _Run, shell: str) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"there is no {shell}")
    done = subprocess.run([program, "-n"], input=run("completion", shell).stdout, text=True, check=False, timeout=60)
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("registry-webhook re", {"refresh", "report", "resolve", "review"}),
        ("registry-webhook c", {"certs", "cleanup", "config", "completion"}),
        ("registry-webhook certs ", {"client", "create"}),
        ("registry-webhook certs create --ca", {"--ca-days"}),
        ("registry-webhook completion ", {"bash", "zsh", "fish"}),
        ("registry-webhook review --out", {"--output"}),
        ("registry-webhook review --output ", {"diff", "patch", "yaml", "json"}),
        ("registry-webhook serve --log-level w", {"warning"}),
    ],
)
def test_completion_words_completed(
    environment: dict[str, str], tmp_path: Path, words: str, expected: set[str]
) -> None:
    asked = {"_REGISTRY_WEBHOOK_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = subprocess.run(
        [sys.executable, "-c", _CALL],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**environment, **asked},
        check=False,
        timeout=60,
    )
    assert done.stderr == ""
    assert {line.partition(",")[2] for line in done.stdout.splitlines()} == expected
