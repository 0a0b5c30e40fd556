"""Generates docs/reference/alerts.md from the rules of manifests/monitoring."""

from typing import Any

from .markdown import table
from .monitoring_queries import alerts

_HEAD = """\
# Alerts
`manifests/monitoring/alerts.yaml` defines these alerts for the
[Prometheus operator](https://prometheus-operator.dev). [Monitoring](../how-to/monitoring.md) installs them. The
[metrics](metrics.md) page explains the metrics in their expressions.

This page is generated from `manifests/monitoring/alerts.yaml`.

"""


def page() -> str:
    """Return the page."""
    rows = [(f"[{name}](#{name.lower()})", rule["labels"]["severity"], _for(rule)) for name, rule in alerts().items()]
    return _HEAD + table(("Alert", "Severity", "Fires after"), rows) + "".join(map(_section, alerts().values()))


def _section(rule: dict[str, Any]) -> str:
    annotations = {name: _plain(text) for name, text in rule["annotations"].items()}
    facts = [
        f"**{'Runbook' if name == 'runbook_url' else name.capitalize()}:** {text}" for name, text in annotations.items()
    ]
    return (
        f"\n## {rule['alert']}\n"
        + "\n\n".join([f"**Severity:** {rule['labels']['severity']}", f"**Fires after:** {_for(rule)}", *facts])
        + f"\n\n```promql\n{rule['expr'].strip()}\n```\n"
    )


def _for(rule: dict[str, Any]) -> str:
    return str(rule.get("for", "at once"))


def _plain(text: str) -> str:
    """Return an annotation without line breaks, with templates in code style, unless a command contains them."""
    parts = " ".join(text.split()).split("`")
    parts[::2] = [part.replace("{{", "`{{").replace("}}", "}}`") for part in parts[::2]]
    return "`".join(parts)
