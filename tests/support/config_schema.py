"""Generates docs/reference/config.schema.json, which editors read, from the settings model."""

import json

from webhook.config import json_schema


def file() -> str:
    """Return the file, as `config --schema` prints it."""
    return f"{json.dumps(json_schema.document(), indent=2)}\n"
