"""Actions for a namespace's secret: a table, and properties of all cases."""

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from webhook.pull_secret.credential import Credential, create_entry
from webhook.pull_secret.manifest import LIMIT, TYPE, PullSecret, build
from webhook.pull_secret.reconcile import (
    TOO_LARGE,
    Action,
    ActionKind,
    Content,
    GracePeriod,
    NamespaceState,
    Secret,
    plan,
)
from webhook.timestamps import format_rfc3339, parse_rfc3339

_NOW = 1_790_000_000.0
_LINGER = 100.0
_PASSWORD = "kept-secret"  # noqa: S105 - what is looked for
_DOCUMENT = build(Credential((create_entry("registry.example.com", "robot", _PASSWORD),)), _NOW)
_OTHER = build(Credential((create_entry("registry.example.com", "robot", f"{_PASSWORD}-old"),)), _NOW - 50)
_DOUBTED = structs.replace(_DOCUMENT, create_only=True)
_SECRET = Secret(
    namespace="team",
    version=7,
    uid="1-2-3",
    managed=True,
    labeled=True,
    refreshed=_DOCUMENT.refreshed,
    expires=None,
    deselected_since=None,
    content=Content(TYPE, _DOCUMENT.hash),
)
_STALE = structs.replace(_SECRET, refreshed=_OTHER.refreshed, content=Content(TYPE, _OTHER.hash))
_FORGED = structs.replace(_SECRET, content=Content(TYPE, _OTHER.hash))
_FOREIGN = structs.replace(_SECRET, managed=False, labeled=False, refreshed=None, content=None)
_OPAQUE = structs.replace(_SECRET, content=Content("Opaque", _DOCUMENT.hash))
_IMMUTABLE = structs.replace(_SECRET, content=Content(TYPE, _DOCUMENT.hash, immutable=True))
_IMMUTABLE_STALE = structs.replace(_STALE, content=Content(TYPE, _OTHER.hash, immutable=True))
_FULL = structs.replace(_STALE, content=Content(TYPE, _OTHER.hash, others=LIMIT - len(_DOCUMENT.content) + 1))
_TOO_LARGE = structs.replace(_STALE, content=TOO_LARGE)
_S, _U, _B, _L = (
    NamespaceState.SELECTED,
    NamespaceState.NOT_SELECTED,
    NamespaceState.FORBIDDEN,
    NamespaceState.TERMINATING,
)


def since(seconds: float) -> Secret:
    """Ours, in a namespace that has not been served for so long."""
    return structs.replace(_SECRET, deselected_since=format_rfc3339(_NOW - seconds))


def marked(found: Secret, seconds: float) -> Secret:
    """Give one with the mark that its namespace has not been served for so long."""
    return structs.replace(found, deselected_since=format_rfc3339(_NOW - seconds))


class Case(NamedTuple):
    standing: NamespaceState
    found: Secret | None
    document: PullSecret | None
    kind: ActionKind
    deselected_since: float | None = None
    due: float | None = None
    foreign: bool = False
    held: float = 0.0
    replaces: bool = False
    left: float | None = None
    entitled: bool = True
    keeps: bool = False


@pytest.mark.parametrize(
    "case",
    [
        # Nothing is there.
        Case(_S, None, _DOCUMENT, ActionKind.CREATE),
        Case(_S, None, _DOUBTED, ActionKind.CREATE),
        Case(_S, None, None, ActionKind.NOTHING),
        Case(_U, None, _DOCUMENT, ActionKind.NOTHING),
        Case(_B, None, _DOCUMENT, ActionKind.NOTHING),
        Case(_L, None, _DOCUMENT, ActionKind.NOTHING),
        # Ours is there, and served.
        Case(_S, _SECRET, _DOCUMENT, ActionKind.KEEP),
        Case(_S, _SECRET, _DOUBTED, ActionKind.KEEP),
        Case(_S, _SECRET, None, ActionKind.NOTHING),
        Case(_S, _STALE, _DOCUMENT, ActionKind.UPDATE),
        Case(_S, _STALE, _DOUBTED, ActionKind.NOTHING),
        Case(_S, _STALE, None, ActionKind.NOTHING),
        Case(_S, structs.replace(_SECRET, labeled=False), _DOCUMENT, ActionKind.UPDATE),
        Case(_S, structs.replace(_SECRET, refreshed="2026-01-01T00:00:00Z"), _DOCUMENT, ActionKind.UPDATE),
        Case(_S, structs.replace(_SECRET, refreshed=None), _DOCUMENT, ActionKind.UPDATE),
        Case(_S, _FORGED, _DOCUMENT, ActionKind.UPDATE),
        Case(_S, structs.replace(_SECRET, expires=format_rfc3339(_NOW)), _DOCUMENT, ActionKind.UPDATE),
        Case(_S, _SECRET, structs.replace(_DOCUMENT, expires=format_rfc3339(_NOW + 60)), ActionKind.UPDATE),
        # Since when it is published makes no difference: nobody is written to for it.
        Case(_S, _SECRET, structs.replace(_DOCUMENT, refreshed=format_rfc3339(_NOW + 60)), ActionKind.UPDATE),
        # Ours cannot be changed in place: it is deleted, and made again where it is served.
        Case(_S, _IMMUTABLE, _DOCUMENT, ActionKind.KEEP),
        Case(_S, structs.replace(_IMMUTABLE, labeled=False), _DOCUMENT, ActionKind.UPDATE),
        *(
            Case(_S, found, _DOCUMENT, ActionKind.DELETE, replaces=True)
            for found in (_IMMUTABLE_STALE, _FULL, _TOO_LARGE)
        ),
        *(Case(_U, found, _DOCUMENT, ActionKind.DELETE) for found in (_IMMUTABLE_STALE, _FULL, _TOO_LARGE)),
        *(Case(_S, found, _DOUBTED, ActionKind.NOTHING) for found in (_IMMUTABLE_STALE, _FULL, _TOO_LARGE)),
        *(Case(_S, found, None, ActionKind.NOTHING) for found in (_IMMUTABLE_STALE, _FULL, _TOO_LARGE)),
        Case(_U, _IMMUTABLE, _DOCUMENT, ActionKind.UPDATE, deselected_since=_NOW, due=_NOW + _LINGER),
        # Served again within the linger, or after it.
        Case(_S, since(10), _DOCUMENT, ActionKind.UPDATE),
        Case(_S, since(1000), _DOCUMENT, ActionKind.UPDATE),
        # No longer served.
        Case(_U, _SECRET, _DOCUMENT, ActionKind.UPDATE, deselected_since=_NOW, due=_NOW + _LINGER),
        Case(_U, since(10), _DOCUMENT, ActionKind.KEEP, deselected_since=_NOW - 10, due=_NOW + 90),
        Case(
            _U,
            structs.replace(since(10), content=Content(TYPE, "sha256:0")),
            _DOCUMENT,
            ActionKind.UPDATE,
            _NOW - 10,
            _NOW + 90,
        ),
        Case(_U, since(99), _DOCUMENT, ActionKind.KEEP, deselected_since=_NOW - 99, due=_NOW + 1),
        Case(_U, since(100), _DOCUMENT, ActionKind.DELETE),
        Case(_U, since(1_000_000), _DOCUMENT, ActionKind.DELETE),
        Case(_U, since(100), None, ActionKind.DELETE),
        Case(_U, since(10), None, ActionKind.NOTHING, due=_NOW + 90),
        # None goes while the clock cannot be believed.
        Case(_U, since(1_000_000), _DOCUMENT, ActionKind.KEEP, _NOW - 1_000_000, _NOW + 30, held=30),
        Case(_U, since(100), None, ActionKind.NOTHING, due=_NOW + 30, held=30),
        Case(_U, since(10), _DOCUMENT, ActionKind.KEEP, _NOW - 10, _NOW + 90, held=30),
        Case(_U, since(-3600), _DOCUMENT, ActionKind.UPDATE, _NOW, _NOW + _LINGER, held=30),
        Case(_S, _STALE, _DOCUMENT, ActionKind.UPDATE, held=30),
        Case(_B, _SECRET, _DOCUMENT, ActionKind.DELETE, held=30),
        Case(
            _U,
            structs.replace(since(10), content=Content(TYPE, "sha256:0")),
            _DOUBTED,
            ActionKind.NOTHING,
            due=_NOW + 90,
        ),
        # A mark that nobody of ours wrote, or of a clock that was ahead, begins anew.
        Case(_U, since(-3600), _DOCUMENT, ActionKind.UPDATE, deselected_since=_NOW, due=_NOW + _LINGER),
        Case(
            _U,
            structs.replace(_SECRET, deselected_since="long ago"),
            _DOCUMENT,
            ActionKind.UPDATE,
            _NOW,
            _NOW + _LINGER,
        ),
        Case(_U, structs.replace(_SECRET, deselected_since=""), _DOCUMENT, ActionKind.UPDATE, _NOW, _NOW + _LINGER),
        # Not seen there while the namespace was served: its content stays, whatever it says of itself.
        *(
            Case(_U, found, _DOCUMENT, ActionKind.UPDATE, _NOW, _NOW + _LINGER, entitled=False, keeps=True)
            for found in (_SECRET, _STALE, _FORGED, _IMMUTABLE_STALE, _FULL, structs.replace(_STALE, labeled=False))
        ),
        Case(_U, marked(_STALE, 10), _DOCUMENT, ActionKind.KEEP, _NOW - 10, _NOW + 90, entitled=False),
        Case(_U, marked(_FORGED, -10), _DOCUMENT, ActionKind.UPDATE, _NOW, _NOW + _LINGER, entitled=False, keeps=True),
        Case(_U, marked(_STALE, 100), _DOCUMENT, ActionKind.DELETE, entitled=False),
        Case(_U, _TOO_LARGE, _DOCUMENT, ActionKind.KEEP, _NOW, _NOW + _LINGER, entitled=False),
        Case(_U, _STALE, None, ActionKind.NOTHING, due=_NOW + _LINGER, entitled=False),
        Case(_U, _STALE, _DOUBTED, ActionKind.UPDATE, _NOW, _NOW + _LINGER, entitled=False, keeps=True),
        Case(_S, _FORGED, _DOCUMENT, ActionKind.UPDATE, entitled=False),
        # A mark that somebody takes away, or sets later, prolongs nothing.
        Case(_U, _SECRET, _DOCUMENT, ActionKind.UPDATE, _NOW - 40, _NOW + 60, left=_NOW - 40),
        Case(_U, since(10), _DOCUMENT, ActionKind.UPDATE, _NOW - 40, _NOW + 60, left=_NOW - 40),
        Case(_U, since(50), _DOCUMENT, ActionKind.KEEP, _NOW - 50, _NOW + 50, left=_NOW - 40),
        Case(_U, _SECRET, _DOCUMENT, ActionKind.DELETE, left=_NOW - 100),
        Case(_U, since(-5), None, ActionKind.DELETE, left=_NOW - 100),
        Case(_U, since(10), _DOCUMENT, ActionKind.KEEP, _NOW - 10, _NOW + 90, left=_NOW + 500),
        # Denied: it goes at once, whatever there is to publish.
        Case(_B, _SECRET, _DOCUMENT, ActionKind.DELETE),
        Case(_B, _STALE, None, ActionKind.DELETE),
        Case(_B, since(-3600), _DOUBTED, ActionKind.DELETE),
        # Gone, or going: Kubernetes deletes what is in it.
        *(Case(_L, found, _DOCUMENT, ActionKind.NOTHING) for found in (_SECRET, _STALE, _FOREIGN, since(1000))),
        # Somebody else's.
        *(Case(_S, found, _DOCUMENT, ActionKind.NOTHING, foreign=True) for found in (_FOREIGN, _OPAQUE)),
        *(Case(where, found, _DOCUMENT, ActionKind.NOTHING) for where in (_U, _B) for found in (_FOREIGN, _OPAQUE)),
    ],
    ids=lambda case: f"{case.standing.name}-{case.kind.name}",
)
def test_plan_action_by_state(case: Case) -> None:
    done = plan(
        case.standing, case.found, case.document, _NOW, GracePeriod(_LINGER, case.held, case.left, case.entitled)
    )
    deselected_since = None if case.deselected_since is None else format_rfc3339(case.deselected_since)
    assert done == Action(case.kind, done.why, deselected_since, case.due, case.foreign, case.replaces, case.keeps)
    assert done.why.isprintable()
    assert _PASSWORD not in done.why


_MARKS = (
    st.none() | st.sampled_from(["", "yesterday"]) | st.floats(-1e6, 1e6).map(lambda off: format_rfc3339(_NOW + off))
)
_HASHES = st.sampled_from([_DOCUMENT.hash, _OTHER.hash, "sha256:0"])
_CONTENTS = st.just(TOO_LARGE) | st.builds(
    Content,
    type=st.sampled_from([TYPE, TYPE, "Opaque", "kubernetes.io/service-account-token"]),
    hash=_HASHES,
    immutable=st.booleans(),
    others=st.sampled_from([0, 0, 500, LIMIT]),
)
_SECRETS = st.builds(
    Secret,
    namespace=st.just("team"),
    version=st.integers(1, 100),
    uid=st.just("1-2-3"),
    managed=st.booleans(),
    labeled=st.booleans(),
    refreshed=st.sampled_from([None, _DOCUMENT.refreshed, _OTHER.refreshed]),
    expires=_MARKS,
    deselected_since=_MARKS,
    content=_CONTENTS,
)
_STANDINGS = st.sampled_from(NamespaceState)
_DOCUMENTS = st.sampled_from([None, _DOCUMENT, _OTHER, _DOUBTED])
_TIMES = st.floats(_NOW - 1e6, _NOW + 1e6)
_LINGERS = st.builds(
    GracePeriod, st.floats(0, 1e6), since=st.none() | st.floats(_NOW - 1e6, _NOW + 1e6), entitled=st.booleans()
)


@given(_STANDINGS, _SECRETS, _DOCUMENTS, _TIMES, _LINGERS)
def test_plan_foreign_secret_untouched(
    standing: NamespaceState, found: Secret, document: PullSecret | None, now: float, linger: GracePeriod
) -> None:
    done = plan(standing, found, document, now, linger)
    if not found.managed or (found.content and found.content.type != TYPE):
        assert done.kind is ActionKind.NOTHING


@given(_STANDINGS, _SECRETS, _DOCUMENTS, _TIMES, _LINGERS)
def test_plan_unselected_and_not_entitled_no_credential(
    standing: NamespaceState, found: Secret, document: PullSecret | None, now: float, linger: GracePeriod
) -> None:
    """And nobody who writes guesses there is told which is right."""
    linger = linger._replace(entitled=False)
    done = plan(standing, found, document, now, linger)
    if standing is not NamespaceState.SELECTED:
        assert done.keeps_content or done.kind not in {ActionKind.CREATE, ActionKind.UPDATE}
        if document is not None and found.content is not None and found.content != TOO_LARGE:
            right = structs.replace(found, content=structs.replace(found.content, hash=document.hash))
            assert plan(standing, right, document, now, linger) == done


@given(_STANDINGS, st.none() | _SECRETS, _TIMES, _LINGERS)
def test_plan_create_only_credential_never_replaces(
    standing: NamespaceState, found: Secret | None, now: float, linger: GracePeriod
) -> None:
    done = plan(standing, found, _DOUBTED, now, linger)
    if found is not None and found.content and found.content.hash != _DOUBTED.hash:
        assert done.kind in {ActionKind.NOTHING, ActionKind.KEEP, ActionKind.DELETE} or done.keeps_content
        assert done.kind is ActionKind.NOTHING or standing is not NamespaceState.SELECTED


@given(_STANDINGS, st.none() | _SECRETS, _DOCUMENTS, _TIMES, _LINGERS)
def test_plan_after_action_nothing_left(
    standing: NamespaceState, found: Secret | None, document: PullSecret | None, now: float, linger: GracePeriod
) -> None:
    done = plan(standing, found, document, now, linger)
    assert done.kind not in {ActionKind.CREATE, ActionKind.UPDATE} or document is not None
    again = plan(standing, after(done, found, document), document, now, linger)
    if done.replaces:
        assert again.kind is ActionKind.CREATE
        again = plan(standing, after(again, None, document), document, now, linger)
    assert again.kind in {ActionKind.NOTHING, ActionKind.KEEP} or (
        again.kind is ActionKind.DELETE and linger.seconds < 1
    )
    assert again.foreign == done.foreign


def after(done: Action, found: Secret | None, document: PullSecret | None) -> Secret | None:
    """What stands there once a step is taken."""
    if done.kind is ActionKind.DELETE:
        return None
    if done.kind in {ActionKind.NOTHING, ActionKind.KEEP}:
        return found
    assert document is not None
    made = found or _SECRET
    return structs.replace(
        made,
        managed=True,
        labeled=True,
        refreshed=made.refreshed if done.keeps_content else document.refreshed,
        expires=made.expires if done.keeps_content else document.expires,
        deselected_since=done.deselected_since,
        content=structs.replace(made.content, hash=document.hash)
        if made.content and not done.keeps_content
        else made.content,
    )


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 30)), max_size=30), st.floats(31, 1000))
def test_plan_reselected_within_linger_never_deletes(history: list[tuple[bool, float]], linger: float) -> None:
    """However often the label comes and goes, as long as it never stays away for the linger, nothing is deleted."""
    now, away, found = _NOW, 0.0, _SECRET
    for served, seconds in history:
        away = 0.0 if served else away + seconds
        now += seconds
        if away + 1 >= linger:  # a mark is written to the second
            return
        standing = NamespaceState.SELECTED if served else NamespaceState.NOT_SELECTED
        done = plan(standing, found, _DOCUMENT, now, GracePeriod(linger, entitled=True))
        assert done.kind in {ActionKind.KEEP, ActionKind.UPDATE}
        left = after(done, found, _DOCUMENT)
        assert left is not None
        found = left
        assert (found.deselected_since is None) == served


@given(st.floats(1, 1e6), st.floats(-10, 1e6))
def test_plan_deletes_only_after_linger(linger: float, waited: float) -> None:
    mark = parse_rfc3339(format_rfc3339(_NOW))
    assert mark is not None
    found = structs.replace(_SECRET, deselected_since=format_rfc3339(_NOW))
    done = plan(NamespaceState.NOT_SELECTED, found, _DOCUMENT, _NOW + waited, GracePeriod(linger))
    if done.kind is ActionKind.DELETE:
        assert _NOW + waited >= mark + linger
    else:
        assert waited < 0 or _NOW + waited < mark + linger
        # It is looked at again when it goes, and not before: no hot loop, and none is forgotten.
        assert done.due is not None
        assert done.due > _NOW + waited or (waited < 0 and done.due >= _NOW + waited)
