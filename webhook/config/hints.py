"""What to write instead of a value of the wrong type."""

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from webhook.config.schema import SettingKey
from webhook.errors import InvalidPrefix
from webhook.images import prefix

SPACE_AFTER_COLON = "write a space after the colon"
SPACE_AFTER_DASH = "write a space after the -"
_WITHOUT_QUOTES = " without quotes"
#: Editors for documents write these instead of straight quotes, and YAML reads them as part of the value.
_TYPOGRAPHIC = frozenset("\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u00ab\u00bb\u2039\u203a")
#: Similarity, from 0 to 1, of a word to suggest.
_NEAR = 0.75
_SHORTENED = 3
#: The length of a string that may be meant as a number or a word.
_LIMIT = 32
_GROUPED = re.compile(r"[0-9]+|[0-9]{1,3}(?:[_,'][0-9]{3})+")
_DURATION = re.compile(
    r"([0-9]+) *(s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|w|weeks?)(?![a-z])[ ,]*", re.ASCII
)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_YES, _NO = (
    frozenset({"true", "yes", "on", "y", "1", "enabled"}),
    frozenset({"false", "no", "off", "n", "0", "disabled"}),
)
_OFF = ("off", "never")
_SYNONYMS = {"source": "from", "src": "from", "target": "to", "dest": "to", "destination": "to"}
_EXAMPLE = "{from: quay.io, to: registry.example.com/quay}"


class ItemProblem(NamedTuple):
    """What is wrong with a key in an item of a list."""

    name: str
    value: object
    problem: str
    hint: str


def of_value(key: SettingKey, value: object) -> str:
    """Return what to write instead of a value that `key` does not allow; empty if that is not known."""
    if key.is_list:
        return _of_list(key, value)
    if key.is_text:
        return of_string(value)
    word = str(value).strip().lower() if isinstance(value, str | bool | int) else ""
    if not word or len(word) > _LIMIT:
        return ""
    if key.is_boolean:
        meant = "true" if word in _YES else "false" if word in _NO else ""
        return f"write {meant}{_WITHOUT_QUOTES * (word == meant)}" if meant else ""
    if key.choices:
        return _of_choice(key.choices, word)
    return _of_number(key, word)


def of_string(value: object) -> str:
    """Return what to write instead of a value that is not a string."""
    return "write the value in quotes" if isinstance(value, bool | int | float) else ""


def of_item(key: SettingKey, item: object) -> str:
    """Return what to write instead of an item that `key` does not allow."""
    if not key.items:
        return of_string(item)
    if isinstance(item, str) and item.partition(":")[0] in key.items:
        return SPACE_AFTER_COLON
    return f"write {_EXAMPLE}"


def in_item(key: SettingKey, item: Mapping[str, Any]) -> Iterator[ItemProblem]:
    """Yield what is wrong with each key of a mapping in a list."""
    rule = _as_rule(item) if len(item) == 1 else ""
    absent = [name for name in key.items if item.get(name) is None]
    for name, value in item.items():
        if name in key.items:
            problem = "" if value is None else key.problem_in_item(name, value)
            if problem:
                yield ItemProblem(name, value, f"must be {problem}", of_string(value))
            continue
        meant = "" if rule else _meant(name, absent)
        if meant:
            absent.remove(meant)
            hint = f"did you mean {meant}?"
        elif name.partition(":")[0] in key.items:
            hint = SPACE_AFTER_COLON
        else:
            hint = f"write {rule}" if rule else f"the keys of an item are {' and '.join(key.items)}"
        yield ItemProblem(name, None, "unknown key", hint)
    for name in () if rule else absent:
        yield ItemProblem(name, None, "missing", "")


def straight_quotes(value: str) -> str:
    """Return what to do about typographic quotes around a value; empty if it has none."""
    is_quoted = value[:1] in _TYPOGRAPHIC or value[-1:] in _TYPOGRAPHIC
    return "use straight quotes, or none" if value and is_quoted else ""


def _of_list(key: SettingKey, value: object) -> str:
    if isinstance(value, list):
        return ""
    if isinstance(value, str) and value.startswith("-"):
        return SPACE_AFTER_DASH
    if not key.items:
        return "write each item on a line of its own that begins with -"
    rule = _as_rule(value) if isinstance(value, dict) else ""
    return f"write each item on a line of its own, such as - {rule or _EXAMPLE}"


def _as_rule(item: Mapping[str, Any]) -> str:
    """Return the first pair of prefixes `quay.io: registry.example.com/quay` as a rule; empty if there is none."""
    for source, target in item.items():
        try:
            return f"{{from: {prefix.normalize(source)}, to: {prefix.normalize(str(target))}}}"
        except InvalidPrefix:
            continue
    return ""


def _meant(name: str, absent: list[str]) -> str:
    word = name.strip().lower()
    near = difflib.get_close_matches(_SYNONYMS.get(word, word), absent, 1, _NEAR)
    return near[0] if near else ""


def _of_choice(choices: list[str], word: str) -> str:
    off = [choice for choice in choices if choice in _OFF]
    if word in _NO and off:
        return f"write {off[0]}"
    is_short = len(word) >= _SHORTENED
    near = [choice for choice in choices if is_short and choice.startswith(word)] or difflib.get_close_matches(
        word, choices, 1, _NEAR
    )
    return f"write {near[0]}" if near else ""


def _of_number(key: SettingKey, word: str) -> str:
    if _GROUPED.fullmatch(word):
        number = int(re.sub("[^0-9]", "", word))
        hint = f"write {number}{_WITHOUT_QUOTES * word.isdigit()}"
    elif key.is_seconds and _DURATION.sub("", word) == "":
        number = sum(int(amount) * _SECONDS[unit[0]] for amount, unit in _DURATION.findall(word))
        hint = f"write {number}"
    else:
        return ""
    return hint if key.is_allowed(number) else ""
