"""When a certificate is renewed and an authority replaced, and in which order: from what is stored to what should be.

Whoever connects must trust the authority before it meets a certificate that this signed. So a change of authority is
a row of steps with waits between them:

1. the next authority is made, and stands in the bundle beside the one that signs;
2. when the bundle has been in place for the overlap, the next authority becomes the one that signs, and signs a pair;
3. when every replica has said that it serves that pair, the old authority leaves the bundle.

At every moment each replica's certificate is signed by an authority of the bundle.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from msgspec import Struct, structs

from webhook.certificates import authority
from webhook.certificates.authority import Pair

#: What is renewed has this share of its life behind it.
_DUE = 2 / 3
#: A replica that has said nothing for so long is gone: it says again every third of this. One that leaves takes its
#: word back, so this is for one that was killed; there is no hurry, for an authority has a third of its life left.
SILENCE = timedelta(hours=6)
REPEATED = SILENCE / 3
#: Of authorities that are met in the bundle and not known, as many are kept as this.
_FOUND = 5


class Terms(NamedTuple):
    """How long what is good for."""

    names: tuple[str, ...]
    """By which the webhook is called."""
    life: timedelta
    authority_life: timedelta
    overlap: timedelta
    """What the API servers have for hearing of a new authority before anything that it signed is served."""


class State(Struct, frozen=True):
    """What is stored."""

    authority: Pair
    """The one that signs."""
    serving: Pair
    """The pair to serve, signed by it."""
    incoming: Pair | None = None
    """The authority that will sign next."""
    retired: tuple[bytes, ...] = ()
    """Certificates of authorities that signed before, oldest first: a replica may serve a pair of theirs yet."""
    trusted: datetime | None = None
    """Since when the newest authority has been in the bundle that the API servers have; None: it is not there yet."""

    @property
    def authorities(self) -> tuple[bytes, ...]:
        """The certificates to trust, oldest first."""
        newest = (self.incoming.certificate,) if self.incoming else ()
        return (*self.retired, self.authority.certificate, *newest)

    @property
    def bundle(self) -> bytes:
        """The same as one PEM text, for `caBundle`."""
        return b"".join(self.authorities)

    def __repr__(self) -> str:
        """Show no key."""
        return f"State({len(self.authorities)} authorities, trusted={self.trusted})"


class Report(NamedTuple):
    """What a replica has said."""

    serving: str
    """The fingerprint of the certificate that it serves."""
    at: datetime


class Step(NamedTuple):
    """What is to be stored instead, and why, in words."""

    state: State
    why: str


def first(found: bytes, terms: Terms, now: datetime) -> Step:
    """Make an authority and a pair where nothing is known.

    The authorities of the bundle that was `found` in place stay trusted: replicas may serve pairs that they signed.
    """
    made = authority.make_authority(authority.NAME, now, terms.authority_life)
    known = tuple(one for one in authority.certificates_in(found) if _is_good(one, now))
    return Step(State(made, _signed(made, terms, now), retired=known[-_FOUND:]), "there was none")


def again(remembered: State, terms: Terms, now: datetime) -> Step:
    """Store again what is gone from where it was stored, and change the authority: whoever took it away wants that."""
    known = remembered.trusted is not None and now >= remembered.trusted + terms.overlap
    # One authority after the other: the one that signs must be known before the next is made.
    if known and not remembered.incoming:
        return Step(
            _with_next(remembered, terms, now), "what was stored is gone: it is put back, and the authority changed"
        )
    return Step(structs.replace(remembered, trusted=None), "what was stored is gone: it is put back")


def step(state: State, reports: Mapping[str, Report], terms: Terms, now: datetime) -> Step | None:
    """Say what is due at `now` (aware), one thing at a time; None for nothing."""
    signing = authority.span(state.authority.certificate)
    if now >= signing.ends:
        return first(b"", terms, now)
    if state.incoming is not None:
        if state.trusted is not None and now >= state.trusted + terms.overlap:
            return Step(
                _promoted(state, state.incoming, terms, now), "the new authority is known: it signs from now on"
            )
    elif now >= signing.after(_DUE) and state.trusted is not None:
        return Step(_with_next(state, terms, now), "two thirds of the authority's life are over: the next one is made")
    if now >= authority.span(state.serving.certificate).after(_DUE):
        renewed = structs.replace(state, serving=_signed(state.authority, terms, now))
        return Step(renewed, "two thirds of the certificate's life are over")
    retired = () if _is_served_everywhere(state, reports, terms, now) else state.retired
    kept = tuple(one for one in retired if _is_good(one, now))
    if kept != state.retired:
        return Step(structs.replace(state, retired=kept), "no replica needs the old authority any more")
    return None


def is_due_to_serve(held: Pair | None, state: State, terms: Terms, now: datetime) -> bool:
    """Tell whether a replica that holds a pair, or none, is to take the stored one now."""
    if held == state.serving:
        return False
    if state.incoming is not None:
        return True  # the authority that signed has been known for long
    if state.trusted is None:
        return False
    return held is None or not _is_good(held.certificate, now) or now >= state.trusted + terms.overlap


def _is_served_everywhere(state: State, reports: Mapping[str, Report], terms: Terms, now: datetime) -> bool:
    """Tell whether all that are heard of serve the pair, and whoever was about to be heard of has had the time."""
    heard = [report for report in reports.values() if now - report.at < SILENCE]
    wanted = authority.fingerprint(state.serving.certificate)
    settled = now >= authority.span(state.serving.certificate).issued + terms.overlap
    return settled and bool(heard) and all(report.serving == wanted for report in heard)


def _with_next(state: State, terms: Terms, now: datetime) -> State:
    made = authority.make_authority(authority.NAME, now, terms.authority_life)
    return structs.replace(state, incoming=made, trusted=None)


def _promoted(state: State, incoming: Pair, terms: Terms, now: datetime) -> State:
    return structs.replace(
        state,
        authority=incoming,
        serving=_signed(incoming, terms, now),
        incoming=None,
        retired=(*state.retired, state.authority.certificate),
    )


def _signed(issuer: Pair, terms: Terms, now: datetime) -> Pair:
    """Sign a pair that ends no later than the authority."""
    return authority.sign(issuer, terms.names, now, min(terms.life, authority.span(issuer.certificate).ends - now))


def _is_good(certificate: bytes, now: datetime) -> bool:
    try:
        return now < authority.span(certificate).ends
    except ValueError:
        return False
