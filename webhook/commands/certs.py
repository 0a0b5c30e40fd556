"""`registry-webhook certs`."""

import shlex
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from webhook.adapters import files
from webhook.certificates import authority, issuing
from webhook.certificates.authority import Pair
from webhook.errors import CertificateError, FileError
from webhook.names import OWN_NAMESPACE, PROGRAM, SERVICE_NAMES

_AUTHORITY = ("ca.crt", "ca.key")
_SERVING = ("tls.crt", "tls.key")
_KEYS = frozenset({"ca.key", "tls.key"})
#: A century: more than enough, and a date that every client can read.
_MOST = 36_500
#: The Secret that the webhook's container mounts.
_SECRET = f"{PROGRAM}-tls"


@click.group(
    "certs",
    epilog="""\b
Examples:
  registry-webhook certs create --out pki     # and then what it prints
""",
)
def command() -> None:
    """Make the webhook's certificates by hand, where neither the sidecar nor cert-manager does."""


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
    "--out",
    "folder",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    default=".",
    help="Where ca.crt, ca.key, tls.crt and tls.key are written; made if it is missing. By default the current folder.",
)
@click.option(
    "--name",
    "more",
    metavar="NAME",
    multiple=True,
    help="A DNS name or an IP address beside the Service's names; can be given several times.",
)
@click.option(
    "--days", type=click.IntRange(1, _MOST), default=365, show_default=True, help="How long the pair is good for."
)
@click.option(
    "--ca-days",
    type=click.IntRange(1, _MOST),
    default=3650,
    show_default=True,
    help="How long a new authority is good for.",
)
@click.option(
    "--force", is_flag=True, help="Replace tls.crt and tls.key if they are there. The authority always stays."
)
def create(folder: Path, more: tuple[str, ...], days: int, ca_days: int, force: bool) -> None:  # noqa: FBT001
    """Make an authority and a serving pair that it signs (ECDSA P-256), and say what goes where.

    With an authority in the folder, ca.crt and ca.key, the pair is signed by that one: so it is renewed.
    """
    names = issuing.names(more, SERVICE_NAMES)
    known = _known_authority(folder)
    if not force and (there := [name for name in _SERVING if (folder / name).exists()]):
        raise FileError(f"{folder / there[0]}: it is there already: replace the pair with --force")
    if known is None and days > ca_days:
        raise CertificateError(f"the pair would outlive the authority: {days} days are more than --ca-days {ca_days}")
    now = datetime.now(UTC).replace(microsecond=0)
    issuer = known or authority.make_authority(authority.NAME, now, timedelta(days=ca_days))
    try:
        pair = issuing.serving(issuer, names, now, timedelta(days=days))
    except CertificateError as error:
        raise CertificateError(f"{folder / _AUTHORITY[0]}: {error}") from None
    contents = dict(zip(_SERVING, pair, strict=True))
    if known is None:
        contents |= dict(zip(_AUTHORITY, issuer, strict=True))
    files.write_all(folder, contents, _KEYS)
    for line in (*_written(folder, issuer, pair, names, new=known is None), *_next_steps(folder, new=known is None)):
        click.echo(line)


def _known_authority(folder: Path) -> Pair | None:
    """Read the authority in the folder. Raises `FileError`, also for half of one."""
    there = [name for name in _AUTHORITY if (folder / name).exists()]
    if not there:
        return None
    if len(there) == 1:
        (missing,) = set(_AUTHORITY) - set(there)
        raise FileError(
            f"{folder / there[0]}: it is there without {missing}: put that beside it, or take another folder"
        )
    return Pair(*(files.read(folder / name) for name in _AUTHORITY))


def _written(folder: Path, issuer: Pair, pair: Pair, names: tuple[str, ...], *, new: bool) -> Iterator[str]:
    place = ", ".join(str(folder / name) for name in _AUTHORITY)
    yield f"{place}: {'a new authority' if new else 'the authority that was there'}, {_until(issuer)}"
    yield f"{', '.join(str(folder / name) for name in _SERVING)}: a new pair that it signed, {_until(pair)}, for"
    for name in names:
        yield f"  {name}"


def _until(pair: Pair) -> str:
    return f"good until {authority.span(pair.certificate).ends:%Y-%m-%d}"


def _next_steps(folder: Path, *, new: bool) -> Iterator[str]:
    """Give what is to be done now, as comments and commands of any POSIX shell."""
    certificate, key, bundle, stays = (shlex.quote(str(folder / name)) for name in (*_SERVING, *_AUTHORITY))
    why = "by it the API server knows the pair" if new else "nothing to do if it has this one already"
    yield f"\n# {_AUTHORITY[0]} goes into the webhook configuration: {why}."
    yield f"kubectl patch mutatingwebhookconfiguration {PROGRAM} --type=json --patch \\"
    # GNU's base64 breaks lines, and macOS's has no option against it.
    encoded = f"\"$(base64 < {bundle} | tr -d '\\n')\""
    path = "/webhooks/0/clientConfig/caBundle"
    yield f"""  '[{{"op": "add", "path": "{path}", "value": "'{encoded}'"}}]'"""
    yield "\n# The pair goes into the cluster. Servers take up a new one by themselves, a minute or two later."
    yield f"kubectl create secret tls {_SECRET} --namespace {OWN_NAMESPACE} --cert {certificate} --key {key} \\"
    yield "  --dry-run=client --output=yaml | kubectl apply --filename=-"
    yield f"\n# {stays} signs the next pair and goes nowhere: whoever has it can stand in for the webhook."
