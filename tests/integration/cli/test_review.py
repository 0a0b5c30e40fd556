"""`review`: manifests as rewritten by the server's own code."""

import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jsonpatch
import pytest
import yaml

_Run = Callable[..., "subprocess.CompletedProcess[str]"]

_SERVER = "registry.example.com"
_SECRET = {"name": "registry-webhook-pull"}
_CONFIGURATION = f"opencti: {{daemon: {{registry: {{server: {_SERVER}}}}}}}"


def _spec(image: str = "nginx:1.27") -> dict[str, Any]:
    return {"containers": [{"name": "app", "image": image}]}


def _pod(image: str = "nginx:1.27", name: str = "one") -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": _spec(image)}


def _of_template(kind: str, image: str = "nginx:1.27", name: str = "web") -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": _spec(image)}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": {"template": template}}


def _cron_job() -> dict[str, Any]:
    job = {"spec": {"template": {"spec": _spec()}}}
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "nightly"}, "spec": {"jobTemplate": job}}


def _list(*items: dict[str, Any], kind: str = "List") -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "items": list(items)}


def _admission_review(document: dict[str, Any] | None = None, **request: Any) -> dict[str, Any]:
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "6f7e6a2c",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "namespace": "team",
            "operation": "CREATE",
            "object": document or _pod(),
            **request,
        },
    }


_CONFIG_MAP: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1"}}

#: A document each, with how it is called and how many images are rewritten in it.
_DOCUMENTS: dict[str, tuple[dict[str, Any], list[str], int]] = {
    "a Pod": (_pod(), ["Pod/one"], 1),
    **{
        f"a {kind}": (_of_template(kind), [f"{kind}/web"], 1)
        for kind in ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "ReplicationController")
    },
    "a CronJob": (_cron_job(), ["CronJob/nightly"], 1),
    "a PodTemplate": (
        {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "t"}, "template": {"spec": _spec()}},
        ["PodTemplate/t"],
        1,
    ),
    "a List": (_list(_pod(), _CONFIG_MAP, _of_template("Deployment")), ["Pod/one", "Deployment/web"], 2),
    "a PodList": (_list(_pod(), _pod(name="two"), kind="PodList"), ["Pod/one", "Pod/two"], 2),
    "a List in a List": (_list(_list(_pod())), ["Pod/one"], 1),
    "a ConfigMap": (_CONFIG_MAP, [], 0),
    "a Pod whose image names its registry": (_pod("ghcr.io/team/app"), ["Pod/one"], 0),
    "a Pod without anything": ({"apiVersion": "v1", "kind": "Pod"}, ["Pod/?"], 0),
}


@pytest.fixture
def review(run: _Run, tmp_path: Path) -> _Run:
    (tmp_path / "config.yaml").write_text(_CONFIGURATION)

    def review(*words: str, stdin: str | bytes = "") -> "subprocess.CompletedProcess[str]":
        return run("review", "--config", "config.yaml", *words, stdin=stdin)

    return review


@pytest.fixture(scope="module")
def reviewed(tmp_path_factory: pytest.TempPathFactory, module_run: _Run) -> Callable[[str], str]:
    """Give what is said of all of the documents, a file each, in one output; each output is asked for once."""
    folder = tmp_path_factory.mktemp("documents")
    (folder / "config.yaml").write_text(_CONFIGURATION)
    names = [f"{case}.yaml" for case in _DOCUMENTS]
    for name, (document, _, _) in zip(names, _DOCUMENTS.values(), strict=True):
        (folder / name).write_text(yaml.safe_dump(document))

    @cache
    def said(output: str) -> str:
        done = module_run("review", "--config", "config.yaml", "--output", output, *names, folder=folder)
        assert done.returncode == 1
        errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        without_images = ["a ConfigMap.yaml", "a Pod without anything.yaml"]
        assert [name in line for name, line in zip(without_images, errors, strict=True)] == [True, True]
        return done.stdout

    return said


@pytest.mark.parametrize("case", _DOCUMENTS)
def test_review_diff_shows_result_per_workload(reviewed: Callable[[str], str], case: str) -> None:
    _, names, changed = _DOCUMENTS[case]
    accounts = [line for line in reviewed("diff").splitlines() if line.startswith(f"# {case}.yaml: ")]
    assert [line.split(": ")[1] for line in accounts] == names
    assert sum("rewritten: 1 of 1 " in line for line in accounts) == changed
    _, header, diff = reviewed("diff").partition(f"+++ {case}.yaml\n")
    assert bool(header) == bool(changed)
    added = [line for line in diff.partition("\n# ")[0].splitlines() if line.startswith("+") and " image: " in line]
    assert [line.rpartition(" ")[2] for line in added] == [f"{_SERVER}/nginx:1.27"] * changed


@pytest.mark.parametrize("case", _DOCUMENTS)
def test_review_patch_yaml_json_agree(reviewed: Callable[[str], str], case: str) -> None:
    document, _, changed = _DOCUMENTS[case]
    index = list(_DOCUMENTS).index(case)
    patch = json.loads(reviewed("patch").splitlines()[index])
    assert bool(patch) == bool(changed)
    assert {operation["op"] for operation in patch} <= {"add", "replace"}
    after = jsonpatch.apply_patch(document, patch)
    assert list(yaml.safe_load_all(reviewed("yaml")))[index] == after
    assert json.loads("[" + reviewed("json").replace("\n}\n{", "\n},{") + "]")[index] == after
    assert json.dumps(after).count(f"{_SERVER}/nginx:1.27") == changed


@pytest.mark.parametrize(
    ("case", "status"), [("a Pod", 1), ("a Pod whose image names its registry", 0), ("a ConfigMap", 3)]
)
def test_review_exit_status_shows_change(review: _Run, case: str, status: int) -> None:
    for output in ("diff", "patch", "yaml", "json"):
        assert review("--output", output, "-", stdin=yaml.safe_dump(_DOCUMENTS[case][0])).returncode == status


def test_review_deployment_template_fully_patched(review: _Run) -> None:
    done = review("--output", "json", "-", stdin=json.dumps(_of_template("Deployment")))
    template = json.loads(done.stdout)["spec"]["template"]
    assert template["metadata"]["labels"] == {"app": "web"}
    originals = template["metadata"]["annotations"]["registry-webhook/original-images"]
    assert json.loads(originals) == {"app": "nginx:1.27"}
    assert template["spec"] == {
        "containers": [{"name": "app", "image": f"{_SERVER}/nginx:1.27"}],
        "imagePullSecrets": [_SECRET],
    }


def test_review_output_reviewed_again_unchanged(review: _Run) -> None:
    text = "---\n".join(yaml.safe_dump(document) for document, _, _ in _DOCUMENTS.values())
    once = review("--output", "yaml", "-", stdin=text).stdout
    assert _SERVER in once
    again = review("--output", "yaml", "-", stdin=once)
    assert (again.returncode, again.stdout) == (0, once)


def test_review_file_many_documents(review: _Run, tmp_path: Path) -> None:
    text = "---\n".join(["# nothing\n", *(yaml.safe_dump(entry) for entry in (_pod(), _CONFIG_MAP, _cron_job())), ""])
    (tmp_path / "all.yaml").write_text(text)
    assert [len(json.loads(line)) for line in review("--output", "patch", "all.yaml").stdout.splitlines()] == [3, 0, 4]
    after = list(yaml.safe_load_all(review("--output", "yaml", "all.yaml").stdout))
    assert [document["kind"] for document in after if document] == ["Pod", "ConfigMap", "CronJob"]


def test_review_json_stream_documents(review: _Run) -> None:
    done = review("--output", "patch", "-", stdin=f"{json.dumps(_pod())}\n{json.dumps(_CONFIG_MAP, indent=2)}\n")
    assert (done.returncode, len(done.stdout.splitlines())) == (1, 2)


def test_review_files_in_argument_order(review: _Run, tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(_pod(name=name)))
    done = review("b.yaml", "-", "a.yaml", stdin=yaml.safe_dump(_pod(name="stdin")))
    assert [line for line in done.stdout.splitlines() if line.startswith("+++")] == [
        "+++ b.yaml",
        "+++ standard input",
        "+++ a.yaml",
    ]
    assert "# standard input: Pod/stdin: rewritten" in done.stdout


def test_review_file_is_a_pipe(review: _Run, tmp_path: Path) -> None:
    """A process substitution, `review <(helm template ...)`, is a pipe: it is read once, and cannot be searched."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writing = threading.Thread(target=pipe.write_text, args=(yaml.safe_dump(_pod()),))
    writing.start()
    done = review("pipe")
    writing.join()
    assert done.returncode == 1
    assert f"+  - image: {_SERVER}/nginx:1.27" in done.stdout


def test_review_yaml_keeps_comments_and_layout(review: _Run, tmp_path: Path) -> None:
    text = """\
# Owned by team-a.
kind: Pod
apiVersion: v1   # the keys keep their order
metadata: {name: "web"}
spec:
  containers:
    # Update with the chart.
    - image: "nginx:1.27"  # pinned
      name: app
---
# Not a workload.
kind: ConfigMap
apiVersion: v1
metadata: {name: c}
"""
    (tmp_path / "pod.yaml").write_text(text)
    after = review("-o", "yaml", "pod.yaml").stdout
    for comment in re.findall(r"#.*", text):
        assert comment in after
    assert f'    - image: "{_SERVER}/nginx:1.27"  # pinned\n      name: app\n' in after
    assert after.endswith(text[text.index("---") :])


def test_review_yaml_of_files_one_stream(review: _Run, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(_pod(name=name)))
    after = list(yaml.safe_load_all(review("--output", "yaml", "a.yaml", "b.yaml").stdout))
    assert [document["metadata"]["name"] for document in after] == ["a", "b"]


@pytest.mark.parametrize("version", ["admission.k8s.io/v1", "admission.k8s.io/v1beta1"])
def test_review_admission_review_decided_as_sent(review: _Run, version: str) -> None:
    body = {**_admission_review(), "apiVersion": version}
    done = review("--output", "patch", "-", stdin=json.dumps(body))
    assert done.returncode == 1
    after = jsonpatch.apply_patch(_pod(), json.loads(done.stdout))
    assert after["spec"]["containers"][0]["image"] == f"{_SERVER}/nginx:1.27"
    assert after["spec"]["imagePullSecrets"] == [_SECRET]
    assert "CREATE team/one: rewritten" in review("-", stdin=json.dumps(body)).stdout


@pytest.mark.parametrize("write", [json.dumps, yaml.safe_dump])
@pytest.mark.parametrize("output", ["yaml", "json"])
def test_review_admission_review_output_is_object(review: _Run, write: Callable[[Any], str], output: str) -> None:
    done = review("-o", output, "-", stdin=write(_admission_review()))
    assert (done.returncode, done.stderr) == (1, "")
    after = yaml.safe_load(done.stdout)
    assert (after["kind"], after["spec"]["imagePullSecrets"]) == ("Pod", [_SECRET])


def test_review_admission_update_image_unchanged(review: _Run) -> None:
    done = review("-", stdin=yaml.safe_dump(_admission_review(operation="UPDATE", oldObject=_pod())))
    assert (done.returncode, done.stderr) == (0, "")
    assert "unchanged" in done.stdout


def test_review_admission_delete_unsupported(review: _Run) -> None:
    body = _admission_review(operation="DELETE", oldObject=_pod())
    del body["request"]["object"]
    done = review("-", stdin=json.dumps(body))
    assert (done.returncode, done.stderr) == (0, "")
    assert "unsupported" in done.stdout


def test_review_pod_opted_out_reported(review: _Run) -> None:
    pod = _pod()
    pod["metadata"]["labels"] = {"registry-webhook/enabled": "false"}
    done = review("-", stdin=yaml.safe_dump(pod))
    assert done.returncode == 0
    assert "Pod/one: opted-out: " in done.stdout


def test_review_manifest_namespace_overrides_option(review: _Run) -> None:
    pod = _pod()
    assert review("--namespace", "kube-system", "-", stdin=yaml.safe_dump(pod)).returncode == 0
    pod["metadata"]["namespace"] = "team"
    assert review("--namespace", "kube-system", "-", stdin=yaml.safe_dump(pod)).returncode == 1


#: Files that are faulty, and what is said of each.
_FAULTY: list[tuple[bytes, str]] = [
    (b"a: [", ".yaml:1)"),
    (b"a:\n\t- b", ".yaml:2)"),
    (b'{"kind": "Pod"', ".yaml:1)"),
    (b"\xff\xfe\xff", "UTF-16"),
    (b"kind: \xff", "UTF-8"),
    (b"- kind: Pod", "kind"),
    (b"just a text", "kind"),
    (b"kind: 3", "kind"),
    (b"kind: Deployment", " spec.template"),
    (b"kind: CronJob\nspec: {jobTemplate: 3}", " spec.jobTemplate.spec.template"),
    (b"kind: List\nitems: [3]", "kind"),
    (b"kind: AdmissionReview", "AdmissionReview"),
    (b"kind: AdmissionReview\napiVersion: admission.k8s.io/v1\nrequest: {}", "AdmissionReview"),
    (b"kind: Pod\nspec: !!int true", ".yaml:2)"),
    (b"kind: Pod\n---\nkind: Pod\nspec: ]", ".yaml:4)"),
    (b"kind: Pod\n---x: 1\n", ".yaml:2)"),
    (b"{{ .Values.image }}", "template"),
    (b"kind: {{ .Values.kind }}", "template"),
    (b"", "empty"),
    (b"# a comment\n---\n---\n", "empty"),
    (b"kind: Pod\nmetadata: {name: a, namespace: 3}\nspec: {}", "namespace"),
    (b"kind: Pod\nspec: " + b"[" * 5000 + b"]" * 5000, ""),
    (b'{"kind": "Pod", "metadata": {"name": "\\ud800"}, "spec": {}}', ""),
    (b"&a\nkind: Pod\nspec: *a\n", ""),
    (b"kind: Pod\nspec: {a: &a [*a]}\n", ""),
]


@pytest.fixture(scope="module")
def errors(tmp_path_factory: pytest.TempPathFactory, module_run: _Run) -> list[str]:
    """Give what is said of all faulty files, reviewed in one go."""
    folder = tmp_path_factory.mktemp("faulty")
    names = [f"{number}.yaml" for number in range(len(_FAULTY))]
    for name, (text, _) in zip(names, _FAULTY, strict=True):
        (folder / name).write_bytes(text)
    done = module_run("review", *names, folder=folder)
    assert (done.returncode, done.stdout) == (2, "")
    return [line for line in done.stderr.splitlines() if not line.startswith("hint: ")]


@pytest.mark.parametrize("number", range(len(_FAULTY)))
def test_review_invalid_file_one_line(errors: list[str], number: int) -> None:
    (line,) = [line for line in errors if re.search(rf"^error: .* \({number}\.yaml(:\d+|, document 2)?\)$", line)]
    text, said = _FAULTY[number]
    assert said in line
    assert ("AdmissionReview" in line) == (b"AdmissionReview" in text)


@pytest.mark.parametrize("name", ["gone.yaml", "."])
def test_review_unreadable_file_one_line(review: _Run, name: str) -> None:
    done = review(name)
    assert (done.returncode, done.stdout) == (2, "")
    line, *hints = done.stderr.splitlines()
    assert line.endswith(f" ({name})")
    assert [hint for hint in hints if "kubectl kustomize" in hint] == hints
    assert bool(hints) == (name == ".")


def test_review_invalid_file_others_reviewed(review: _Run, tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(yaml.safe_dump(_pod()))
    (tmp_path / "bad.yaml").write_text("a: [")
    done = review("bad.yaml", "gone.yaml", "good.yaml", "bad.yaml")
    assert done.returncode == 2
    assert "+++ good.yaml" in done.stdout
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert [re.findall(r"\w+\.yaml", line) for line in errors] == [["bad.yaml"], ["gone.yaml"], ["bad.yaml"]]


def test_review_invalid_document_later_ones_reviewed(review: _Run) -> None:
    text = "---\n".join([yaml.safe_dump(_pod()), "kind: Deployment\n", yaml.safe_dump(_cron_job())])
    done = review("-", stdin=text)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "CronJob/nightly: rewritten" in done.stdout


@pytest.mark.parametrize(
    "text",
    [
        yaml.safe_dump(_CONFIG_MAP),
        "kind: pod\nspec: {containers: [{name: a, image: nginx}]}",
        "apiVersion: apps/v1\nkind: Deployment\nspec: {template: {spec: {containers: nginx}}}",
        "kind: List\nitems: []",
        "kind: Pod\nspec: {containers: [{name: a}]}",
        "apiVersion: batch.volcano.sh/v1alpha1\nkind: Job\nspec: {tasks: []}",
    ],
)
def test_review_no_image_exit_3(review: _Run, text: str) -> None:
    done = review("-", stdin=text)
    assert done.returncode == 3
    error, hint = done.stderr.splitlines()
    assert error == "error: no Pods or workloads with an image found (standard input)"
    assert hint.startswith("hint: Pods, objects with a Pod template")


def test_review_image_in_one_file_sets_status(review: _Run, tmp_path: Path) -> None:
    (tmp_path / "map.yaml").write_text(yaml.safe_dump(_CONFIG_MAP))
    unchanged = yaml.safe_dump(_pod("ghcr.io/team/app"))
    assert review("map.yaml", "-", stdin=unchanged).returncode == 0
    assert review("-", "map.yaml", stdin=yaml.safe_dump(_pod())).returncode == 1
    assert review("map.yaml", "-", stdin="").returncode == 2


_TEMPLATES: dict[str, dict[str, Any]] = {
    "serving.knative.dev/v1 Service": {"template": {"spec": _spec()}},
    "apps.openshift.io/v1 DeploymentConfig": {"template": {"metadata": {"labels": {"a": "b"}}, "spec": _spec()}},
    "argoproj.io/v1alpha1 Rollout": {"replicas": 1, "template": {"spec": _spec()}},
    "apps.kruise.io/v1alpha1 AdvancedCronJob": {"jobTemplate": {"spec": {"template": {"spec": _spec()}}}},
    "example.com/v1 Deployment": {"template": {"spec": _spec()}},
    "example.com/v1 Pod": {"template": {"spec": _spec()}},
}


@pytest.mark.parametrize("what", _TEMPLATES)
@pytest.mark.parametrize("in_list", [False, True])
def test_review_unknown_kind_with_template_reviewed(review: _Run, what: str, *, in_list: bool) -> None:
    version, kind = what.split()
    document = {"apiVersion": version, "kind": kind, "metadata": {"name": "x"}, "spec": _TEMPLATES[what]}
    done = review("-o", "json", "-", stdin=yaml.safe_dump(_list(_CONFIG_MAP, document) if in_list else document))
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.count(f"{_SERVER}/nginx:1.27") == 1


def test_review_pod_list_without_kinds_reviewed(review: _Run) -> None:
    pod = _pod()
    del pod["kind"], pod["apiVersion"]
    done = review("-o", "json", "-", stdin=json.dumps(_list(pod, kind="PodList")))
    assert (done.returncode, done.stderr) == (1, "")
    assert f"{_SERVER}/nginx:1.27" in done.stdout


_WRITTEN = """\
# deployed by hand
apiVersion: apps/v1
kind: Deployment
metadata:
  annotations: {answer: "y"}   # a string
  name: web
spec:
  template:
    spec:
      containers:
      - image: "nginx:1.27"    # the server
        args: [22:22, 1:30, 0o17, "08"]
      # the last one
      - {name: b, image: busybox}
---
# nothing to do with images
data: {sep: =, 1: a, true: c, n: "n"}
apiVersion: v1
kind: ConfigMap
metadata:   {name: c}
"""

_REVIEWED = _WRITTEN.replace('"nginx:1.27"', f'"{_SERVER}/nginx:1.27"').replace("busybox", f"{_SERVER}/busybox")


def _added(before: str, after: str) -> list[str]:
    """Give the lines that are added, all others being the same."""
    lines = before.splitlines()
    added = []
    for line in after.splitlines():
        if lines and line == lines[0]:
            lines.pop(0)
        else:
            added.append(line.strip())
    assert not lines
    return added


def test_review_yaml_changes_only_image_lines(review: _Run) -> None:
    done = review("-o", "yaml", "-", stdin=_WRITTEN)
    assert done.returncode == 1
    assert _added(_REVIEWED, done.stdout) == [
        "imagePullSecrets:",
        "- name: registry-webhook-pull",
        "metadata:",
        "annotations:",
        'registry-webhook/original-images: \'{"b":"busybox"}\'',
    ]


@pytest.mark.parametrize(
    "text",
    [
        _REVIEWED.partition("---\n")[2].removesuffix("\n"),
        "\ufeff# c\n---\n" + _REVIEWED.partition("---\n")[2],
        _REVIEWED.partition("---\n")[2].replace("\n", "\r\n"),
        "---\n---\n# nothing\n---\n" + _REVIEWED.partition("---\n")[2] + "---\n",
        '{"kind":  "ConfigMap", "data": {"a": 1e3}}',
        '{"kind": "ConfigMap"}\n---\n{kind: ConfigMap, data: {a: y}}\n---\nkind: Pod # c',
        "kind: ConfigMap\ndata: {a: [2001:db8::], b: !x 1, c: &a 'z', d: *a}\nx: |+\n  y\n\n# end",
        "kind: ConfigMap\n---\n\ufeffkind: ConfigMap\n---\n\ufeff# c\n---\n\ufeff{kind: ConfigMap}\n",
        "kind: ConfigMap # a\u3000b\u00a0c\ndata: {a: 'a\u3000b', b: \u00a0x}\n# \u00a0\n---\n# \u3000\n",
        '{"kind": "ConfigMap"}\t\n---\nkind: ConfigMap\n',
    ],
)
def test_review_yaml_no_change_prints_input(review: _Run, text: str) -> None:
    done = review("-o", "yaml", "-", stdin=text.encode())
    assert done.returncode == 3
    assert done.stdout == text


def test_review_yaml_of_json_stream_documents(review: _Run) -> None:
    done = review("-o", "yaml", "-", stdin=f"{json.dumps(_pod())}{json.dumps(_CONFIG_MAP)}")
    after = list(yaml.safe_load_all(done.stdout))
    assert after[1] == _CONFIG_MAP
    assert after[0]["spec"]["containers"][0]["image"] == f"{_SERVER}/nginx:1.27"


def test_review_invisible_characters_escaped(review: _Run) -> None:
    pod = _pod()
    pod["metadata"]["annotations"] = {"\u202ekey": "a\u202eb", "c1": "\x9b31m", "z": "\u200b", "t": "\U000e0041"}
    text = yaml.safe_dump(pod, allow_unicode=True).replace("kind:", "# \u202e\nkind:") + "  # \u2066\n"
    for output in ("diff", "patch", "json", "yaml"):
        for source in (text, json.dumps(pod, ensure_ascii=False)):
            done = review("-o", output, "-", stdin=source.encode())
            assert done.returncode == 1
            assert done.stdout.replace("\n", "").isprintable()
            if output in {"json", "yaml"}:
                read = json.loads if output == "json" else yaml.safe_load
                annotations = read(done.stdout)["metadata"]["annotations"]
                assert annotations.items() >= pod["metadata"]["annotations"].items()


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_review_diff_shows_only_file_lines(review: _Run, newline: str) -> None:
    text = newline.join(["kind: Pod", "spec:", "  containers:", "  - name: a", "    image: nginx", ""])
    lines = review("-", stdin=text.encode()).stdout.splitlines()
    assert [line[1:] for line in lines if line[:1] in {" ", "-"} and line[:3] != "---"] == text.split(newline)[1:-1]


def test_colors_come_only_when_they_are_asked_for(review: _Run) -> None:
    text = yaml.safe_dump(_pod())
    plain = review("-", stdin=text).stdout
    assert "\x1b" not in plain
    assert review("--color", "never", "-", stdin=text).stdout == plain
    colored = review("--color", "always", "-", stdin=text).stdout
    assert f"\x1b[32m+  - image: {_SERVER}/nginx:1.27\x1b[0m" in colored
    assert "\x1b[31m-  - image: nginx:1.27\x1b[0m" in colored


@pytest.mark.parametrize("output", ["patch", "yaml", "json"])
def test_what_programs_read_is_never_colored(review: _Run, output: str) -> None:
    text = yaml.safe_dump(_pod())
    always = review("--color", "always", "--output", output, "-", stdin=text)
    assert "\x1b" not in always.stdout


def test_review_forged_name_stays_on_one_line(review: _Run) -> None:
    pod = _pod("ghcr.io/team/app")
    pod["metadata"]["name"] = "one: unchanged\n# standard input: Pod/two: rewritten\x1b[31m"
    done = review("-", stdin=yaml.safe_dump(pod))
    assert len([line for line in done.stdout.splitlines() if line.startswith("# standard input")]) == 1
    assert "\x1b" not in done.stdout


def test_review_unicode_and_string_types_preserved(review: _Run) -> None:
    pod = _pod()
    pod["metadata"]["annotations"] = {"note": "grün ☃", "date": "2026-01-01", "yes": "no", "lines": "a\nb\n"}
    after = yaml.safe_load(review("--output", "yaml", "-", stdin=yaml.safe_dump(pod, allow_unicode=True)).stdout)
    del after["metadata"]["annotations"]["registry-webhook/original-images"]
    assert after["metadata"] == pod["metadata"]
    assert "grün ☃" in review("--output", "json", "-", stdin=yaml.safe_dump(pod)).stdout


@pytest.mark.parametrize("end", ["", "\n"])
@pytest.mark.parametrize("tool", ["patch -p0", "git apply"])
@pytest.mark.parametrize("broken", ["", "---\nkind: 3\n"])
def test_review_diff_of_documents_can_be_applied(
    review: _Run, tmp_path: Path, end: str, tool: str, broken: str
) -> None:
    words = tool.split()
    if shutil.which(words[0]) is None:
        pytest.skip(f"{words[0]} is not installed")
    texts = [yaml.safe_dump(_pod(name=name)) for name in ("one", "two")]
    text = "# top\n" + f"---\n\n# {'x' * 9}\n{yaml.safe_dump(_CONFIG_MAP)}{broken}---\n".join(texts).rstrip() + end
    (tmp_path / "all.yaml").write_text(text)
    done = review("all.yaml")
    assert done.returncode == (2 if broken else 1)
    assert done.stdout.count("\n--- all.yaml\n") == 1
    subprocess.run(words, input=done.stdout, cwd=tmp_path, text=True, timeout=60, check=True)
    applied = (tmp_path / "all.yaml").read_text()
    assert applied.count(f"{_SERVER}/nginx:1.27") == 2
    assert applied.endswith("\n") == bool(end)


@pytest.mark.parametrize("tool", ["patch -p0", "git apply"])
def test_review_diff_of_windows_file_can_be_applied(review: _Run, tmp_path: Path, tool: str) -> None:
    words = tool.split()
    if shutil.which(words[0]) is None:
        pytest.skip(f"{words[0]} is not installed")
    file = tmp_path / "pod.yaml"
    file.write_bytes(yaml.safe_dump(_pod(), line_break="\r\n").encode())
    subprocess.run(words, input=review("pod.yaml").stdout.encode(), cwd=tmp_path, timeout=60, check=True)
    applied = file.read_bytes()
    assert f"{_SERVER}/nginx:1.27\r\n".encode() in applied
    assert applied.count(b"\n") == applied.count(b"\r\n")


def test_review_image_instead_of_file_resolve_suggested(review: _Run) -> None:
    done = review("nginx")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[1:] == ["hint: registry-webhook resolve nginx"]
    assert "hint" not in review("nginx.yaml").stderr


def test_review_configuration_instead_of_file_option_suggested(review: _Run) -> None:
    done = review("config.yaml")
    assert done.stderr.splitlines()[1:] == ["hint: pass a configuration with --config"]


def test_review_image_number_refused(review: _Run) -> None:
    pod = _pod()
    pod["spec"]["containers"].append({"name": "five", "image": 5})
    done = review("-", stdin=yaml.safe_dump(pod))
    assert (done.returncode, done.stdout) == (2, "")
    assert "container five" in done.stderr


@pytest.mark.parametrize("image", ["", "redis "])
def test_review_image_with_invisible_end_quoted(review: _Run, image: str) -> None:
    assert f'"{image}" unchanged' in review("-", stdin=yaml.safe_dump(_pod(image))).stdout
