"""Decide what one namespace's pull secret needs: from the actual and the desired state to one action."""

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

from msgspec import Struct

from webhook.constants import PROGRAM
from webhook.pull_secret.manifest import LIMIT, TYPE, PullSecret
from webhook.timestamps import format_rfc3339, parse_rfc3339


class Namespace(Struct, frozen=True):
    """The part of a Namespace that matters here."""

    name: str
    version: int
    """Its resourceVersion: a higher one is later. https://kubernetes.io/docs/reference/using-api/api-concepts/"""
    labels: Mapping[str, str]
    terminating: bool


class Content(Struct, frozen=True):
    """Facts about a Secret in addition to its metadata."""

    type: str
    hash: str
    """The hash of the stored content."""
    immutable: bool = False
    others: int = 0
    """Bytes under keys that are not ours."""


#: The content of a Secret that is too large to be read: it has no room for ours.
TOO_LARGE = Content(TYPE, "", others=LIMIT)


class Secret(Struct, frozen=True):
    """A stored Secret with the pull secret's name."""

    namespace: str
    version: int
    uid: str
    managed: bool
    """Whether it has our label, or our field manager has applied it."""
    labeled: bool
    """Whether it has our labels."""
    refreshed: str | None
    expires: str | None
    deselected_since: str | None
    content: Content | None = None
    """None if only the metadata was read. The content of ours is read once for each version, that of others never."""
    other_installation: str | None = None
    """The namespace of another installation that has labelled it as its own."""


class GracePeriod(NamedTuple):
    """How long a pull secret outlives its namespace's label."""

    seconds: float
    clock_hold: float = 0.0
    """Seconds for which no pull secret is deleted yet, because the clock that shows its age cannot be trusted."""
    since: float | None = None
    """POSIX time since when this process has seen that the namespace is not selected: an annotation that is later, or
    removed, does not extend the period."""
    entitled: bool = False
    """Whether the Secret existed and was ours while the namespace was selected. Otherwise it gets no new content: it
    could have been created by a user who must not have any."""


class NamespaceState(Enum):
    """Whether a namespace gets the pull secret."""

    SELECTED = "the namespace is selected"
    NOT_SELECTED = "the namespace is not selected"
    FORBIDDEN = "the namespace is denied by the configuration, or a system namespace"
    TERMINATING = "the namespace is deleted or being deleted"


class ActionKind(Enum):
    """The kind of an action."""

    NOTHING = "nothing"
    KEEP = "keep"
    """It exists and is as it should be."""
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


class Action(NamedTuple):
    """An action, and when to check again."""

    kind: ActionKind
    why: str
    deselected_since: str | None = None
    """For what is applied: since when the namespace has not been selected."""
    due: float | None = None
    """POSIX time at which to check again."""
    foreign: bool = False
    """Whether another Secret has the name, and is left unchanged."""
    replaces: bool = False
    """Whether to recreate what is deleted."""
    keeps_content: bool = False
    """Whether an update keeps the content, whatever it is."""


def plan(
    state: NamespaceState, found: Secret | None, pull_secret: PullSecret | None, now: float, grace: GracePeriod
) -> Action:
    """Return the action for one namespace at POSIX time `now`."""
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
        return _update(found, pull_secret, deselected_since=None)
    return _not_selected(found, pull_secret, now, grace)


def leave(state: NamespaceState, installation: str) -> Action:
    """Return the action for a Secret of the installation in another namespace."""
    why = f"belongs to the installation in namespace {installation}; leaving it unchanged"
    return Action(ActionKind.NOTHING, why, foreign=state is NamespaceState.SELECTED)


def _not_selected(found: Secret, pull_secret: PullSecret | None, now: float, grace: GracePeriod) -> Action:
    """Return the action for a Secret of ours in a namespace that is not selected."""
    seen = now if grace.since is None or grace.since > now else grace.since
    marked = parse_rfc3339(found.deselected_since or "")
    # A mark later than what was seen is not ours, or from a clock that was ahead.
    valid = marked is not None and marked <= seen
    since = marked if marked is not None and valid else seen
    deselected_since = found.deselected_since if valid else format_rfc3339(seen)
    due = max(since + grace.seconds, now + grace.clock_hold)
    if now >= due:
        return Action(ActionKind.DELETE, _over(deselected_since, grace.seconds))
    content = found.content
    # Whether the content is right must make no difference: a tenant that guesses a credential must learn nothing.
    if grace.entitled or content is None or pull_secret is None:
        return _update(found, pull_secret, deselected_since=deselected_since, due=due)
    why = "the namespace has not been seen selected with this Secret in it, so the content is left unchanged"
    if valid or content == TOO_LARGE:
        return Action(ActionKind.KEEP, why, deselected_since, due)
    return Action(ActionKind.UPDATE, why, deselected_since, due, keeps_content=True)


def _over(since: str | None, grace: float) -> str:
    return f"the namespace has not been selected since {since}, longer than the grace period of {grace:g} s"


def _obstacle(found: Secret) -> str | None:
    """Return why a Secret must not be changed, if so, as the predicate of a sentence."""
    if not found.managed:
        return f"exists but is not managed by {PROGRAM}; leaving it unchanged. Delete it to get the pull secret"
    content = found.content
    if content is not None and content.type != TYPE:
        return (
            f"has the label of {PROGRAM} but type {content.type}, which cannot be changed; leaving it unchanged. "
            "Delete it to get the pull secret"
        )
    return None


def _missing(state: NamespaceState, pull_secret: PullSecret | None) -> Action:
    if state is not NamespaceState.SELECTED:
        return Action(ActionKind.NOTHING, state.value)
    if pull_secret is None:
        return Action(ActionKind.NOTHING, "there is no credential to publish yet")
    return Action(ActionKind.CREATE, "the Secret does not exist")


def _update(
    found: Secret, pull_secret: PullSecret | None, *, deselected_since: str | None, due: float | None = None
) -> Action:
    if pull_secret is None:
        return Action(
            ActionKind.NOTHING, "there is no credential to publish, so the content is left unchanged", due=due
        )
    content = found.content
    if content is None:
        return Action(ActionKind.NOTHING, "its content has not been read yet", due=due)
    if pull_secret.create_only and content.hash != pull_secret.hash:
        return Action(ActionKind.NOTHING, "the credential is not verified, so the content is left unchanged", due=due)
    difference = _difference(found, content, pull_secret, deselected_since)
    if difference is None:
        return Action(ActionKind.KEEP, "the Secret is up to date", deselected_since, due)
    fixed = _why_fixed(content, pull_secret)
    if fixed is not None:
        return Action(ActionKind.DELETE, f"{difference}, and {fixed}", replaces=deselected_since is None)
    return Action(ActionKind.UPDATE, difference, deselected_since, due)


def _why_fixed(content: Content, pull_secret: PullSecret) -> str | None:
    """Return why a Secret of ours cannot be changed in place, if so: it is deleted, and recreated if it is needed."""
    if content.immutable and content.hash != pull_secret.hash:
        return "it is immutable"
    if content.others + len(pull_secret.content) > LIMIT:
        return "other keys leave no room for the credential"
    return None


def _difference(found: Secret, content: Content, pull_secret: PullSecret, deselected_since: str | None) -> str | None:
    """Return how a Secret of ours differs from the desired one, if it does."""
    if content.hash != pull_secret.hash:
        return "its content differs from the credential"
    if not found.labeled or found.refreshed != pull_secret.refreshed or found.expires != pull_secret.expires:
        return "its labels or annotations differ"
    if found.deselected_since != deselected_since:
        return "the namespace is selected again" if deselected_since is None else "the namespace is no longer selected"
    return None
