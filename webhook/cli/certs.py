"""`registry-webhook certs`."""

import shlex
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import click

from webhook.cli.options import default_installation_option, together
from webhook.config import files
from webhook.constants import PROGRAM, SERVICE_VARIABLE, InstallationNames
from webhook.errors import CertificateError, FileError
from webhook.pki import ca, issue
from webhook.pki.ca import KeyPair

_CA_FILES = ("ca.crt", "ca.key")
_KEYS = frozenset({"ca.key", "tls.key", "client.key"})
#: A century, whose end every client can parse.
_MAX_DAYS = 36_500
#: The Secret that the webhook's container mounts, and the ConfigMap with the CA of its clients.
_SECRET = f"{PROGRAM}-tls"
_CLIENTS = f"{PROGRAM}-clients"
#: The name in the certificate of API servers.
_API_SERVER = ("kube-apiserver",)


class _Kind(NamedTuple):
    """The use of a certificate and key."""

    files: tuple[str, str]
    is_client: bool


_SERVING = _Kind(("tls.crt", "tls.key"), is_client=False)
_CLIENT = _Kind(("client.crt", "client.key"), is_client=True)


class _Options(NamedTuple):
    """The options of both commands."""

    folder: Path
    days: int
    ca_days: int
    force: bool
    installation_namespace: str


_options = together(
    default_installation_option,
    click.option(
        "--out",
        "folder",
        metavar="FOLDER",
        type=click.Path(path_type=Path),
        default=".",
        help="Where the files are written; made if it is missing. By default the current folder.",
    ),
    click.option(
        "--days",
        type=click.IntRange(1, _MAX_DAYS),
        default=365,
        show_default=True,
        help="How long the pair is good for.",
    ),
    click.option(
        "--ca-days",
        type=click.IntRange(1, _MAX_DAYS),
        default=3650,
        show_default=True,
        help="How long a new authority is good for.",
    ),
    click.option("--force", is_flag=True, help="Replace the pair if it is there. The authority always stays."),
)


@click.group(
    "certs",
    epilog="""\b
Examples:
  registry-webhook certs create --out pki        # and then what it prints
  registry-webhook certs client --out clients    # likewise
""",
)
def command() -> None:
    """Make certificates by hand: the webhook's, where neither the sidecar nor cert-manager does, and its clients'."""


@command.command(
    short_help="Make an authority and a serving pair.",
    epilog="""\b
Examples:
  registry-webhook certs create --out pki                               # an authority, and a pair that it signs
  registry-webhook certs create --out pki --force                       # the next pair, by the same authority
  registry-webhook certs create --out pki --name webhook.example.com    # for a webhook that is called by its url
""",
)
@click.option(
    "--name",
    "more",
    metavar="NAME",
    multiple=True,
    help="A DNS name or an IP address beside the Service's names; can be given several times.",
)
@click.option(
    "--service",
    metavar="NAME",
    envvar=SERVICE_VARIABLE,
    default=PROGRAM,
    show_default=True,
    help="The webhook's Service, which has the webhook configuration's name.",
)
@_options
def create(more: tuple[str, ...], service: str, **given: Any) -> None:
    """Make an authority and a serving pair that it signs (ECDSA P-256), and say what goes where.

    They are ca.crt, ca.key, tls.crt and tls.key. With an authority in the folder the pair is signed by that one: so it
    is renewed.
    """
    options = _Options(**given)
    installation = InstallationNames(namespace=options.installation_namespace, service=service, configuration=service)
    names = issue.names(more, installation.hosts)
    _create(options, _SERVING, names, partial(_next_steps, installation))


@command.command(
    short_help="Make an authority and a pair for API servers.",
    epilog="""\b
Examples:
  registry-webhook certs client --out pki            # an authority, and a pair that it signs
  registry-webhook certs client --out pki --force    # the next pair, by the same authority
""",
)
@_options
def client(**given: Any) -> None:
    """Make an authority and the pair by which API servers are known (serve --client-ca), and say what goes where.

    They are ca.crt, ca.key, client.crt and client.key (ECDSA P-256). With an authority in the folder the pair is signed
    by that one: so it is renewed.
    """
    options = _Options(**given)
    _create(options, _CLIENT, _API_SERVER, partial(_next_steps_of_client, options.installation_namespace))


def _create(options: _Options, kind: _Kind, names: tuple[str, ...], next_steps: Callable[..., Iterator[str]]) -> None:
    """Create a certificate and key, and a CA if there is none, and print the files and the next steps."""
    folder = options.folder
    known = _existing_ca(folder)
    if not options.force and (there := [name for name in kind.files if (folder / name).exists()]):
        raise FileError(f"{folder / there[0]}: it is there already: replace the pair with --force")
    if known is None and options.days > options.ca_days:
        raise CertificateError(
            f"the pair would outlive the authority: {options.days} days are more than --ca-days {options.ca_days}"
        )
    now = datetime.now(UTC).replace(microsecond=0)
    issuer = known or ca.create_ca(ca.CA_NAME, now, timedelta(days=options.ca_days))
    try:
        pair = issue.sign(issuer, names, now, timedelta(days=options.days), is_client=kind.is_client)
    except CertificateError as error:
        raise CertificateError(f"{folder / _CA_FILES[0]}: {error}") from None
    contents = dict(zip(kind.files, pair, strict=True))
    if known is None:
        contents |= dict(zip(_CA_FILES, issuer, strict=True))
    files.write_all(folder, contents, _KEYS)
    origin = "a new authority" if known is None else "the authority that was there"
    click.echo(f"{_paths(folder, _CA_FILES)}: {origin}, {_until(issuer)}")
    click.echo(f"{_paths(folder, kind.files)}: a new pair that it signed, {_until(pair)}, for")
    for line in (*(f"  {name}" for name in names), *next_steps(folder, new=known is None)):
        click.echo(line)


def _existing_ca(folder: Path) -> KeyPair | None:
    """Read the CA in the folder. Raises `FileError`, also if only one of its files exists."""
    there = [name for name in _CA_FILES if (folder / name).exists()]
    if not there:
        return None
    if len(there) == 1:
        (missing,) = set(_CA_FILES) - set(there)
        raise FileError(
            f"{folder / there[0]}: it is there without {missing}: put that beside it, or take another folder"
        )
    return KeyPair(*(files.read(folder / name) for name in _CA_FILES))


def _paths(folder: Path, names: tuple[str, str]) -> str:
    return ", ".join(str(folder / name) for name in names)


def _until(pair: KeyPair) -> str:
    return f"good until {ca.validity(pair.certificate).ends:%Y-%m-%d}"


def _next_steps(names: InstallationNames, folder: Path, *, new: bool) -> Iterator[str]:
    """Return the next steps as comments and commands for any POSIX shell."""
    certificate, key, bundle, ca_key = (shlex.quote(str(folder / name)) for name in (*_SERVING.files, *_CA_FILES))
    why = "by it the API server knows the pair" if new else "nothing to do if it has this one already"
    yield f"\n# {_CA_FILES[0]} goes into the webhook configuration: {why}."
    yield f"kubectl patch mutatingwebhookconfiguration {shlex.quote(names.configuration)} --type=json --patch \\"
    # GNU base64 wraps lines, and macOS base64 does not have its option to switch that off.
    encoded = f"\"$(base64 < {bundle} | tr -d '\\n')\""
    path = "/webhooks/0/clientConfig/caBundle"
    yield f"""  '[{{"op": "add", "path": "{path}", "value": "'{encoded}'"}}]'"""
    yield "\n# The pair goes into the cluster. Servers take up a new one by themselves, a minute or two later."
    namespace = shlex.quote(names.namespace)
    yield f"kubectl create secret tls {_SECRET} --namespace {namespace} --cert {certificate} --key {key} \\"
    yield "  --dry-run=client --output=yaml | kubectl apply --filename=-"
    yield f"\n# {ca_key} signs the next pair and goes nowhere: whoever has it can stand in for the webhook."


def _next_steps_of_client(namespace: str, folder: Path, *, new: bool) -> Iterator[str]:
    bundle, ca_key = (shlex.quote(str(folder / name)) for name in _CA_FILES)
    why = "by it servers know their clients" if new else "nothing to do if it is there already"
    yield f"\n# {_CA_FILES[0]} goes into the cluster: {why}."
    yield f"kubectl create configmap {_CLIENTS} --namespace {shlex.quote(namespace)} --from-file=ca.crt={bundle} \\"
    yield "  --dry-run=client --output=yaml | kubectl apply --filename=-"
    yield f"\n# {' and '.join(_CLIENT.files)} go to every machine with an API server, which is told of them:"
    yield '# the README\'s "Mutual TLS" says how. It takes up the next pair by itself, some minutes later.'
    yield f"\n# {ca_key} signs the next pair and goes nowhere: whoever has it can ask what an API server can."
