"""Every error of both YAML parsers is described in words, with a hint, and quotes nothing of the document."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from webhook.config import yaml_errors

_TOKENS = (
    *(
        "hunter2",
        "b: ",
        "- ",
        "\n",
        "  ",
        "\t",
        "[",
        "]",
        "{",
        "}",
        ",",
        "'",
        '"',
        "*hunter2",
        "&hunter2 ",
        "!hunter2 ",
    ),
    *("!<", "%YAML 1.1\n", "%TAG ! a\n", "%hunter2", "---\n", "...\n", "|", "> ", "|2\n", "? ", ": ", "#hunter2"),
    *("@", "`", "\\q", "\\x1", "{{ ", "!!", "<<: "),
)


@pytest.mark.parametrize("loader", [getattr(yaml, "CSafeLoader", yaml.SafeLoader), yaml.SafeLoader])
@given(text=st.lists(st.sampled_from(_TOKENS), min_size=1, max_size=9).map("".join))
def test_describe_any_error_specific_and_quotes_nothing(loader: type, text: str) -> None:
    try:
        list(yaml.compose_all(text, loader))
    except yaml.YAMLError as error:
        described = yaml_errors.describe(error, text)
    else:
        return
    assert described.problem != "invalid YAML"
    assert described.hint
    assert "hunter2" not in f"{described.problem}{described.hint}"
    assert described.line is not None
    assert 1 <= described.line <= text.count("\n") + 1


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{{ .Values.a }}", 1),
        ("a: 1\nb: {{ .Values.b }}\n", 2),
        ("a: b\n{{- if .c }}\n", 2),
        ("a: '{{ not a template }}'", None),
        ("# {{ nor here }}", None),
        ("a: b", None),
    ],
)
def test_template_line_ignores_quotes_and_comments(text: str, line: int | None) -> None:
    assert yaml_errors.template_line(text) == line


def test_template_line_after_error_is_not_the_cause() -> None:
    assert yaml_errors.template_line("a: [\nb: {{ .c }}", last=1) is None
