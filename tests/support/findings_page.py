"""Writes docs/reference/findings.md: `make reference`."""

import sys

from webhook.output.finding_codes import Code

_HEAD = """\
# Finding codes
`doctor` and `explain` give each finding a code, which `-o json` and `-o yaml` show as `code`. A code keeps its meaning
from version to version, and the text next to it may change. Scripts should compare codes. This page is generated.

| code | meaning |
|---|---|
"""


def page() -> str:
    return _HEAD + "".join(f"| `{code}` | {code.meaning} |\n" for code in Code)


if __name__ == "__main__":
    sys.stdout.write(page())
