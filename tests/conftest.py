"""Rules for all tests: how property tests draw examples, and that no output contains a credential.

HYPOTHESIS_PROFILE=explore draws many new examples instead of the same ones in every run; `quick` draws a few.

Passwords in tests contain `kept-secret`. After each test its standard output, standard error, log and all files named
`log` or `*.log` in its folder are searched for that string, plain and in base64.
"""

import base64
import os
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("repeat", derandomize=True, deadline=None, max_examples=50)
settings.register_profile("quick", derandomize=True, deadline=None, max_examples=10)
settings.register_profile("explore", max_examples=5000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeat"))

_MARKER = b"kept-secret"
#: In base64 a text has three forms, by where in a group of three bytes it begins; its ends depend on what is beside it.
_TRACES = (_MARKER, *(base64.b64encode(b"\0" * before + _MARKER)[4:-4] for before in range(3)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test that is over and has put a credential out."""
    report = yield
    if call.when == "teardown" and report.passed:
        places = [name for name, text in report.sections if _holds_one(text.encode())]
        folder = getattr(item, "funcargs", {}).get("tmp_path")
        if isinstance(folder, Path):
            logs = (path for path in folder.rglob("*log") if path.suffix == ".log" or path.name == "log")
            places += [str(path) for path in logs if path.is_file() and _holds_one(path.read_bytes())]
        if places:
            report.outcome = "failed"
            report.longrepr = f"a credential was put out: {', '.join(places)}"
    return report


def _holds_one(output: bytes) -> bool:
    return any(trace in output for trace in _TRACES)
