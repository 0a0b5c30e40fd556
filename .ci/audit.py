"""Check all locked dependencies for known vulnerabilities with pip-audit: audit.py [ITS ARGUMENTS].

Every entry of every lock file is checked, for all platforms. The exit status is 0 if all were checked and the only
findings are in .ci/accepted.toml, 1 if there are others or an entry was not checked, 75 if the vulnerability service
did not answer, and 2 for other errors.
"""

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from locked import read

#: All but requirements-oldest.lock, which has old versions on purpose and is only tested with.
LOCKS = {
    "requirements.lock": "which the image has",
    "requirements-build.lock": "which builds it",
    "requirements-dev.lock": "which tests it",
    "requirements-docs.lock": "which builds the documentation",
    "requirements-supply.lock": "which looks for this",
}

NOT_ANSWERED = 75
_UNREACHED = re.compile(r"\b(\w*ConnectionError|\w*Timeout|ProxyError|SSLError|ServiceError|Could not connect)\b")


class NotAnsweredError(Exception):
    """The vulnerability service did not answer; the message is its error in one line."""


class BrokenError(Exception):
    """Invalid input, or unexpected output of pip-audit."""


@dataclass(frozen=True)
class Accepted:
    """An accepted advisory, with a reason and the last day on which it applies."""

    advisory: str
    reason: str
    until: date


def packages(checkout: Path) -> dict[tuple[str, str], list[str]]:
    """Return the lock files by name and version of their entries."""
    found: dict[tuple[str, str], list[str]] = {}
    for lock in LOCKS:
        for one in read(checkout / lock):
            found.setdefault((one.name, one.version), []).append(lock)
    return found


def accepted(text: str) -> list[Accepted]:
    """Parse .ci/accepted.toml; each entry must have all three keys."""
    entries = tomllib.loads(text).get("accepted", [])
    for entry in entries:
        if not (entry.keys() == {"advisory", "reason", "until"} and entry["reason"] and type(entry["until"]) is date):
            raise BrokenError(f"accepted.toml: an advisory, a reason and until (a date) are needed: {entry}")
    return [Accepted(**entry) for entry in entries]


def ask(wanted: list[tuple[str, str]], arguments: list[str]) -> list[dict[str, Any]]:
    """Run pip-audit and return its result for each package."""
    with tempfile.TemporaryDirectory() as folder:
        requirements = Path(folder) / "requirements.txt"
        requirements.write_text("".join(f"{name}=={version}\n" for name, version in wanted))
        # All versions are pinned, so pip need not resolve any.
        command = [sys.executable, "-m", "pip_audit", f"--requirement={requirements}", "--disable-pip", "--no-deps"]
        command += ["--vulnerability-service=osv", "--format=json", "--progress-spinner=off", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        answers: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except json.JSONDecodeError:
        if _UNREACHED.search(done.stderr):
            raise NotAnsweredError(done.stderr.strip().splitlines()[-1][:300]) from None
        raise BrokenError(done.stderr) from None
    return answers


def faults(
    wanted: dict[tuple[str, str], list[str]], answers: list[dict[str, Any]], known: list[Accepted], today: date
) -> Iterator[str]:
    """Return a line for each package that was not checked, and for each advisory that is not accepted."""
    looked_for = {(answer["name"], answer["version"]): answer["vulns"] for answer in answers if "version" in answer}
    for (name, version), locks in wanted.items():
        where = f"{name} {version} ({', '.join(locks)})"
        if (name, version) not in looked_for:
            yield f"{where}: was not looked for"
        for found in looked_for.get((name, version), ()):
            if not any(one.advisory in _names(found) and today <= one.until for one in known):
                fix = f"fixed in {', '.join(found['fix_versions'])}" if found["fix_versions"] else "not fixed yet"
                yield f"{where}: {', '.join(_names(found))}, {fix}: {found['description'][:200]}"


def remarks(answers: list[dict[str, Any]], known: list[Accepted], today: date) -> Iterator[str]:
    """Return a line for each accepted advisory."""
    found = {name for answer in answers for one in answer.get("vulns", ()) for name in _names(one)}
    for one in known:
        if one.advisory not in found:
            yield f"{one.advisory} is accepted, and concerns nothing that is locked any more"
        elif today <= one.until:
            yield f"{one.advisory} is accepted until {one.until}: {one.reason}"
        else:
            yield f"{one.advisory} was accepted until {one.until}"


def _names(vulnerability: dict[str, Any]) -> list[str]:
    return [vulnerability["id"], *vulnerability["aliases"]]


def audit(checkout: Path, arguments: list[str]) -> int:
    """Run the check, print the results, and return the exit status."""
    wanted, today = packages(checkout), datetime.now(UTC).date()
    print("Known vulnerabilities are looked for in")
    for lock, use in LOCKS.items():
        print(f"  {sum(lock in locks for locks in wanted.values()):4} packages of {lock}, {use}")
    print(f"  {len(wanted):4} in all")
    try:
        known = accepted((checkout / ".ci" / "accepted.toml").read_text())
        answers = ask(sorted(wanted), arguments)
    except NotAnsweredError as error:
        print(f"NOTHING WAS LOOKED FOR: the vulnerability service did not answer: {error}")
        return NOT_ANSWERED
    except BrokenError as error:
        print(error, file=sys.stderr)
        return 2
    for remark in remarks(answers, known, today):
        print(remark)
    found = list(faults(wanted, answers, known, today))
    for fault in found:
        print(fault)
    print(f"Found: {len(found)}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(audit(Path(__file__).parents[1], sys.argv[1:]))
