"""The documentation site: its Markdown is converted right, and its navigation has every page."""

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from tests.support import ci_scripts

CHECKOUT = Path(__file__).parents[2]

if not (CHECKOUT / "mkdocs.yml").exists():
    pytest.skip("the documentation is in the checkout alone", allow_module_level=True)


class _Loader(yaml.SafeLoader):
    """Reads mkdocs.yml without the functions that it names."""


_Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda _loader, _suffix, _node: None)


@pytest.fixture(scope="module")
def hook() -> ModuleType:
    return ci_scripts.load("site")


@pytest.mark.parametrize(
    ("written", "converted"),
    [
        ("text\n- one\n- two\n", "text\n\n- one\n- two\n"),
        ("text\n| a |\n|---|\n", "text\n\n| a |\n|---|\n"),
        ("1. one\n   ```sh\n   x\n     y\n   ```\n2. two\n", "1. one\n    ```sh\n    x\n      y\n    ```\n2. two\n"),
        ("- one\n\n  more\n\nend\n", "- one\n\n    more\n\nend\n"),
        ("- one\n  going on\n  - below\n- two\n", "- one\n    going on\n    - below\n- two\n"),
        ("10. ten\n\n    text\n# end\n", "10. ten\n\n    text\n# end\n"),
        ("```text\n- no list\n| no table\n```\n", "```text\n- no list\n| no table\n```\n"),
        ("| `a\\|b` | c \\| d |\n", "| `a|b` | c \\| d |\n"),
        ("- one\n\n```sh\nx\n```\n", "- one\n\n```sh\nx\n```\n"),
    ],
)
def test_commonmark_becomes_python_markdown(hook: ModuleType, written: str, converted: str) -> None:
    assert hook.commonmark(written) == converted


@pytest.mark.parametrize(
    ("folder", "link", "target"),
    [
        ("explanation", "../reference/metrics.md#notes", "../reference/metrics.md#notes"),
        ("explanation", "../../CONTRIBUTING.md#run-tests", "URL/CONTRIBUTING.md#run-tests"),
        ("", "../manifests/monitoring/", "URL/manifests/monitoring"),
        ("", "#terms", "#terms"),
        ("", "https://example.com/x.md", "https://example.com/x.md"),
    ],
)
def test_links_out_of_docs_become_urls(hook: ModuleType, folder: str, link: str, target: str) -> None:
    assert hook.outward_links(f"[x]({link})", folder) == f"[x]({target.replace('URL', hook.REPOSITORY)})"


def _pages(navigation: Any) -> list[str]:
    if isinstance(navigation, str):
        return [navigation]
    entries = navigation.values() if isinstance(navigation, dict) else navigation
    return [page for entry in entries for page in _pages(entry)]


def test_navigation_has_every_page_once() -> None:
    config = yaml.load((CHECKOUT / "mkdocs.yml").read_text(), _Loader)  # noqa: S506 - a SafeLoader
    pages = [str(path.relative_to(CHECKOUT / "docs")) for path in (CHECKOUT / "docs").rglob("*.md")]
    assert sorted(_pages(config["nav"])) == sorted(pages)
