"""Size and start time of the image: `make bench-image`.

The argument is the folder of a virtual environment, or an image known to buildah (as root, with `buildah mount`;
programs in it are started with `chroot`). The default is the checkout's environment, which is larger than the image's.
"""

import argparse
import http.client
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from webhook.config.listen_address import Address, listen
from webhook.pki import ca

_SHOWN = 12
_MEGABYTE = 1_000_000  # as image tools count
_DEADLINE = 30.0
#: Parts of an image other than its packages, as Debian and the official Python image place them.
_PARTS = {
    "environment": "opt/venv",
    "interpreter": "usr/**/bin/python3.*[0-9]",
    "Python's library": "usr/**/lib/python3.*",
    "shared libraries": "usr/lib/*-linux-gnu",
    "CA certificates": "etc/ssl",
}
#: Where an image has its environment.
_INSTALLED = "opt/venv"


class Place(NamedTuple):
    """Where the program is, and how it is started there."""

    environment: Path
    """The environment's folder, seen from here."""
    root: Path
    """The folder that it takes for the root."""

    def command(self, *words: str) -> list[str]:
        """Give the command that runs it with these words."""
        python = f"/{(self.environment / 'bin' / 'python').relative_to(self.root)}"
        inside = [] if self.root == Path("/") else ["chroot", str(self.root)]
        # The checkout's own environment has what the program needs, and not the program.
        return [*inside, python, "-m", "webhook", *words]


def main() -> None:
    """Measure, and print figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("what", nargs="?", default=".venv", help="an environment's folder or an image (default .venv)")
    parser.add_argument("--starts", type=int, default=7, help="how often it is started (default 7); 0: not at all")
    parser.add_argument("--buildah", default="buildah", help="how buildah is called, with options of its own")
    arguments = parser.parse_args()
    with _place(arguments.what, shlex.split(arguments.buildah)) as place:
        _weigh(place)
        if arguments.starts:
            _time(place, arguments.starts)


@contextmanager
def _place(what: str, buildah: list[str]) -> Iterator[Place]:
    if (Path(what) / "bin" / "python").exists():
        yield Place(Path(what).absolute(), Path("/"))
        return
    if shutil.which(buildah[0]) is None:
        sys.exit(f"{what}: it is no environment's folder, and there is no {buildah[0]} that could know it as an image")
    container = _said(*buildah, "from", "--pull-never", what)
    try:
        root = Path(_said(*buildah, "mount", container))
        yield Place(root / _INSTALLED, root)
    finally:
        _said(*buildah, "rm", container)


def _said(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout.strip()


def _weigh(place: Place) -> None:
    (site,) = place.environment.glob("lib/python3*/site-packages")
    sizes: Counter[str] = Counter()
    for path in site.rglob("*"):
        if path.is_file() and not path.is_symlink():
            sizes[path.relative_to(site).parts[0]] += path.stat().st_size
    parts: Counter[str] = Counter()
    for distribution in metadata.distributions(path=[str(site)]):
        tops = {file.parts[0] for file in distribution.files or () if file.parts[0] not in {"..", "__pycache__"}}
        parts[distribution.metadata["Name"]] = sum(sizes.pop(top, 0) for top in tops)
    parts.update(sizes)
    compiled = sum(path.stat().st_size for path in site.rglob("*.pyc"))
    everything = sum(parts.values())
    if place.root != Path("/"):
        _weigh_image(place.root)
    _say("packages", _megabytes(everything), f"{_megabytes(compiled)} of it bytecode")
    for name, size in parts.most_common(_SHOWN):
        _say(f"  {name}", _megabytes(size))
    _say("  the others", _megabytes(everything - sum(size for _, size in parts.most_common(_SHOWN))))


def _weigh_image(root: Path) -> None:
    """Print an image's parts; everything is in one of them."""
    sizes = Counter({name: sum(_below(path) for path in root.glob(pattern)) for name, pattern in _PARTS.items()})
    everything = _below(root)
    _say("image", _megabytes(everything))
    for name, size in sizes.items():
        _say(f"  {name}", _megabytes(size))
    _say("  other files", _megabytes(everything - sizes.total()))


def _below(folder: Path) -> int:
    seen: dict[tuple[int, int], int] = {}
    for path in (folder, *folder.rglob("*")):
        with suppress(OSError):
            status = path.lstat()
            seen[status.st_dev, status.st_ino] = status.st_size
    return sum(seen.values())


def _time(place: Place, starts: int) -> None:
    folder = place.root / "tmp"
    with tempfile.TemporaryDirectory(dir=folder) as made:
        measured = [_start(place, Path(made)) for _ in range(starts)]
    ready, worker, supervisor = (statistics.median(column) for column in zip(*measured, strict=True))
    slowest = max(row[0] for row in measured)
    _say("serve to ready", f"{ready * 1000:.0f} ms", f"median of {starts}, at most {slowest * 1000:.0f} ms")
    _say("memory of the worker", f"{worker:.0f} MiB")
    _say("memory of its supervisor", f"{supervisor:.0f} MiB")
    for words in (["--version"], ["refresh", "--help"], ["cleanup", "--help"]):
        seconds = statistics.median(_run(place, *words) for _ in range(starts))
        _say(" ".join(words), f"{seconds * 1000:.0f} ms")


def _start(place: Place, folder: Path) -> tuple[float, float, float]:
    """Start the server; give the seconds until it is ready, and the memory of worker and supervisor in MiB."""
    now, day = datetime.now(UTC), timedelta(days=1)
    pair = ca.sign(ca.create_ca("bench", now, day), ["localhost"], now, day)
    for name, content in zip(("tls.crt", "tls.key"), pair, strict=True):
        (folder / name).write_bytes(content)
    with listen(Address("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    inside = f"/{folder.relative_to(place.root)}"
    options = ["--bind=127.0.0.1:0", f"--health-bind=127.0.0.1:{port}", f"--cert={inside}/tls.crt"]
    began = time.perf_counter()
    process = subprocess.Popen(place.command("serve", *options, f"--key={inside}/tls.key"), stderr=subprocess.DEVNULL)
    try:
        while not _ready(port):
            if process.poll() is not None or time.perf_counter() - began > _DEADLINE:
                sys.exit("the server did not become ready")
            time.sleep(0.002)
        seconds = time.perf_counter() - began
        (worker,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        return seconds, _resident(int(worker)), _resident(process.pid)
    finally:
        process.terminate()
        process.wait(_DEADLINE)


def _ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()


def _resident(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    values = dict(line.split(":", 1) for line in status.splitlines())
    return int(values["VmRSS"].split()[0]) / 1024


def _run(place: Place, *words: str) -> float:
    began = time.perf_counter()
    subprocess.run(place.command(*words), stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def _megabytes(size: int) -> str:
    return f"{size / _MEGABYTE:.1f} MB"


def _say(what: str, figure: str, more: str = "") -> None:
    print(f"{what:<42}{figure:>10}  {more}".rstrip(), flush=True)


if __name__ == "__main__":
    main()
