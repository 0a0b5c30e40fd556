"""The plan on a terminal; its words are in tests/integration/cli/golden/plan.txt."""

import re

import pytest
from msgspec import structs

from webhook.diagnostics.evaluate import Change
from webhook.diagnostics.plan import text
from webhook.diagnostics.plan.analysis import (
    NamespacePlan,
    Plan,
    PlannedImage,
    UnchangedWorkload,
    WorkloadChange,
)
from webhook.output.terminal import Screen
from webhook.registry.image_lookup import ImageStatus

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
_COPY = "skopeo copy --all docker://docker.io/library/nginx docker://registry.example.com/nginx"
IMAGE = PlannedImage("registry.example.com/nginx", ("nginx",), ("team-a Deployment/web",))


def test_lines_obstacles_before_changes() -> None:
    missing = PlannedImage(
        *(IMAGE.image, IMAGE.written, IMAGE.workloads, ImageStatus.MISSING, "registry.example.com has not", _COPY)
    )
    found = planned(NAMESPACE, SYSTEM, images=(missing,), asked="asked with a credential")
    lines = list(text.lines(found, Screen()))
    assert re.findall(r"\d+", lines[0]) == ["2", "3", "1"]
    in_order = [
        f"  {IMAGE.image}",
        "    used by team-a Deployment/web",
        f"  {_COPY}",
        "  CronJob/run",
        "  Deployment/web",
        f"    {CHANGE}",
        f"  {NAMESPACE.command}",
        f"  {LINE}",
        "  CronJob/run: its next run",
        "  kube-system: it is Kubernetes' own",
    ]
    assert [line for line in lines if line in in_order] == in_order
    assert "  Pod/out: unchanged, it is opted out" in lines
    assert any("config.yaml" in line and "0123456789ab" in line for line in lines)
    assert any("asked with a credential" in line and "1 missing" in line for line in lines)


@pytest.mark.parametrize("width", [60, 80, 120, None])
def test_lines_commands_alone_and_whole_at_any_width(width: int | None) -> None:
    missing = PlannedImage(*(IMAGE.image, IMAGE.written, IMAGE.workloads, ImageStatus.MISSING, "", _COPY))
    lines = [line.strip() for line in text.lines(planned(NAMESPACE, images=(missing,)), Screen(width))]
    commands = {str(NAMESPACE.command), LINE, _COPY}
    assert commands <= set(lines)
    assert width is None or max(len(line) for line in lines[1:] if line not in commands) <= width


def test_lines_images_grouped_with_each_reason_once() -> None:
    refused = [PlannedImage(name, (), (name,), ImageStatus.REFUSED, "401", hint="log in") for name in ("a", "b")]
    lines = list(text.lines(planned(NAMESPACE, images=tuple(refused)), Screen()))
    assert lines.count("  401") == lines.count("  hint: log in") == 1
    assert "2 images refused by the registry" in lines


def test_lines_opted_in_namespace_points_to_report() -> None:
    selected = structs.replace(NAMESPACE, selected=True, why="opted in by its label", command=None)
    lines = list(text.lines(planned(selected, images=(IMAGE,)), Screen()))
    assert "would change" not in "".join(lines)
    assert re.findall(r"\d+", lines[0]) == ["3", "1"]
    assert any("report --namespace team-a" in line for line in lines)
    assert f"    {CHANGE}" in lines
    assert not {f"  {LINE}", "Commands:", "Notes:"} & set(lines)
    both = list(text.lines(planned(selected, structs.replace(NAMESPACE, name="team-b")), Screen()))
    assert re.findall(r"\d+", both[0]) == ["2", "3", "3"]
    assert both.count(f"  {LINE}") == 1


def test_obstacles_missing_image_or_unselectable_namespace() -> None:
    def obstacles(status: ImageStatus, *, whole: bool = True) -> bool:
        images = (PlannedImage(IMAGE.image, (), (), status),)
        return text.obstacles(planned(NAMESPACE, SYSTEM, images=images), whole=whole)

    assert obstacles(ImageStatus.MISSING)
    assert obstacles(ImageStatus.REFUSED)
    assert not any(map(obstacles, (ImageStatus.FOUND, ImageStatus.NOT_ASKED, ImageStatus.UNCLEAR)))
    assert obstacles(ImageStatus.FOUND, whole=False)
