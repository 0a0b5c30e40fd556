"""`registry-webhook review`."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click

from webhook.admission.mutator import Mutator
from webhook.cli.command import Command
from webhook.cli.option_types import FILE_SUFFIXES, Choice, LabelType
from webhook.cli.options import config_option, load_options, read_input, warn_without_rules
from webhook.config import files
from webhook.diagnostics.preview import Preview, preview
from webhook.errors import FileError, InvalidManifest, InvalidReference, RegistryWebhookError
from webhook.images import reference
from webhook.kube import manifests
from webhook.kube.manifests import Document
from webhook.kube.pod_templates import READ_KINDS
from webhook.log.escaping import truncate
from webhook.output import diff, invocation, terminal

_NOTHING, _SOMETHING, _ERROR, _NO_IMAGE = 0, 1, 2, 3
_NAME = 200


@click.command(
    "review",
    cls=Command,
    epilog="""\b
Examples:
  registry-webhook review --config config.yaml deployment.yaml
  helm template my-chart | registry-webhook review --config config.yaml -
  registry-webhook review --config config.yaml --output yaml pod.yaml | kubectl apply -f -
  kubectl get deployments -A -o yaml | registry-webhook review --config config.yaml - > changes.diff

Exit status: 0 if nothing would change, 1 if something would, 2 after an error or if a FILE is empty, 3 if no FILE has
a Pod or workload with an image.
""",
)
@click.argument("names", metavar="FILE...", nargs=-1, required=True)
@click.option(
    "--output",
    "-o",
    type=Choice(["diff", "patch", "yaml", "json"]),
    default="diff",
    show_default=True,
    help="Output format: a unified diff with the reasons, one JSON patch per document, or the changed FILE. In yaml, "
    "comments and layout are kept.",
)
@click.option(
    "--namespace",
    "-n",
    metavar="NAMESPACE",
    type=LabelType(),
    default="default",
    show_default=True,
    help="Namespace of objects that do not specify one. Every namespace counts as opted in, except "
    "system namespaces such as kube-system.",
)
@config_option
def command(names: tuple[str, ...], output: str, namespace: str, config: Path | None) -> None:
    """Show what the webhook would change in each FILE. With -, manifests are read from standard input.

    A FILE contains any number of Pods, objects with a Pod template, Lists of these, or AdmissionReviews. The decisions
    are made by the server's own code. Other objects are ignored, and kept in yaml and json output.
    """
    configuration = load_options(config).configuration
    mutator = Mutator(configuration)
    screen = terminal.screen()
    statuses = set()
    written = warned = False
    for name in names:
        reviewed = _reviewed(mutator, name, namespace)
        if reviewed.previews and not warned:
            warn_without_rules(configuration, config)
            warned = True
        for error in reviewed.errors:
            terminal.error(str(error), error.hint)
        if reviewed.status == _NO_IMAGE:
            terminal.error(f"no Pods or workloads with an image found ({reviewed.name})", READ_KINDS)
        if output == "diff":
            for line in _diff(reviewed):
                terminal.write(diff.colored(line, screen))
        else:
            text = _document(reviewed, output, is_first=not written)
            click.echo(text.encode(), nl=name != names[-1] and bool(text) and not text.endswith("\n"))
            written = written or bool(text)
        statuses.add(reviewed.status)
    sys.exit(_status(statuses))


class _One(NamedTuple):
    """A document of a file, and its preview, None if it cannot be reviewed."""

    document: Document
    preview: Preview | None

    @property
    def is_review(self) -> bool:
        """Whether it is an AdmissionReview, of which only the object is shown: the document's text cannot be edited."""
        return self.preview is not None and self.preview.before is not self.document.value

    def text(self, value: Any) -> str:
        """Return the document with another value."""
        if self.is_review:
            return manifests.dump_json(value, 2) + "\n" if self.document.is_json else manifests.dump(value)
        return manifests.edited(self.document, value)


class _Reviewed(NamedTuple):
    """A file: its documents, and one line for each that cannot be reviewed."""

    name: str
    documents: list[_One]
    rest: str
    errors: list[RegistryWebhookError]

    @property
    def previews(self) -> list[Preview]:
        return [one.preview for one in self.documents if one.preview]

    @property
    def status(self) -> int:
        if self.errors:
            return _ERROR
        if any(preview.changes for preview in self.previews):
            return _SOMETHING
        return _NOTHING if any(preview.names_image for preview in self.previews) else _NO_IMAGE


def _status(statuses: set[int]) -> int:
    """Return the exit status for several files: the most severe; a file without images counts least."""
    return min(statuses, key=(_ERROR, _SOMETHING, _NOTHING, _NO_IMAGE).index)


def _reviewed(mutator: Mutator, name: str, namespace: str) -> _Reviewed:
    shown = files.STANDARD_INPUT if name == "-" else truncate(name, _NAME)
    try:
        manifest = manifests.parse(read_input(name))
    except FileError as error:
        error.hint = error.hint or _image_hint(name)
        return _Reviewed(shown, [], "", [error])
    except InvalidManifest as error:
        return _Reviewed(shown, [], "", [error.in_file(shown)])
    documents: list[_One] = []
    errors: list[RegistryWebhookError] = []
    for number, document in enumerate(manifest.documents, 1):
        try:
            documents.append(_One(document, preview(mutator, document.value, namespace)))
        except InvalidManifest as error:
            documents.append(_One(document, None))
            which = f", document {number}" if len(manifest.documents) > 1 else ""
            errors.append(error.in_file(f"{shown}{which}"))
    if not manifest.documents:
        errors.append(InvalidManifest("the file is empty", where=shown))
    return _Reviewed(shown, documents, manifest.rest, errors)


def _image_hint(name: str) -> str:
    """Return what to run if a missing file is the name of an image."""
    path = Path(name)
    if path.exists() or path.suffix in FILE_SUFFIXES or (len(path.parts) > 1 and path.parent.exists()):
        return ""
    try:
        reference.parse(name)
    except InvalidReference:
        return ""
    return invocation.command("resolve", name)


def _document(reviewed: _Reviewed, output: str, *, is_first: bool) -> str:
    if output == "yaml":
        texts = [(one.document, one.text(one.preview.after)) for one in reviewed.documents if one.preview]
        return manifests.joined(texts, reviewed.rest, is_first=is_first)
    if output == "json":
        return "".join(f"{manifests.dump_json(preview.after, 2)}\n" for preview in reviewed.previews)
    return "".join(f"{manifests.dump_json(preview.patch)}\n" for preview in reviewed.previews)


def _diff(reviewed: _Reviewed) -> Iterator[str]:
    """Return the reasons as comments, and one diff of the whole file, which `patch` and `git apply` accept."""
    for shown in reviewed.previews:
        for what, decision in shown.reviewed:
            yield f"# {reviewed.name}: {truncate(what, _NAME)}: {decision.outcome}: {decision.why}"
            for image in decision.images:
                yield f"#   {image}"
    yield from diff.unified(_file(reviewed, is_after=False), _file(reviewed, is_after=True), reviewed.name)
    for one in reviewed.documents:
        if one.is_review and one.preview:
            yield from diff.unified(one.text(one.preview.before), one.text(one.preview.after), reviewed.name)


def _file(reviewed: _Reviewed, *, is_after: bool) -> str:
    """Return the text of a file, before or after the changes of its manifests."""
    parts = []
    for one in reviewed.documents:
        is_changed = is_after and one.preview and not one.is_review
        value = one.preview.after if is_changed and one.preview else one.document.value
        parts += [manifests.escaped(one.document.lead), manifests.edited(one.document, value)]
    return "".join([*parts, manifests.escaped(reviewed.rest)])
