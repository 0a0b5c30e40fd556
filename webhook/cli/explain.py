"""`registry-webhook explain`."""

import functools
from pathlib import Path

import click

from webhook.cli import cluster
from webhook.cli.cluster import EXIT_ERROR, EXIT_FOUND, EXIT_OK
from webhook.cli.command import Command, Misuse
from webhook.cli.options import cluster_read_options, namespace_option, read_input
from webhook.config import files
from webhook.diagnostics.explain import subjects, text
from webhook.diagnostics.explain.collect import Collector
from webhook.diagnostics.explain.verdict import distinct, explain
from webhook.errors import InvalidManifest
from webhook.kube import client, installed_config
from webhook.kube.access import Access
from webhook.kube.partial import attempt
from webhook.kube.pod_templates import READ_KINDS, Workload, workloads
from webhook.output.findings import Mark
from webhook.output.table import Form

_STATUS = {Mark.OK: EXIT_OK, Mark.FAIL: EXIT_FOUND, Mark.UNKNOWN: EXIT_ERROR}


@click.command(
    "explain",
    cls=Command,
    epilog="""\b
Examples:
  registry-webhook explain pod/web-1 -n team-a
  registry-webhook explain deployment/web -n team-a --verbose
  registry-webhook explain pod/web-1 -n team-a --dry-run
  kubectl get deployment web -o yaml | registry-webhook explain -f -

Exit status: 0 if the Pod is rewritten or does not need it, and no problem was found, 1 otherwise, 2 if this is not
known or the command failed.
""",
)
@click.argument("objects", metavar="[KIND/NAME | KIND NAME]...", nargs=-1)
@click.option(
    "--filename",
    "-f",
    metavar="FILE",
    help="Explain the Pods and workloads in a manifest instead of running ones; - reads standard input.",
)
@click.option("--dry-run", is_flag=True, help="Also create a copy of the Pod as a dry run, which stores nothing.")
@click.option("--verbose", "-v", is_flag=True, help="Also show the checks that passed.")
@namespace_option
@cluster_read_options
def command(
    objects: tuple[str, ...],
    filename: str | None,
    dry_run: bool,  # noqa: FBT001 - click passes it by name
    verbose: bool,  # noqa: FBT001
    namespace: str | None,
    output: Form,
    config: Path | None,
    installation_namespace: str | None,
    access: Access,
) -> int:
    """Explain why a Pod was or was not rewritten, and how to fix it.

    Takes Pods and workloads that create Pods. For a workload, its template and its newest Pod are explained. The
    checks of the API server, the webhook and the kubelet are repeated, and the deciding one is shown first.
    """
    if objects and filename is not None:
        raise Misuse(f"--filename cannot be used with {objects[0]}", "use one of them")
    if not objects and filename is None:
        raise click.UsageError("expected KIND/NAME or --filename FILE", click.get_current_context())
    named = subjects.parse(objects) if objects else []
    planned = _workloads(filename) if filename is not None else []
    namespace = namespace or client.current_namespace(access)
    with cluster.connected_reader(access) as reader:
        names = installed_config.find_installation(reader, installation_namespace)
        installed = installed_config.read_objects(reader, names)
        settings = attempt(cluster.effective_config, reader, config, names, installed)
        collector = Collector(reader, installed, settings, dry_run=dry_run)
        contexts = [context for subject in named for context in collector.collect(subject, namespace)]
        contexts += [collector.plan(workload, namespace) for workload in planned]
    explanations = distinct(map(explain, contexts))
    cluster.show(explanations, functools.partial(text.lines, verbose=verbose), output)
    return max(_STATUS[one.mark] for one in explanations)


def _workloads(filename: str) -> list[Workload]:
    from webhook.kube import manifests

    shown = files.STANDARD_INPUT if filename == "-" else filename
    try:
        content = read_input(filename)
        found = [workload for document in manifests.parse(content).values for workload in workloads(document)]
    except InvalidManifest as error:
        raise error.in_file(shown) from None
    if not found:
        raise InvalidManifest("no Pods or workloads found", where=shown, hint=READ_KINDS)
    return found
