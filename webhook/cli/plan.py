"""`registry-webhook plan`."""

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import click
import msgspec

from webhook.cli import cluster
from webhook.cli.options import all_namespaces_option, cluster_read_options, load_options, namespace_option
from webhook.config import assemble
from webhook.constants import InstallationNames
from webhook.credentials.factory import create_provider
from webhook.diagnostics.namespaces import namespace_statuses, scopes
from webhook.diagnostics.plan import text
from webhook.diagnostics.plan.analysis import (
    GROUPS,
    ClusterState,
    ImageAnswer,
    ImageStatus,
    Plan,
    PlannedImage,
    Workload,
    namespaces,
    planned_images,
    with_statuses,
)
from webhook.errors import ClusterError, RegistryWebhookError
from webhook.images.prefix import canonical_host
from webhook.kube import client, installed_config
from webhook.kube.reader import Reader, Resource
from webhook.kube.unknown import Unknown
from webhook.output import progress, table, terminal
from webhook.output.table import Form
from webhook.pull_secret import keyring
from webhook.pull_secret.credential import Entry
from webhook.registry.image_lookup import ImageLookup
from webhook.settings import Configuration

#: Registries are asked for so many images at once, and no more after so many seconds.
_AT_ONCE = 8
_TIMEOUT = 120.0
_NOT_ASKED = (
    "not asked: there is no credential here for its server; set server, user name and password as for `refresh`, "
    "or --config FILE"
)


@click.command(
    "plan",
    epilog="""\b
Examples:
  registry-webhook plan --namespace team-a
  registry-webhook plan --all-namespaces --output json
  REGISTRY=OPENCTI__DAEMON__REGISTRY
  env ${REGISTRY}__SERVER=registry.example.com ${REGISTRY}__USERNAME=me ${REGISTRY}__PASSWORD=... \\
    registry-webhook plan -n team-a

\b
Exit status: 0 nothing stands against it, 1 an image is not in the registry or cannot be pulled, or the namespace
cannot be opted in, 2 it could not be done.
""",
)
@namespace_option
@all_namespaces_option
@click.option("--ask/--no-ask", default=True, help="Ask the registry for the images, if there is a credential for it.")
@cluster_read_options
def command(
    namespace: str | None,
    all_namespaces: bool,  # noqa: FBT001 - click passes it by name
    ask: bool,  # noqa: FBT001
    kubeconfig: Path | None,
    context: str | None,
    installation_namespace: str | None,
    config: Path | None,
    output: Form,
) -> int:
    """Show what opting a namespace in would change, before it is labelled.

    Which workloads, which of their images and into what, what brings it about, and which of these images the registry
    does not have. It is asked with the credential that --config FILE or the environment has, as `refresh` reads it.
    """
    with cluster.connected_reader(kubeconfig, context) as reader:
        names = installed_config.find_installation(reader, installation_namespace)
        configuration, origin = _configuration(reader, names, config)
        settings = assemble.settings(configuration, origin)
        only = None if all_namespaces else namespace or client.current_namespace(kubeconfig, context)
        found_standings, notes = namespace_statuses(reader, settings, only)
        workloads, unread = _workloads(reader, scopes(found_standings, whole=all_namespaces))
    found = namespaces(settings, ClusterState(found_standings, workloads))
    images = planned_images(found)
    entries, said = _credential(configuration) if ask else ((), "not asked: --no-ask")
    if entries:
        images = with_statuses(images, _check_images(images, configuration, entries))
    plan = Plan(settings.server, settings.origin, settings.hash, said, (*notes, *unread), found, images)
    if output == "table":
        terminal.write_all(text.lines(plan, cluster.screen()))
    else:
        terminal.write_document(table.structured(plan, output), output)
    return cluster.EXIT_FOUND if text.obstacles(plan, whole=all_namespaces) else cluster.EXIT_OK


def _configuration(reader: Reader, names: InstallationNames, config: Path | None) -> tuple[Configuration, str]:
    """Give what is decided by, with the credential that is told here: the installation's stays in the cluster."""
    own = load_options(config).configuration
    if config is not None:
        return assemble.placed(own, names), str(config)
    parts = installed_config.read_objects(reader, names)
    found = installed_config.load_or_unknown(parts)
    if isinstance(found, Unknown):
        raise ClusterError(str(found))
    return with_own_credential(found.configuration, own), parts.origin


def with_own_credential(theirs: Configuration, own: Configuration) -> Configuration:
    """Give the cluster's configuration with the credential of one's own, and one's own terms for sending it.

    A user name and password are for the server that they are configured with: whoever can write the cluster's
    ConfigMap must not be able to have them sent elsewhere. A docker config and a helper have one for each registry.
    """
    registry, credential = own.registry, own.webhook.credential
    login = {name: getattr(registry, name) for name in ("username", "password", "email")}
    if not _is_same_host(registry.server, theirs.registry.server):
        login = dict.fromkeys(login)
        credential = msgspec.structs.replace(credential, file=None, username_file=None)
    webhook = msgspec.structs.replace(
        theirs.webhook,
        credential=credential,
        verify_ca=own.webhook.verify_ca,
        verify_plain_http=own.webhook.verify_plain_http,
    )
    return msgspec.structs.replace(theirs, registry=msgspec.structs.replace(theirs.registry, **login), webhook=webhook)


def _is_same_host(one: str | None, other: str | None) -> bool:
    return one is not None and other is not None and canonical_host(one) == canonical_host(other)


def _workloads(reader: Reader, scopes: Sequence[str | None]) -> tuple[list[tuple[str, Workload]], list[str]]:
    """Read what makes Pods, and what of it could not be read."""
    workloads: list[tuple[str, Workload]] = []
    notes = []
    with progress.bar("Reading workloads") as told:
        for number, (kind, group) in enumerate(GROUPS.items(), 1):
            path = f"/apis/{group}/v1" if group else "/api/v1"
            for scope in scopes:
                listed = reader.list(Resource(f"{kind}s", path, f"{kind.lower()}s", Workload), scope)
                if isinstance(listed, Unknown):
                    notes.append(str(listed))
                else:
                    workloads += [(kind, one) for one in listed]
            if told is not None:
                told(number, len(GROUPS))
    return workloads, notes


def _credential(configuration: Configuration) -> tuple[tuple[Entry, ...], str]:
    """Give the credential's entries, and what is to be said of who is asked."""
    try:
        chosen = create_provider(configuration, environment=os.environ)
        if chosen is None:
            return (), _NOT_ASKED
        entries = chosen.read().credential.entries
    except RegistryWebhookError as error:
        return (), f"not asked: {error}"
    return entries, "asked with the credential that is configured here"


def _check_images(
    images: Iterable[PlannedImage], configuration: Configuration, entries: Sequence[Entry]
) -> Mapping[str, ImageAnswer]:
    """Ask the registries for images, some at once, each with the entry that kubelet would try first.

    Raises `FileError` where the registry's authorities cannot be read.
    """
    verify_ca = configuration.webhook.verify_ca
    registries = ImageLookup(
        ca_file=Path(verify_ca) if verify_ca else None,
        plain_http_on_loopback=configuration.webhook.verify_plain_http == "loopback",
        environment=os.environ,
    )
    until = time.monotonic() + _TIMEOUT
    answers = {}
    names = [one.image for one in images]
    with progress.bar("Asking the registry") as told, ThreadPoolExecutor(_AT_ONCE) as pool:
        asked = {
            pool.submit(_check_image, registries, entries, name, lambda: time.monotonic() < until): name
            for name in names
        }
        for number, done in enumerate(as_completed(asked), 1):
            answers[asked[done]] = done.result()
            if told is not None:
                told(number, len(names))
    return answers


def _check_image(
    registries: ImageLookup, entries: Sequence[Entry], image: str, is_time: Callable[[], bool]
) -> ImageAnswer:
    if not is_time():
        return ImageAnswer(ImageStatus.UNCLEAR, f"not asked: the {_TIMEOUT:g} s for all were over")
    first = next(iter(keyring.own(entries, image)), None)
    look = registries.check(image, *((first.username, first.password) if first else ()))
    return ImageAnswer(ImageStatus(look.status.value), look.detail)
