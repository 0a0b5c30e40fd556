"""The documentation is correct: its commands print what is shown, and its links, headings and alerts exist.

`UPDATE_GOLDEN=1` (`make docs-output`) writes the outputs that differ into the pages. Pages whose commands need a
cluster are run by tests/installed/test_docs.py.
"""

import os
import re
from pathlib import Path

import pytest
import yaml

from tests.support import doc_pages
from tests.support.doc_pages import CHECKOUT, NOT_RUN, PAGES, Action, Command, File, Mode, Shell
from webhook.config import schema
from webhook.refresher.runtime.event_reasons import EventReason

README = CHECKOUT / "README.md"
TROUBLESHOOT = CHECKOUT / "docs/how-to/troubleshoot.md"
ALERTS = CHECKOUT / "manifests/monitoring/alerts.yaml"
#: Pages for users. Decisions and the pages for contributors have rules of their own.
GUIDES = [page for page in PAGES if page == README or page.parent.name in {"tutorials", "how-to"}]
UPDATE = bool(os.environ.get("UPDATE_GOLDEN"))

_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_SHELL_LANGUAGES = {"sh", "bash", "shell", "zsh"}


name = doc_pages.page_name


def is_offline(page: Path) -> bool:
    return any(isinstance(step, Command) and step.mode is Mode.OFFLINE for step in doc_pages.steps(page))


def headings(page: Path) -> list[str]:
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return _HEADING.findall(text)


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    removed = ("OPENCTI__", "WEBHOOK__", "REGISTRY__", "REGISTRY_WEBHOOK_", "_REGISTRY_WEBHOOK_", "KUBE")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(removed)}
    return {name: value for name, value in clean.items() if not schema.may_be_ours(name)}


@pytest.mark.parametrize("page", [page for page in PAGES if is_offline(page)], ids=name)
def test_page_commands_print_shown_output(page: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    doc_pages.folder_of_reader(tmp_path)
    shell = Shell(tmp_path, environment)
    different = {}
    for step in doc_pages.steps(page):
        if isinstance(step, File):
            shell.write(step)
        elif isinstance(step, Command) and step.mode is Mode.OFFLINE:
            printed = shell.run(doc_pages.substituted(step.text, {}))
            if not doc_pages.matches(step.output, printed):
                different[step] = printed
    shell.close()
    if UPDATE:
        doc_pages.rewrite(page, {step: doc_pages.updated(step.output, printed) for step, printed in different.items()})
    else:
        assert {f"line {step.line}: {step.text}": printed for step, printed in different.items()} == {}


# The pages in docs/reference are generated. Tests of the command line run the examples of each command.
@pytest.mark.parametrize("page", [page for page in PAGES if page.parent.name != "reference"], ids=name)
def test_page_commands_are_in_console_blocks(page: Path) -> None:
    assert [block.line for block in doc_pages.blocks(page) if block.language in _SHELL_LANGUAGES] == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_page_console_blocks_have_a_command(page: Path) -> None:
    for block in doc_pages.blocks(page):
        assert block.language != "console" or block.text.startswith("$ "), f"line {block.line}"


def test_every_page_for_a_cluster_is_run() -> None:
    for_cluster = {
        name(page)
        for page in PAGES
        for step in doc_pages.steps(page)
        if isinstance(step, Command) and step.mode is Mode.CLUSTER
    }
    assert for_cluster == set(doc_pages.CLUSTER_PAGES)


@pytest.mark.parametrize("prefix", NOT_RUN)
def test_exception_is_used(prefix: str) -> None:
    commands = [step.text for page in PAGES for step in doc_pages.steps(page) if isinstance(step, Command)]
    assert any(doc_pages.not_run(command) == prefix for command in commands)


@pytest.mark.parametrize("page", GUIDES, ids=name)
def test_page_headings_are_short_and_no_questions(page: Path) -> None:
    titles = headings(page)
    assert len(titles) == len(set(titles))
    for title in titles:
        # Headings that are error texts or codes are as long as these are.
        words = re.sub(r"`[^`]*`", "x", title).split()
        assert len(words) <= 6, title
        assert not title.endswith(("?", ".", "!", ":")), title


def test_readme_is_short_and_starts_with_demo() -> None:
    assert len(README.read_text().splitlines()) <= 150
    commands = [step.text for step in doc_pages.steps(README) if isinstance(step, Command)]
    assert commands[:2] == ["make demo", "make test"]


def test_readme_links_every_guide() -> None:
    text = README.read_text()
    index = (CHECKOUT / "docs/index.md").read_text() if (CHECKOUT / "docs/index.md").exists() else ""
    for page in GUIDES[1:]:
        assert name(page) in text or name(page).removeprefix("docs/") in index, name(page)


def test_every_alert_has_a_section() -> None:
    groups = yaml.safe_load(ALERTS.read_text())["spec"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    titles = headings(TROUBLESHOOT)
    assert [rule["alert"] for rule in rules if rule["alert"] not in titles] == []
    for rule in rules:
        url = rule["annotations"].get("runbook_url", "#" + rule["alert"].lower())
        assert url.partition("#")[2] == rule["alert"].lower()


def test_every_event_reason_has_a_remedy() -> None:
    section = TROUBLESHOOT.read_text().partition("\n## Events\n")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(EventReason)


def test_matches_wildcards_and_varying_values() -> None:
    shown = "NAME   AGE\nweb-7d9c5b8f6f-x2x9k   5s\n...\nend\n"
    assert doc_pages.matches(shown, "NAME  AGE\nweb-5d9c5b8f6c-y2x9k  1m5s\nend\n")
    assert doc_pages.matches(shown, "NAME  AGE\nweb-5d9c5b8f6c-y2x9k  2h\nmore\nmore\nend\n")
    assert doc_pages.matches("web-6945bf6c44-s8bz5_53b39dc5\n", "web-8595bdc6c5-4tvvw_caa2dd2f\n")
    assert not doc_pages.matches(shown, "NAME  AGE\nother-5d9c5b8f6c-y2x9k  2h\nend\n")
    assert not doc_pages.matches(shown, "NAME  AGE\nweb-5d9c5b8f6c-y2x9k  2h\n")
    assert not doc_pages.matches("", "error\n")
    assert doc_pages.matches("...\n", "anything\n")


def test_updated_keeps_ellipsis_at_its_line() -> None:
    assert doc_pages.updated("a\nb\n...\n", "x\ny\nz\nw\n") == "x\ny\n...\n"
    assert doc_pages.updated("a\n", "x\ny\n") == "x\ny\n"


def test_part_is_merged_into_file() -> None:
    part = doc_pages.Part("a.yaml", "components: [two]\nregistry:\n  server: new\nrules: [one]\n")
    before = "components: [one]\nregistry: {server: old, kept: true}\n"
    assert yaml.safe_load(part.added(before)) == {
        "components": ["one", "two"],
        "registry": {"server": "new", "kept": True},
        "rules": ["one"],
    }


def test_steps_read_part_of_file(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("  <!-- add: a.yaml -->\n\n  ```yaml\n  a: 1\n  ```\n\n```yaml\nb: 1\n```\n")
    assert doc_pages.steps(page) == [doc_pages.Part("a.yaml", "a: 1\n")]


def test_steps_read_files_actions_and_commands(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        '1. Text\n\n   ```yaml title="a.yaml"\n   a:\n     b: 1\n   ```\n\n'
        "<!-- commands: cluster -->\n<!-- registry: password=p -->\n"
        "   ```console\n   $ one \\\n       two |\n     three\n   out\n   $ docker ps\n   ```\n"
    )
    file, action, first, second = doc_pages.steps(page)
    assert file == File("a.yaml", "a:\n  b: 1\n")
    assert action == Action("password", "p")
    assert isinstance(first, Command)
    assert (first.text, first.output, first.mode) == ("one \\\n    two |\n  three", "out\n", Mode.CLUSTER)
    assert isinstance(second, Command)
    assert (second.text, second.mode) == ("docker ps", Mode.NOT_RUN)
    doc_pages.rewrite(page, {first: "new\n"})
    assert "   new\n   $ docker ps\n" in page.read_text()
