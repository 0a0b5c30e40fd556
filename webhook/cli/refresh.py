"""`registry-webhook refresh`."""

import os
import signal
from pathlib import Path
from threading import Event
from types import FrameType

import click

from webhook import log
from webhook.cli.options import AddressType, cluster_options, config_option, log_options
from webhook.config.listen_address import Address, listen
from webhook.config.watcher import ConfigWatcher
from webhook.kube import client
from webhook.kube.access import Access
from webhook.output import terminal
from webhook.refresher import one_shot
from webhook.refresher.app import RefresherApp
from webhook.refresher.certificates.keypair_dir import KeyPairDir
from webhook.refresher.runtime.metrics import Metrics


@click.command(
    "refresh",
    epilog="""\b
Examples:
  registry-webhook refresh --config config.yaml
  registry-webhook refresh --dry-run --config config.yaml    # what would be written where; writes nothing
  registry-webhook refresh --once --config config.yaml       # for a Job: exit status 0 if all went well, else 1
""",
)
@click.option(
    "--health-bind",
    type=AddressType(),
    default=":8081",
    show_default=True,
    help="Where /healthz, /readyz and /metrics are answered, plain.",
)
@click.option(
    "--tls-folder",
    metavar="FOLDER",
    type=click.Path(path_type=Path, exists=True, file_okay=False, writable=True),
    help="Keep the webhook's certificate: made and renewed here, put into this folder as tls.crt and tls.key, its "
    "authority into the webhook configuration's caBundle. Without it the certificate comes from elsewhere.",
)
@click.option(
    "--tls-server",
    type=AddressType(),
    default="127.0.0.1:8443",
    show_default=True,
    help="Where this Pod's server is asked which certificate it serves.",
)
@click.option("--once", is_flag=True, help="Make one pass and exit: 0 if all went well, 1 if something did not.")
@click.option("--dry-run", is_flag=True, help="Say what one pass would write, contents masked, and write nothing.")
@cluster_options
@log_options
@config_option
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
    """Keep the pull secret current in every served namespace, until SIGTERM.

    The credential is read from its source, checked with the registry and published; one replica writes, by a Lease.
    What fails is tried again for as long as it takes, and what is published stays meanwhile. Our Namespace is made the
    webhook configuration's owner, so that this goes with it.
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
