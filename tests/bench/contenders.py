"""The two servers that are compared, each on one core, and the load generator on the other."""

import http
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from webhook.config.listen_address import Address, listen
from webhook.pki import ca as pki_ca

HERE = Path(__file__).parent
_DEADLINE = 30.0
_OLDEST_GO, _WITH_JSON_V2 = (1, 26), (1, 27)
_TICK = os.sysconf("SC_CLK_TCK")


class Contender(NamedTuple):
    """A server that runs."""

    name: str
    port: int
    pid: int
    """The process that answers reviews."""
    ready: float
    """Seconds from its start until it answered."""
    supervisor: int | None = None
    """The process that started it."""

    def memory(self) -> float:
        """The memory that it holds now, in MiB."""
        return _memory(self.pid, "Rss")

    def memory_with_supervisor(self) -> float:
        """The same with that of its supervisor; what both have in common counts once, as in a container."""
        supervisor = self.supervisor
        own = 0.0 if supervisor is None else _memory(supervisor, "Private_Clean", "Private_Dirty")
        return self.memory() + own

    def cpu(self) -> float:
        """The seconds that it has computed so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICK


class Figures(NamedTuple):
    """What the load saw of one server: seconds, but for the counts."""

    requests: int
    seconds: float
    errors: int
    example: str
    p50: float
    p99: float
    p999: float
    most: float
    cpu: float

    @property
    def rate(self) -> float:
        """Requests answered a second."""
        return self.requests / self.seconds


class Cores(NamedTuple):
    """Who runs on which core."""

    server: int
    load: int


class Exchanges(NamedTuple):
    """Files with request bodies and with the right answers to them, a line each."""

    bodies: Path
    answers: Path


class Arena:
    """A folder with what the servers and the load need: their programs, a certificate, and what is sent."""

    def __init__(self, folder: Path) -> None:
        """Build the Go programs, with the JSON of Go 1.27, and make a certificate."""
        self.folder = folder
        self._cores = _cores()
        version = _go_version()
        older = version < _WITH_JSON_V2
        environment = {**os.environ, **({"GOEXPERIMENT": "jsonv2"} if older else {})}
        self.go = f"Go {'.'.join(map(str, version))}{' with GOEXPERIMENT=jsonv2' if older else ''}"
        for program in ("yardstick", "load"):
            command = ["go", "build", "-o", str(folder / program), f"./{program}"]
            subprocess.run(command, cwd=HERE, env=environment, check=True)
        ours = pki_ca.create_ca("bench", datetime.now(UTC), timedelta(days=2))
        pair = pki_ca.sign(ours, ("localhost", "127.0.0.1"), datetime.now(UTC), timedelta(days=1))
        (folder / "ca.crt").write_bytes(ours.certificate)
        (folder / "tls.crt").write_bytes(pair.certificate)
        (folder / "tls.key").write_bytes(pair.key)

    @contextmanager
    def yardstick(self) -> Iterator[Contender]:
        """Run the Go webhook, on one core with one thread for its goroutines."""
        port = _free_port()
        log = self.folder / "yardstick.log"
        command = [str(self.folder / "yardstick"), "-address", f"127.0.0.1:{port}", *self._pair("-cert", "-key")]
        with _running(command, log, self._cores, GOMAXPROCS="1") as process:
            ready = _wait(lambda: _answers(f"https://127.0.0.1:{port}/", self.folder / "ca.crt"), process, log)
            yield Contender("Go", port, process.pid, ready)

    @contextmanager
    def product(
        self, configuration: str, name: str = "registry-webhook", program: Sequence[str] = ("-m", "webhook")
    ) -> Iterator[Contender]:
        """Run `registry-webhook serve` as the image runs it; `program` is what Python runs."""
        port, health = _free_port(), _free_port()
        file, log = self.folder / f"{name}.yaml", self.folder / f"{name}.log"
        file.write_text(configuration)
        command = [sys.executable, *program, "serve", "--config", str(file), *self._pair("--cert", "--key")]
        command += ["--bind", f"127.0.0.1:{port}", "--health-bind", f"127.0.0.1:{health}", "--drain", "0"]
        with _running(command, log, self._cores) as process:
            ready = _wait(lambda: _answers(f"http://127.0.0.1:{health}/readyz"), process, log)
            (worker,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            yield Contender(name, port, int(worker), ready, process.pid)

    def load(self, server: Contender, exchanges: Exchanges, *arguments: str) -> Figures:
        """Send the load that the arguments say."""
        before = server.cpu()
        command = [
            str(self.folder / "load"),
            "-address",
            f"127.0.0.1:{server.port}",
            "-ca",
            str(self.folder / "ca.crt"),
        ]
        command += ["-bodies", str(exchanges.bodies), "-answers", str(exchanges.answers), *arguments]
        # On one core as well, but with threads to spare: the one that waits until a request is due holds its own.
        environment = {**os.environ, "GOMAXPROCS": "4"}
        with _on(self._cores.load):
            done = subprocess.run(command, stdout=subprocess.PIPE, check=False, env=environment)
        if done.returncode:
            sys.exit("the load could not be sent")
        return Figures(**json.loads(done.stdout), cpu=server.cpu() - before)

    def written(self, server: Contender, made: Sequence[bytes], answers: Sequence[bytes]) -> Exchanges:
        """Write down what the load sends to a server, and what it must be answered."""
        files = Exchanges(self.folder / f"{server.name}.bodies", self.folder / f"{server.name}.answers")
        files.bodies.write_bytes(b"\n".join([*made, b""]))
        files.answers.write_bytes(b"\n".join([*answers, b""]))
        return files

    def _pair(self, certificate: str, key: str) -> list[str]:
        return [certificate, str(self.folder / "tls.crt"), key, str(self.folder / "tls.key")]


def _go_version() -> tuple[int, ...]:
    if shutil.which("go") is None:
        sys.exit("Go is needed, for the yardstick and the load are written in it, and there is none on PATH")
    said = subprocess.run(["go", "env", "GOVERSION"], capture_output=True, text=True, check=True).stdout
    version = tuple(map(int, re.findall(r"[0-9]+", said)[:3]))
    if version < _OLDEST_GO:
        sys.exit(f"Go 1.26 or newer is needed for its JSON, and this is {said.strip()}")
    return version


def _cores() -> Cores:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) == 1:
        sys.exit("two cores are needed: one for the server, one for the load")
    return Cores(cores[0], cores[1])


@contextmanager
def _running(command: Sequence[str], log: Path, cores: Cores, **variables: str) -> Iterator["subprocess.Popen[bytes]"]:
    with log.open("wb") as file, _on(cores.load):
        # What is logged goes to a pipe, as in a container, and somebody reads it.
        reader = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=file)
    with _on(cores.server):
        process = subprocess.Popen(command, stdout=reader.stdin, stderr=reader.stdin, env={**os.environ, **variables})
    try:
        yield process
    finally:
        process.terminate()
        process.wait(_DEADLINE)
        reader.communicate()


@contextmanager
def _on(core: int) -> Iterator[None]:
    """Have what is started meanwhile run on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _wait(is_up: Callable[[], bool], process: "subprocess.Popen[bytes]", log: Path) -> float:
    """Wait until a server answers, and say how many seconds that took."""
    began = time.monotonic()
    while not is_up():
        if process.poll() is not None or time.monotonic() > began + _DEADLINE:
            sys.exit(f"a server did not start:\n{log.read_text()}")
        time.sleep(0.005)
    return time.monotonic() - began


def _answers(url: str, ca: Path | None = None) -> bool:
    trust = None if ca is None else ssl.create_default_context(cafile=str(ca))
    try:
        with urllib.request.urlopen(url, timeout=5, context=trust):
            return True
    except urllib.error.HTTPError as error:
        return error.code == http.HTTPStatus.NOT_FOUND
    except OSError:
        return False


def _free_port() -> int:
    with listen(Address("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def _memory(pid: int, *kinds: str) -> float:
    """Return the MiB of a process of some kinds, as its file `smaps_rollup` names them."""
    _, *lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    values = dict(line.split(":", 1) for line in lines)
    return sum(int(values[kind].split()[0]) for kind in kinds) / 1024
