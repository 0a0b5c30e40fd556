"""What one namespace's secret needs: from what stands there and what should to one step."""

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

from msgspec import Struct

from webhook.pull_secret.manifest import LIMIT, TYPE, PullSecret
from webhook.timestamps import format_rfc3339, parse_rfc3339


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
    managed: bool
    """Whether it says that it is ours, or our field manager has applied it."""
    labelled: bool
    """Whether it says so by its label."""
    refreshed: str | None
    expires: str | None
    unserved: str | None
    content: Content | None = None
    """None where the metadata alone was read: of what is not ours nothing else is, and of ours each version once."""


class GracePeriod(NamedTuple):
    """How long a secret outlives its namespace's label."""

    seconds: float
    clock_hold: float = 0.0
    """Seconds for which none goes yet, because the clock that says how old a mark is cannot be believed."""
    since: float | None = None
    """POSIX time since when the namespace has not been served, as far as this process has seen: a mark that is later,
    or gone, does not make it longer."""
    entitled: bool = False
    """Whether the Secret stood there, as ours, while the namespace was served: if not, it gets no new content. It could
    be made by somebody who is to have none."""


class NamespaceState(Enum):
    """Where a namespace stands."""

    SELECTED = "served"
    NOT_SELECTED = "not opted in"
    FORBIDDEN = "never served, whatever its label says"
    TERMINATING = "gone or being deleted"


class ActionKind(Enum):
    """What is to be done."""

    NOTHING = "nothing"
    KEEP = "keep"
    """There is one, and it is as it should be."""
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


class Action(NamedTuple):
    """What is to be done, and when to look again."""

    kind: ActionKind
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
    keeps_content: bool = False
    """Whether what is updated keeps its content, whatever that is."""


def plan(
    state: NamespaceState, found: Secret | None, pull_secret: PullSecret | None, now: float, grace: GracePeriod
) -> Action:
    """Decide the next step for one namespace at POSIX time `now`."""
    if state is NamespaceState.TERMINATING:
        return Action(ActionKind.NOTHING, state.value)
    if found is None:
        return _missing(state, pull_secret)
    obstacle = _obstacle(found)
    if obstacle is not None:
        return Action(ActionKind.NOTHING, obstacle, foreign=state is NamespaceState.SELECTED)
    if state is NamespaceState.FORBIDDEN:
        return Action(ActionKind.DELETE, state.value)
    if state is NamespaceState.SELECTED:
        return _update(found, pull_secret, unserved=None)
    return _not_selected(found, pull_secret, now, grace)


def _not_selected(found: Secret, pull_secret: PullSecret | None, now: float, grace: GracePeriod) -> Action:
    """Decide for a Secret of ours in a namespace that is not served."""
    seen = now if grace.since is None or grace.since > now else grace.since
    marked = parse_rfc3339(found.unserved or "")
    # A mark that is later than what was seen is none of ours, or of a clock that was ahead.
    valid = marked is not None and marked <= seen
    since = marked if marked is not None and valid else seen
    unserved = found.unserved if valid else format_rfc3339(seen)
    due = max(since + grace.seconds, now + grace.clock_hold)
    if now >= due:
        return Action(ActionKind.DELETE, f"not opted in since {unserved}, {grace.seconds:g} s and more")
    content = found.content
    # Not even whether its content is the right one makes a difference: who guesses is told nothing.
    if grace.entitled or content is None or pull_secret is None:
        return _update(found, pull_secret, unserved=unserved, due=due)
    why = "the namespace is not served, and was not seen to be with this Secret in it: its content stays as it is"
    if valid or content == TOO_LARGE:
        return Action(ActionKind.KEEP, why, unserved, due)
    return Action(ActionKind.UPDATE, why, unserved, due, keeps_content=True)


def _obstacle(found: Secret) -> str | None:
    """Say why a Secret is left as it is."""
    if not found.managed:
        return "a Secret that is not ours has the name, and stays as it is"
    content = found.content
    if content is not None and content.type != TYPE:
        return (
            f"the Secret has our label and the type {content.type}, which cannot be changed: "
            f"delete it, and one of type {TYPE} is created"
        )
    return None


def _missing(state: NamespaceState, pull_secret: PullSecret | None) -> Action:
    if state is not NamespaceState.SELECTED:
        return Action(ActionKind.NOTHING, state.value)
    if pull_secret is None:
        return Action(ActionKind.NOTHING, "there is no credential to publish yet")
    return Action(ActionKind.CREATE, "it is not there")


def _update(found: Secret, pull_secret: PullSecret | None, *, unserved: str | None, due: float | None = None) -> Action:
    if pull_secret is None:
        return Action(ActionKind.NOTHING, "there is no credential to publish, and what is there stays", due=due)
    content = found.content
    if content is None:
        return Action(ActionKind.NOTHING, "its content is not read yet", due=due)
    if pull_secret.create_only and content.hash != pull_secret.hash:
        return Action(ActionKind.NOTHING, "the credential is in doubt, and what is there stays", due=due)
    difference = _difference(found, content, pull_secret, unserved)
    if difference is None:
        return Action(ActionKind.KEEP, "it is as it should be", unserved, due)
    fixed = _why_fixed(content, pull_secret)
    if fixed is not None:
        return Action(ActionKind.DELETE, f"{difference}, and {fixed}", replaces=unserved is None)
    return Action(ActionKind.UPDATE, difference, unserved, due)


def _why_fixed(content: Content, pull_secret: PullSecret) -> str | None:
    """Say why a Secret of ours cannot be changed in place: it is deleted, and made again where it is needed."""
    if content.immutable and content.hash != pull_secret.hash:
        return "it is immutable"
    if content.others + len(pull_secret.content) > LIMIT:
        return "what else is in it leaves no room"
    return None


def _difference(found: Secret, content: Content, pull_secret: PullSecret, unserved: str | None) -> str | None:
    """Say what differs from what should be there."""
    if content.hash != pull_secret.hash:
        return "its content differs"
    if not found.labelled or found.refreshed != pull_secret.refreshed or found.expires != pull_secret.expires:
        return "its labels or annotations differ"
    if found.unserved != unserved:
        return "the namespace is served again" if unserved is None else "the namespace is no longer served"
    return None
