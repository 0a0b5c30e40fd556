"""Generates docs/reference/findings.md: a heading for each code, so that a hint can link to it."""

from itertools import groupby

from webhook.output.finding_codes import Code

_HEAD = """\
# Finding codes
`doctor` and `explain` give each finding a code. The option `-o json` or `-o yaml` shows it as `code`. A code keeps its
meaning from version to version, and the text next to it may change. Compare codes in scripts. Each code has an anchor
on this page, such as `#rw-pull-refused`. [Troubleshoot](../how-to/troubleshoot.md) starts from symptoms and error
messages.

This page is generated from `webhook/output/finding_codes.py`.
"""

#: Headings of the areas. A code is `RW-<AREA>-<RESULT>`.
AREAS = {
    "INSTALL": "Installation",
    "KUBERNETES": "Kubernetes",
    "CONFIG": "Configuration",
    "POLICY": "Generated admission policies",
    "WEBHOOK": "Webhook configuration",
    "SELECT": "Selection of namespaces and Pods",
    "DEPLOY": "Deployment",
    "VERSION": "Versions",
    "ENDPOINTS": "Endpoints",
    "LEASE": "Leader election",
    "CABUNDLE": "CA bundle",
    "CERT": "Serving certificate",
    "RBAC": "Permissions",
    "GUARD": "Guard policies",
    "CREDENTIAL": "Registry credential",
    "SIDECAR": "Refresher",
    "SECRET": "Pull secret",
    "PULL": "Image pull",
    "DRYRUN": "Dry run",
    "NAMESPACE": "Namespace",
    "POD": "Pod",
    "IMAGE": "Image",
}


def page() -> str:
    """Return the page."""
    return _HEAD + "".join(
        f"\n## {AREAS[area]}\n" + "".join(f"\n### {code}\n{code.meaning}\n" for code in codes)
        for area, codes in groupby(Code, lambda code: code.split("-")[1])
    )
