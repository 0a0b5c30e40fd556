"""The README is correct."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from webhook.config import schema
from webhook.config.load import load
from webhook.images.resolver import Resolver

README = (Path(__file__).parents[2] / "README.md").read_text()


def section(heading: str) -> str:
    return README.partition(f"## {heading}\n")[2].partition("\n## ")[0]


def block(text: str, language: str) -> str:
    return text.partition(f"```{language}\n")[2].partition("```")[0]


def rows(text: str) -> list[list[str]]:
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line[:1] == "|"]
    return cells[2:]


DECIDED = section("How a rewrite is decided")
CONFIGURATION = block(DECIDED, "yaml")


@pytest.fixture(scope="module")
def resolver() -> Resolver:
    return Resolver(load(CONFIGURATION.encode(), "README.md", {}).configuration)


@pytest.mark.parametrize("row", rows(DECIDED), ids=lambda row: row[0][:40])
def test_readme_image_table_matches_resolver(resolver: Resolver, row: list[str]) -> None:
    written, becomes, _ = row
    assert resolver.resolve(written.strip("`")).image == becomes.strip("`")


def test_readme_image_table_covers_reasons(resolver: Resolver) -> None:
    reasons = {resolver.resolve(row[0].strip("`")).reason.value for row in rows(DECIDED)}
    assert reasons == {"server", "rule", "already-prefixed", "qualified", "excluded", "invalid"}


def test_readme_settings_table_matches_schema() -> None:
    table = {row[0].strip("`"): row[1].strip("`") for row in rows(section("Settings"))}
    assert table.keys() == schema.table().keys(), "README.md, Settings, and webhook/settings.py differ"
    for path, key in schema.table().items():
        said = {"none": (None, ()), "all": (None,)}.get(table[path])
        if said is None:
            assert table[path] == (
                key.default if isinstance(key.default, str) else msgspec.json.encode(key.default).decode()
            )
        else:
            assert key.default in said


def test_readme_commands_print_shown_output(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(CONFIGURATION)
    shown = re.findall(r"^\$ registry-webhook (.*)\n((?:[^$].*\n)*)", block(README, "console"), re.MULTILINE)
    assert shown
    clean = {name: value for name, value in os.environ.items() if not schema.may_be_ours(name)}
    for words, output in shown:
        command = [sys.executable, "-m", "webhook", *shlex.split(words)]
        run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path, env=clean)
        assert run.stdout == output
