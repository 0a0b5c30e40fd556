"""The drift report on a terminal."""

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


def test_drift_is_said_first_then_what_it_is_and_what_has_the_pods_made_anew() -> None:
    served = NamespaceDrift("team-a", selected=True, why="opted in", counts=COUNTS, owners=(OWNER, FOREIGN))
    other = NamespaceDrift("b", selected=False, why="not opted in", counts=Counts(pods=7, not_selected=7), owners=())
    totals = Counts(pods=12, current=2, drifted=3, images=3, lacking_secret=3, missed=2, not_selected=7)
    assert list(text.lines(report(served, other, totals=totals, notes=("something",)), Screen())) == [
        "Drift: 3 of 5 Pods in 1 served namespace would be changed if created now",
        "        3  have an image to be rewritten",
        "        3  lack the pull secret",
        "        2  were not rewritten when created: the webhook was unavailable, or the Pod was not selected",
        "        7  are in a namespace that is not served",
        "  by config.yaml (0123456789ab); configured: webhook",
        "  note: something",
        "",
        "NAMESPACE  OWNER                   PODS  DRIFTED  WHAT WOULD CHANGE",
        "team-a     Deployment/web          4     3        container app: nginx -> registry.example.com/nginx",
        f"{'':50}no pull secret; 2 not rewritten when created; 1 created before the webhook was installed",
        "team-a     Database.db.example/pg  1     1        container app: nginx -> registry.example.com/nginx",
        f"{'':50}not rewritten when created",
        "",
        "To recreate these Pods:",
        f"  {LINE}",
        "",
        "NAMESPACE  OWNER                   HOW TO RECREATE ITS PODS",
        "team-a     Database.db.example/pg  see its operator",
        "",
        "NAMESPACE  PODS  WOULD CHANGE  NOT SERVED BECAUSE",
        "b          7     0             not opted in",
    ]


def test_where_nothing_drifted_that_is_all_that_is_said() -> None:
    served = NamespaceDrift("team-a", selected=True, why="opted in", counts=Counts(pods=1, current=1), owners=())
    assert list(text.lines(report(served, totals=Counts(pods=1, current=1)), Screen())) == [
        "No drift: 1 Pod in 1 served namespace, all as they would be if created now",
        "  by config.yaml (0123456789ab); configured: webhook",
    ]
