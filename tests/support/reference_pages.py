"""Writes the generated files of docs/reference: `make reference`."""

from collections.abc import Callable
from pathlib import Path

from . import (
    alerts_page,
    commands_page,
    components_page,
    config_schema,
    configuration_page,
    dashboard_page,
    events_page,
    findings_page,
    kubernetes_versions_page,
    metrics_page,
    permissions_page,
)

FOLDER = Path(__file__).parents[2] / "docs/reference"

PAGES: dict[str, Callable[[], str]] = {
    "alerts.md": alerts_page.page,
    "commands.md": commands_page.page,
    "components.md": components_page.page,
    "config.schema.json": config_schema.file,
    "configuration.md": configuration_page.page,
    "dashboard.md": dashboard_page.page,
    "events-and-logs.md": events_page.page,
    "findings.md": findings_page.page,
    "kubernetes-versions.md": kubernetes_versions_page.page,
    "metrics.md": metrics_page.page,
    "permissions.md": permissions_page.page,
}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page())
