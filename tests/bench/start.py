"""Time from the start of a command to its end: `make bench-start`.

Each command runs in turn with an empty Python, so that the ratios of one run can be compared on any machine. `explain`
reads an API server that refuses the connection, so that the time is the command's own. The arguments are the command
line of another program to measure as well, such as the single file.
"""

import argparse
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

_CONFIG = "registry: {server: registry.example.com}\n"
_FAILED = 2


class Start(NamedTuple):
    """One run, in seconds."""

    wall: float
    cpu: float


def main() -> None:
    """Measure, and print medians."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("program", nargs="*", help="another program to measure")
    parser.add_argument("--runs", type=int, default=20, help="how often each command runs (default 20)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        commands = _commands(Path(folder), arguments.program)
        runs: dict[str, list[Start]] = {name: [] for name in commands}
        for number in range(arguments.runs + 1):
            for name, command in commands.items():
                start = _run(command, Path(folder))
                if number:  # the first run compiles and fills caches
                    runs[name].append(start)
    _print(runs)


def _commands(folder: Path, program: list[str]) -> dict[str, list[str]]:
    (folder / "config.yaml").write_text(_CONFIG)
    with socket.create_server(("127.0.0.1", 0)) as unused:
        server = f"https://127.0.0.1:{unused.getsockname()[1]}"
    kubeconfig = {
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": "none"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    (folder / "kubeconfig").write_text(json.dumps(kubeconfig))
    commands = {"python -c pass": [sys.executable, "-c", "pass"]}
    programs = {"": [sys.executable, "-m", "webhook"], **({f"{Path(program[-1]).name} ": program} if program else {})}
    for name, words in programs.items():
        commands |= {
            f"{name}version": [*words, "version"],
            f"{name}resolve": [*words, "resolve", "--config", "config.yaml", "nginx"],
            f"{name}explain": [*words, "explain", "pod/web", "--kubeconfig", "kubeconfig"],
        }
    return commands


def _run(command: list[str], folder: Path) -> Start:
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=_environment(), capture_output=True, check=False)
    wall, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != (_FAILED if "explain" in command else 0):
        sys.exit(f"{' '.join(command)}: {done.stderr.decode()}")
    return Start(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def _environment() -> dict[str, str]:
    """Return the environment, with the checkout to import the package from, and not the current folder."""
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONSAFEPATH": "1"}


def _print(runs: dict[str, list[Start]]) -> None:
    print(f"{'median of ' + str(len(next(iter(runs.values())))) + ' runs':<28}{'wall ms':>9}{'CPU ms':>9}{'ratio':>7}")
    (bare, *_) = (statistics.median(one.cpu for one in starts) for starts in runs.values())
    for name, starts in runs.items():
        wall, cpu = (statistics.median(values) for values in zip(*starts, strict=True))
        print(f"{name:<28}{wall * 1000:>9.0f}{cpu * 1000:>9.0f}{cpu / bare:>7.1f}")


if __name__ == "__main__":
    main()
