"""Every example in a command's help: the ones without a cluster are run as pasted, the others are parsed."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import click
import pytest

from webhook.cli import cli

_LIMIT = 120
#: Commands that need a cluster, and options that do or that keep a server running: their examples are only parsed.
_CLUSTER = frozenset({"doctor", "explain", "plan", "report", "serve", "refresh", "cleanup"})
_PARSED = frozenset({"--cluster", "--from-cluster", "--keep"})
_PROGRAM = re.compile(r"(?:^|[|(] ?|&& |[A-Z_]+=\S+ )registry-webhook ([^|)>]*)")
#: What other programs print in the examples.
_POD = "kind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: web, image: nginx}]}\n"
_STUBS = {
    "helm": f"cat <<'END'\n{_POD}END",
    "kubectl": f"""case "$*" in
*jsonpath=*config*) cat config.yaml ;;
*jsonpath=*) echo nginx quay.io/a/b ;;
kustomize*|*configmap*)
  printf 'apiVersion: v1\\nkind: ConfigMap\\nmetadata: {{name: registry-webhook}}\\ndata:\\n  config.yaml: |\\n'
  sed 's/^/    /' config.yaml ;;
*get*) cat <<'END'
{_POD}END
;;
*) cat >/dev/null ;;
esac""",
}


def _commands(group: click.Group, ctx: click.Context) -> Iterator[click.Command]:
    for name in group.list_commands(ctx):
        found = group.get_command(ctx, name)
        assert found
        yield found
        if isinstance(found, click.Group):
            yield from _commands(found, click.Context(found, ctx, info_name=name))


def _examples() -> list[str]:
    root = click.Context(cli, **cli.context_settings)
    found = []
    for command in (cli, *_commands(cli, root)):
        _, heading, text = (command.epilog or "").partition("Examples:\n")
        assert heading, command.name
        text = text.partition("\n\n")[0].replace("\\\n", "")
        found += [re.sub(r"\s{2,}#.*", "", line).strip() for line in text.splitlines()]
    return found


def _is_offline(line: str) -> bool:
    words = shlex.split(_PROGRAM.findall(line)[0])
    return words[0] not in _CLUSTER and not _PARSED & set(words)


@pytest.mark.parametrize("line", _examples())
def test_example_parsed(line: str) -> None:
    found = _PROGRAM.findall(line)
    assert found, line
    for arguments in found:
        ctx, words = click.Context(cli, **cli.context_settings), shlex.split(arguments)
        while isinstance(ctx.command, click.Group) and words:
            _, command, words = ctx.command.resolve_command(ctx, words)
            assert command
            ctx = click.Context(command, ctx, info_name=command.name)
        if "--help" not in words:
            ctx.command.make_context(ctx.info_name, list(words), parent=ctx.parent)


@pytest.mark.skipif(shutil.which("bash") is None, reason="examples use bash")
@pytest.mark.parametrize("line", [line for line in _examples() if _is_offline(line)])
def test_example_without_cluster_runs(line: str, environment: dict[str, str], tmp_path: Path) -> None:
    examples = resources.files("webhook") / "examples"
    for name, source in (
        ("config.yaml", "config.yaml"),
        ("pod.yaml", "1-pod.yaml"),
        ("deployment.yaml", "2-deployment.yaml"),
    ):
        (tmp_path / name).write_bytes((examples / source).read_bytes())
    (tmp_path / "bin").mkdir()
    for name, body in _STUBS.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    if "--force" in line:  # the example before it
        first = line.replace(" --force", "")
        subprocess.run(["/bin/bash", "-c", first], cwd=tmp_path, env=environment, check=True, capture_output=True)
    path = f"{tmp_path / 'bin'}:{environment['PATH']}"
    done = subprocess.run(
        ["/bin/bash", "-o", "pipefail", "-c", line],
        cwd=tmp_path,
        env={**environment, "PATH": path},
        capture_output=True,
        text=True,
        timeout=_LIMIT,
        check=False,
    )
    # 1: something would change.
    assert done.returncode in ({0, 1} if " review " in line else {0}), done.stderr
    assert done.stderr == ""
