"""`registry-webhook serve`."""

import os
import re
from pathlib import Path

import click

from webhook import log
from webhook.commands.options import config_option
from webhook.serving import gunicorn
from webhook.serving.gunicorn import Address
from webhook.serving.in_force import Sources, Watch

_FOLDER = "/etc/registry-webhook/tls"


_ADDRESS = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9_.-]*)):(?P<port>[0-9]{1,5})")
_PORTS = 65536


class _AddressType(click.ParamType[Address]):
    name = "HOST:PORT"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Address:
        if isinstance(value, Address):
            return value
        found = _ADDRESS.fullmatch(str(value))
        if found is None or int(found["port"]) >= _PORTS:
            self.fail(f"{value!r} is no HOST:PORT such as 127.0.0.1:8443, [::1]:8443 or :8443", param, ctx)
        return Address(found["six"] or found["host"], int(found["port"]))


@click.command(
    "serve",
    epilog="""\b
Examples:
  registry-webhook serve --bind 127.0.0.1:8443 --health-bind 127.0.0.1:8080 \\
      --cert tls.crt --key tls.key --config config.yaml
  registry-webhook serve --bind :0        # any free port; the first lines say which
""",
)
@click.option(
    "--bind", type=_AddressType(), default=":8443", show_default=True, help="Where the API server calls, TLS."
)
@click.option("--health-bind", type=_AddressType(), default=":8080", show_default=True, help="Where probes ask, plain.")
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
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="From which level on lines are written.",
)
@config_option
def command(
    bind: Address, health_bind: Address, cert: Path, key: Path, drain: float, log_level: str, config: Path | None
) -> None:
    """Serve reviews over HTTPS, until SIGTERM.

    It is alive at once and ready when certificate and key are there. They and the configuration are read again when
    they change; what is broken is said and changes nothing. Nothing is written outside a temporary folder.
    """
    log.configure(log_level.upper())
    sockets = [gunicorn.listen(bind), gunicorn.listen(health_bind)]
    watch = Watch(Sources(config, cert, key, dict(os.environ)))
    gunicorn.serve(watch, sockets, drain)
