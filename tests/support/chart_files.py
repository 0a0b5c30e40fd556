"""Writes the parts of the Helm chart that are made from other files: `make chart`."""

import re
from collections.abc import Callable
from pathlib import Path

from . import values_schema

_MANIFESTS = Path(__file__).parents[2] / "manifests"
CHART = _MANIFESTS / "helm/registry-webhook"

#: Lines of the guard policies that depend on the release, and what the template has instead.
_RELEASE = (
    (r"^(    name: )registry-webhook$", r"\1{{ .Release.Namespace }}"),
    (
        r"^(\s+(?:policyName|name): )(registry-webhook-[a-z]+)$",
        r'\1{{ include "registry-webhook.object" (list . "\2") }}',
    ),
    (
        r"^  labels:\n    app\.kubernetes\.io/name: registry-webhook$",
        r'  {{- include "registry-webhook.marks" . | nindent 2 }}',
    ),
    (
        r"^(    - name: selected)\n      expression: .*$",
        r'\1\n      {{- include "registry-webhook.selected" . | nindent 6 }}',
    ),
)


def guard() -> str:
    """Return the template of the guard policies, which follow the names of the release."""
    text = (_MANIFESTS / "base/20-guard.yaml").read_text()
    if "{{" in text:
        raise ValueError("20-guard.yaml has braces, which Helm would read as an action")
    for pattern, replacement in _RELEASE:
        text, count = re.subn(pattern, replacement, text, flags=re.MULTILINE)
        if not count:
            raise ValueError(f"20-guard.yaml has nothing like {pattern}")
    return f"{{{{- /* Generated from manifests/base/20-guard.yaml by `make chart`. */}}}}\n{text}"


FILES: dict[str, Callable[[], str]] = {
    "values.schema.json": lambda: values_schema.file(CHART / "values.yaml"),
    "templates/guard.yaml": guard,
    "files/alerts.yaml": (_MANIFESTS / "monitoring/alerts.yaml").read_text,
    "files/dashboard.json": (_MANIFESTS / "monitoring/dashboard.json").read_text,
}

if __name__ == "__main__":
    for name, content in FILES.items():
        (CHART / name).write_text(content())
