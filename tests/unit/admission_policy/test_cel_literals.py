"""Strings, patterns and tables in CEL."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.admission_policy.cel_literals import Table, one_of, pattern, string
from webhook.images.patterns import Globs


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("a", "'a'"),
        ("it's", r"'it\'s'"),
        ('"', "'\"'"),
        ("\\", r"'\\'"),
        ("\\'", r"'\\\''"),
        ("a\nb\r", r"'a\nb\r'"),
    ],
)
def test_string_escaped_as_cel_literal(value: str, written: str) -> None:
    assert string(value) == written


_CHARACTERS = "ab./*:-[]"


@given(globs=st.lists(st.text(_CHARACTERS, max_size=6), min_size=1, max_size=3), name=st.text("ab./:-[]", max_size=6))
def test_pattern_matches_same_names_as_globs(globs: list[str], name: str) -> None:
    # Python reads these expressions as RE2 does; it warns of a bracket that RE2 takes for itself.
    written = pattern(globs).replace("[[]", r"\[")
    assert (re.search(written.replace("$", r"\Z"), name) is not None) is (Globs(globs).match(name) is not None)


def test_one_of_literal_names_without_regex() -> None:
    assert one_of(["a", "b"], "x") == "x in ['a', 'b']"
    assert one_of(["a", "b*", "*c"], "x") == "x in ['a'] || x.matches('^(?:b[^/]*|[^/]*c)$')"
    assert one_of([], "x") == "false"


def test_table_prefixes_one_per_key_depth() -> None:
    table = Table("rules", "", {"a": "'1'", "a/b": "'2'", "c/d/e": "'3'", "f": "'4'"}, {})
    assert table.prefixes("name") == (
        "[name.find('^[^/]+(?:/[^/]+){2}'), name.find('^[^/]+/[^/]+'), name.find('^[^/]+')]"
    )


def test_table_over_expression_limit_split() -> None:
    entries = {f"registry-{number:06}.example.com": "'registry.example.com'" for number in range(2000)}
    table = Table("rules", "", entries, {})
    assert [variable.name for variable in table.variables] == ["rules1", "rules2"]
    assert sum(variable.expression.count("example.com'") for variable in table.variables) == 4000
    assert table.contains("p") == "p in variables.rules1 || p in variables.rules2"
    assert table.value("p") == "variables.rules1[?p].or(variables.rules2[?p]).orValue('')"
    assert table.value("p", "p") == "variables.rules1[?p].or(variables.rules2[?p]).orValue(p)"


def test_table_empty() -> None:
    table = Table("rules", "", {}, {})
    assert [variable.expression for variable in table.variables] == ["{}"]
    assert table.prefixes("name") == "[]"
