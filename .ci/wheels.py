"""Install the locked wheels for a platform, or check that each supported platform has them.

    wheels.py install ARCHITECTURE ENVIRONMENT    into a virtual environment, whose Python need not run here
    wheels.py check [LOCK [PYTHON...]]            for each architecture of the image and each supported Python

Nothing of the platform is executed: pip chooses the wheels by their tags, and verifies their hashes. The exit status of
check is 0 if nothing is missing, 1 if something is, and 75 if the package index did not answer.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

from locked import Locked, read

#: The image's architectures, as container images and as wheels name them.
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}

_LOCK = Path(__file__).parents[1] / "requirements.lock"

#: glibc's versions, newest first: Debian 12, on which the oldest base image is built, has 2.36.
_GLIBC = range(36, 16, -1)

NOT_ANSWERED = 75
_UNREACHED = re.compile(r"NewConnectionError|ConnectTimeout|ReadTimeout|ProxyError|SSLError")
_MISSING = re.compile(r"No matching distribution found for ([a-z0-9-]+)==")


class NotAnsweredError(Exception):
    """The package index did not answer; the message is its error in one line."""


def tags(architecture: str) -> Iterator[str]:
    """Return pip's options for the wheels of an architecture, most specific first."""
    machine = MACHINES[architecture]
    for minor in _GLIBC:
        yield f"--platform=manylinux_2_{minor}_{machine}"
    yield f"--platform=manylinux2014_{machine}"


def install(architecture: str, environment: Path) -> None:
    """Install the runtime's packages into an environment, without the scripts of others that nothing calls."""
    (site,) = environment.glob("lib/python3*/site-packages")
    options = ("--no-compile", f"--target={site}", "--quiet", "--disable-pip-version-check")
    locked = ("--only-binary=:all:", "--require-hashes", f"--requirement={_LOCK}")
    done = _pip("install", *options, *tags(architecture), *locked)
    if done.returncode:
        sys.exit(done.stderr)
    shutil.rmtree(site / "bin", ignore_errors=True)


def check(lock: Path, pythons: list[str]) -> int:
    """Print what is missing, and return the exit status. Nothing is downloaded but metadata."""
    missing = 0
    wanted = read(lock)
    pure: set[str] = set()  # packages whose one wheel is for all
    for python in pythons:
        for architecture in MACHINES:
            rest = [one for one in wanted if one.name not in pure]
            try:
                chosen = _choose(rest, python, architecture)
            except NotAnsweredError as error:
                print(f"NOTHING WAS CHECKED: the package index did not answer: {error}")
                return NOT_ANSWERED
            lacking = [one for one in rest if chosen.get(one.name, ("", ""))[1] not in one.hashes]
            pure |= {name for name, (file, _) in chosen.items() if file.endswith("-none-any.whl")}
            names = ", ".join(f"{one.name} {one.version}" for one in lacking)
            print(f"Python {python} on {architecture}: {f'no locked wheel of {names}' if names else 'complete'}")
            missing += len(lacking)
    print(f"Found: {missing}")
    return 1 if missing else 0


def _choose(wanted: list[Locked], python: str, architecture: str) -> dict[str, tuple[str, str]]:
    """Return the name and hash of the wheel that pip chooses for each package; packages without one are left out."""
    wanted = list(wanted)
    with tempfile.TemporaryDirectory() as folder:
        requirements, report = Path(folder) / "requirements.txt", Path(folder) / "report.json"
        # With hashes pip would download every wheel.
        options = ("--dry-run", "--ignore-installed", "--no-deps", "--only-binary=:all:", f"--target={folder}/none")
        options += ("--quiet", f"--report={report}", f"--python-version={python}", f"--requirement={requirements}")
        while True:
            requirements.write_text("".join(f"{one.name}=={one.version}\n" for one in wanted))
            done = _pip("install", *options, *tags(architecture))
            if done.returncode == 0:
                break
            if _UNREACHED.search(done.stderr):
                raise NotAnsweredError(done.stderr.strip().splitlines()[-1])
            refused = _MISSING.search(done.stderr)
            if not refused:
                sys.exit(done.stderr)
            wanted = [one for one in wanted if one.name != refused[1]]
        chosen = json.loads(report.read_text())["install"]
    return {
        re.sub(r"[-_.]+", "-", one["metadata"]["name"]).lower(): (
            one["download_info"]["url"].rpartition("/")[2],
            one["download_info"]["archive_info"]["hashes"]["sha256"],
        )
        for one in chosen
    }


def supported() -> list[str]:
    """Return the versions of Python that the project declares."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    return re.findall(r"^Programming Language :: Python :: (3\.\d+)$", "\n".join(project["classifiers"]), re.MULTILINE)


def _pip(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-m", "pip", *arguments], capture_output=True, text=True, check=False)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["install", ("amd64" | "arm64") as wanted, folder]:
            install(wanted, Path(folder))
        case ["check"]:
            sys.exit(check(_LOCK, supported()))
        case ["check", lock, *pythons]:
            sys.exit(check(Path(lock), pythons or supported()))
        case _:
            sys.exit(__doc__)
