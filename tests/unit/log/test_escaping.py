"""Escapes in printed text, and that JSON and YAML keep their values."""

import json
import unicodedata
from datetime import UTC, datetime

import pytest
import yaml

from tests.support.drift_report import drift_report
from webhook.diagnostics.drift.page import page
from webhook.kube import manifests
from webhook.log.escaping import escape, escape_ascii, escape_document, is_shown
from webhook.output import table, terminal
from webhook.output.terminal import Screen

HIDDEN = {
    "ESC": "\x1b[2J",
    "OSC": "\x1b]0;title\x07",
    "C1": "\x9b31m",
    "DEL": "\x7f",
    "NUL": "\x00",
    "line feed": "a\nb",
    "carriage return": "a\rb",
    "tab": "a\tb",
    "NEL": "\x85",
    "right-to-left override": "\u202e",
    "isolate": "\u2066a\u2069",
    "Arabic letter mark": "\u061c",
    "left-to-right mark": "\u200e",
    "zero-width space": "\u200b",
    "zero-width joiner": "\u200d",
    "soft hyphen": "\u00ad",
    "byte order mark": "\ufeff",
    "line separator": "\u2028",
    "paragraph separator": "\u2029",
    "no-break space": "\u00a0",
    "ideographic space": "\u3000",
    "Hangul filler": "\u3164",
    "variation selector": "\ufe0f",
    "grapheme joiner": "\u034f",
    "tag": "\U000e0041",
    "variation selector 17": "\U000e0100",
    "private use": "\ue000",
    "interlinear annotation": "\ufff9",
}
SHOWN = ["nginx:1.27", "Größe", "日本", "emoji 😀", r"back\slash", "'quotes\"", ""]

hidden = pytest.mark.parametrize("text", HIDDEN.values(), ids=HIDDEN)


def raw(text: str) -> list[str]:
    """Find characters that drive a terminal or are not seen, by another rule than the one that is tested."""
    return [
        one
        for one in text
        if unicodedata.category(one) in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"} or one in "\u3164\ufe0f"
    ]


@hidden
@pytest.mark.parametrize("write", [escape, escape_ascii])
def test_escape_hidden_character_to_ascii(text: str, write: type) -> None:
    written = write(f"a{text}b")
    assert written.isascii()
    assert written.isprintable()
    assert write(written) == written
    assert not is_shown(text)


@pytest.mark.parametrize("text", SHOWN)
def test_escape_printable_character_unchanged(text: str) -> None:
    assert escape(text) == text
    assert escape_ascii(text).isascii()


@hidden
def test_escape_document_json_value_unchanged(text: str) -> None:
    written = escape_document(json.dumps({text: [f"a{text}b"]}, ensure_ascii=False), "json")
    assert not raw(written)
    assert json.loads(written) == {text: [f"a{text}b"]}


@hidden
def test_manifest_dump_value_unchanged(text: str) -> None:
    document = {"plain": "Größe", f"k{text}": [f"a{text}b", text, f"{text}\nlines\n", f"'\" {text}"]}
    written = manifests.dump(document)
    assert not [one for one in raw(written) if one != "\n"]
    assert "Größe" in written
    assert yaml.safe_load(written) == document
    # A diff is made of lines: nothing else may end one.
    assert written.splitlines() == written.rstrip("\n").split("\n")


@hidden
@pytest.mark.parametrize(("form", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_structured_value_unchanged(text: str, form: table.Form, read: type) -> None:
    written = table.structured([{"why": text}], form)
    assert not [one for one in raw(written) if one != "\n"]
    assert read(written) == [{"why": text}]


@hidden
def test_drift_page_hidden_character_escaped(text: str) -> None:
    written = page(drift_report(text), text, datetime(2026, 11, 25, tzinfo=UTC))
    assert not [one for one in raw(written) if one != "\n"]
    assert text not in written


@hidden
def test_terminal_hidden_character_escaped(
    text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    screen = Screen(colored=True)
    terminal.write(text)
    terminal.write(f"{terminal.bold(text, screen)}")
    terminal.write_all([terminal.join("  ", text), *table.table([(text, text)], screen)])
    assert not [one for one in raw(capsys.readouterr().out) if one != "\n"]


def test_terminal_bold_styles_escaped_text(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    terminal.write(terminal.bold("a\x1bb", Screen(colored=True)))
    assert capsys.readouterr().out == "\x1b[1ma\\x1bb\x1b[0m\n"
