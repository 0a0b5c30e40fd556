"""`registry-webhook report`."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from webhook.cli import cluster
from webhook.cli.options import all_namespaces_option, cluster_output_options
from webhook.diagnostics import namespaces
from webhook.diagnostics.drift import page, text
from webhook.diagnostics.drift.analysis import Observed, report
from webhook.diagnostics.running_pods import Pod
from webhook.errors import ClusterError
from webhook.kube import installed_config
from webhook.kube.objects import Owner
from webhook.kube.reader import JOBS, PODS, REPLICA_SETS, REPLICATION_CONTROLLERS, Reader, Resource
from webhook.kube.unknown import Unknown
from webhook.output import table, terminal

#: Pods, with only what is needed: all of a cluster's are held at once.
_RUNNING = Resource(PODS.display_name, PODS.group, PODS.plural, Pod)
_FORMS = ("table", "json", "yaml", "html")


@click.command(
    "report",
    epilog="""\b
Examples:
  registry-webhook report
  registry-webhook report --namespace team-a --output yaml
  registry-webhook report --all-namespaces --output html > report.html    # one page, fit to send
  registry-webhook report --fail-on drift                                 # for a pipeline

\b
Exit status: 0 whatever was found, 1 with --fail-on drift if something was, 2 it could not be done.
""",
)
@click.option("--namespace", "-n", metavar="NAME", help="One namespace. Without it all that are served.")
@all_namespaces_option
@click.option("--fail-on", type=click.Choice(["drift"]), help="Exit with 1 if a Pod has drifted.")
@cluster_output_options(*_FORMS)
def command(
    namespace: str | None,
    all_namespaces: bool,  # noqa: FBT001 - click passes it by name
    fail_on: str | None,
    kubeconfig: Path | None,
    context: str | None,
    installation_namespace: str | None,
    config: Path | None,
    output: str,
) -> int:
    """Compare every running Pod with what the webhook would make of it now.

    Images that would be rewritten, Pods that lack the pull secret, and those that were made while the webhook was away:
    by namespace and owner, with totals. With --all-namespaces also what is in namespaces that are not served.
    """
    with cluster.connected_reader(kubeconfig, context) as reader:
        names = installed_config.find_installation(reader, installation_namespace)
        settings = cluster.effective_config(reader, config, names)
        if isinstance(settings, Unknown):
            raise ClusterError(str(settings))
        standings, notes = namespaces.namespace_statuses(reader, settings, namespace)
        if namespace is None and not all_namespaces:
            standings = {name: found for name, found in standings.items() if found.selected}
        scopes = namespaces.scopes(standings, whole=all_namespaces)
        pods = namespaces.list_all(reader, _RUNNING, scopes)
        parents, unread = _parents(reader, scopes)
        rewriting = namespaces.find_rewriter(reader, names, settings, standings)
        observed = Observed(pods, standings, parents, rewriting, (*notes, *unread))
    found = report(settings, observed)
    match output:
        case "html":
            click.echo(page.page(found, context or "", datetime.now(UTC)), nl=False)
        case "json" | "yaml":
            terminal.write_document(table.structured(found, output), output)
        case _:
            terminal.write_all(text.lines(found, cluster.screen()))
    return cluster.EXIT_FOUND if fail_on == "drift" and found.totals.drifted else cluster.EXIT_OK


def _parents(reader: Reader, scopes: Sequence[str | None]) -> tuple[dict[str, Owner], list[str]]:
    """Give the controllers of what controls Pods and is controlled itself, by uid, and what could not be read."""
    parents: dict[str, Owner] = {}
    notes = []
    for kind, above in (
        (REPLICA_SETS, "Deployment"),
        (REPLICATION_CONTROLLERS, "DeploymentConfig"),
        (JOBS, "CronJob"),
    ):
        for scope in scopes:
            every = reader.list(kind, scope)
            if isinstance(every, Unknown):
                notes.append(f"{every}: what a {above} runs stands under its {kind.display_name}")
                break
            for one in every:
                owner = next((owner for owner in one.metadata.owner_references if owner.controller), None)
                if owner is not None:
                    parents[one.metadata.uid] = owner
    return parents, notes
