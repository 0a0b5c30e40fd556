"""`demo`: the real server, the shipped manifests, and nothing left behind."""

import json
import os
import re
import signal
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path

import pytest

from webhook.cli.demo import _is_running

_Run = Callable[..., "subprocess.CompletedProcess[str]"]

_LIMIT = 60.0


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


@pytest.fixture
def start(
    tmp_path: Path, temporary: Path, environment: dict[str, str]
) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Give a function that starts a demo in a process group of its own, which is ended with the test."""
    started = []

    def start(*words: str, **variables: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", "webhook", "demo", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env={**environment, "TMPDIR": str(temporary), **variables},
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if not _gone(process.pid, 0):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def _gone(group: int, seconds: float) -> bool:
    """Tell whether every process of a group ends within some seconds."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.05)


def _until(process: "subprocess.Popen[str]", pattern: str) -> str:
    """Read what is said until a line matches, or it ends."""
    assert process.stdout
    said = ""
    for line in process.stdout:
        said += line
        if re.search(pattern, line):
            return said
    raise AssertionError(said)


def _examples() -> list[str]:
    names = sorted(entry.name for entry in (resources.files("webhook") / "examples").iterdir())
    return [name for name in names if name[0].isdigit()]


def test_demo_shows_every_example(start: Callable[..., "subprocess.Popen[str]"]) -> None:
    process = start()
    out, err = process.communicate(timeout=_LIMIT)
    assert (process.returncode, err) == (0, "")
    assert len(_examples()) == 7
    for number, name in enumerate(_examples(), 1):
        title = (resources.files("webhook") / "examples" / name).read_text().splitlines()[0].removeprefix("# ")
        assert f"\n{number}. {title}\n" in out
        assert f"webhook/examples/{name}" in out
    for line in (
        "-       image: opencti/connector-example:1.0.0",
        "+       image: registry.example.com/opencti/connector-example:1.0.0",
        "+       image: registry.example.com/busybox:1.36",
        "+       image: registry.example.com/quay/kiwigrid/k8s-sidecar:1.30.0",
        "+         reference: registry.example.com/ml/ner-model:2026-10",
        "+       image: registry.example.com/nicolaka/netshoot",
    ):
        assert f"\n{line}\n" in out
    for outcome in ("rewritten: 3 of 3 ", "unchanged: ", "opted-out: "):
        assert f"\n# {outcome}" in out
    assert "\x1b" not in out


def test_demo_suggested_commands_rewrite(
    start: Callable[..., "subprocess.Popen[str]"], environment: dict[str, str], tmp_path: Path
) -> None:
    out, _ = start().communicate(timeout=_LIMIT)
    suggested = [line.strip() for line in out.splitlines() if line.startswith("  registry-webhook ")]
    assert [line.split()[1] for line in suggested] == ["resolve", "review", "demo"]
    for line in suggested[:2]:
        done = subprocess.run(
            ["/bin/sh", "-c", line],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_LIMIT,
            check=False,
        )
        assert (done.returncode, done.stderr) == (1 if " review " in line else 0, "")
        assert "registry.example.com/" in done.stdout


def test_demo_finished_leaves_no_files(start: Callable[..., "subprocess.Popen[str]"], temporary: Path) -> None:
    process = start()
    process.communicate(timeout=_LIMIT)
    assert process.returncode == 0
    assert _gone(process.pid, 10)
    assert list(temporary.iterdir()) == []


def test_demo_ignores_user_settings(start: Callable[..., "subprocess.Popen[str]"], tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("webhook: {")
    process = start(
        OPENCTI__DAEMON__REGISTRY__SERVER="harbor",
        WEBHOOK__VERIFY="maybe",
        REGISTRY_WEBHOOK_CONFIG="broken.yaml",
        WEB_CONCURRENCY="3",
        GUNICORN_CMD_ARGS="--workers=3",
        https_proxy="http://127.0.0.1:9",
    )
    out, err = process.communicate(timeout=_LIMIT)
    assert (process.returncode, err) == (0, "")
    assert "registry.example.com/opencti/connector-example:1.0.0" in out


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """Have a child process start with SIGINT not ignored, which a shell's background job would pass on."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
@pytest.mark.parametrize("to_all", [True, False], ids=["Ctrl-C", "kill -INT"])
def test_demo_keep_serves_until_interrupted(
    start: Callable[..., "subprocess.Popen[str]"], temporary: Path, *, to_all: bool
) -> None:
    process = start("--keep")
    said = _until(process, "review.json https://") + _until(process, "Its log:")
    assert "curl --cacert " in said
    address = re.search(r"https://127\.0\.0\.1:\d+/mutate", said)
    assert address
    (folder,) = temporary.iterdir()
    review = (folder / "review.json").read_bytes()
    trust = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(address[0], review, headers)  # noqa: S310 - the pattern has https://
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust))
    with opener.open(request, timeout=_LIMIT) as answer:
        response = json.load(answer)["response"]
    assert response["uid"] == json.loads(review)["request"]["uid"]
    assert response["patchType"] == "JSONPatch"
    (os.killpg if to_all else os.kill)(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=_LIMIT)
    assert process.returncode in {0, 130}
    assert "Traceback" not in err
    assert _gone(process.pid, 10)
    assert list(temporary.iterdir()) == []


def test_demo_terminated_leaves_no_files(start: Callable[..., "subprocess.Popen[str]"], temporary: Path) -> None:
    process = start("--keep")
    _until(process, "Its log:")
    process.terminate()
    process.wait(_LIMIT)
    assert _gone(process.pid, 10)
    assert list(temporary.iterdir()) == []


def test_demo_output_closed_leaves_no_files(start: Callable[..., "subprocess.Popen[str]"], temporary: Path) -> None:
    process = start()
    assert process.stdout
    assert process.stdout.readline()
    process.stdout.close()
    assert process.stderr
    assert process.stderr.read() == ""
    process.wait(_LIMIT)
    assert _gone(process.pid, 10)
    assert list(temporary.iterdir()) == []


def test_is_running_signal_held_back_until_polled() -> None:
    events = []

    class Process:
        def poll(self) -> None:
            signal.raise_signal(signal.SIGTERM)
            events.append("polled")

    before = signal.signal(signal.SIGTERM, lambda *_: events.append("handled"))
    try:
        assert _is_running(Process())  # type: ignore[arg-type]
    finally:
        signal.signal(signal.SIGTERM, before)
    assert events == ["polled", "handled"]
