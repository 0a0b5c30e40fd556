"""`registry-webhook serve`."""

import os
from pathlib import Path

import click

from webhook import log
from webhook.cli.command import Command
from webhook.cli.option_types import AddressType, Number, PathType
from webhook.cli.options import log_options, watched_config_option
from webhook.config.listen_address import Address, listen
from webhook.config.watcher import ConfigWatcher
from webhook.server import supervisor
from webhook.server.client_ca import ClientCA
from webhook.server.reloader import KeyPairFiles, Reloader

_FOLDER = "/etc/registry-webhook/tls"


@click.command(
    "serve",
    cls=Command,
    epilog="""\b
Examples:
  registry-webhook serve --bind 127.0.0.1:8443 --health-bind 127.0.0.1:8080 \\
      --cert tls.crt --key tls.key --config config.yaml
  registry-webhook serve --bind :0 --health-bind :0 --cert tls.crt --key tls.key    # free ports, which are logged
  registry-webhook serve --client-ca ca.crt --client-name kube-apiserver            # mutual TLS
""",
)
@click.option("--bind", type=AddressType(), default=":8443", show_default=True, help="Address for reviews, over TLS.")
@click.option(
    "--health-bind",
    type=AddressType(),
    default=":8080",
    show_default=True,
    help="Address for probes and metrics.",
)
@click.option(
    "--cert",
    metavar="FILE",
    type=PathType(),
    default=f"{_FOLDER}/tls.crt",
    show_default=True,
    help="PEM file of the certificate.",
)
@click.option(
    "--key",
    metavar="FILE",
    type=PathType(),
    default=f"{_FOLDER}/tls.key",
    show_default=True,
    help="PEM file of the private key.",
)
@click.option(
    "--client-ca",
    metavar="FILE",
    type=PathType(),
    help="PEM file of client CAs; enables mutual TLS.",
)
@click.option(
    "--client-name",
    "client_names",
    metavar="NAME",
    multiple=True,
    help="Only accept client certificates with this common name or DNS name; can be repeated.",
)
@click.option(
    "--drain",
    type=Number("SECONDS", 0.0, 300.0),
    default=5.0,
    show_default=True,
    help="Seconds to keep accepting connections after SIGTERM, 0 to 300.",
)
@log_options
@watched_config_option
def command(
    bind: Address,
    health_bind: Address,
    cert: Path,
    key: Path,
    client_ca: Path | None,
    client_names: tuple[str, ...],
    drain: float,
    log_level: str | None,
    log_format: log.Format,
    config: Path | None,
) -> None:
    """Run the webhook server until SIGTERM.

    The server is ready when it has a certificate and key and, with --client-ca, client CAs. It reloads these files and
    the configuration when they change. Invalid files are logged and ignored. Nothing is written outside a temporary
    folder.
    """
    if client_names and client_ca is None:
        raise click.UsageError("--client-name requires --client-ca", click.get_current_context())
    log.configure(log_level, log_format)
    configuration = ConfigWatcher(config, dict(os.environ))
    sockets = [listen(bind), listen(health_bind)]
    clients = ClientCA(client_ca, frozenset(client_names)) if client_ca is not None else None
    reloader = Reloader(configuration, KeyPairFiles(cert, key), clients)
    supervisor.serve(reloader, sockets, drain)
