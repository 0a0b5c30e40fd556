"""When a certificate is renewed and an authority replaced, and in which order: from what is stored to what should be.

Whoever connects must trust the authority before it meets a certificate that this signed. So a change of authority is
a row of steps with waits between them:

1. the next authority is made, and stands in the bundle beside the one that signs;
2. when the bundle has been in place for the overlap, the next authority becomes the one that signs, and signs a pair;
3. when every replica has said that it serves that pair, the old authority leaves the bundle.

At every moment each replica's certificate is signed by an authority of the bundle.

Any clock may be wrong, this one's or another's, and be set at any moment. So `now` is compared with what certificates
say and with nothing else, how long something has been so is what a replica has seen itself, and what is not valid now
is made anew, be it over or yet to begin. What may be good by another's clock stays in the bundle, and stays served.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from msgspec import Struct, structs

from webhook.errors import CertificateError
from webhook.pki import ca
from webhook.pki.ca import KeyPair

#: What is renewed has this share of its life behind it.
_RENEWAL_SHARE = 2 / 3
#: A replica that has said nothing new for so long is gone: it says again every third of this. One that leaves takes its
#: word back, so this is for one that was killed; there is no hurry, for an authority has a third of its life left.
REPLICA_TIMEOUT = timedelta(hours=6)
REPORT_INTERVAL = REPLICA_TIMEOUT / 3
#: Where everything is made anew, as many of the authorities before are kept as this.
_MAX_RETIRED = 5


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

    active: KeyPair
    """The one that signs."""
    serving: KeyPair
    """The pair to serve, signed by it."""
    next: KeyPair | None = None
    """The authority that will sign next."""
    retired: tuple[bytes, ...] = ()
    """Certificates of authorities that signed before, oldest first: a replica may serve a pair of theirs yet."""
    trusted: datetime | None = None
    """When the newest authority came into the bundle that the API servers have, by the clock of whoever put it there;
    None: it is not there yet."""
    requested: bool = False
    """Whether the authority is to be changed before it is due, as soon as it is known."""

    @property
    def cas(self) -> tuple[bytes, ...]:
        """The certificates to trust, oldest first."""
        newest = (self.next.certificate,) if self.next else ()
        return (*self.retired, self.active.certificate, *newest)

    @property
    def bundle(self) -> bytes:
        """The same as one PEM text, for `caBundle`."""
        return b"".join(self.cas)

    def __repr__(self) -> str:
        """Show no key."""
        return f"State({len(self.cas)} authorities, trusted={self.trusted})"


class Report(NamedTuple):
    """What a replica has said."""

    serving: str
    """The fingerprint of the certificate that it serves."""
    reported_at: datetime
    """When it said so, by its own clock."""


class Observed(NamedTuple):
    """For how long the replica that looks has seen what is stored, by a clock that nobody sets."""

    trusted: timedelta
    """The newest authority, and that it is in the bundle or not."""
    serving: timedelta
    """The pair to serve."""
    reports: Mapping[str, tuple[Report, timedelta]]
    """What each replica has said, by its name."""


class Step(NamedTuple):
    """What is to be stored instead, and why, in words."""

    state: State
    why: str


def bootstrap(found: bytes, terms: Terms, now: datetime) -> Step:
    """Make an authority and a pair where nothing is known.

    The authorities of the bundle that was `found` in place stay trusted: replicas may serve pairs that they signed.
    """
    return Step(_regenerate(ca.certificates_in(found), terms, now), "there was none")


def restore(remembered: State, observed: Observed, terms: Terms, now: datetime) -> Step:
    """Store again what is gone from where it was stored, and change the authority: whoever deleted it wants that.

    An authority that has signed nothing yet is changed at once: its key was stored there, too. Where the one that signs
    is not known yet, the request is stored, and the change made when it is.
    """
    if remembered.next or _is_trusted_everywhere(remembered, observed, terms):
        return Step(
            _with_next(remembered, terms, now), "what was stored is gone: it is put back, and the authority changed"
        )
    put_back = structs.replace(remembered, trusted=None, requested=True)
    return Step(put_back, "what was stored is gone: it is put back, and the authority changed when it is known")


def next_step(state: State, observed: Observed, terms: Terms, now: datetime) -> Step | None:
    """Say what is due at `now` (aware), one thing at a time; None for nothing."""
    if not _is_valid(state.active.certificate, now):
        return Step(_regenerate(state.cas, terms, now), "the authority is not valid now: everything is made anew")
    due = _change_of_authority(state, observed, terms, now)
    if due is not None:
        return due
    why = _why_renewed(state.serving, terms, now)
    if why:
        return Step(structs.replace(state, serving=_signed(state.active, terms, now)), why)
    if state.retired and _is_served_everywhere(state, observed, terms):
        return Step(structs.replace(state, retired=()), "no replica needs the old authority any more")
    return None


def _change_of_authority(state: State, observed: Observed, terms: Terms, now: datetime) -> Step | None:
    """Say whether the authority, which is valid, is to be changed, or the change to go on."""
    if state.next is None:
        over = now >= ca.validity(state.active.certificate).after(_RENEWAL_SHARE)
        if not (over or state.requested) or not _is_trusted_everywhere(state, observed, terms):
            return None
        why = (
            "a change of the authority was requested"
            if state.requested
            else "two thirds of the authority's life are over"
        )
        return Step(_with_next(state, terms, now), f"{why}: the next one is made")
    if not _is_valid(state.next.certificate, now):
        return Step(_with_next(state, terms, now), "the next authority is not valid now: it is made anew")
    if not _is_trusted_everywhere(state, observed, terms):
        return None
    return Step(_promoted(state, state.next, terms, now), "the new authority is known: it signs from now on")


def _why_renewed(pair: KeyPair, terms: Terms, now: datetime) -> str | None:
    serving = ca.validity(pair.certificate)
    if not serving.holds(now):
        return "the certificate is not valid now"
    if not ca.names(pair.certificate).issuperset(terms.names):
        return "the webhook is called by another name"
    return "two thirds of the certificate's life are over" if now >= serving.after(_RENEWAL_SHARE) else None


def is_due_to_serve(held: KeyPair | None, state: State, observed: Observed, terms: Terms, now: datetime) -> bool:
    """Tell whether a replica that holds a pair, or none, is to take the stored one now."""
    if held == state.serving:
        return False
    serves = held is not None and _is_valid(held.certificate, now) and _is_trusted(held, state)
    if serves and not _is_valid(state.serving.certificate, now):
        return False  # whoever made it has another time: the API servers take at least one of the two
    if state.next is not None:
        return True  # the authority that signed has been known for long
    if state.trusted is None:
        return False
    return not serves or _is_trusted_everywhere(state, observed, terms)


def _is_trusted(pair: KeyPair, state: State) -> bool:
    try:
        ca.check(pair, state.cas)
    except CertificateError:
        return False
    return True


def _is_trusted_everywhere(state: State, observed: Observed, terms: Terms) -> bool:
    """Tell whether the API servers have had the time to hear of the newest authority."""
    return state.trusted is not None and observed.trusted >= terms.overlap


def _is_served_everywhere(state: State, observed: Observed, terms: Terms) -> bool:
    """Tell whether all that are heard of serve the pair, and whoever was about to be heard of has had the time."""
    heard = [report for report, age in observed.reports.values() if age < REPLICA_TIMEOUT]
    wanted = ca.fingerprint(state.serving.certificate)
    return observed.serving >= terms.overlap and bool(heard) and all(report.serving == wanted for report in heard)


def _regenerate(known: Sequence[bytes], terms: Terms, now: datetime) -> State:
    """Make everything; who serves what one of the authorities that were `known` signed goes on being trusted."""
    made = ca.create_ca(ca.CA_NAME, now, terms.authority_life)
    return State(made, _signed(made, terms, now), retired=tuple(known[-_MAX_RETIRED:]))


def _with_next(state: State, terms: Terms, now: datetime) -> State:
    made = ca.create_ca(ca.CA_NAME, now, terms.authority_life)
    return structs.replace(state, next=made, trusted=None, requested=False)


def _promoted(state: State, incoming: KeyPair, terms: Terms, now: datetime) -> State:
    return structs.replace(
        state,
        active=incoming,
        serving=_signed(incoming, terms, now),
        next=None,
        retired=(*state.retired, state.active.certificate),
    )


def _signed(issuer: KeyPair, terms: Terms, now: datetime) -> KeyPair:
    """Sign a pair that ends no later than the authority."""
    return ca.sign(issuer, terms.names, now, min(terms.life, ca.validity(issuer.certificate).ends - now))


def _is_valid(certificate: bytes, now: datetime) -> bool:
    try:
        return ca.validity(certificate).holds(now)
    except ValueError:
        return False
