"""`registry-webhook explain`."""

import shlex
from collections.abc import Sequence
from pathlib import Path

import click

from webhook.cli import cluster
from webhook.cli.cluster import EXIT_ERROR, EXIT_FOUND, EXIT_OK
from webhook.cli.options import cluster_read_options, namespace_option, read_input
from webhook.constants import PROGRAM
from webhook.diagnostics.explain import text
from webhook.diagnostics.explain.collect import Collector
from webhook.diagnostics.explain.verdict import explain
from webhook.errors import InvalidManifest
from webhook.kube import client, installed_config, manifests
from webhook.kube.access import Access
from webhook.kube.partial import attempt
from webhook.kube.pod_templates import Workload, workloads
from webhook.output.findings import Mark
from webhook.output.table import Form

_STATUS = {Mark.OK: EXIT_OK, Mark.FAIL: EXIT_FOUND, Mark.UNKNOWN: EXIT_ERROR}
_POD = frozenset({"pod", "pods", "po"})


@click.command(
    "explain",
    epilog="""\b
Examples:
  registry-webhook explain pod/web-1 -n team-a
  registry-webhook explain pod/web-1 -n team-a --dry-run          # and has the API server try it
  kubectl get deployment web -o yaml | registry-webhook explain -f -
  kubectl registry-webhook explain pod/web-1                      # as a plugin

\b
Exit status: 0 it is rewritten and nothing stands in the way of its pull, 1 it is not or something does, 2 it cannot be
told.
""",
)
@click.argument("pod", metavar="[pod/NAME]", required=False)
@click.option(
    "--filename",
    "-f",
    metavar="FILE",
    help="A manifest instead, of Pods or of what makes Pods: what would become of them. `-` reads standard input.",
)
@click.option("--dry-run", is_flag=True, help="Have the API server try it too, without storing anything.")
@namespace_option
@cluster_read_options
def command(
    pod: str | None,
    filename: str | None,
    dry_run: bool,  # noqa: FBT001
    namespace: str | None,
    output: Form,
    config: Path | None,
    installation_namespace: str | None,
    access: Access,
) -> int:
    """Say why a Pod was rewritten or was not: every step in order, and first the one that decides."""
    if (pod is None) == (filename is None):
        raise click.UsageError("either pod/NAME or --filename FILE")
    subjects: Sequence[str | Workload] = [_name(pod)] if pod is not None else _workloads(str(filename))
    namespace = namespace or client.current_namespace(access)
    with cluster.connected_reader(access) as reader:
        names = installed_config.find_installation(reader, installation_namespace)
        objects = installed_config.read_objects(reader, names)
        settings = attempt(cluster.effective_config, reader, config, names, objects)
        collector = Collector(reader, objects, settings, dry_run=dry_run)
        contexts = [collector.collect(subject, namespace) for subject in subjects]
    explanations = [explain(one) for one in contexts]
    cluster.show(explanations, text.lines, output)
    return max(_STATUS[one.mark] for one in explanations)


def _name(pod: str) -> str:
    kind, slash, name = pod.rpartition("/")
    if slash and kind.lower() not in _POD:
        hint = f"kubectl get {shlex.quote(pod)} -o yaml | {PROGRAM} explain -f -"
        raise click.UsageError(f"explain takes a Pod, not {pod}; for the Pods that it creates: {hint}")
    return name


def _workloads(filename: str) -> list[Workload]:
    try:
        content = read_input(filename)
        found = [workload for document in manifests.parse(content).values for workload in workloads(document)]
    except InvalidManifest as error:
        raise InvalidManifest(f"{filename}: {error}") from None
    if not found:
        raise InvalidManifest(f"{filename}: no Pod, and nothing that makes Pods")
    return found
