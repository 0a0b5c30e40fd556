"""The GitHub workflows of the checkout."""

from pathlib import Path
from typing import Any

import yaml

WORKFLOWS = sorted((Path(__file__).parents[2] / ".github" / "workflows").glob("*.yml"))


def parsed() -> dict[str, dict[str, Any]]:
    """Return the workflows by the names of their files."""
    return {path.stem: yaml.safe_load(path.read_text()) for path in WORKFLOWS}


def jobs() -> dict[str, dict[str, Any]]:
    """Return the jobs by workflow and name: `release/build`."""
    return {f"{stem}/{name}": job for stem, workflow in parsed().items() for name, job in workflow["jobs"].items()}


def steps() -> list[dict[str, Any]]:
    return [step for job in jobs().values() for step in job["steps"]]
