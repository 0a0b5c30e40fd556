"""How the doctor's report is printed."""

from webhook.diagnostics.doctor import text
from webhook.diagnostics.doctor.analysis import Report
from webhook.errors import NotPermitted
from webhook.output.finding_codes import Code
from webhook.output.findings import Finding, Mark
from webhook.output.terminal import Screen

_REPORT = Report(
    "1 warning, 1 check passed",
    (
        Finding(
            Mark.WARNING, Code.LEASE_SPLIT, "leader election", "two leaders", "look again", ("kubectl get leases",)
        ),
        Finding(Mark.OK, Code.CONFIG_OK, "configuration", "it is valid"),
    ),
)
_SHORT = [
    "1 warning, 1 check passed",
    "",
    "warning: leader election (RW-LEASE-SPLIT)",
    "  two leaders",
    "  hint: look again",
    "    kubectl get leases",
]


def test_lines_summary_and_problems() -> None:
    assert list(text.lines(_REPORT, Screen())) == _SHORT


def test_lines_verbose_documentation_and_passed_checks() -> None:
    assert list(text.lines(_REPORT, Screen(), verbose=True)) == [
        *_SHORT,
        f"  see: {Code.LEASE_SPLIT.url}",
        "",
        "ok  RW-CONFIG-OK  it is valid",
    ]


def test_lines_missing_permissions_one_hint() -> None:
    message = str(NotPermitted("list Pods in team-a"))
    found = tuple(Finding(Mark.UNKNOWN, code, "x", message) for code in (Code.PULL_UNKNOWN, Code.LEASE_UNKNOWN))
    lines = list(text.lines(Report("2 unknown", found), Screen()))
    assert [line for line in lines if message in line] == lines[2:4]
    assert [line.partition(":")[0] for line in lines[4:]] == ["hint"]
