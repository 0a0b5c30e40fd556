"""Generates docs/reference/permissions.md from the roles and guard policies in the manifests and their comments."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from .manifest_variants import BASE, CHECKOUT, MANIFESTS
from .markdown import table

_HEAD = """\
# Permissions
The container `webhook` has no ServiceAccount token. The container `refresher` uses the ServiceAccount
`registry-webhook`. RBAC grants its permissions, and admission policies limit what RBAC cannot express. The
[threat model](../explanation/threat-model.md) has the reasons.

The API server requires the right field selector for a list or watch that RBAC limits to a name. The refresher lists and
watches metadata only.

This page is generated from the roles and policies in `manifests` and `certs`, and from their comments.
"""

_ANOTHER_NAME = """
## Another pull secret name
`webhook.pull_secret.name` must be the name that the ClusterRole grants. Change both:

```yaml
patches:
  - target:
      kind: ClusterRole
      name: registry-webhook
    patch: |-
      - op: test
        path: /rules/2/resourceNames
        value: [registry-webhook-pull]
      - op: replace
        path: /rules/2/resourceNames
        value: [my-pull]
```
"""

_RBAC = {"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"}
#: Files with roles and policies.
_FILES = sorted([*BASE.glob("[0-9]*.yaml"), *CHECKOUT.glob("certs/*/[0-9]*.yaml")])
#: Files of components, which may have roles.
_COMPONENTS = sorted(MANIFESTS.glob("components/*/*.yaml"))


class _Object(NamedTuple):
    path: Path
    manifest: dict[str, Any]
    comment: str
    rules: list[str]
    """The comment above each rule of a role, empty if it has none."""


def page() -> str:
    """Return the page."""
    objects = [found for path in _FILES for found in _objects(path)]
    optional = [found for path in _COMPONENTS for found in _objects(path)]
    rbac = [found for found in (*objects, *optional) if found.manifest.get("kind") in _RBAC]
    roles = [(role, binding) for role, binding in pairwise(rbac) if "rules" in role.manifest]
    policies = [found for found in objects if found.manifest.get("kind") == "ValidatingAdmissionPolicy"]
    return (
        _HEAD
        + "\n## Roles\n"
        + "".join(_role(role, binding.manifest) for role, binding in roles)
        + "\n## Guard policies\nEach message below is the API server's response to a request that the policy denies.\n"
        + "".join(map(_policy, policies))
        + _ANOTHER_NAME
    )


def _objects(path: Path) -> Iterator[_Object]:
    text = path.read_text()
    lines = text.splitlines()
    for node in yaml.compose_all(text):
        manifest = yaml.safe_load(yaml.serialize(node))
        if not isinstance(manifest, dict):
            continue
        rules = [
            _above(lines, rule.start_mark.line)
            for key, value in node.value
            if key.value == "rules"
            for rule in value.value
        ]
        yield _Object(path, manifest, _above(lines, node.start_mark.line), rules)


def _above(lines: list[str], number: int) -> str:
    """Return the comment that ends above a line, as one paragraph."""
    comment: list[str] = []
    while number and lines[number - 1].lstrip().startswith("#"):
        number -= 1
        comment.insert(0, lines[number].lstrip(" #"))
    return " ".join(" ".join(comment).split())


def _role(role: _Object, binding: dict[str, Any]) -> str:
    """Return the section of a role, which is granted by the object after it."""
    subjects = " and ".join(f"{subject['kind']} `{subject['name']}`" for subject in binding["subjects"])
    manifest = role.manifest
    namespace = manifest["metadata"].get("namespace")
    # The comment of a role with a single rule is its purpose.
    columns = 4 if any(role.rules) else 3
    rows = (
        (
            ", ".join(f"`{verb}`" for verb in rule["verbs"]),
            ", ".join(f"`{resource}`" for resource in _resources(rule)),
            ", ".join(f"`{name}`" for name in rule.get("resourceNames", ())) or "all",
            why or "see above",
        )[:columns]
        for rule, why in zip(manifest.get("rules") or (), role.rules, strict=True)
    )
    where = f"in the namespace `{namespace}`" if namespace else "in the whole cluster"
    return (
        f"\n### {manifest['kind']} {manifest['metadata']['name']}\n"
        f"{role.comment}\n\nGranted to the {subjects} {where}, by `{role.path.relative_to(CHECKOUT)}`.\n\n"
        f"{table(('Verbs', 'Resources', 'Names', 'Purpose')[:columns], rows)}"
    )


def _resources(rule: dict[str, Any]) -> list[str]:
    groups = [group for group in rule["apiGroups"] if group]
    return [".".join([resource, *groups]) for resource in rule["resources"]]


def _policy(policy: _Object) -> str:
    spec = policy.manifest["spec"]
    matched = [
        f"{', '.join(rule['operations'])} of {', '.join(_resources(rule))}"
        for rule in spec["matchConstraints"]["resourceRules"]
    ]
    messages = "".join(f"- {' '.join(rule['message'].split())}\n" for rule in spec["validations"])
    return (
        f"\n### {policy.manifest['metadata']['name']}\n{policy.comment}\n\n"
        f"Checked requests: {'; '.join(matched)}.\n\n{messages}"
    ).replace("\n\n\n", "\n\n")
