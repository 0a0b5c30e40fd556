"""The page is self-contained and well formed, and names in it are escaped."""

import itertools
import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest

from tests.support.drift_report import drift_report
from webhook.diagnostics.drift import page as drift_page
from webhook.diagnostics.drift.analysis import Counts, Report

NOW = datetime(2026, 11, 25, 23, 5, tzinfo=UTC)
EVIL = "<script>alert('x')</script><img src=x onerror=\"y\">&amp;</style></title>"


class Page(HTMLParser):
    """Reads a page, and sees that every element is closed where it should be."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: set[str] = set()
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes.update(name for name, _ in attrs)
        if tag not in {"meta", "wbr"}:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] != ["style"]:
            self.text += data


def test_page_names_escaped() -> None:
    text = drift_page.page(drift_report(EVIL), EVIL, NOW)
    page = Page(text)
    assert {"script", "img"}.isdisjoint(page.elements)
    assert page.elements.count("title") == page.elements.count("svg") + 1
    assert "onerror" not in page.attributes
    assert page.text.count("<script>alert('x')</script>") > 10


def test_page_self_contained() -> None:
    text = drift_page.page(drift_report(), "", NOW)
    page = Page(text)
    assert {"link", "script", "img", "iframe", "object"}.isdisjoint(page.elements)
    assert {"src", "href", "srcset", "style"}.isdisjoint(page.attributes)
    assert not re.search(r"https?:|url\(|@import", text)


def test_page_responsive_dark_and_print_styles() -> None:
    text = drift_page.page(drift_report(), "", NOW)
    assert text.startswith("<!doctype html>\n")
    assert text.endswith("</html>\n")
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in text
    # A page of A4 is narrower than 760 px, and is not a phone.
    for rule in ("(prefers-color-scheme: dark)", "screen and (max-width: 760px)", "print"):
        assert f"@media {rule} {{" in text
    assert "@page { size: A4;" in text


def test_page_headings_in_order_and_table_headers_scoped() -> None:
    page = Page(drift_page.page(drift_report(), "", NOW))
    levels = [int(tag[1]) for tag in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert page.elements.count("th") == 4 + 1
    assert {"scope", "lang"} <= page.attributes


@pytest.mark.parametrize(
    ("owners", "pods", "said"),
    [(1, 10, "1 of 10 Pods has drifted"), (2, 10, "2 of 10 Pods have drifted"), (0, 1, "No Pods have drifted")],
)
def test_page_summary_first(owners: int, pods: int, said: str) -> None:
    text = Page(drift_page.page(drift_report(owners=owners, pods=pods), "staging", NOW)).text
    assert text.strip().startswith("Drift report of staging")
    assert said in text
    assert "staging · 25 November 2026, 23:05 UTC" in text


@pytest.mark.parametrize(
    ("owners", "pods", "share"),
    [(1, 10_000, "99.9%"), (9_999, 10_000, "0.1%"), (1, 4, "75%"), (0, 5, "100%"), (5, 5, "0%")],
)
def test_page_share_never_rounded_to_0_or_100(owners: int, pods: int, share: str) -> None:
    assert f">{share}</text>" in drift_page.page(drift_report(owners=owners, pods=pods), "", NOW)


def test_page_many_owners_truncated_with_count() -> None:
    text = drift_page.page(drift_report(owners=1_000, pods=2_000), "", NOW)
    assert Page(text).elements.count("b") < 300
    assert "800 more owners" in text
    assert "950 more commands" in text


def test_page_empty_report() -> None:
    empty = Report(None, "config.yaml", "0123456789ab", "none", (), Counts(), (), {})
    assert "No Pods have drifted" in Page(drift_page.page(empty, "", NOW)).text
