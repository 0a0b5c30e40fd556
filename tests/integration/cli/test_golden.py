"""The words of each command: `golden/<command>.txt` holds its help, what it prints, and errors.

Other tests assert on codes, keys, exit statuses and values, so that wording changes here alone. `make golden` writes
the files again.
"""

import os
import re
import shlex
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import click
import pytest
import yaml
from msgspec import structs

import webhook
from tests.support import installation_factory
from tests.support.pod_factory import SERVER, owned_by, owner, pod, settings
from tests.support.refresher_fixtures import pair, place
from tests.support.refresher_process import Place
from tests.unit.config.test_validation import EVERYTHING_WRONG
from tests.unit.diagnostics.doctor.test_analysis import FAILING, WARNING
from tests.unit.diagnostics.explain.test_verdict import CASES
from tests.unit.diagnostics.plan.test_analysis import workload
from webhook.cli import cli
from webhook.constants import ENABLED_LABEL
from webhook.diagnostics.doctor import analysis as doctor
from webhook.diagnostics.doctor import text as doctor_text
from webhook.diagnostics.drift import analysis as drift
from webhook.diagnostics.drift import text as drift_text
from webhook.diagnostics.evaluate import Rewriter, namespace_status
from webhook.diagnostics.explain import text as explain_text
from webhook.diagnostics.plan import analysis as plan
from webhook.diagnostics.plan import text as plan_text
from webhook.errors import NotReadable
from webhook.output import finding_blocks, table
from webhook.output.terminal import Screen
from webhook.registry.image_lookup import ImageStatus

#: Fixtures: an API server, and a folder with a configuration and a kubeconfig that names it.
__all__ = ["pair", "place"]

_Run = Callable[..., "subprocess.CompletedProcess[str]"]

_GOLDEN = Path(__file__).parent / "golden"
_SCREEN = Screen(width=110)

_NO_YAML = {
    "broken.yaml": "webhook: [}\n",
    "tab.yaml": "webhook:\n\tverify: off\n",
    "unquoted.yaml": "webhook:\n  exclude:\n    - **/pause\n",
    "anchor.yaml": "webhook:\n  exclude: [a/b]\n  rules: &r\n  - {}\n",
    "twice.yaml": "webhook: {}\nwebhook: {}\n",
    "scalar.yaml": "webhook: 3\n",
    "documents.yaml": "webhook: {}\n---\nwebhook: {}\n",
    "both-spellings.yaml": "registry: {server: a.com}\nopencti: {daemon: {registry: {server: a.com}}}\n",
}

#: What is called for each command, after its help.
_CALLS: dict[str, list[str]] = {
    "serve": ["serve --client-name kube-apiserver", "serve --bind localhost"],
    "refresh": ["refresh --tls-folder missing"],
    "resolve": [
        "resolve --config config.yaml nginx ghcr.io/org/app:2 registry.example.com/app Not/An",
        "resolve --config config.yaml --output json nginx",
        "resolve --config missing.yaml nginx",
        "resolve",
    ],
    "review": [
        "review --config config.yaml pod.yaml",
        "review --config config.yaml --output patch pod.yaml",
        "review --config config.yaml config.yaml",
        "review --config config.yaml broken.yaml",
    ],
    "explain": [
        "explain pod/web --kubeconfig missing",
        "explain deployment/web",
        "explain",
        "explain -f config.yaml",
        "explain pod/web --kubeconfig kubeconfig",
    ],
    "doctor": ["doctor --kubeconfig missing"],
    "report": ["report --kubeconfig missing", "report --fail-on rain"],
    "plan": ["plan --kubeconfig missing", "plan --output html"],
    # What it prints is in manifests/components/policy-*/policy.yaml, which test_policy.py compares.
    "policy": [
        "policy guard --config config.yaml --kubeconfig kubeconfig",
        "policy guard --config invalid.yaml",
        "policy guard --config config.yaml --kubernetes-version 1.30",
        "policy mutate --config config.yaml --kubernetes-version 1.35",
        "policy mutate --config config.yaml --kubernetes-version new",
    ],
    "config": [
        "config --config config.yaml",
        "config --config config.yaml --check",
        "config --check configmap.yaml",
        "config --check service.yaml",
        "config --check config.yaml --config config.yaml",
        "config --schema --check",
        "config --config invalid.yaml",
        "config --config invalid.yaml --check",
        *(f"config --config {name}" for name in ("everything-wrong.yaml", *_NO_YAML)),
    ],
    "demo": ["demo extra"],
    "completion": ["completion fish", "completion tcsh"],
    "version": ["version", "version --kubeconfig kubeconfig", "version --cluster --kubeconfig kubeconfig"],
    "help": ["help", "help plan more", "help resove"],
    "certs": [
        "certs create --out pki",
        "certs create --out pki",
        "certs create --out pki --force",
        "certs client --out clients",
        "certs create --out other --days 400 --ca-days 30",
        "certs create --out other --name a..b",
        "certs create --out other --name a.b --name A.b",
    ],
    "cleanup": [
        "cleanup --kubeconfig missing",
        "cleanup --dry-run --kubeconfig kubeconfig",
        "cleanup --kubeconfig kubeconfig",
        "cleanup --stop --kubeconfig kubeconfig",
    ],
}
#: The same for what sets up logging or signals, and so is a process.
_PROCESSES: dict[str, list[str]] = {
    "serve": ["serve --config invalid.yaml"],
    "refresh": [
        "refresh --once --kubeconfig kubeconfig --config config.yaml",
        "refresh --dry-run --kubeconfig kubeconfig --config config.yaml",
        "refresh --kubeconfig missing --config config.yaml",
    ],
    "demo": ["demo"],
}

_FILES = {
    "pod.yaml": yaml.safe_dump(
        {
            "kind": "Pod",
            "metadata": {"name": "web"},
            "spec": {"containers": [{"name": "a", "image": "nginx"}, {"name": "b", "image": "ghcr.io/org/app:2"}]},
        }
    ),
    "configmap.yaml": "apiVersion: v1\nkind: ConfigMap\ndata:\n  config.yaml: |\n    webhook:\n      verify: maybe\n",
    "service.yaml": "apiVersion: v1\nkind: Service\n",
    "invalid.yaml": "webhook:\n  verify: maybe\n  timeout: 1\n  exclude: nginx\n",
    "everything-wrong.yaml": EVERYTHING_WRONG,
    **_NO_YAML,
}

#: What differs from run to run, and what stands for it.
_VARYING = [
    (re.escape(webhook.__version__), "<version>"),
    (r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?( UTC|Z)?)?", "<time>"),
    (r"127\.0\.0\.1:\d{5}", "127.0.0.1:<port>"),
    (r"\b\d+\.\d ms", "<n> ms"),
    (r"\b[0-9a-f]{12}\b", "<hash>"),
    # How the demo says that this program is called, where it is not on the PATH.
    (r"\S*/python[\d.]* -m webhook", "registry-webhook"),
    # The examples are named by their full path from a folder elsewhere.
    (re.escape(str(Path(webhook.__file__).parents[1])), "<checkout>"),
]


def _doctor() -> Iterator[str]:
    """Give the report of an installation without faults, and the first finding of each broken one."""
    yield from doctor_text.lines(doctor.report(installation_factory.sound()), _SCREEN, verbose=True)
    for name, case in (*FAILING.items(), *WARNING.items()):
        first = doctor.diagnose(installation_factory.sound(**case.broken))[0]
        yield from ("", f"# {name}", *finding_blocks.problems([first], _SCREEN))


def _explain() -> Iterator[str]:
    """Give a whole explanation, the verdict of each case, and the steps of all of them once."""
    explanations = {name: case.explained() for name, case in CASES.items()}
    yield from (*explain_text.lines([explanations["rewritten"]], _SCREEN), "")
    for name, explanation in explanations.items():
        verdict = structs.replace(explanation, steps=())
        yield from (f"# {name}: {explanation.code}", *explain_text.lines([verdict], _SCREEN))
    steps = dict.fromkeys(
        (step.mark, step.subject, step.message) for explanation in explanations.values() for step in explanation.steps
    )
    yield from ("# steps", *table.table(list(steps), _SCREEN))


def _report() -> Iterator[str]:
    namespaces = {"team-a": {ENABLED_LABEL: "true"}, "other": {}, "kube-system": {}}
    replica_set = owned_by("ReplicaSet", "web-1")
    pods = [
        pod("web-1-a", ownerReferences=replica_set),
        pod("web-1-b", ownerReferences=replica_set, creationTimestamp="2026-11-01T00:00:00Z"),
        pod("db-0", (f"{SERVER}/nginx",), ownerReferences=owned_by("Database", "db")),
        pod("bare", creationTimestamp="2026-11-01T00:00:00Z"),
        pod("out", labels={ENABLED_LABEL: "false"}),
        pod("b", namespace="other"),
    ]
    statuses = {name: namespace_status(settings(), name, labels) for name, labels in namespaces.items()}
    parents = {"uid-web-1": owner("Deployment", "web")}
    rewriter = Rewriter(webhook=True, policy=True, since="2026-11-10T00:00:00Z", has_bundle=False)
    yield from drift_text.lines(drift.report(settings(), drift.Observed(pods, statuses, parents, rewriter)), _SCREEN)
    for other in (
        Rewriter(webhook=False, policy=False),
        Rewriter(webhook=False, policy=False, hidden=True),
        Rewriter(webhook=False, policy=True, policy_hash="0" * 12),
        Rewriter(webhook=NotReadable("<reason>"), policy=False),
    ):
        found = drift.report(settings(), drift.Observed([], {}, {}, other))
        yield from ("", f"# configured: {found.rewriter}", *(f"note: {note}" for note in found.notes))
    sound = drift.Observed([], {"team-a": statuses["team-a"]}, {}, Rewriter(webhook=True, policy=False))
    yield from ("", "# no drift", *drift_text.lines(drift.report(settings(), sound), _SCREEN))


def _plan() -> Iterator[str]:
    labels = {"team-a": {}, "team-b": {ENABLED_LABEL: "true"}, "denied-1": {}, "kube-system": {}}
    workloads = [
        workload("Deployment"),
        workload("Deployment", "paused", "quay.io/a/b", paused=True),
        workload("DaemonSet", "agent", "redis", updateStrategy={"type": "OnDelete"}),
        workload("CronJob", "nightly"),
        workload("Job", "once"),
        workload("Deployment", "stays", "ghcr.io/org/app:2"),
    ]
    statuses = {name: namespace_status(settings(), name, found) for name, found in labels.items()}
    namespaces = plan.namespaces(settings(), statuses, workloads)
    answers = [ImageStatus.MISSING, ImageStatus.REFUSED, ImageStatus.UNCLEAR]
    images = [
        plan.PlannedImage(one.image, one.written, one.workloads, status, "<detail>", hint="<hint>")
        for one, status in zip(plan.planned_images(namespaces), answers, strict=True)
    ]
    made = plan.Plan(
        *(SERVER, "config.yaml", settings().digest, "asked with the credential of config.yaml", ("<note>",)),
        tuple(namespaces),
        tuple(images),
    )
    return plan_text.lines(made, _SCREEN)


#: What commands print that read a whole cluster: rendered from values.
_RENDERED: dict[str, Callable[[], Iterable[str]]] = {
    "explain": _explain,
    "doctor": _doctor,
    "report": _report,
    "plan": _plan,
}


@pytest.fixture
def transcript(place: Place, call: _Run, run: _Run, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Give a function that runs a command in every way that is listed above, and returns what a terminal shows."""
    # Two columns less than this is click's width.
    monkeypatch.setenv("COLUMNS", "112")
    for name, text in _FILES.items():
        (place.folder / name).write_text(text)
    place.api.label("team-1")
    place.api.put("team-1", ours=True)

    def normalized(text: str) -> str:
        text = text.replace(str(place.folder), "<folder>")
        for pattern, placeholder in _VARYING:
            text = re.sub(pattern, placeholder, text)
        return "".join(f"{line.rstrip()}\n" for line in text.splitlines())

    def called(line: str, runner: _Run) -> str:
        done = runner(*shlex.split(line))
        status = f"(exit status {done.returncode})\n" if done.returncode else ""
        return f"$ registry-webhook {line}\n{normalized(done.stdout + done.stderr)}{status}"

    def transcript(command: str) -> str:
        parts = [called(line, call) for line in _helps(command)]
        if command in _RENDERED:
            parts.append(f"# Output\n{normalized(chr(10).join(_RENDERED[command]()))}")
        parts += [called(line, call) for line in _CALLS[command]]
        parts += [called(line, run) for line in _PROCESSES.get(command, [])]
        return "\n".join(parts)

    return transcript


def _helps(command: str) -> list[str]:
    found = cli.get_command(click.Context(cli, **cli.context_settings), command)
    inner = list(found.commands) if isinstance(found, click.Group) else []
    return [f"{command} --help", *(f"{command} {name} --help" for name in inner)]


@pytest.mark.parametrize("command", _CALLS)
def test_command_transcript_matches_golden_file(transcript: Callable[[str], str], command: str) -> None:
    path = _GOLDEN / f"{command}.txt"
    found = transcript(command)
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(found)
    assert found == path.read_text(), "run `make golden` if the new wording is right"


def test_golden_files_every_command_has_one() -> None:
    commands = set(cli.list_commands(click.Context(cli, **cli.context_settings)))
    assert set(_CALLS) == commands
    assert {path.stem for path in _GOLDEN.iterdir()} == commands
