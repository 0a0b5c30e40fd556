"""`registry-webhook serve`."""

import os
from pathlib import Path

import click

from webhook import log
from webhook.adapters.configuration import WatchedConfiguration
from webhook.adapters.sockets import Address, listen
from webhook.commands.options import AddressType, config_option, log_level_option
from webhook.serving import gunicorn
from webhook.serving.in_force import PairFiles, Watch

_FOLDER = "/etc/registry-webhook/tls"


@click.command(
    "serve",
    epilog="""\b
Examples:
  registry-webhook serve --bind 127.0.0.1:8443 --health-bind 127.0.0.1:8080 \\
      --cert tls.crt --key tls.key --config config.yaml
  registry-webhook serve --bind :0        # any free port; the first lines say which
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
    "--drain",
    metavar="SECONDS",
    type=click.FloatRange(0, 300),
    default=5.0,
    show_default=True,
    help="On SIGTERM, how long connections are still accepted: as long as it takes until nobody is sent here any more.",
)
@log_level_option
@config_option
def command(
    bind: Address, health_bind: Address, cert: Path, key: Path, drain: float, log_level: str, config: Path | None
) -> None:
    """Serve reviews over HTTPS, until SIGTERM.

    It is alive at once and ready when certificate and key are there. They and the configuration are read again when
    they change; what is broken is said and changes nothing. Nothing is written outside a temporary folder.
    """
    log.configure(log_level.upper())
    configuration = WatchedConfiguration(config, dict(os.environ))
    sockets = [listen(bind), listen(health_bind)]
    watch = Watch(configuration, PairFiles(cert, key))
    gunicorn.serve(watch, sockets, drain)
