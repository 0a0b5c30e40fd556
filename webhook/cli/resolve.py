"""`registry-webhook resolve`."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import click
import msgspec

from webhook import log
from webhook.cli.command import Command
from webhook.cli.option_types import Choice
from webhook.cli.options import config_option, load_options, standard_input, warn_without_rules
from webhook.errors import InvalidManifest
from webhook.images.resolver import Resolution, Resolver
from webhook.output import terminal


@click.command(
    "resolve",
    cls=Command,
    epilog="""\b
Examples:
  REGISTRY__SERVER=registry.example.com registry-webhook resolve nginx quay.io/coreos/etcd
  registry-webhook resolve --config config.yaml opencti/connector-example:1.0.0
  kubectl get pods -A -o jsonpath='{.items[*].spec.containers[*].image}' | tr ' ' '\\n' \\
    | registry-webhook resolve --config config.yaml --output json -

Exit status: 0 if all images were resolved, 2 after an error or if standard input is empty.
""",
)
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True)
@click.option(
    "--output",
    "-o",
    type=Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Output format; json writes one object per line.",
)
@config_option
def command(images: tuple[str, ...], output: str, config: Path | None) -> None:
    """Show what each IMAGE resolves to, and why. With -, images are read from standard input, one per line.

    No registry is contacted. The result depends only on the image's name and the configuration.
    """
    configuration = load_options(config).configuration
    warn_without_rules(configuration, config)
    resolve = Resolver(configuration).resolve
    for image in _each(images):
        if output == "json":
            terminal.write_document(_json(image, resolve(image)), "json")
        else:
            terminal.write(_text(image, resolve(image)))


def _each(images: Iterable[str]) -> Iterator[str]:
    for image in images:
        if image == "-":
            yield from _lines()
        else:
            yield _readable(image)


def _lines() -> Iterator[str]:
    """Yield one image per line. Empty input is an error, because a failed command in a pipe leaves it."""
    is_empty = True
    for line in standard_input():
        image = line.removeprefix("\ufeff").rstrip("\r\n")
        if image.strip():
            is_empty = False
            yield _readable(image)
    if is_empty:
        raise InvalidManifest("standard input is empty, no image resolved")


def _readable(text: str) -> str:
    """Replace bytes that are not UTF-8 by U+FFFD: no image name has them, and they could not be printed."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _text(written: str, resolution: Resolution) -> str:
    arrow = "->" if resolution.image != written else "=="
    return f"{_shown(written)} {arrow} {_shown(resolution.image)}  ({resolution.detail})"


def _shown(image: str) -> str:
    """Return an image on one line, in quotes if its end would not be visible."""
    return f'"{log.escape(image)}"' if not image or " " in image else log.escape(image)


def _json(written: str, resolution: Resolution) -> str:
    fields = {
        "image": written,
        "resolved": resolution.image,
        "reason": resolution.reason,
        "detail": resolution.detail,
    }
    return msgspec.json.encode(fields).decode()
