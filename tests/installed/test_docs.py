"""The pages of the documentation whose commands need a cluster: each prints what is shown.

The pages are followed in the order of `CLUSTER_PAGES`, as one reader would, from a cluster without registry-webhook to
one without it again. `UPDATE_GOLDEN=1` writes the outputs that differ into the pages.
"""

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.cluster import Cluster
from tests.e2e.registry import Registry
from tests.support import doc_pages
from tests.support.doc_pages import CHECKOUT, CLUSTER_PAGES, Action, Command, File, Mode, Part, Shell

#: The minor version of Kubernetes that a page needs.
_NEEDS = {"docs/how-to/generated-policies.md": 36}
UPDATE = bool(os.environ.get("UPDATE_GOLDEN"))

_NAMESPACES = ("team-a", "team-b", "payments", "shop", "closed")
#: The images that pages copy from other registries.
_COPIED = (
    "--all docker://docker.io/library/busybox:1.36",
    "--all docker://docker.io/library/nginx:1.27",
    "--all docker://old.example.com/team/app:2",
    '--all "docker://$from"',
)
#: The images that the registry does not have at first: an earlier run may have copied them.
_MIRRORED = ("registry.example.com/nginx:1.27", "registry.example.com/team/app:2")

#: Seconds until a command that reads must print what is shown.
_EVENTUALLY = 12.0 if UPDATE else 90.0
#: Commands that are run again until they print what is shown, as a reader would: they change nothing.
_READS = re.compile(
    r"(kubectl( -n \S+)? (get|describe|logs|run .*--dry-run=server)|registry-webhook (explain|doctor|plan|report))\b"
)


@pytest.fixture(scope="module")
def replaced(image: str) -> dict[str, str]:
    """Give what differs here from the reader's cluster: the image's name, and a registry with a private CA."""
    name, _, tag = image.rpartition(":")
    source = "docker://registry.example.com/opencti/connector-example:1.0.0"
    credential = '"myuser:$(cat password.txt 2>/dev/null || echo mypassword)"'
    copy = f"skopeo copy -q --src-creds {credential} --dest-creds {credential} --src-cert-dir .ca --dest-cert-dir .ca"
    return {
        "newName: .*|newName: images.example.com/registry-webhook|": (
            f"newName: .*|newName: {name}|; s|newTag: .*|newTag: {tag}|"
        ),
        "newName: registry.example.com/registry-webhook": f"newName: {name}",
        'newTag: "0.1.0"': f'newTag: "{tag}"',
        "files: [config.yaml]": "files: [config.yaml, registry-ca.crt]",
        # No other registry can be reached: what is copied is always the same image.
        **{f"skopeo copy {image}": f"{copy} {source}" for image in _COPIED},
        # A prompt.
        "read -rs REGISTRY__PASSWORD": "REGISTRY__PASSWORD=$(cat password.txt)",
    }


@pytest.fixture(scope="module")
def shells(
    cluster: Cluster, registry: Registry, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Shell]]:
    """Give a function that returns the shell of a folder of pages: their reader continues where a page has ended."""
    if shutil.which("skopeo") is None:
        pytest.skip("the pages mirror an image with skopeo, which is not on PATH")
    opened: dict[str, Shell] = {}

    def shell(pages: str) -> Shell:
        if pages not in opened:
            folder = tmp_path_factory.mktemp("docs")
            doc_pages.folder_of_reader(folder)
            (folder / ".ca").mkdir()
            registry.admit("myuser", "mypassword")
            shutil.copy(os.environ["E2E_REGISTRY_CA"], folder / ".ca/ca.crt")
            variables = {"PYTHONPATH": str(CHECKOUT), "SSL_CERT_FILE": os.environ["E2E_REGISTRY_CA"]}
            opened[pages] = Shell(folder, {**os.environ, **variables})
            for mirrored in _MIRRORED:
                opened[pages].run(f"skopeo delete --creds myuser:mypassword --cert-dir .ca docker://{mirrored} 2>&1")
        return opened[pages]

    try:
        yield shell
    finally:
        for one in opened.values():
            one.close()
        cluster.run("delete", "--ignore-not-found", "mutatingwebhookconfiguration", "registry-webhook")
        cluster.run("delete", "--ignore-not-found", "namespace", "registry-webhook", *_NAMESPACES)


@pytest.mark.parametrize("name", CLUSTER_PAGES)
def test_page_on_cluster_prints_shown_output(
    name: str, cluster: Cluster, shells: Callable[[str], Shell], registry: Registry, replaced: dict[str, str]
) -> None:
    if cluster.minor_version() < _NEEDS.get(name, 0):
        pytest.skip(f"it needs Kubernetes 1.{_NEEDS[name]}")
    page = CHECKOUT / name
    shell = shells(name.rpartition("/")[0])
    different = {}
    before: dict[str, str] = {}
    for step in doc_pages.steps(page):
        if not isinstance(step, Command):
            _prepare(step, shell, registry, replaced, before)
        elif step.mode is not Mode.NOT_RUN:
            printed = _run(shell, step, replaced)
            if not doc_pages.matches(step.output, printed):
                different[step] = printed
    for file, text in before.items():
        shell.write(File(file, text))
    if UPDATE:
        doc_pages.rewrite(page, {step: doc_pages.updated(step.output, printed) for step, printed in different.items()})
    else:
        assert {f"line {step.line}: {step.text}": printed for step, printed in different.items()} == {}


def _prepare(
    step: File | Part | Action, shell: Shell, registry: Registry, replaced: dict[str, str], before: dict[str, str]
) -> None:
    """Do what the reader does between commands, and keep what the files were to which a part is added."""
    if isinstance(step, File):
        for file in _files(step, replaced):
            shell.write(file)
    elif isinstance(step, Part):
        text = before.setdefault(step.name, shell.read(step.name))
        shell.write(File(step.name, step.added(text)))
    else:
        assert step.name == "password"
        registry.admit("myuser", step.value)


def _files(file: File, replaced: dict[str, str]) -> Iterator[File]:
    """Yield a file, changed for the registry's private CA, and that CA next to it."""
    text = doc_pages.substituted(file.text, replaced)
    folder, _, name = file.name.rpartition("/")
    if name == "config.yaml":
        configuration = yaml.safe_load(text)
        verified = {"verify_ca": "/etc/registry-webhook/config/registry-ca.crt"}
        text = yaml.safe_dump(configuration | {"webhook": configuration.get("webhook", {}) | verified})
        yield File(f"{folder}/registry-ca.crt", Path(os.environ["E2E_REGISTRY_CA"]).read_text())
    yield File(file.name, text)


def _run(shell: Shell, command: Command, replaced: dict[str, str]) -> str:
    words = doc_pages.substituted(command.text, replaced)
    until = time.monotonic() + _EVENTUALLY
    while True:
        printed = shell.run(words)
        if not _READS.match(command.text) or doc_pages.matches(command.output, printed) or time.monotonic() > until:
            return printed
        time.sleep(1.0)
