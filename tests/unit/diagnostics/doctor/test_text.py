"""How the doctor's report is printed."""

from webhook.diagnostics.doctor import text
from webhook.diagnostics.doctor.analysis import Report
from webhook.output.finding_codes import Code
from webhook.output.findings import Finding, Mark
from webhook.output.terminal import Screen


def test_lines_summary_and_findings() -> None:
    report = Report("no errors, 1 ok", (Finding(Mark.OK, Code.CONFIG_OK, "configuration", "it is valid"),))
    assert list(text.lines(report, Screen())) == ["no errors, 1 ok", "ok  configuration  it is valid"]
