"""How explanations are printed."""

from webhook.diagnostics.explain import text
from webhook.diagnostics.explain.verdict import Explanation
from webhook.output.finding_codes import Code
from webhook.output.findings import Finding, Mark
from webhook.output.terminal import Screen

STEP = Finding(Mark.FAIL, Code.NAMESPACE_NOT_SELECTED, "namespace", "it has no label", "label it")


def test_lines_verdict_hint_and_steps() -> None:
    explanation = Explanation("team-a/web", Mark.FAIL, STEP.code, "was not rewritten", "label it", (STEP,))
    lines = ["team-a/web was not rewritten", "-> label it", "", "fail  namespace  it has no label"]
    lines.append("                 -> label it")
    assert list(text.lines([explanation], Screen())) == lines
    assert list(text.lines([explanation] * 2, Screen())) == [*lines, "", *lines]
