"""Checks for metrics in the Prometheus text format.

`promtool check metrics`, from Debian's package `prometheus`, is used if installed. Most of its rules are repeated here:
https://prometheus.io/docs/practices/naming/ and https://prometheus.io/docs/instrumenting/exposition_formats/.
"""

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

NO_PROMTOOL = "promtool is not on PATH: it is in Debian's package prometheus"

_NAME = re.compile(r"[a-z]+(?:_[a-z0-9]+)*")
#: Units, and the base units to use instead.
_OTHER_UNITS = re.compile(
    r"_(?:milliseconds|microseconds|minutes|hours|days|kilobytes|mebibytes|ms|us|secs?|kb|mb)(?:_|$)"
)


def promtool() -> str | None:
    """The path of promtool, if installed."""
    return shutil.which("promtool")


def families(text: str) -> list[Metric]:
    """The parsed metrics."""
    return list(text_string_to_metric_families(text))


def names(text: str) -> set[str]:
    """Name every series as in a query."""
    return {sample.name for family in families(text) for sample in family.samples}


def faults(text: str) -> list[str]:
    """Return all errors."""
    found = list(_of_lines(text))
    for family in families(text):
        found += _of_family(family)
    tool = promtool()
    if tool is not None:
        done = subprocess.run([tool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
        found += (done.stdout + done.stderr).splitlines() + ([] if done.returncode == 0 else ["promtool fails"])
    return found


def _of_lines(text: str) -> Iterator[str]:
    said = Counter(line.rpartition(" ")[0] for line in text.splitlines() if line and not line.startswith("#"))
    yield from (f"{series}: twice" for series, times in said.items() if times > 1)
    helped = Counter(line.split()[2] for line in text.splitlines() if line.startswith("# HELP"))
    yield from (f"{name}: explained twice" for name, times in helped.items() if times > 1)
    # The parser adds the suffix to every counter.
    counters = [
        line.split()[2] for line in text.splitlines() if line.startswith("# TYPE") and line.endswith(" counter")
    ]
    yield from (f"{name}: a counter ends with _total" for name in counters if not name.endswith("_total"))
    if not text.endswith("\n"):
        yield "the last line is not ended"


def _of_family(family: Metric) -> Iterator[str]:
    name = family.name
    if not _NAME.fullmatch(name):
        yield f"{name}: not in small letters with single underscores"
    if not family.documentation:
        yield f"{name}: without words"
    if _OTHER_UNITS.search(name):
        yield f"{name}: not in a base unit"
    if family.type == "unknown":
        yield f"{name}: without a type"
    if family.type == "gauge" and name.endswith(("_total", "_count", "_sum", "_bucket")):
        yield f"{name}: a gauge that is called as what is counted"
    if family.type == "histogram" and not {"le"} <= set().union(*(sample.labels for sample in family.samples)):
        yield f"{name}: a histogram without buckets"
