"""`registry-webhook review`."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from webhook.adapters import files, manifests
from webhook.admission.handler import Handler
from webhook.commands.options import config_option, loaded
from webhook.config import assemble
from webhook.errors import FileError, InvalidManifest
from webhook.escaping import truncate
from webhook.inspection.preview import Preview, preview
from webhook.names import PROGRAM
from webhook.presentation import diff, terminal
from webhook.presentation.terminal import Screen

_NOTHING, _SOMETHING, _FAULT = 0, 1, 2
_NAME = 200
_LIMIT = 64 * 1024 * 1024


@click.command(
    "review",
    epilog="""\b
Examples:
  registry-webhook review --config config.yaml deployment.yaml
  helm template my-chart | registry-webhook review --config config.yaml -
  registry-webhook review --config config.yaml --output yaml pod.yaml | kubectl apply -f -
  kubectl get deployments -A -o yaml | registry-webhook review --config config.yaml - > changes.diff

\b
Exit status: 0 nothing would change, 1 something would, 2 something was wrong.
""",
)
@click.argument("names", metavar="FILE...", nargs=-1, required=True)
@click.option(
    "--output",
    "-o",
    type=click.Choice(["diff", "patch", "yaml", "json"]),
    default="diff",
    show_default=True,
    help="A unified diff with the reasons, a JSON patch a document, or the manifest after it.",
)
@click.option(
    "--namespace", "-n", default="default", show_default=True, help="The namespace of what names none; opted in."
)
@click.option("--color", type=click.Choice(["auto", "always", "never"]), default="auto", help="Colour the diff.")
@config_option
def command(names: tuple[str, ...], output: str, namespace: str, color: str, config: Path | None) -> None:
    """Show what the webhook would make of each FILE; `-` reads standard input.

    A FILE holds Pods, anything with a Pod template, Lists of these or AdmissionReviews, any number in one file. They
    are decided by the server's own code. What is no workload is passed over; in the manifest after it, it stays.
    """
    handler = assemble.handler(loaded(config).configuration)
    painted = color == "always" or (color == "auto" and sys.stdout.isatty() and "NO_COLOR" not in os.environ)
    status = _NOTHING
    written = 0
    screen = Screen(coloured=painted)
    for name in names:
        for found in _previews(handler, name, namespace):
            if isinstance(found, str):
                terminal.write(f"{PROGRAM}: {found}", err=True)
                status = _FAULT
                continue
            if found.changes:
                status = max(status, _SOMETHING)
            if output == "diff":
                for line in _diff(found, truncate(name, _NAME)):
                    terminal.write(diff.coloured(line, screen), coloured=painted)
            else:
                _write(found, output, first=written == 0)
            written += 1
    sys.exit(status)


def _previews(handler: Handler, name: str, namespace: str) -> Iterator[Preview | str]:
    """Preview each document of a file, giving what is wrong with it in words: the next one may be right."""
    try:
        documents = manifests.parse(_read(name))
    except FileError as error:
        yield str(error)
        return
    except InvalidManifest as error:
        yield f"{truncate(name, _NAME)}: {error}"
        return
    for number, document in enumerate(documents, 1):
        try:
            yield preview(handler, document, namespace)
        except InvalidManifest as error:
            which = f", document {number}" if len(documents) > 1 else ""
            yield f"{truncate(name, _NAME)}{which}: {error}"


def _read(name: str) -> bytes:
    return sys.stdin.buffer.read() if name == "-" else files.read(Path(name), _LIMIT)


def _write(found: Preview, output: str, *, first: bool) -> None:
    match output:
        case "patch":
            terminal.write_document(json.dumps(found.patch), "json")
        case "json":
            terminal.write_document(json.dumps(found.after, indent=2, ensure_ascii=False), "json")
        case _:
            if not first:
                terminal.write("---")
            terminal.write_document(manifests.dump(found.after), "yaml")


def _diff(found: Preview, name: str) -> Iterator[str]:
    for what, decision in found.reviewed:
        yield f"# {name}: {truncate(what, _NAME)}: {decision.outcome}: {decision.why}"
        for image in decision.images:
            yield f"#   {image}"
    yield from diff.unified(manifests.dump(found.before), manifests.dump(found.after), name)
