"""`version --cluster`: which version of this program each process of an installation runs."""

from collections.abc import Iterable, Iterator

from msgspec import Struct

from webhook import build_info
from webhook.constants import PROGRAM
from webhook.diagnostics import version_skew
from webhook.diagnostics.doctor import collect
from webhook.diagnostics.doctor.check_versions import UPGRADE_URL
from webhook.diagnostics.doctor.snapshot import ProcessStatus
from webhook.errors import NotReadable
from webhook.kube import installed_config
from webhook.kube.partial import known
from webhook.kube.reader import Reader
from webhook.output import table
from webhook.output.paragraphs import wrapped
from webhook.output.terminal import Screen

_VERSION_LABEL, _CHART_LABEL = "app.kubernetes.io/version", "helm.sh/chart"
_COMMAND, _UNREAD = "this command", "?"


class Program(Struct, frozen=True):
    """A process, or what was installed."""

    name: str
    """`Pod registry-webhook-a, webhook`."""
    version: str | None
    """None if it could not be read."""
    revision: str | None = None
    note: str = ""
    """Where the version is from, or why it could not be read."""


class Versions(Struct, frozen=True):
    """The versions of a command and of an installation."""

    command: Program
    manifests: Program | None = None
    processes: tuple[Program, ...] = ()
    kubernetes: str | None = None
    differences: tuple[str, ...] = ()
    supported: bool = True
    """Whether all versions that could be read work together."""

    @property
    def has_unread(self) -> bool:
        return any(one.version is None for one in self.processes)


def command() -> Program:
    """Return the version of this program."""
    return Program(_COMMAND, *build_info.current())


def collect_versions(reader: Reader, namespace: str | None) -> Versions:
    """Read the versions of an installation. Raises `NotReadable`, also if there is none."""
    names = installed_config.find_installation(reader, namespace)
    installed = installed_config.read_objects(reader, names)
    deployment = known(installed.deployment)
    place = f"Deployment {names.namespace}/{names.deployment}"
    if deployment is None:
        hint = "name its namespace with --installation-namespace"
        raise NotReadable(f"{PROGRAM} is not installed: {place} does not exist", hint=hint)
    labels = deployment.metadata.labels
    note = f"chart {labels[_CHART_LABEL]}" if _CHART_LABEL in labels else "its label"
    manifests = Program(place, labels.get(_VERSION_LABEL), None, note)
    processes = tuple(
        _program(f"Pod {replica.name}, {container}", status)
        for replica in collect.replicas(reader, installed)
        for container, status in (("webhook", replica.webhook), ("refresher", replica.refresher))
    )
    return _compared(Versions(command(), manifests, processes, reader.version()))


def _program(name: str, status: ProcessStatus | NotReadable) -> Program:
    if isinstance(status, NotReadable):
        return Program(name, None, None, str(status))
    build = status.build
    return Program(name, None, None, "its metrics have no version") if build is None else Program(name, *build)


def _compared(found: Versions) -> Versions:
    """Add the differences: one line for each version that is not the command's."""
    others: dict[str, list[str]] = {}
    for one in (found.manifests, *found.processes):
        if one is not None and one.version not in {None, found.command.version}:
            others.setdefault(str(one.version), []).append(one.name)
    mine = found.command.version
    differences = tuple(f"{version}, not {mine}: {'; '.join(names)}" for version, names in sorted(others.items()))
    supported = version_skew.unsupported([str(mine), *others]) is None
    return Versions(found.command, found.manifests, found.processes, found.kubernetes, differences, supported)


def lines(found: Versions, screen: Screen) -> Iterator[str]:
    """Yield a table of the versions, and the differences."""
    programs: Iterable[Program | None] = (found.command, found.manifests, *found.processes)
    rows = [(one.name, _details(one)) for one in programs if one is not None]
    yield from table.table([*rows, ("API server", found.kubernetes or _UNREAD)], screen)
    for difference in found.differences:
        yield from wrapped(f"difference: {difference}", screen, "")
    if not found.supported:
        yield from wrapped(f"hint: versions must be at most one minor version apart, see {UPGRADE_URL}", screen, "")


def _details(program: Program) -> str:
    revision = program.revision if program.revision not in {None, "unknown"} else ""
    note = program.note or (f"revision {revision}" if revision else "")
    return f"{program.version or _UNREAD} ({note})" if note else program.version or _UNREAD
