"""Drift and plans as people read them on a terminal."""

from webhook.diagnostics.drift import text
from webhook.diagnostics.drift.analysis import Counts, NamespaceDrift, OwnerDrift, Report
from webhook.diagnostics.evaluate import Change
from webhook.diagnostics.plan import text as plan_text
from webhook.diagnostics.plan.analysis import (
    ImageStatus,
    NamespacePlan,
    Plan,
    PlannedImage,
    UnchangedWorkload,
    WorkloadChange,
)
from webhook.diagnostics.running_pods import Cause
from webhook.output.terminal import Screen

CHANGE = Change("container app", "nginx", "registry.example.com/nginx")
LINE = "kubectl -n team-a rollout restart deployment/web"
OWNER = OwnerDrift("Deployment", "web", 4, 3, 3, {Cause.MISSED: 2, Cause.OLDER: 1}, (CHANGE,), ("web-1",), "apps", LINE)
FOREIGN = OwnerDrift(
    *("Database", "pg", 1, 1, 0, {Cause.MISSED: 1}, (CHANGE,), ("pg-1",)), "db.example", None, "see its operator"
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


def planned(*namespaces: NamespacePlan, images: tuple[PlannedImage, ...] = (), asked: str = "not asked") -> Plan:
    return Plan("registry.example.com", "config.yaml", "0123456789ab", asked, (), namespaces, images)


NAMESPACE = NamespacePlan(
    "team-a",
    selected=False,
    selectable=True,
    why="not opted in",
    command="kubectl label namespace team-a registry-webhook/enabled=true --overwrite",
    workloads=3,
    left_alone=(UnchangedWorkload("Pod", "out", "it is opted out"),),
    steps=(
        WorkloadChange("CronJob", "run", (), True, None, "its next run", "batch"),
        WorkloadChange("Deployment", "web", (CHANGE,), True, LINE, "", "apps"),
    ),
)
SYSTEM = NamespacePlan("kube-system", False, False, "it is Kubernetes' own", None, 0, (), ())
IMAGE = PlannedImage("registry.example.com/nginx", ("nginx",), ("team-a Deployment/web",))


def test_what_stands_against_a_plan_comes_before_what_it_would_do() -> None:
    missing = PlannedImage(
        *(IMAGE.image, IMAGE.written, IMAGE.workloads, ImageStatus.MISSING, "registry.example.com has not")
    )
    found = planned(NAMESPACE, SYSTEM, images=(missing,), asked="asked with a credential")
    assert list(plan_text.lines(found, Screen())) == [
        "2 of 3 workloads would change, to 1 image",
        "  by config.yaml (0123456789ab)",
        "  registry: asked with a credential: 1 missing",
        "",
        "REGISTRY SAYS  IMAGE                       WHERE",
        "missing        registry.example.com/nginx  team-a Deployment/web",
        "",
        "team-a: 2 of 3 workloads would change",
        "  WORKLOAD        WHAT WOULD CHANGE",
        "  CronJob/run     the pull secret is added",
        "  Deployment/web  container app: nginx -> registry.example.com/nginx",
        "                  the pull secret is added",
        "  Pod/out         stays: it is opted out",
        "  Commands:",
        "    kubectl label namespace team-a registry-webhook/enabled=true --overwrite",
        f"    {LINE}",
        "  WORKLOAD     NOTE",
        "  CronJob/run  its next run",
        "",
        "CANNOT BE OPTED IN  WHY",
        "kube-system         it is Kubernetes' own",
    ]


def test_images_that_cannot_be_had_stand_against_a_plan_and_so_does_a_namespace_asked_for_that_cannot_be() -> None:
    def obstacles(presence: ImageStatus, *, whole: bool = True) -> bool:
        images = (PlannedImage(IMAGE.image, (), (), presence),)
        return plan_text.obstacles(planned(NAMESPACE, SYSTEM, images=images), whole=whole)

    assert obstacles(ImageStatus.MISSING)
    assert obstacles(ImageStatus.REFUSED)
    assert not any(map(obstacles, (ImageStatus.FOUND, ImageStatus.NOT_ASKED, ImageStatus.UNCLEAR)))
    assert obstacles(ImageStatus.FOUND, whole=False)
