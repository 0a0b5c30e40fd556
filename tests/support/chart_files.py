"""Writes the parts of the Helm chart that are made from other files: `make chart`."""

import json
import re
from collections.abc import Callable

import yaml

from .chart_values import CHART, schema, table

_MANIFESTS = CHART.parents[1]

#: Lines of the guard policies that depend on the release, and what the template has instead.
_RELEASE = (
    (r"^(    name: )registry-webhook$", r"\1{{ .Release.Namespace | quote }}"),
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


def readme() -> str:
    """Render README.md.gotmpl, with the templates of helm-docs that it uses."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    version, app_version = chart["version"], chart["appVersion"]
    parts = {
        "chart.header": f"# {chart['name']}",
        "chart.description": chart["description"],
        "chart.versionLine": f"Version {version}, with registry-webhook {app_version}",
        "chart.requirementsHeader": "## Requirements",
        "chart.kubeVersionLine": f"Kubernetes: `{chart['kubeVersion']}`",
        "chart.valuesHeader": "## Values",
        "chart.valuesTable": table(),
    }
    text = (CHART / "README.md.gotmpl").read_text()
    return re.sub(r'{{ template "([^"]+)" \. }}', lambda used: parts[used[1]], text)


def values_schema() -> str:
    """Return values.schema.json."""
    return f"{json.dumps(schema(), indent=2)}\n"


FILES: dict[str, Callable[[], str]] = {
    "README.md": readme,
    "templates/guard.yaml": guard,
    "values.schema.json": values_schema,
    "files/alerts.yaml": (_MANIFESTS / "monitoring/alerts.yaml").read_text,
    "files/dashboard.json": (_MANIFESTS / "monitoring/dashboard.json").read_text,
}

if __name__ == "__main__":
    for name, content in FILES.items():
        (CHART / name).write_text(content())
