"""The pages of the documentation: the files and commands they show, and a shell that runs them.

A page shows a command in a `console` block: a line `$ command`, and below it what the command prints. A file is a
block with a title: `yaml title="config.yaml"`. Commands run in the order of the page, in one shell, in a folder that
holds the files shown above them. `<!-- commands: cluster -->` marks the commands below it as those that need a cluster,
and `<!-- commands: offline -->` ends that. `<!-- registry: password=... -->` is an action of the reader in the
registry. `<!-- add: FILE -->` makes the next block without a title a part that the reader adds to that file of YAML; it
holds until the end of the page, or until the next part of the same file.

In the output shown, a line `...` matches any lines. Times, ages, hashes and other values that differ from run to run
match any value of their kind, and so does the number of spaces.
"""

import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

import yaml

CHECKOUT = Path(__file__).parents[2]
PAGES = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").glob("**/*.md"))]

#: Commands that no test runs, by how they begin, each with the reason.
NOT_RUN = {
    "registry-webhook cleanup --stop": "ends an installation: tests/installed/test_removal.py",
    "kubectl delete --ignore-not-found -k": "ends an installation: tests/installed/test_removal.py",
    "kubectl -n registry-webhook rollout undo": "needs an earlier version",
    "kubectl -n registry-webhook apply view-last-applied": "changes what the next pages apply",
    "kubectl -n registry-webhook wait --for=condition=Ready certificate": "needs cert-manager",
    "kubectl -n registry-webhook delete secret registry-webhook-credential": "is for another kind of credential",
    "kubectl -n registry-webhook create secret docker-registry registry-webhook-credential": "is the same",
    "kubectl -n registry-webhook debug -it POD": "needs a terminal and an image from the internet",
    "kubectl apply -k manifests/monitoring": "needs the kinds of the Prometheus operator",
    "kubectl -n team-a run mutual": "needs an API server with a certificate: tests/e2e/test_mutual_tls.py",
    "gcloud ": "needs Google Cloud",
    "oc ": "needs OpenShift",
    "kubectl apply --server-side --force-conflicts -k my-cluster": "is for AKS: tests/e2e/test_variants.py",
    "crane ": "needs crane; the same with skopeo is run",
    "git clone": "needs the network",
    "git pull": "needs the network",
    "pipx ": "needs a package index",
    "make app": "needs a package index: tests/integration/test_app.py",
    "(cd dist && sha256sum": "needs the archives",
    "tar -xzf dist/": "needs the archives",
    "ln -s registry-webhook ": "needs the archives: tests/integration/test_app.py",
    "kubectl krew ": "needs krew",
    "brew ": "needs Homebrew",
    "make test": "is the test run itself",
    "docker ": "needs docker",
    "helm ": "needs helm: tests/integration/manifests/test_chart.py and tests/installed",
    "kubectl create secret generic registry-webhook-credential --namespace": "needs a release of helm",
    "kubectl label namespace my-namespace": "needs a release of helm",
    "kubectl -n my-namespace run dry-run": "needs a release of helm",
    "kubectl label namespace registry-webhook pod-security": "needs a release of helm",
    "kind ": "needs docker",
    "cosign ": "needs a release",
    "gh ": "needs a release",
    "sha256sum --check --ignore-missing": "needs a release",
    "skopeo login": "asks for a password",
    "skopeo copy --all --preserve-digests docker://ghcr.io": "needs a release",
}

#: Pages with commands for a cluster, in the order in which tests/installed follows them.
CLUSTER_PAGES = [
    "README.md",
    "docs/tutorials/first-namespace.md",
    "docs/how-to/install.md",
    "docs/how-to/platforms.md",
    "docs/how-to/roll-out.md",
    "docs/how-to/mirror-images.md",
    "docs/how-to/monitoring.md",
    "docs/how-to/credentials.md",
    "docs/how-to/private-ca.md",
    "docs/how-to/generated-policies.md",
    "docs/how-to/certificates.md",
    "docs/how-to/troubleshoot.md",
    "docs/how-to/cluster-wide.md",
    "docs/how-to/mutual-tls.md",
    "docs/how-to/upgrade.md",
    "docs/how-to/fail-closed.md",
    "docs/how-to/change-registry.md",
    "docs/how-to/uninstall.md",
]

#: What a command or file is replaced by where it runs.
REPLACED = {"make demo": "registry-webhook demo"}

_TIMEOUT = 120.0

_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>\w*)(?P<options>[^\n]*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
)
_TITLE = re.compile(r'title="([^"]+)"')
_ACTION = re.compile(r"^ *<!-- (commands|registry|add): (\S+) -->$", re.MULTILINE)
#: A line that ends with a backslash or a pipe is continued.
_COMMAND = r"\$ ((?:.*[\\|]\n)*.*)\n"

#: What differs from run to run, and what it is compared as. The last one is for columns.
_VARYING = [
    (r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?( UTC|Z)?)?", "TIME"),
    (r"127\.0\.0\.1:\d{5}", "127.0.0.1:PORT"),
    (r"\b\d+\.\d ms", "N ms"),
    (r"\b[0-9a-f]{12}\b", "HASH"),
    (r"\b(registry-webhook|[a-z]+)-[0-9a-f]{8,10}-[0-9a-z]{5}(_[0-9a-f]+)?\b", r"\1-POD"),
    (r"\b(\d+[dhms])+\b", "AGE"),
    (r"\S*/python[\d.]* -m webhook", "registry-webhook"),
    (r"^I\d{4} [\d:.]+ +\d+ log.go:\d+\] ", "LOG "),
    (r"[ \t]+", " "),
    (r" $", ""),
]


class Mode(StrEnum):
    """Where a command runs."""

    OFFLINE = "offline"
    CLUSTER = "cluster"
    NOT_RUN = "not run"


class File(NamedTuple):
    """A file shown on a page."""

    name: str
    text: str


class Part(NamedTuple):
    """What the reader adds to a file of YAML."""

    name: str
    text: str

    def added(self, before: str) -> str:
        """Return the text of the file with this part."""
        return str(yaml.safe_dump(_merged(yaml.safe_load(before), yaml.safe_load(self.text)), sort_keys=False))


def _merged(before: Any, part: Any) -> Any:
    if isinstance(before, dict) and isinstance(part, dict):
        return before | {key: _merged(before.get(key), value) for key, value in part.items()}
    return before + part if isinstance(before, list) and isinstance(part, list) else part


class Action(NamedTuple):
    """What the reader does in the registry."""

    name: str
    value: str


class Command(NamedTuple):
    """A command, and the output shown for it."""

    line: int
    text: str
    output: str
    mode: Mode
    start: int
    """Offset of the output in the page."""
    end: int
    indent: str

    @property
    def shown(self) -> bool:
        """Whether the page shows an output."""
        return bool(self.output.strip())


Step = File | Part | Action | Command


class Block(NamedTuple):
    """A fenced block of a page."""

    line: int
    language: str
    title: str
    text: str


def page_name(page: Path) -> str:
    """Return the path of a page in the repository."""
    return os.path.relpath(page, CHECKOUT)


def text_of(page: Path) -> str:
    """Return the text of a page."""
    return page.read_text(encoding="utf-8")


def blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    text = text_of(page)
    for found in _FENCE.finditer(text):
        title = _TITLE.search(found["options"])
        line = text.count("\n", 0, found.start()) + 1
        yield Block(line, found["language"], title[1] if title else "", _dedent(found["text"], found["indent"]))


def _dedent(text: str, indent: str) -> str:
    return re.sub(rf"^{indent}", "", text, flags=re.MULTILINE)


def not_run(command: str) -> str | None:
    """Return the prefix in `NOT_RUN` that covers a command."""
    return next((prefix for prefix in NOT_RUN if command.startswith(prefix)), None)


def steps(page: Path) -> list[Step]:
    """Return what a reader of a page does, in order."""
    text = text_of(page)
    found: list[Step] = []
    mode = Mode.OFFLINE
    add_to = ""
    for match in re.finditer(f"(?ms:{_FENCE.pattern})|(?m:{_ACTION.pattern})", text):
        if match["indent"] is None:
            action = _ACTION.match(match[0])
            assert action is not None
            if action[1] == "commands":
                mode = Mode(action[2])
            elif action[1] == "add":
                add_to = action[2]
            else:
                found.append(Action(*action[2].split("=", 1)))
            continue
        title = _TITLE.search(match["options"])
        if title:
            found.append(File(title[1], _dedent(match["text"], match["indent"])))
        elif add_to:
            found.append(Part(add_to, _dedent(match["text"], match["indent"])))
            add_to = ""
        elif match["language"] == "console":
            found += _commands(text, match, mode)
    return found


def _commands(text: str, block: re.Match[str], mode: Mode) -> Iterator[Command]:
    indent = block["indent"]
    starts = list(re.finditer(rf"^{indent}{_COMMAND}", block["text"], re.MULTILINE))
    offset = block.start("text")
    for at, command in enumerate(starts):
        end = starts[at + 1].start() if at + 1 < len(starts) else len(block["text"])
        words = _dedent(command[1], indent)
        yield Command(
            text.count("\n", 0, offset + command.start()) + 1,
            words,
            _dedent(block["text"][command.end() : end], indent),
            Mode.NOT_RUN if not_run(words) else mode,
            offset + command.end(),
            offset + end,
            indent,
        )


def comparable(text: str) -> str:
    """Return a text with the same value for everything that differs from run to run."""
    for pattern, replacement in _VARYING:
        text = re.sub(pattern, replacement, text, flags=re.MULTILINE)
    return text.rstrip("\n")


def matches(shown: str, printed: str) -> bool:
    """Tell whether a command printed what is shown; a line `...` matches any lines."""
    pattern = re.escape(comparable(shown)) + "\n"
    pattern = re.sub(r"^\\\.\\\.\\\.\\?\n", r"(?:.*\\n)*?", pattern, flags=re.MULTILINE)
    return re.fullmatch(pattern, comparable(printed) + "\n") is not None


def updated(shown: str, printed: str) -> str:
    """Return the output to show: as many lines as before `...`, or all."""
    printed = re.sub(r"\S*/python[\d.]* -m webhook", "registry-webhook", printed)
    lines, before = printed.splitlines(keepends=True), shown.splitlines()
    if before and before[-1] == "..." and len(lines) >= len(before):
        lines = [*lines[: len(before) - 1], "...\n"]
    return "".join(lines)


def rewrite(page: Path, outputs: Mapping[Command, str]) -> None:
    """Replace the outputs of commands in a page."""
    text = text_of(page)
    for command, output in sorted(outputs.items(), key=lambda item: -item[0].start):
        indented = re.sub(r"^(?=.)", command.indent, output, flags=re.MULTILINE)
        text = text[: command.start] + indented + text[command.end :]
    page.write_text(text, encoding="utf-8")


def folder_of_reader(folder: Path) -> None:
    """Copy into a folder what a reader has who is in a clone of the repository."""
    for name in ("manifests", "certs", "webhook/examples"):
        shutil.copytree(CHECKOUT / name, folder / name)


def substituted(text: str, replaced: Mapping[str, str]) -> str:
    """Apply substitutions to a command or file."""
    for shown, used in {**REPLACED, **replaced}.items():
        text = text.replace(shown, used)
    return text


class Shell:
    """A shell in which the commands of a page run, one after the other."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        """Start it in a folder, with `registry-webhook` on its PATH."""
        tools = folder / ".bin"
        tools.mkdir(exist_ok=True)
        program = tools / "registry-webhook"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m webhook "$@"\n')
        program.chmod(0o755)
        variables = {**environment, "PYTHONSAFEPATH": "1", "COLUMNS": "100", "NO_COLOR": "1", "LC_ALL": "C.UTF-8"}
        variables["PATH"] = f"{tools}:{environment['PATH']}"
        self._folder = folder
        self._process = subprocess.Popen(
            ["bash", "--norc", "--noprofile"],  # noqa: S607
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=variables,
            start_new_session=True,
        )

    def write(self, file: File) -> None:
        """Write a file where the shell started."""
        path = self._folder / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.text)

    def read(self, name: str) -> str:
        """Read a file there."""
        return (self._folder / name).read_text()

    def run(self, command: str) -> str:
        """Run a command and return what it prints."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        mark = f"end-of-output-{time.monotonic_ns()}"
        # Without standard input: a command that reads it would read the next command.
        self._process.stdin.write(f"{{ {command}\n}} </dev/null; echo {mark}\n".encode())
        self._process.stdin.flush()
        printed = b""
        until = time.monotonic() + _TIMEOUT
        while not printed.endswith(f"{mark}\n".encode()):
            ready, _, _ = select.select([self._process.stdout], [], [], max(0.0, until - time.monotonic()))
            part = os.read(self._process.stdout.fileno(), 65536) if ready else b""
            if not part:
                raise TimeoutError(f"{command}: no end after {_TIMEOUT:.0f} s: {printed.decode()}")
            printed += part
        return printed.decode().removesuffix(f"{mark}\n")

    def close(self) -> None:
        """End it, and what runs in it."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()
