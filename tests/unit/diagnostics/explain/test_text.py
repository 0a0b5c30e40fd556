"""How explanations are printed."""

import pytest
from msgspec import structs

from webhook.diagnostics.explain import text
from webhook.diagnostics.explain.verdict import Explanation
from webhook.output.finding_codes import Code
from webhook.output.findings import Finding, Mark
from webhook.output.terminal import Screen

COMMAND = "kubectl label namespace team-a registry-webhook/enabled=true --overwrite"
STEPS = (
    Finding(Mark.OK, Code.WEBHOOK_OK, "webhook", "it exists"),
    Finding(Mark.FAIL, Code.NAMESPACE_NOT_SELECTED, "namespace", "it has no label", "label it", (COMMAND,)),
    Finding(Mark.WARNING, Code.POLICY_OUTDATED, "policy", "it is outdated"),
    Finding(Mark.UNKNOWN, Code.ENDPOINTS_UNKNOWN, "replicas", "no permission to list them"),
)
EXPLANATION = Explanation(
    "Pod team-a/web",
    True,
    "Deployment/web",
    Mark.FAIL,
    Code.NAMESPACE_NOT_SELECTED,
    "was not rewritten",
    "it has no label",
    "label it",
    (COMMAND,),
    "https://docs.example.com",
    "no permission to list them",
    STEPS,
)
LINES = [
    "Pod team-a/web was not rewritten",
    "cause: it has no label",
    "not checked: no permission to list them",
    "hint: label it",
    f"    {COMMAND}",
    "see: https://docs.example.com",
    "",
]


def lines(*explanations: Explanation, width: int | None = None, verbose: bool = False) -> list[str]:
    return list(text.lines(explanations, Screen(width), verbose=verbose))


def test_lines_verdict_first_and_passed_steps_hidden() -> None:
    assert lines(EXPLANATION) == [*LINES, "warning  policy  it is outdated"]
    other = structs.replace(EXPLANATION, subject="Pod team-a/db", cause="it is opted out")
    assert lines(EXPLANATION, other)[8:] == ["", *lines(other)]


def test_lines_consequences_hidden() -> None:
    missing = Finding(Mark.FAIL, Code.SECRET_MISSING, "pull secret", "it does not exist")
    assert lines(structs.replace(EXPLANATION, steps=(*STEPS, missing))) == lines(EXPLANATION)


def test_lines_namespace_never_selected_its_labels_hidden() -> None:
    never = structs.replace(EXPLANATION, code=Code.NAMESPACE_NEVER, cause="it is a system namespace")
    assert lines(never)[-1] == "warning  policy  it is outdated"
    assert not [line for line in lines(never) if line.startswith("fail")]


def test_lines_verbose_shows_every_step() -> None:
    assert lines(EXPLANATION, verbose=True) == [
        *LINES,
        "ok       webhook    it exists",
        "fail     namespace  it has no label",
        "warning  policy     it is outdated",
        "?        replicas   no permission to list them",
    ]


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120])
def test_lines_command_is_one_line(width: int) -> None:
    assert f"    {COMMAND}" in lines(EXPLANATION, width=width)


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_lines_text_fits_screen(width: int) -> None:
    long = structs.replace(EXPLANATION, cause="word " * 100, hint="word " * 100, unchecked="word " * 100)
    printed = [line for line in lines(long, width=width) if "kubectl" not in line]
    assert max(map(len, printed)) <= width


def test_lines_foreign_text_escaped() -> None:
    evil = structs.replace(EXPLANATION, cause="\x1b[2J\nhint: run evil", hint="\u202e")
    printed = lines(evil)
    assert printed[1] == "cause: \\x1b[2J\\x0ahint: run evil"
    assert printed[3] == "hint: \\u202e"
