"""`registry-webhook explain`."""

import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from webhook.cli import cluster
from webhook.cli.cluster import EXIT_ERROR, EXIT_FOUND, EXIT_OK
from webhook.cli.options import cluster_read_options, namespace_option
from webhook.config import files
from webhook.config.effective import EffectiveConfig
from webhook.constants import PROGRAM, InstallationNames
from webhook.diagnostics.explain.analysis import PodContext, as_written
from webhook.diagnostics.explain.verdict import Explanation, explain
from webhook.errors import InvalidManifest, RegistryWebhookError
from webhook.kube import client, installed_config, manifests
from webhook.kube import reader as kube_reader
from webhook.kube.objects import Namespace, Secret, WebhookConfiguration
from webhook.kube.pod_templates import Workload, workloads
from webhook.kube.reader import Reader
from webhook.kube.unknown import DryRunResult, Unknown
from webhook.output import table, terminal
from webhook.output.findings import Mark
from webhook.output.table import Form

_LIMIT = 64 * 1024 * 1024
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
    kubeconfig: Path | None,
    context: str | None,
) -> int:
    """Say why a Pod was rewritten or was not: every step in order, and first the one that decides."""
    if (pod is None) == (filename is None):
        raise click.UsageError("either pod/NAME or --filename FILE")
    planned = [] if filename is None else _workloads(filename)
    stored = [] if pod is None else [_name(pod)]
    here = namespace or client.current_namespace(kubeconfig, context)
    with cluster.connected_reader(kubeconfig, context) as reader:
        names = installed_config.find_installation(reader, installation_namespace)
        gathering = _Collector(reader, names, config, dry_run=dry_run)
        found = [gathering.of_stored(name, here) for name in stored]
        found += [gathering.of_planned(workload, here) for workload in planned]
    explained = [explain(one) for one in found]
    _show(explained, output)
    return max(_STATUS[one.mark] for one in explained)


def _name(text: str) -> str:
    kind, slash, name = text.rpartition("/")
    if slash and kind.lower() not in _POD:
        hint = f"kubectl get {shlex.quote(text)} -o yaml | {PROGRAM} explain -f -"
        raise click.UsageError(f"explain takes a Pod, not {text}; for the Pods that it creates: {hint}")
    return name


def _workloads(filename: str) -> list[Workload]:
    try:
        text = sys.stdin.buffer.read() if filename == "-" else files.read(Path(filename), _LIMIT)
        found = [workload for document in manifests.parse(text).values for workload in workloads(document)]
    except InvalidManifest as error:
        raise InvalidManifest(f"{filename}: {error}") from None
    if not found:
        raise InvalidManifest(f"{filename}: no Pod, and nothing that makes Pods")
    return found


class _Collector:
    """Reads what an explanation takes, the same things once."""

    def __init__(self, reader: Reader, names: InstallationNames, config: Path | None, *, dry_run: bool) -> None:
        self._reader = reader
        self._dry_run = dry_run
        self._names = names
        self._parts = installed_config.read_objects(reader, names)
        self._settings = cluster.effective_config(reader, config, names, self._parts)
        self._policy = self._settings.policy if isinstance(self._settings, EffectiveConfig) else None
        self._pull_secret = self._policy.pull_secret if self._policy else None
        self._configuration: WebhookConfiguration | Unknown | None = reader.get(
            kube_reader.WEBHOOKS, names.configuration
        )
        self._policies = reader.list(kube_reader.MUTATING_POLICIES)
        self._guards = reader.list(kube_reader.VALIDATING_POLICIES)
        labels = f"kubernetes.io/service-name={names.service}"
        self._endpoints = reader.list(kube_reader.ENDPOINT_SLICES, names.namespace, labels=labels)

    def of_stored(self, name: str, namespace: str) -> PodContext:
        """Read a Pod of the cluster."""
        found = self._reader.get(kube_reader.POD_MANIFESTS, name, namespace)
        if found is None or isinstance(found, Unknown):
            raise RegistryWebhookError(str(found or f"there is no Pod {namespace}/{name}"))
        # By its uid: one of the same name may have been there before.
        fields = f"involvedObject.kind=Pod,involvedObject.uid={found['metadata']['uid']}"
        events = self._reader.list(kube_reader.EVENTS, namespace, fields=fields)
        read = self._read(f"{namespace}/{name}", namespace, found)
        return read._replace(exists=True, events=events, dry_run=self._dry_run_result(found, namespace))

    def of_planned(self, workload: Workload, here: str) -> PodContext:
        """Read what there is around a Pod that a manifest is about."""
        namespace = workload.namespace or here
        metadata = workload.pod.get("metadata")
        manifest = {**workload.pod, "metadata": metadata if isinstance(metadata, dict) else {}}
        read = self._read(f"{namespace}/{workload.name}", namespace, manifest)
        return read._replace(dry_run=self._dry_run_result(manifest, namespace))

    def _read(self, subject: str, namespace: str, manifest: dict[str, Any]) -> PodContext:
        found = self._reader.get(kube_reader.NAMESPACES, namespace)
        labelled: Namespace | Unknown = Unknown(f"there is no namespace {namespace}") if found is None else found
        secret: Secret | Unknown | None = None
        if self._pull_secret is not None:
            secret = self._reader.get(kube_reader.SECRET_CONTENTS, self._pull_secret, namespace)
        return PodContext(
            subject=subject,
            namespace=namespace,
            manifest=manifest,
            exists=False,
            settings=self._settings,
            namespace_object=labelled,
            configuration=self._configuration,
            policies=self._policies,
            endpoints=self._endpoints,
            config_map=self._parts.config_map,
            secret=secret,
            events=(),
            dry_run=None,
            now=time.time(),
            guards=self._guards,
            names=self._names,
        )

    def _dry_run_result(self, pod: dict[str, Any], namespace: str) -> DryRunResult | Unknown | None:
        if not self._dry_run:
            return None
        return self._reader.dry_run_create(as_written(pod, self._policy), namespace)


def _show(explained: list[Explanation], output: Form) -> None:
    if output != "table":
        terminal.write_document(table.structured(explained, output), output)
        return
    for number, one in enumerate(explained):
        terminal.write_all(_lines(one, blank=number > 0))


def _lines(explanation: Explanation, *, blank: bool) -> Iterator[str]:
    screen = cluster.screen()
    if blank:
        yield ""
    yield from table.paragraph(str(explanation), screen)
    if explanation.hint:
        yield from table.paragraph(f"-> {explanation.hint}", screen)
    yield ""
    yield from table.findings(explanation.steps, screen)
