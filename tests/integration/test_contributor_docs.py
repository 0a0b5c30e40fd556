"""Pages for contributors refer to existing things, and list the same checks everywhere."""

import configparser
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import yaml

CHECKOUT = Path(__file__).parents[2]
ARCHITECTURE = CHECKOUT / "docs" / "explanation" / "architecture.md"
DECISIONS = CHECKOUT / "docs" / "decisions"
FORMS = CHECKOUT / ".github" / "ISSUE_TEMPLATE"

if not (CHECKOUT / "docs").exists():
    pytest.skip("the documentation is in the checkout alone", allow_module_level=True)

_WRITTEN = ["*.md", "docs/**/*.md", "manifests/**/*.md", "certs/**/*.md", "tests/**/*.md", ".github/**/*.md"]
PAGES = sorted(path for pattern in _WRITTEN for path in CHECKOUT.glob(pattern))
CONTRIBUTORS = [
    CHECKOUT / "CONTRIBUTING.md",
    ARCHITECTURE,
    CHECKOUT / "docs" / "glossary.md",
    *sorted(DECISIONS.glob("*.md")),
]

_FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^()\s]+)\)")
_PATH = re.compile(r"(?<![\w./-])(?:webhook|tests|manifests|certs|docs|\.ci|\.github)/[\w./-]*\w/?")
_TARGET = re.compile(r"\bmake ([a-z][a-z0-9-]*)")
_PACKAGE = re.compile(r"^\| `([a-z_]+)`", re.MULTILINE)


def name(path: Path) -> str:
    return str(path.relative_to(CHECKOUT))


def code(page: Path) -> Iterator[str]:
    """Give every block and span of code."""
    text = page.read_text()
    yield from (found[3] for found in _FENCE.finditer(text))
    yield from _SPAN.findall(_FENCE.sub("", text))


def blocks(page: Path, language: str) -> list[str]:
    return [found[3] for found in _FENCE.finditer(page.read_text()) if found[2] == language]


def anchors(page: Path) -> set[str]:
    """Give the anchors of headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", _FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def contract(contract: str, option: str) -> list[str]:
    parser = configparser.ConfigParser()
    parser.read(CHECKOUT / ".importlinter")
    return parser[f"importlinter:contract:{contract}"][option].split("\n")[1:]


def recipe(target: str) -> list[str]:
    """Give the commands of a make target, with the variable for Python filled in."""
    makefile = (CHECKOUT / "Makefile").read_text()
    lines = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert lines
    commands = [line.strip().removeprefix("@") for line in lines[1].splitlines()]
    return [command.replace("$(PYTHON_HERE)", ".venv/bin/python") for command in commands]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_page_links_resolve(page: Path) -> None:
    for link in _LINK.findall(_SPAN.sub("", _FENCE.sub("", page.read_text()))):
        if link.startswith(("https://", "http://")):
            continue
        path, _, anchor = unquote(link).partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", CONTRIBUTORS, ids=name)
def test_page_paths_exist(page: Path) -> None:
    named = {path for text in code(page) for path in _PATH.findall(text)}
    assert [path for path in sorted(named) if not (CHECKOUT / path).exists()] == []


@pytest.mark.parametrize("page", [*CONTRIBUTORS, CHECKOUT / ".github/pull_request_template.md"], ids=name)
def test_page_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))
    assert {target for text in code(page) for target in _TARGET.findall(text)} <= targets


def test_architecture_layers_match_contract() -> None:
    # A long layer goes on in an indented line.
    shown = re.sub(r"\n +", " ", blocks(ARCHITECTURE, "text")[0])
    assert shown.splitlines() == contract("layers", "layers")


def test_architecture_table_has_every_package() -> None:
    layers = re.findall(r"\w+(?:\.\w+)*", " ".join(contract("layers", "layers")))
    table = ARCHITECTURE.read_text().partition("## Packages\n")[2].partition("\n## ")[0]
    assert set(_PACKAGE.findall(table)) == {layer.partition(".")[0] for layer in layers}


def test_architecture_steps_name_existing_modules() -> None:
    steps = "".join(re.findall(r"^(?:\d+\.|  ) .+\n", ARCHITECTURE.read_text(), re.MULTILINE))
    named = {path for path in _SPAN.findall(steps) if re.fullmatch(r"[a-z_0-9/]+(?:\.py|/)", path)}
    assert named
    assert [path for path in sorted(named) if not (CHECKOUT / "webhook" / path).exists()] == []


def test_decisions_numbered_short_and_listed() -> None:
    records = sorted(path for path in DECISIONS.glob("*.md") if path.name != "README.md")
    assert [path.name[:5] for path in records] == [f"{number:04}-" for number in range(1, len(records) + 1)]
    index = (DECISIONS / "README.md").read_text()
    for path in records:
        text = path.read_text()
        assert text.startswith(f"# {path.name[:4]}: ")
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"]
        assert len(text.splitlines()) <= 60
        assert f"| [{path.name[:4]}]({path.name}) |" in index


def test_pre_commit_runs_make_check() -> None:
    (local,) = yaml.safe_load((CHECKOUT / ".pre-commit-config.yaml").read_text())["repos"]
    # The first line of the recipe makes the environment.
    assert [hook["entry"] for hook in local["hooks"]] == recipe("check")[1:]


@pytest.mark.parametrize("form", sorted(set(FORMS.glob("*.yml")) - {FORMS / "config.yml"}), ids=name)
def test_issue_form_has_required_fields(form: Path) -> None:
    read: dict[str, Any] = yaml.safe_load(form.read_text())
    assert {"name", "description", "body"} <= read.keys()
    fields = [part for part in read["body"] if part["type"] != "markdown"]
    assert {part["type"] for part in fields} <= {"input", "textarea", "dropdown", "checkboxes"}
    assert len({part["id"] for part in fields}) == len(fields)
    assert all(part["attributes"]["label"] for part in fields)
