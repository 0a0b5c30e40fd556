"""`registry-webhook serve`."""

import os
from pathlib import Path

import click

from webhook import log
from webhook.cli.options import AddressType, config_option, log_options
from webhook.config.listen_address import Address, listen
from webhook.config.watcher import ConfigWatcher
from webhook.server import supervisor
from webhook.server.client_ca import ClientCA
from webhook.server.reloader import KeyPairFiles, Reloader

_FOLDER = "/etc/registry-webhook/tls"


@click.command(
    "serve",
    epilog="""\b
Examples:
  registry-webhook serve --bind 127.0.0.1:8443 --health-bind 127.0.0.1:8080 \\
      --cert tls.crt --key tls.key --config config.yaml
  registry-webhook serve --bind :0        # any free port; the first lines say which
  registry-webhook serve --client-ca ca.crt --client-name kube-apiserver    # for this client alone
""",
)
@click.option("--bind", type=AddressType(), default=":8443", show_default=True, help="Where the API server calls, TLS.")
@click.option("--health-bind", type=AddressType(), default=":8080", show_default=True, help="Where probes ask, plain.")
@click.option(
    "--cert", type=click.Path(path_type=Path), default=f"{_FOLDER}/tls.crt", show_default=True, help="Certificate, PEM."
)
@click.option(
    "--key", type=click.Path(path_type=Path), default=f"{_FOLDER}/tls.key", show_default=True, help="Key, PEM."
)
@click.option(
    "--client-ca",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Authorities, PEM: on the TLS port only clients with a certificate that one of them signed are answered.",
)
@click.option(
    "--client-name",
    "client_names",
    metavar="NAME",
    multiple=True,
    help="With --client-ca, and only those with this common name or DNS name; can be given several times.",
)
@click.option(
    "--drain",
    metavar="SECONDS",
    type=click.FloatRange(0, 300),
    default=5.0,
    show_default=True,
    help="On SIGTERM, how long connections are still accepted: as long as it takes until nobody is sent here any more.",
)
@log_options
@config_option
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
    """Serve reviews over HTTPS, until SIGTERM.

    It is alive at once and ready when certificate and key are there, and the authorities of clients if they are asked
    for. These files and the configuration are read again when they change; what is broken is said and changes nothing.
    Nothing is written outside a temporary folder.
    """
    if client_names and client_ca is None:
        raise click.UsageError("--client-name says nothing without --client-ca: give the authorities as well")
    log.configure(log_level, log_format)
    configuration = ConfigWatcher(config, dict(os.environ))
    sockets = [listen(bind), listen(health_bind)]
    clients = ClientCA(client_ca, frozenset(client_names)) if client_ca is not None else None
    reloader = Reloader(configuration, KeyPairFiles(cert, key), clients)
    supervisor.serve(reloader, sockets, drain)
