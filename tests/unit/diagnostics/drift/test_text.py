"""The drift report on a terminal; its words are in tests/integration/cli/golden/report.txt."""

import re

import pytest

from webhook.diagnostics.drift import text
from webhook.diagnostics.drift.analysis import Counts, NamespaceDrift, OwnerDrift, Report
from webhook.diagnostics.evaluate import Change
from webhook.diagnostics.running_pods import Cause
from webhook.output.terminal import Screen

CHANGE = Change("container app", "nginx", "registry.example.com/nginx")
LINE = "kubectl -n team-a rollout restart deployment/web"
OWNER = OwnerDrift(
    *("Deployment", "web", "apps"),
    pods=4,
    drifted=3,
    lacking_secret=3,
    causes={Cause.MISSED: 2, Cause.OLDER: 1},
    changes=(CHANGE,),
    names=("web-1",),
    command=LINE,
)
FOREIGN = OwnerDrift(
    *("Database", "pg", "db.example"),
    pods=1,
    drifted=1,
    lacking_secret=0,
    causes={Cause.MISSED: 1},
    changes=(CHANGE,),
    names=("pg-1",),
    note="see its operator",
)
COUNTS = Counts(pods=5, current=2, drifted=3, images=3, lacking_secret=3, missed=2)


def report(*namespaces: NamespaceDrift, totals: Counts, notes: tuple[str, ...] = ()) -> Report:
    return Report("registry.example.com", "config.yaml", "0123456789ab", "webhook", notes, totals, namespaces, {})


def test_lines_summary_owners_and_commands() -> None:
    served = NamespaceDrift("team-a", selected=True, why="opted in", counts=COUNTS, owners=(OWNER, FOREIGN))
    other = NamespaceDrift("b", selected=False, why="not opted in", counts=Counts(pods=7, not_selected=7), owners=())
    totals = Counts(pods=12, current=2, drifted=3, images=3, lacking_secret=3, missed=2, not_selected=7)
    lines = list(text.lines(report(served, other, totals=totals, notes=("something",)), Screen()))
    assert "3 of 5 Pods" in lines[0]
    assert [int(line.split()[0]) for line in lines[1:5]] == [3, 3, 2, 7]
    in_order = [
        "team-a: 3 of 5 Pods",
        "  Deployment/web: 3 of 4 Pods",
        f"    {CHANGE}",
        "  Database.db.example/pg: 1 of 1 Pod",
        f"    {CHANGE}",
        f"  {LINE}",
        "  team-a Database.db.example/pg: see its operator",
    ]
    assert [line for line in lines if line in in_order] == in_order
    assert lines[-1] == "  b: 0 of 7 Pods would change (not opted in)"
    assert any("config.yaml" in line and "0123456789ab" in line for line in lines)
    assert any(line.endswith(": something") for line in lines)
    # Of each cause, where there are several, the number of Pods.
    causes = lines[lines.index(f"    {CHANGE}") + 1]
    assert re.findall(r"\d+", causes) == ["2", "1"]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_lines_fit_width_except_commands(width: int) -> None:
    drifted = NamespaceDrift("team-a", selected=True, why="opted in", counts=COUNTS, owners=(OWNER, FOREIGN))
    found = report(drifted, totals=COUNTS, notes=("no permission to list " + ", ".join(["Namespaces"] * 30),))
    lines = list(text.lines(found, Screen(width)))
    assert f"  {LINE}" in lines
    assert max(len(line) for line in lines[1:] if LINE not in line) <= width


def test_lines_without_drift_summary_only() -> None:
    served = NamespaceDrift("team-a", selected=True, why="opted in", counts=Counts(pods=1, current=1), owners=())
    first, second, _ = text.lines(report(served, totals=Counts(pods=1, current=1)), Screen())
    assert "1 Pod in 1 " in first
    assert "0123456789ab" in second
