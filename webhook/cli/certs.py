"""`registry-webhook certs`."""

import shlex
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import click

from webhook.cli.command import Group, Misuse
from webhook.cli.option_types import LabelType, Number, PathType
from webhook.cli.options import default_installation_option, together
from webhook.config import files
from webhook.constants import DOCS, PROGRAM, SERVICE_VARIABLE, InstallationNames
from webhook.errors import CertificateError, FileError
from webhook.output import invocation, terminal
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

    folder: Path | None
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
        type=PathType(),
        help="Folder for the files, private keys among them; created if it is missing. Required.",
    ),
    click.option(
        "--days",
        type=Number("DAYS", 1, _MAX_DAYS),
        default=365,
        show_default=True,
        help=f"Days that the certificate is valid for, 1 to {_MAX_DAYS}.",
    ),
    click.option(
        "--ca-days",
        type=Number("DAYS", 1, _MAX_DAYS),
        default=3650,
        show_default=True,
        help=f"Days that a new CA is valid for, 1 to {_MAX_DAYS}.",
    ),
    click.option("--force", is_flag=True, help="Replace an existing certificate and key; an existing CA is kept."),
)


@click.group(
    "certs",
    cls=Group,
    epilog="""\b
Examples:
  registry-webhook certs create --out pki
  registry-webhook certs client --out clients
""",
)
def command() -> None:
    """Create certificates for an installation that manages them manually.

    An installation with certs/self-managed or certs/cert-manager needs none of these commands for the webhook's own
    certificate. Client certificates are for mutual TLS.
    """


@command.command(
    short_help="Create a CA and the webhook's certificate",
    epilog="""\b
Examples:
  registry-webhook certs create --out pki                               # create a CA, a certificate and its key
  registry-webhook certs create --out pki --force                       # renew: replace the certificate and key
  registry-webhook certs create --out web --name webhook.example.com    # for a webhook that is called by URL
""",
)
@click.option(
    "--name",
    "more",
    metavar="NAME",
    multiple=True,
    help="DNS name or IP address in addition to the names of the Service; can be repeated.",
)
@click.option(
    "--service",
    metavar="NAME",
    type=LabelType(),
    envvar=SERVICE_VARIABLE,
    default=PROGRAM,
    show_default=True,
    help="Name of the Service and of the MutatingWebhookConfiguration.",
)
@_options
def create(more: tuple[str, ...], service: str, **given: Any) -> None:
    """Create a CA and a certificate and key for the webhook (ECDSA P-256), and print the commands that install them.

    The files are ca.crt, ca.key, tls.crt and tls.key. If the folder already has a CA, it is reused. Run the command
    again with --force to renew the certificate.
    """
    options = _Options(**given)
    installation = InstallationNames(namespace=options.installation_namespace, service=service, configuration=service)
    names = issue.names(more, installation.hosts)
    _create(options, _SERVING, names, partial(_next_steps, installation))


@command.command(
    short_help="Create a CA and a client certificate",
    epilog="""\b
Examples:
  registry-webhook certs client --out clients            # create a CA, a certificate and its key
  registry-webhook certs client --out clients --force    # renew: replace the certificate and key
""",
)
@_options
def client(**given: Any) -> None:
    """Create a CA and a client certificate and key for API servers (ECDSA P-256), and print how to install them.

    They are for mutual TLS: serve --client-ca. The files are ca.crt, ca.key, client.crt and client.key. If the folder
    already has a CA, it is reused. Run the command again with --force to renew the certificate.
    """
    options = _Options(**given)
    _create(options, _CLIENT, _API_SERVER, partial(_next_steps_of_client, options.installation_namespace))


def _create(options: _Options, kind: _Kind, names: tuple[str, ...], next_steps: Callable[..., Iterator[str]]) -> None:
    """Create a certificate and key, and a CA if there is none, and print the files and the next steps."""
    folder = options.folder
    if folder is None:
        words = click.get_current_context().command_path.removeprefix(invocation.program()).split()
        raise Misuse("missing option --out FOLDER", invocation.command(*words, "--out", "pki"))
    known = _existing_ca(folder)
    if not options.force and (there := [name for name in kind.files if (folder / name).exists()]):
        raise FileError(f"{folder / there[0]} already exists", hint="add --force to replace the certificate and key")
    if known is None and options.days > options.ca_days:
        raise CertificateError(
            f"the certificate would outlive its CA: --days {options.days} exceeds --ca-days {options.ca_days}",
            hint="raise --ca-days, or lower --days",
        )
    now = datetime.now(UTC).replace(microsecond=0)
    issuer = known or ca.create_ca(ca.CA_NAME, now, timedelta(days=options.ca_days))
    try:
        pair = issue.sign(issuer, names, now, timedelta(days=options.days), is_client=kind.is_client)
    except CertificateError as error:
        hint = error.hint or "create a new CA in another folder"
        raise CertificateError(str(error), where=str(folder / _CA_FILES[0]), hint=hint) from None
    contents = dict(zip(kind.files, pair, strict=True))
    if known is None:
        contents |= dict(zip(_CA_FILES, issuer, strict=True))
    files.write_all(folder, contents, _KEYS)
    origin = "new CA" if known is None else "existing CA"
    terminal.write(f"{_paths(folder, _CA_FILES)}: {origin}, {_until(issuer)}")
    terminal.write(f"{_paths(folder, kind.files)}: new certificate and key, {_until(pair)}, for")
    terminal.write_all((*(f"  {name}" for name in names), *next_steps(folder, new=known is None)))


def _existing_ca(folder: Path) -> KeyPair | None:
    """Read the CA in the folder. Raises `FileError`, also if only one of its files exists."""
    there = [name for name in _CA_FILES if (folder / name).exists()]
    if not there:
        return None
    if len(there) == 1:
        (missing,) = set(_CA_FILES) - set(there)
        raise FileError(
            f"{folder / there[0]} exists without {missing}", hint=f"add {missing} to {folder}, or use another folder"
        )
    return KeyPair(*(files.read(folder / name) for name in _CA_FILES))


def _paths(folder: Path, names: tuple[str, str]) -> str:
    return ", ".join(str(folder / name) for name in names)


def _until(pair: KeyPair) -> str:
    return f"valid until {ca.validity(pair.certificate).ends:%Y-%m-%d}"


def _next_steps(names: InstallationNames, folder: Path, *, new: bool) -> Iterator[str]:
    """Return the next steps as comments and commands for any POSIX shell."""
    certificate, key, bundle, ca_key = (shlex.quote(str(folder / name)) for name in (*_SERVING.files, *_CA_FILES))
    step = "Add the CA to the webhook configuration, so that the API server trusts the certificate"
    yield ""
    yield f"# {step}.{'' if new else ' Skip this step if it has this CA already.'}"
    yield f"kubectl patch mutatingwebhookconfiguration {shlex.quote(names.configuration)} --type=json --patch \\"
    # GNU base64 wraps lines, and macOS base64 does not have its option to switch that off.
    encoded = f"\"$(base64 < {bundle} | tr -d '\\n')\""
    path = "/webhooks/0/clientConfig/caBundle"
    yield f"""  '[{{"op": "add", "path": "{path}", "value": "'{encoded}'"}}]'"""
    yield ""
    yield "# Store the certificate and key in the cluster. The webhook reloads them within about two minutes."
    namespace = shlex.quote(names.namespace)
    yield f"kubectl create secret tls {_SECRET} --namespace {namespace} --cert {certificate} --key {key} \\"
    yield "  --dry-run=client --output=yaml | kubectl apply --filename=-"
    yield ""
    yield f"# Keep {ca_key} safe and outside of the cluster: it signs the next certificate, and anyone who has it can"
    yield "# impersonate the webhook."


def _next_steps_of_client(namespace: str, folder: Path, *, new: bool) -> Iterator[str]:
    bundle, ca_key = (shlex.quote(str(folder / name)) for name in _CA_FILES)
    step = "Store the CA in the cluster, so that the webhook trusts the client certificate"
    yield ""
    yield f"# {step}.{'' if new else ' Skip this step if it is there already.'}"
    yield f"kubectl create configmap {_CLIENTS} --namespace {shlex.quote(namespace)} --from-file=ca.crt={bundle} \\"
    yield "  --dry-run=client --output=yaml | kubectl apply --filename=-"
    yield ""
    yield f"# Copy {' and '.join(_CLIENT.files)} to every machine that runs an API server, and configure it:"
    yield f"# {DOCS}/how-to/mutual-tls.md. The API server reloads a renewed certificate."
    yield ""
    yield f"# Keep {ca_key} safe and outside of the cluster: it signs the next certificate, and anyone who has it can"
    yield "# impersonate the API server towards the webhook."
