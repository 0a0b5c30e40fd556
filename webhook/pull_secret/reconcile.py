"""What one namespace's secret needs: from what stands there and what should to one step."""

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

from msgspec import Struct

from webhook.pull_secret.manifest import LIMIT, TYPE, Document
from webhook.timestamps import moment, timestamp


class Namespace(Struct, frozen=True):
    """A namespace as far as the sidecar cares."""

    name: str
    version: int
    """Its resourceVersion: a higher one is later. https://kubernetes.io/docs/reference/using-api/api-concepts/"""
    labels: Mapping[str, str]
    terminating: bool


class Content(Struct, frozen=True):
    """What is known of a Secret beyond its metadata."""

    type: str
    hash: str
    """Of the content as it is."""
    immutable: bool = False
    others: int = 0
    """Bytes under keys that are not ours."""


#: Of a Secret that is too large to be read: it has no room for ours.
TOO_LARGE = Content(TYPE, "", others=LIMIT)


class Secret(Struct, frozen=True):
    """A stored Secret of the pull secret's name."""

    namespace: str
    version: int
    uid: str
    ours: bool
    """Whether it says that it is ours, or our field manager has applied it."""
    labelled: bool
    """Whether it says so by its label."""
    refreshed: str | None
    expires: str | None
    unserved: str | None
    content: Content | None = None
    """None where the metadata alone was read: of what is not ours nothing else is, and of ours each version once."""


class Linger(NamedTuple):
    """How long a secret outlives its namespace's label."""

    seconds: float
    held: float = 0.0
    """Seconds for which none goes yet, because the clock that says how old a mark is cannot be believed."""
    since: float | None = None
    """POSIX time since when the namespace has not been served, as far as this process has seen: a mark that is later,
    or gone, does not make it longer."""
    entitled: bool = False
    """Whether the Secret stood there, as ours, while the namespace was served: if not, it gets no new content. It could
    be made by somebody who is to have none."""


class Standing(Enum):
    """Where a namespace stands."""

    SERVED = "served"
    UNSERVED = "not opted in"
    BARRED = "never served, whatever its label says"
    LEAVING = "gone or being deleted"


class Kind(Enum):
    """What is to be done."""

    NOTHING = "nothing"
    KEEP = "keep"
    """There is one, and it is as it should be."""
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


class Step(NamedTuple):
    """What is to be done, and when to look again."""

    kind: Kind
    why: str
    """In words."""
    unserved: str | None = None
    """For what is applied: since when the namespace has not been served."""
    due: float | None = None
    """POSIX time at which the answer will be another one."""
    foreign: bool = False
    """Whether a Secret is in the way that stays as it is."""
    replaces: bool = False
    """Whether what is deleted is to be made again."""
    keeps: bool = False
    """Whether what is updated keeps its content, whatever that is."""


def step(standing: Standing, found: Secret | None, document: Document | None, now: float, linger: Linger) -> Step:
    """Decide the next step for one namespace at POSIX time `now`."""
    if standing is Standing.LEAVING:
        return Step(Kind.NOTHING, standing.value)
    if found is None:
        return _missing(standing, document)
    obstacle = _obstacle(found)
    if obstacle is not None:
        return Step(Kind.NOTHING, obstacle, foreign=standing is Standing.SERVED)
    if standing is Standing.BARRED:
        return Step(Kind.DELETE, standing.value)
    if standing is Standing.SERVED:
        return _update(found, document, unserved=None)
    return _unserved(found, document, now, linger)


def _unserved(found: Secret, document: Document | None, now: float, linger: Linger) -> Step:
    """Decide for a Secret of ours in a namespace that is not served."""
    seen = now if linger.since is None or linger.since > now else linger.since
    marked = moment(found.unserved or "")
    # A mark that is later than what was seen is none of ours, or of a clock that was ahead.
    valid = marked is not None and marked <= seen
    since = marked if marked is not None and valid else seen
    unserved = found.unserved if valid else timestamp(seen)
    due = max(since + linger.seconds, now + linger.held)
    if now >= due:
        return Step(Kind.DELETE, f"not opted in since {unserved}, {linger.seconds:g} s and more")
    content = found.content
    # Not even whether its content is the right one makes a difference: who guesses is told nothing.
    if linger.entitled or content is None or document is None:
        return _update(found, document, unserved=unserved, due=due)
    why = "the namespace is not served, and was not seen to be with this Secret in it: its content stays as it is"
    if valid or content == TOO_LARGE:
        return Step(Kind.KEEP, why, unserved, due)
    return Step(Kind.UPDATE, why, unserved, due, keeps=True)


def _obstacle(found: Secret) -> str | None:
    """Say why a Secret is left as it is."""
    if not found.ours:
        return "a Secret that is not ours has the name, and stays as it is"
    content = found.content
    if content is not None and content.type != TYPE:
        return (
            f"the Secret has our label and the type {content.type}, which cannot be changed: "
            f"delete it, and one of type {TYPE} is created"
        )
    return None


def _missing(standing: Standing, document: Document | None) -> Step:
    if standing is not Standing.SERVED:
        return Step(Kind.NOTHING, standing.value)
    if document is None:
        return Step(Kind.NOTHING, "there is no credential to publish yet")
    return Step(Kind.CREATE, "it is not there")


def _update(found: Secret, document: Document | None, *, unserved: str | None, due: float | None = None) -> Step:
    if document is None:
        return Step(Kind.NOTHING, "there is no credential to publish, and what is there stays", due=due)
    content = found.content
    if content is None:
        return Step(Kind.NOTHING, "its content is not read yet", due=due)
    if document.creates_only and content.hash != document.hash:
        return Step(Kind.NOTHING, "the credential is in doubt, and what is there stays", due=due)
    difference = _difference(found, content, document, unserved)
    if difference is None:
        return Step(Kind.KEEP, "it is as it should be", unserved, due)
    fixed = _why_fixed(content, document)
    if fixed is not None:
        return Step(Kind.DELETE, f"{difference}, and {fixed}", replaces=unserved is None)
    return Step(Kind.UPDATE, difference, unserved, due)


def _why_fixed(content: Content, document: Document) -> str | None:
    """Say why a Secret of ours cannot be changed in place: it is deleted, and made again where it is needed."""
    if content.immutable and content.hash != document.hash:
        return "it is immutable"
    if content.others + len(document.content) > LIMIT:
        return "what else is in it leaves no room"
    return None


def _difference(found: Secret, content: Content, document: Document, unserved: str | None) -> str | None:
    """Say what differs from what should be there."""
    if content.hash != document.hash:
        return "its content differs"
    if not found.labelled or found.refreshed != document.refreshed or found.expires != document.expires:
        return "its labels or annotations differ"
    if found.unserved != unserved:
        return "the namespace is served again" if unserved is None else "the namespace is no longer served"
    return None
