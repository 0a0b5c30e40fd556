"""`registry-webhook refresh`."""

import os
import signal
from pathlib import Path
from threading import Event
from types import FrameType

import click

from webhook import log
from webhook.cli.command import Command
from webhook.cli.option_types import AddressType, BadValue, PathType
from webhook.cli.options import cluster_options, log_options, watched_config_option
from webhook.config.listen_address import Address, listen
from webhook.config.watcher import ConfigWatcher
from webhook.kube import client
from webhook.kube.access import Access
from webhook.output import terminal
from webhook.refresher import one_shot
from webhook.refresher.app import RefresherApp
from webhook.refresher.certificates.keypair_dir import KeyPairDir
from webhook.refresher.runtime.metrics import Metrics


def _check_writable(ctx: click.Context, param: click.Parameter, folder: Path | None) -> Path | None:
    if folder is not None and not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
        raise BadValue("an existing folder that can be written to", folder, param, ctx)
    return folder


@click.command(
    "refresh",
    cls=Command,
    epilog="""\b
Examples:
  registry-webhook refresh --config config.yaml
  registry-webhook refresh --dry-run --config config.yaml    # show what would be written
  registry-webhook refresh --once --config config.yaml       # in a Job

Exit status: 0 after SIGTERM or, with --once or --dry-run, if the refresh succeeded, 1 if it did not, 2 after an error.
""",
)
@click.option(
    "--health-bind",
    type=AddressType(),
    default=":8081",
    show_default=True,
    help="Address for probes and metrics, plain HTTP.",
)
@click.option(
    "--tls-folder",
    metavar="FOLDER",
    type=PathType(),
    callback=_check_writable,
    help="Also create and renew the webhook's certificate: write tls.crt and tls.key into this folder, and the CA into "
    "caBundle of the webhook configuration.",
)
@click.option(
    "--tls-server",
    type=AddressType(),
    default="127.0.0.1:8443",
    show_default=True,
    help="Address at which the server of this Pod is asked for the certificate that it serves. Used with --tls-folder.",
)
@click.option("--once", is_flag=True, help="Refresh once and exit.")
@click.option("--dry-run", is_flag=True, help="Show what a refresh would write, with masked contents.")
@cluster_options
@log_options
@watched_config_option
def command(
    health_bind: Address,
    tls_folder: Path | None,
    tls_server: Address,
    once: bool,  # noqa: FBT001 - click passes it by name
    dry_run: bool,  # noqa: FBT001
    access: Access,
    log_level: str | None,
    log_format: log.Format,
    config: Path | None,
) -> int:
    """Keep the pull secret current in every opted-in namespace, until SIGTERM.

    The credential is read from its provider, checked with the registry, and published. One replica, the holder of a
    Lease, writes. Failures are retried without limit, and published credentials are kept in the meantime. The webhook
    configuration is owned by the Namespace of the installation, so that it is deleted with it.
    """
    # The result of a dry run has its problems: a log line would repeat them.
    log.configure(log_level or ("error" if dry_run else None), log_format)
    metrics = Metrics()
    # Before connecting, so that an invalid configuration is reported first.
    configuration = ConfigWatcher(config, dict(os.environ))
    connection = client.connect(access, metrics.count_request)
    served = KeyPairDir(tls_folder, tls_server) if tls_folder else None
    app = RefresherApp(configuration, connection, metrics, served)
    if dry_run:
        return one_shot.dry_run(app, lambda text: terminal.write_document(text, "yaml"))
    if once:
        return one_shot.run_once(app, terminal.write)
    stop = Event()

    def stop_on_signal(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, stop_on_signal)
    signal.signal(signal.SIGINT, stop_on_signal)
    app.run(stop, listen(health_bind))
    return 0
