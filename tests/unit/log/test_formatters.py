import io
import json
import logging
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, cast

import pytest

from webhook import log, timestamps
from webhook.log.formatters import Fields, JsonFormatter, TextFormatter
from webhook.pull_secret import keyring


class Item(NamedTuple):
    name: str

    def __str__(self) -> str:
        return f"item {self.name}"

    def json(self) -> str:
        return f'{{"name":{log.json_string(self.name)}}}'


def json_line(**values: object) -> dict[str, object]:
    line: dict[str, object] = json.loads(JsonFormatter().line(0, "INFO", "webhook.test", log.event("said", **values)))
    return line


def test_record_with_line_feeds_one_line(stream: io.StringIO) -> None:
    logging.getLogger("webhook.test").info("client said %s", "x\n2026-01-01T00:00:00.000Z ERROR forged\x1b[2J\u202e\r")
    (line,) = stream.getvalue().splitlines()
    assert line.endswith(r" INFO webhook.test client said x\n2026-01-01T00:00:00.000Z ERROR forged\x1b[2J\u202e\r")


def test_location_library_exception_innermost_own_frame() -> None:
    with pytest.raises(ValueError, match="Invalid") as raised:
        timestamps.format_rfc3339(float("nan"))
    assert log.location(raised.value).startswith("ValueError at webhook.timestamps:")
    with pytest.raises(json.JSONDecodeError) as raised_inside:
        keyring.lookup((), cast("str", _Parses()))
    assert log.location(raised_inside.value).startswith("JSONDecodeError at webhook.images.reference:")


class _Parses:
    """An image that calls back: other code's frames are around and inside ours."""

    def __getattr__(self, name: str) -> object:
        return json.loads("{")


def test_exception_logs_location_without_message(stream: io.StringIO) -> None:
    try:
        int("hunter2")
    except ValueError:
        logging.getLogger("webhook.test").exception("failed")
    (line,) = stream.getvalue().splitlines()
    assert " ERROR webhook.test failed ValueError at " in line
    assert "hunter2" not in line


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain-1.0/x:y@z", "plain-1.0/x:y@z"),
        ("", '""'),
        ("a b", '"a b"'),
        ('a" forged="1', '"a\\" forged=\\"1"'),
        ("a=b", '"a=b"'),
        ("x" * 1000, "x" * 509 + "..."),
    ],
)
def test_quoted_value_cannot_forge_pair(value: str, expected: str) -> None:
    assert log.quoted(value) == expected


def test_event_with_line_feeds_one_line(stream: io.StringIO) -> None:
    logging.getLogger("webhook.test").info(log.event("a\nforged", value="b\n\x7f\u202e", none=None))
    (line,) = stream.getvalue().splitlines()
    assert line.endswith(r' INFO webhook.test a\nforged value="b\n\u007f\u202e"')


@pytest.mark.usefixtures("stream")
def test_json_line_has_event_values() -> None:
    written = io.StringIO()
    log.configure(log_format="json", stream=written)
    logger = logging.getLogger("webhook.test")
    hostile = 'a"b\\c\n\x7f\u202e'
    logger.info(log.event(hostile, value=hostile, number=3, share=0.5, truth=True, none=None, long="x" * 1000))
    logger.warning("client said %s", hostile)
    try:
        int("hunter2")
    except ValueError:
        logger.exception("failed")
    lines = written.getvalue().splitlines()
    assert all(line.isascii() and line.isprintable() for line in lines)
    first, second, third = map(json.loads, lines)
    moment = first.pop("time")
    assert abs(datetime.strptime(moment, "%Y-%m-%dT%H:%M:%S.%f%z") - datetime.now(UTC)) < timedelta(minutes=1)
    assert first == {
        "level": "INFO",
        "logger": "webhook.test",
        "message": hostile,
        "value": hostile,
        "number": 3,
        "share": 0.5,
        "truth": True,
        "long": "x" * 509 + "...",
    }
    assert second["message"] == f"client said {hostile}"
    assert third["message"].startswith("failed ValueError at ")
    assert "hunter2" not in written.getvalue()


def test_text_line_list_is_one_value() -> None:
    line = TextFormatter().line(
        1.5, "INFO", "webhook.test", log.event("said", items=log.ItemList([Item("a"), Item("b\n")]), last=1)
    )
    assert line == r'1970-01-01T00:00:01.500Z INFO webhook.test said items="item a; item b\\n" last=1'


def test_json_line_list_has_object_per_item() -> None:
    line = json_line(items=log.ItemList([Item("a"), Item("b\n")]), last=1)
    assert (line["items"], line["last"]) == ([{"name": "a"}, {"name": "b\n"}], 1)
    assert "items_left_out" not in line


def test_long_list_truncated_and_remainder_counted() -> None:
    items = log.ItemList([Item("x" * 100) for _ in range(500)])
    text = TextFormatter().line(0, "INFO", "webhook.test", log.event("said", items=items))
    assert len(text) < 4200
    assert text.endswith('..."')
    line = json_line(items=items)
    shown, left_out = line["items"], line["items_left_out"]
    assert isinstance(shown, list)
    assert isinstance(left_out, int)
    assert len(json.dumps(line)) < 16_000
    assert len(shown) > 50
    assert len(shown) + left_out == 500


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_shared_fields_formatted_as_event_fields(formatter: TextFormatter | JsonFormatter) -> None:
    own, shared = {"pod": "a b"}, {"why": "x\ny", "none": None, "items": log.ItemList([Item("a")])}
    expected = formatter.line(0, "INFO", "webhook.test", log.Event("said", {**own, **shared}))
    fields = Fields(shared)
    for _ in range(2):
        assert formatter.line(0, "INFO", "webhook.test", log.Event("said", own, fields)) == expected
