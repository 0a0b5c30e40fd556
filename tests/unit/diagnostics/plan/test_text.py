"""The plan on a terminal."""

from webhook.diagnostics.evaluate import Change
from webhook.diagnostics.plan import text
from webhook.diagnostics.plan.analysis import (
    ImageStatus,
    NamespacePlan,
    Plan,
    PlannedImage,
    UnchangedWorkload,
    WorkloadChange,
)
from webhook.output.terminal import Screen

CHANGE = Change("container app", "nginx", "registry.example.com/nginx")
LINE = "kubectl -n team-a rollout restart deployment/web"


def planned(*namespaces: NamespacePlan, images: tuple[PlannedImage, ...] = (), asked: str = "not asked") -> Plan:
    return Plan("registry.example.com", "config.yaml", "0123456789ab", asked, (), namespaces, images)


NAMESPACE = NamespacePlan(
    "team-a",
    selected=False,
    selectable=True,
    why="not opted in",
    command="kubectl label namespace team-a registry-webhook/enabled=true --overwrite",
    workloads=3,
    left_alone=(UnchangedWorkload("Pod", "out", why="it is opted out"),),
    steps=(
        WorkloadChange("CronJob", "run", "batch", changes=(), gets_secret=True, command=None, note="its next run"),
        WorkloadChange("Deployment", "web", "apps", changes=(CHANGE,), gets_secret=True, command=LINE),
    ),
)
SYSTEM = NamespacePlan("kube-system", False, False, "it is Kubernetes' own", None, 0, (), ())
IMAGE = PlannedImage("registry.example.com/nginx", ("nginx",), ("team-a Deployment/web",))


def test_what_stands_against_a_plan_comes_before_what_it_would_do() -> None:
    missing = PlannedImage(
        *(IMAGE.image, IMAGE.written, IMAGE.workloads, ImageStatus.MISSING, "registry.example.com has not")
    )
    found = planned(NAMESPACE, SYSTEM, images=(missing,), asked="asked with a credential")
    assert list(text.lines(found, Screen())) == [
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
        return text.obstacles(planned(NAMESPACE, SYSTEM, images=images), whole=whole)

    assert obstacles(ImageStatus.MISSING)
    assert obstacles(ImageStatus.REFUSED)
    assert not any(map(obstacles, (ImageStatus.FOUND, ImageStatus.NOT_ASKED, ImageStatus.UNCLEAR)))
    assert obstacles(ImageStatus.FOUND, whole=False)
