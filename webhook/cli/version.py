"""`registry-webhook version`."""

import click

from webhook import build_info
from webhook.cli.command import Command, Misuse, is_given
from webhook.cli.option_types import Choice
from webhook.cli.options import installation_option, optional_cluster_options
from webhook.constants import PROGRAM
from webhook.kube.access import Access
from webhook.output import invocation, terminal
from webhook.output.table import Form


@click.command(
    "version",
    cls=Command,
    epilog="""\b
Examples:
  registry-webhook version
  registry-webhook version --cluster
  registry-webhook version --cluster --output json

Exit status: 0, 1 if versions do not work together, 2 if a version could not be read, or after an error.
""",
)
@click.option(
    "--output",
    "-o",
    type=Choice(["table", "json", "yaml"]),
    default="table",
    show_default=True,
    help="Output format.",
)
@installation_option
@optional_cluster_options
def command(access: Access, cluster: bool, installation_namespace: str | None, output: Form) -> int:  # noqa: FBT001
    """Print the version of this program, and with --cluster those of an installation.

    Versions that are at most one minor version apart work together.
    """
    if not cluster:
        if any(access) or (installation_namespace and is_given(click.get_current_context(), "installation_namespace")):
            again = invocation.command("version", "--cluster")
            raise Misuse("options for a cluster require --cluster", again)
        if output == "table":
            version, revision = build_info.current()
            known = "" if revision == "unknown" else f" (revision {revision})"
            terminal.write(f"{PROGRAM} {version}{known}")
            return 0
    from webhook.cli.cluster import EXIT_ERROR, EXIT_FOUND, EXIT_OK, connected_reader, show
    from webhook.diagnostics import versions

    if not cluster:
        show(versions.Versions(versions.command()), versions.lines, output)
        return EXIT_OK
    with connected_reader(access) as reader:
        found = versions.collect_versions(reader, installation_namespace)
    show(found, versions.lines, output)
    return EXIT_FOUND if not found.supported else EXIT_ERROR if found.has_unread else EXIT_OK
