"""`registry-webhook demo`."""

import base64
import copy
import http.client
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple, TextIO
from urllib.parse import urlsplit

import click
import jsonpatch

from webhook.admission import review
from webhook.cli.command import Command
from webhook.config import schema
from webhook.constants import PROGRAM
from webhook.errors import RegistryWebhookError
from webhook.kube import manifests
from webhook.kube.pod_templates import Workload, workloads
from webhook.output import diff, invocation, progress, terminal
from webhook.pki import ca

_LIFE = timedelta(days=1)
_START_LIMIT = 20.0
_CONTEXT = 1


class _Server(NamedTuple):
    """A running server."""

    process: "subprocess.Popen[bytes]"
    address: str
    log: TextIO
    folder: Path


class _Case(NamedTuple):
    """One review that the demo sends."""

    title: str
    what: str
    body: bytes
    before: dict[str, Any]


@click.command(
    "demo",
    cls=Command,
    epilog="""\b
Examples:
  registry-webhook demo
  registry-webhook demo --keep      # to send reviews of your own
""",
)
@click.option("--keep", is_flag=True, help="Keep the server running until Ctrl-C, and show how to send a review.")
def command(keep: bool) -> None:  # noqa: FBT001 - click passes it by name
    """Start the webhook server on this machine, send it the example manifests over HTTPS, and show the results."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # stops the server too
    screen = terminal.screen()
    with tempfile.TemporaryDirectory(prefix=f"{PROGRAM}-demo-") as folder, _server(Path(folder)) as server:
        terminal.write_all(_INTRODUCTION.format(address=server.address).splitlines())
        trust = ssl.create_default_context(cafile=str(server.folder / "ca.crt"))
        url = urlsplit(server.address)
        connection = http.client.HTTPSConnection(str(url.hostname), url.port, context=trust, timeout=10)
        seconds = 0.0
        cases = list(_cases())
        for number, case in enumerate(cases, 1):
            started = time.perf_counter()
            response = _sent(connection, case)
            seconds += time.perf_counter() - started
            title = f"{number}. {case.title}"
            terminal.write()
            terminal.write(terminal.bold(title, screen))
            for line in (f"# {case.what}", *_account(case, response)):
                terminal.write(diff.colored(line, screen))
        connection.close()
        terminal.write()
        terminal.write(f"{len(cases)} reviews, {1000 * seconds / len(cases):.1f} ms each on average.")
        if keep:
            (server.folder / "review.json").write_bytes(cases[0].body)
            _wait(server)
        else:
            terminal.write_all(("", *_next_steps()))


_INTRODUCTION = f"""\
{PROGRAM} demo

The webhook server runs at {{address}}/mutate, with a new TLS certificate and this configuration:
  Images that do not specify a registry get registry.example.com.
  Images of quay.io are rewritten to registry.example.com/quay.
  Images of registry.k8s.io are excluded.
"""


def _next_steps() -> Iterator[str]:
    """Return commands that work as they are, with the example configuration."""
    config = ("--config", invocation.example())
    yield "Try the same configuration on image names and on manifests, also your own:"
    yield f"  {invocation.command('resolve', *config, 'nginx', 'quay.io/coreos/etcd')}"
    yield f"  {invocation.command('review', *config, invocation.example('2-deployment.yaml'))}"
    yield "Keep this server running:"
    yield f"  {invocation.command('demo', '--keep')}"


@contextmanager
def _server(folder: Path) -> Iterator[_Server]:
    """Run `registry-webhook serve` on free ports."""
    now = datetime.now(UTC)
    ours = ca.create_ca(f"{PROGRAM} demo", now, _LIFE)
    pair = ca.sign(ours, ["localhost", "127.0.0.1"], now, _LIFE)
    contents = {"ca.crt": ours.certificate, "tls.crt": pair.certificate, "tls.key": pair.key}
    for name, content in {**contents, "config.yaml": _example("config.yaml")}.items():
        (folder / name).write_bytes(content)
    options = {"bind": "127.0.0.1:0", "health-bind": "127.0.0.1:0", "cert": "tls.crt", "key": "tls.key"}
    words = [f"--{name}={value}" for name, value in {**options, "config": "config.yaml"}.items()]
    environment = {name: value for name, value in os.environ.items() if not schema.may_be_ours(name)}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [_above_package(), environment.get("PYTHONPATH")]))
    with (folder / "log").open("wb") as log, (folder / "log").open() as lines:
        process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", "webhook", "serve", *words], cwd=folder, env=environment, stderr=log
        )
        try:
            with progress.step("Starting the server"):
                address = _address(process, lines)
            yield _Server(process, address, lines, folder)
        finally:
            process.send_signal(signal.SIGINT)  # stop without draining: no client waits for an answer
            process.wait()


def _above_package() -> str:
    """Return the folder of this package, which is not on the path if the demo runs from a checkout."""
    return str(Path(__file__).resolve().parents[2])


def _address(process: "subprocess.Popen[bytes]", log: TextIO) -> str:
    """Read the address that the server listens on from its log."""
    deadline = time.monotonic() + _START_LIMIT
    output = ""
    while time.monotonic() < deadline:
        output += log.read()
        found = re.search(r"addresses=\"(https://\S+), ", output)
        if found:
            return found[1]
        if not _is_running(process):
            break
        time.sleep(0.02)
    raise RegistryWebhookError(
        f"the server did not start: {output.strip().splitlines()[-1] if output.strip() else 'it logged nothing'}"
    )


def _is_running(process: "subprocess.Popen[bytes]") -> bool:
    """Return whether a process runs.

    Signals that raise are held back: an exception inside `poll` can leave its lock taken, and `wait` would hang.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        return process.poll() is None
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _example(name: str) -> bytes:
    return (resources.files("webhook") / "examples" / name).read_bytes()


def _cases() -> Iterator[_Case]:
    """Return the reviews that the API server would send for the examples."""
    names = sorted(entry.name for entry in (resources.files("webhook") / "examples").iterdir())
    for name in names:
        if name[0].isdigit():
            text = _example(name)
            (document,) = manifests.parse(text).values
            (workload,) = workloads(document)
            yield _case(text.decode().splitlines()[0].removeprefix("# "), name, workload)


def _case(title: str, name: str, workload: Workload) -> _Case:
    pod = workload.pod
    if workload.kind != "Pod":
        # The Pod that the workload's controller creates from its template.
        metadata = {"generateName": f"{workload.name}-6d4cf56db6-", "namespace": workload.namespace, **pod["metadata"]}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod["spec"]}
    request: dict[str, Any] = {"namespace": workload.namespace, "uid": str(uuid.uuid4()), "dryRun": False}
    if "ephemeralContainers" in pod["spec"]:
        before = copy.deepcopy(pod)
        del before["spec"]["ephemeralContainers"]
        request |= {"operation": "UPDATE", "subResource": "ephemeralcontainers", "oldObject": before}
    what = f"{request.get('operation', 'CREATE')} {workload.namespace}/{workload.name}, from webhook/examples/{name}"
    return _Case(title, what, review.encode_review(pod, **request), pod)


def _sent(connection: http.client.HTTPSConnection, case: _Case) -> dict[str, Any]:
    connection.request("POST", "/mutate?timeout=10s", case.body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    content = answer.read()
    if answer.status != http.HTTPStatus.OK:
        raise RegistryWebhookError(f"the server answered {answer.status}: {content.decode(errors='replace').strip()}")
    response: dict[str, Any] = json.loads(content)["response"]
    return response


def _account(case: _Case, response: dict[str, Any]) -> Iterator[str]:
    """Return the changes of one review as a diff, and their reasons."""
    patch = json.loads(base64.b64decode(response.get("patch", "W10=")))
    after = jsonpatch.apply_patch(case.before, patch)
    for line in diff.unified(manifests.dump(case.before), manifests.dump(after), "", _CONTEXT):
        if not line.startswith(("---", "+++", "@@")):
            yield f"{line[:1]}   {line[1:]}".rstrip()
    annotations = response["auditAnnotations"]
    yield f"# {annotations['outcome']}"
    for image in annotations.get("images", "").split("; "):
        place, _, account = image.partition(": ")
        if account:
            yield f"#   {place}: {account[account.rindex('(') + 1 : -1]}"


def _wait(server: _Server) -> None:
    """Show the server's log until it is interrupted."""
    terminal.write_all(
        f"""
The server runs until you press Ctrl-C. Send it the first review again, from another terminal:

  curl --cacert {server.folder}/ca.crt -H 'Content-Type: application/json' \\
      --data @{server.folder}/review.json {server.address}/mutate

The server reloads its configuration, {server.folder}/config.yaml, when you change it. Its log:
""".splitlines()
    )
    with suppress(KeyboardInterrupt):
        while _is_running(server.process):
            line = server.log.readline()
            terminal.write(line.rstrip("\n")) if line else time.sleep(0.1)
