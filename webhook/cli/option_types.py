"""Types of options and arguments, with errors that say what is allowed."""

import difflib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from webhook.config.listen_address import Address
from webhook.kube.object_names import is_namespace
from webhook.kubernetes_version import KubernetesVersion

# Compiled when they are used, because most commands use none of them.
_ADDRESS = r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9_.-]*)):(?P<port>[0-9]{1,5})"
_PORTS = 65536
_DURATION = r"([0-9]+(?:\.[0-9]+)?)|(?=[0-9])(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+(?:\.[0-9]+)?)s)?"
#: A label selector: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors
_KEY, _VALUE = r"(?:[A-Za-z0-9.-]+/)?[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?", r"[A-Za-z0-9_.-]*"
_REQUIREMENT = rf"\s*(?:!?{_KEY}|{_KEY}\s*(?:==?|!=)\s*{_VALUE}|{_KEY}\s+(?:not)?in\s*\([\sA-Za-z0-9_.,-]+\))\s*"
_SELECTOR = rf"{_REQUIREMENT}(?:,{_REQUIREMENT})*|"

#: The ends of the names of manifests and configurations.
FILE_SUFFIXES = frozenset({".yaml", ".yml", ".json"})

#: Similarity, from 0 to 1, of a word to suggest. Below it, `--port` would be `--color`.
_NEAR = 0.7


def similar_to(wrong: str, known: Iterable[str]) -> list[str]:
    """Return the words that a user may have meant, the most similar first."""
    return difflib.get_close_matches(wrong, known, cutoff=_NEAR)


class BadValue(click.BadParameter):
    """A value that an option does not take; the message follows the option's name: `must be ..., not VALUE`."""

    def __init__(
        self,
        allowed: str,
        value: object,
        param: click.Parameter | None,
        ctx: click.Context | None,
        similar: Sequence[str] = (),
    ) -> None:
        super().__init__(f'must be {allowed}, not "{value}"', ctx, param)
        self.value = str(value)
        self.similar = similar


class Choice(click.Choice[str]):
    """One of several words."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value in self.choices:
            return str(value)
        by_lower = {one.lower(): one for one in self.choices}
        similar = [by_lower[one] for one in similar_to(str(value).lower(), by_lower)]
        raise BadValue(f"one of: {', '.join(self.choices)}", value, param, ctx, similar)


class Number(click.ParamType[float]):
    """A number within limits, whole if these are `int`."""

    def __init__(self, metavar: str, least: float, most: float) -> None:
        self.name = metavar
        self.least, self.most = least, most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        is_whole = isinstance(self.most, int)
        try:
            number = int(value) if is_whole else float(value)
        except ValueError:
            number = self.least - 1
        if not self.least <= number <= self.most:
            what = "whole number" if is_whole else "number"
            raise BadValue(f"a {what} from {self.least:g} to {self.most:g}", value, param, ctx)
        return number


class PathType(click.ParamType[Path]):
    """The path of a file or folder, or `-`. An empty one is an error, because `Path` makes it the current folder."""

    name = "PATH"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        if not str(value):
            raise _empty("a path", param, ctx)
        return Path(value)


class LabelType(click.ParamType[str]):
    """The name of a namespace or a Service: an RFC 1123 label."""

    name = "NAME"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        allowed = "a name of at most 63 characters (a-z, 0-9, and - in between)"
        if not str(value):
            raise _empty(allowed, param, ctx)
        if not is_namespace(str(value)):
            raise BadValue(allowed, value, param, ctx)
        return str(value)


def _empty(allowed: str, param: click.Parameter | None, ctx: click.Context | None) -> click.UsageError:
    """Return the error for the empty string: for an option the same as for no value."""
    if isinstance(param, click.Option):
        return click.BadOptionUsage(max(param.opts, key=len), "", ctx)
    return BadValue(allowed, "", param, ctx)


class AddressType(click.ParamType[Address]):
    """A HOST:PORT to listen on."""

    name = "HOST:PORT"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Address:
        if isinstance(value, Address):
            return value
        found = re.fullmatch(_ADDRESS, str(value))
        if found is None or int(found["port"]) >= _PORTS:
            raise BadValue("HOST:PORT such as 127.0.0.1:8443, [::1]:8443 or :8443", value, param, ctx)
        return Address(found["six"] or found["host"], int(found["port"]))


class KubernetesVersionType(click.ParamType[KubernetesVersion]):
    """A version of Kubernetes, with or without the patch level."""

    name = "VERSION"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> KubernetesVersion:
        found = value if isinstance(value, KubernetesVersion) else KubernetesVersion.parse(str(value))
        if found is None:
            raise BadValue("a version such as 1.30 or v1.30.14", value, param, ctx)
        return found


class DurationType(click.ParamType[float]):
    """Seconds, written as kubectl writes a duration: `30s`, `1m30s`, or a number of seconds."""

    name = "DURATION"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found = re.fullmatch(_DURATION, str(value), re.ASCII)
        if found is None:
            raise BadValue("a duration such as 30s or 2m, or a number of seconds", value, param, ctx)
        number, hours, minutes, seconds = (float(part or 0) for part in found.groups())
        return number + 3600 * hours + 60 * minutes + seconds


class SelectorType(click.ParamType[str]):
    """A label selector, checked here because the API server's error would be reported once for each list."""

    name = "SELECTOR"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not re.fullmatch(_SELECTOR, str(value), re.ASCII):
            raise BadValue("a label selector such as app=web,tier!=db", value, param, ctx)
        return str(value)
