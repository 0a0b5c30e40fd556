"""Generates docs/reference/configuration.md from the settings model."""

import msgspec

from webhook import __version__
from webhook.config import json_schema, schema
from webhook.config.schema import SettingKey

_HEAD = """\
# Configuration
The configuration is a YAML file and environment variables. A variable wins over the file. `--config FILE` or the
variable `REGISTRY_WEBHOOK_CONFIG` names the file. In a cluster it is the ConfigMap `registry-webhook`, from
`config.yaml`. Both processes and all commands read the same keys. An unknown key or an invalid value prevents startup,
and all errors are reported at once.

This page is generated from `webhook/settings.py`.

## Variables
The name of a variable is the path of its key in upper case, joined with two underscores. For example,
`webhook.log_level` is `WEBHOOK__LOG_LEVEL`. A list in a variable is JSON, or strings separated by commas.

`registry.*` is a shorter spelling of `opencti.daemon.registry.*`, as a key (`registry.server`) and as a variable
(`REGISTRY__SERVER`). Set each key in one of the two spellings. A key in both is an error.

## Changes at run time
Both processes read the file again when it changes. A new configuration is active as a whole within a second after the
file has changed. In a cluster, the kubelet updates a mounted ConfigMap first, which can take two minutes. No key of
the file needs a restart. Variables are read at startup, so a changed variable replaces the Pods. If a new file is
invalid, running processes keep the last valid configuration, and a restarted process does not become ready. The log and
`/readyz` report the error.

`registry-webhook config` shows the current value and the origin of each key, and `registry-webhook config --check`
reports errors. Both also read a ConfigMap, such as `kubectl kustomize my-cluster | registry-webhook config --check -`.

## Schema for editors
`registry-webhook config --schema` prints the [JSON Schema](config.schema.json) of the file (draft 7). An editor with
the YAML language server checks and completes a file that begins with this line:

```yaml
# yaml-language-server: $schema={URL}
```

That is the schema of the newest code. Each release has its own, which knows exactly the keys of that version:

```yaml
# yaml-language-server: $schema=https://github.com/OWNER/REPOSITORY/releases/download/v{VERSION}/config.schema.json
```

The schema has types, limits and names. `config --check` also checks the syntax of registries and patterns, and values
that depend on each other.
"""

_NOTES = """
## Cluster-wide mode
`webhook.namespaces.mode: all` changes the configuration only. The API server also has to send Pods of all namespaces,
and the guard has to allow the pull secrets. The component [cluster-wide](components.md#cluster-wide) changes all three.
`webhook.pod_opt_out: ignore` needs the component [pods-cannot-opt-out](components.md#pods-cannot-opt-out) in the same
way. Another `webhook.pull_secret.name` needs a [change of the ClusterRole](permissions.md#another-pull-secret-name).
"""

#: The headings, each with the paths or the beginnings of paths under it.
_TOPICS = {
    "Registry": ("opencti.daemon.registry.",),
    "Image rewriting": ("webhook.rules", "webhook.exclude"),
    "Namespaces and Pods": ("webhook.namespaces.", "webhook.pod_opt_out", "webhook.on_error"),
    "Pull secret": ("webhook.pull_secret.",),
    "Credential providers": ("webhook.credential.",),
    "Check of the credential": ("webhook.verify",),
    "Certificate": ("webhook.certificate.",),
    "Logging": ("webhook.log_",),
}


def page() -> str:
    """Return the page. Raises `KeyError` for a key that has no topic."""
    keys = list(schema.table().values())
    grouped = {topic: [key for key in keys if key.path.startswith(starts)] for topic, starts in _TOPICS.items()}
    left = {key.path for key in keys} - {key.path for found in grouped.values() for key in found}
    if left:
        raise KeyError(f"add to _TOPICS: {', '.join(sorted(left))}")
    sections = (f"\n## {topic}\n{''.join(map(_section, found))}" for topic, found in grouped.items())
    return _HEAD.replace("{URL}", json_schema.URL).replace("{VERSION}", __version__) + "".join(sections) + _NOTES


def _section(key: SettingKey) -> str:
    items = "".join(f"- `{name}`: {text}\n" for name, text in key.items.items())
    return f"""
### {key.path}
{key.description}

{items}- **Variable:** `{key.variable}`
- **Type:** {key.type_name}{f", {key.allowed}" if key.allowed else ""}
- **Default:** {_default(key)}
"""


def _default(key: SettingKey) -> str:
    if key.default is None or key.default == ():
        return "none"
    return f"`{key.default if isinstance(key.default, str) else msgspec.json.encode(key.default).decode()}`"
