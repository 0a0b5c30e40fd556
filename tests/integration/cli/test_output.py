"""Nothing in a file or argument reaches the terminal unescaped."""

import ast
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

import webhook

_Run = Callable[..., "subprocess.CompletedProcess[str]"]
EVIL = "a\x1b[2J\x1b]0;t\x07\x9b31m\u202e\u2066\u200b\u2028\u2029\x85\x7fz\U000e0041"
_HIDDEN = set(EVIL) - set("az[2J]0;t31m")
#: Commands that print nothing but what they made themselves, or a person's own folder.
_EXEMPT = {"certs.py", "completion.py", "demo.py", "policy.py"}


@pytest.fixture
def config(tmp_path: Path) -> str:
    (tmp_path / "config.yaml").write_text("opencti: {daemon: {registry: {server: registry.example.com}}}\n")
    return "--config=config.yaml"


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": EVIL, "annotations": {EVIL: f"{EVIL}\n{EVIL}", "plain": "Größe"}},
        "spec": {"containers": [{"name": EVIL, "image": "nginx", "args": [EVIL]}, {"name": "b", "image": f"x{EVIL}"}]},
    }
    written = tmp_path / "pod.json"
    written.write_text(json.dumps(pod))
    return written


@pytest.mark.parametrize("form", ["diff", "patch", "yaml", "json"])
def test_review_hidden_characters_escaped(call: _Run, config: str, manifest: Path, form: str) -> None:
    ran = call("review", config, f"--output={form}", str(manifest))
    assert ran.returncode == 1
    assert _HIDDEN.isdisjoint(ran.stdout + ran.stderr)
    if form in {"yaml", "json"}:
        read = yaml.safe_load(ran.stdout) if form == "yaml" else json.loads(ran.stdout)
        before = json.loads(manifest.read_text())
        before["spec"]["containers"][0]["image"] = "registry.example.com/nginx"
        before["metadata"]["annotations"] = read["metadata"]["annotations"] | before["metadata"]["annotations"]
        read["spec"].pop("imagePullSecrets")
        assert read == before
        assert "Größe" in ran.stdout


def test_review_yaml_comments_escaped(call: _Run, config: str, tmp_path: Path) -> None:
    pod = "kind: Pod\napiVersion: v1\nmetadata: {name: p}\nspec: {containers: [{name: a, image: nginx}]}\n"
    hidden = "\u202e\u200b\u2066"
    text = f"\ufeff# {hidden}\n--- # {hidden}\n{pod}...\n# {hidden}\n---\n{pod}...\n# {hidden}\n"
    (tmp_path / "pods.yaml").write_text(text)
    ran = call("review", config, "--output=yaml", "pods.yaml")
    assert set(hidden).isdisjoint(ran.stdout + ran.stderr)
    assert ran.stdout.startswith("\ufeff# \\u202e")
    assert len(list(yaml.safe_load_all(ran.stdout))) == 2


def test_review_diff_colors_are_kept(call: _Run, config: str, manifest: Path) -> None:
    ran = call("review", config, "--color=always", str(manifest))
    assert "\x1b[31m-" in ran.stdout
    assert "\x1b[2J" not in ran.stdout


@pytest.mark.parametrize(
    "words",
    [
        ("resolve", EVIL),
        ("resolve", "-ojson", EVIL),
        ("review", EVIL),
        ("explain", f"deployment/{EVIL}"),
        ("explain", "-f", EVIL),
        ("report", f"--context={EVIL}"),
        ("doctor", f"--kubeconfig={EVIL}"),
        ("plan", f"--config={EVIL}"),
        ("config", f"--config={EVIL}"),
        ("config", "--check", f"--config={EVIL}"),
        (EVIL,),
        ("report", EVIL),
        ("report", f"--output={EVIL}"),
        ("report", f"--{EVIL}"),
    ],
)
def test_argument_hidden_characters_escaped(call: _Run, words: tuple[str, ...]) -> None:
    ran = call(*words)
    assert _HIDDEN.isdisjoint(ran.stdout + ran.stderr), ran
    assert ran.stdout + ran.stderr


@pytest.mark.parametrize("path", sorted(Path(webhook.__file__).parent.glob("cli/*.py")), ids=lambda path: path.name)
def test_command_prints_through_terminal(path: Path) -> None:
    if path.name in _EXEMPT:
        return
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    direct = [
        one for one in calls if ast.unparse(one.func) in {"click.echo", "click.secho", "print", "sys.stdout.write"}
    ]
    # A page, and a manifest byte for byte, are written as they were built.
    built = ("page.page(", "text.encode()")
    assert [one for one in direct if not any(part in ast.unparse(one) for part in built)] == []
