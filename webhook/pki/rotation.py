"""When to renew a certificate and rotate a CA, and in which order: from the stored state to the next one.

A client must trust a CA before it meets a certificate that this CA signed. So a rotation is a sequence of steps with
waits between them:

1. The next CA is created, and added to the bundle in addition to the active one.
2. When the bundle has been in place for the overlap, the next CA becomes active and signs a new key pair.
3. When every replica has reported that it serves that key pair, the retired CA leaves the bundle.

At every moment each replica's certificate is signed by a CA of the bundle.

Any clock can be wrong, ours or another's, and can be set at any moment. So `now` is compared only with certificates,
and each replica measures ages itself. A certificate that is not valid now is regenerated, whether it has expired or is
not valid yet. One that may be valid by another clock stays in the bundle, and is still served.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from msgspec import Struct, structs

from webhook.errors import CertificateError
from webhook.pki import ca, verify
from webhook.pki.ca import KeyPair
from webhook.settings import CertificateSettings

#: A certificate is renewed when this share of its life is over.
_RENEWAL_SHARE = 2 / 3
#: A replica that has not reported for so long is gone. One that stops withdraws its report, so this is for those that
#: were killed. There is time, because a CA is rotated when a third of its life is left.
REPLICA_TIMEOUT = timedelta(hours=6)
REPORT_INTERVAL = REPLICA_TIMEOUT / 3
#: How many earlier CAs stay trusted when everything is regenerated.
_MAX_RETIRED = 5


class CertificateSpec(NamedTuple):
    """The names of the webhook's Service, and the settings of its certificate."""

    names: tuple[str, ...]
    settings: CertificateSettings

    @property
    def overlap(self) -> timedelta:
        """Time for the API servers to learn about a new CA before anything that it signed is served."""
        return timedelta(seconds=self.settings.overlap)

    def create_ca(self, now: datetime) -> KeyPair:
        return ca.create_ca(ca.CA_NAME, now, timedelta(seconds=self.settings.authority_life))

    def sign(self, issuer: KeyPair, now: datetime) -> KeyPair:
        """Sign a key pair that ends no later than the CA."""
        life = min(timedelta(seconds=self.settings.life), ca.validity(issuer.certificate).ends - now)
        return ca.sign(issuer, self.names, now, life)


class State(Struct, frozen=True):
    """The stored state."""

    active: KeyPair
    """The CA that signs."""
    serving: KeyPair
    """The key pair to serve, signed by the active CA."""
    next: KeyPair | None = None
    """The CA that will sign next."""
    retired: tuple[bytes, ...] = ()
    """Certificates of earlier CAs, oldest first: a replica may still serve a key pair of theirs."""
    trusted: datetime | None = None
    """When the newest CA was added to the API servers' bundle, by the clock of the replica that did; None: not yet."""
    requested: bool = False
    """Whether to rotate the CA before that is due, as soon as it is trusted."""

    @property
    def cas(self) -> tuple[bytes, ...]:
        """The certificates to trust, oldest first."""
        newest = (self.next.certificate,) if self.next else ()
        return (*self.retired, self.active.certificate, *newest)

    @property
    def bundle(self) -> bytes:
        """The certificates to trust as one PEM text, for `caBundle`."""
        return b"".join(self.cas)

    def __repr__(self) -> str:
        """Show no key."""
        return f"State({len(self.cas)} CAs, trusted={self.trusted})"


class Report(NamedTuple):
    """The report of a replica."""

    serving: str
    """The fingerprint of the certificate that it serves."""
    reported_at: datetime
    """When it reported that, by its own clock."""


class Observed(NamedTuple):
    """For how long this replica has seen the stored state unchanged, by its monotonic clock."""

    trusted: timedelta
    """The newest CA, and whether it is in the bundle."""
    serving: timedelta
    """The key pair to serve."""
    reports: Mapping[str, tuple[Report, timedelta]]
    """Each replica's report, by its name."""


class Step(NamedTuple):
    """The state to store next, and why."""

    state: State
    why: str


def bootstrap(found: bytes, spec: CertificateSpec, now: datetime) -> Step:
    """Create a CA and a key pair because there is no stored state.

    The CAs of the bundle that was `found` stay trusted: replicas may serve key pairs that they signed.
    """
    return Step(_regenerate(ca.certificates_in(found), spec, now), "no certificate was stored")


def restore(remembered: State, observed: Observed, spec: CertificateSpec, now: datetime) -> Step:
    """Store a deleted state again, and rotate the CA: a user who deletes it wants that.

    A next CA that has signed nothing yet is replaced at once, because its key was in the deleted Secret too. While the
    active CA is not trusted yet, the request is stored, and the rotation follows later.
    """
    if remembered.next or _is_trusted_everywhere(remembered, observed, spec):
        return Step(
            _with_next(remembered, spec, now), "the Secret was deleted, so it is restored and the CA is rotated"
        )
    restored = structs.replace(remembered, trusted=None, requested=True)
    return Step(restored, "the Secret was deleted, so it is restored and the CA is rotated once API servers trust it")


def next_step(state: State, observed: Observed, spec: CertificateSpec, now: datetime) -> Step | None:
    """Return the single step that is due at `now` (aware), None for none."""
    if not _is_valid(state.active.certificate, now):
        return Step(_regenerate(state.cas, spec, now), "the CA is not valid now, so everything is created again")
    due = _rotate(state, observed, spec, now)
    if due is not None:
        return due
    why = _why_renew(state.serving, spec, now)
    if why:
        return Step(structs.replace(state, serving=spec.sign(state.active, now)), why)
    if state.retired and _is_served_everywhere(state, observed, spec):
        return Step(structs.replace(state, retired=()), "no replica uses the old CA any more")
    return None


def _rotate(state: State, observed: Observed, spec: CertificateSpec, now: datetime) -> Step | None:
    """Return the next step of a rotation of the active CA, which is valid."""
    if state.next is None:
        over = now >= ca.validity(state.active.certificate).after(_RENEWAL_SHARE)
        if not (over or state.requested) or not _is_trusted_everywhere(state, observed, spec):
            return None
        why = "a rotation was requested" if state.requested else "two thirds of the life of the CA are over"
        return Step(_with_next(state, spec, now), f"{why}, so the next CA is created")
    if not _is_valid(state.next.certificate, now):
        return Step(_with_next(state, spec, now), "the next CA is not valid now, so it is created again")
    if not _is_trusted_everywhere(state, observed, spec):
        return None
    promoted = structs.replace(
        state,
        active=state.next,
        serving=spec.sign(state.next, now),
        next=None,
        retired=(*state.retired, state.active.certificate),
    )
    return Step(promoted, "API servers trust the next CA, so it becomes the active one")


def _why_renew(pair: KeyPair, spec: CertificateSpec, now: datetime) -> str | None:
    validity = ca.validity(pair.certificate)
    if not validity.holds(now):
        return "the certificate is not valid now"
    if not verify.leaf_certificate(pair.certificate).names.issuperset(spec.names):
        return "the certificate lacks a name that API servers use"
    return "two thirds of the life of the certificate are over" if now >= validity.after(_RENEWAL_SHARE) else None


def is_due_to_serve(
    held: KeyPair | None, state: State, observed: Observed, spec: CertificateSpec, now: datetime
) -> bool:
    """Whether a replica that serves `held`, or nothing, should switch to the stored key pair now."""
    if held == state.serving:
        return False
    serves = held is not None and _is_valid(held.certificate, now) and _is_signed(held, state)
    if serves and not _is_valid(state.serving.certificate, now):
        return False  # its creator's clock differs from ours: the API servers accept at least one of the two
    if state.next is not None:
        return True  # a rotation has begun, so the active CA is trusted everywhere
    if state.trusted is None:
        return False
    return not serves or _is_trusted_everywhere(state, observed, spec)


def is_current(report: Report, state: State) -> bool:
    """Whether a replica has reported that it serves the stored key pair."""
    return report.serving == ca.fingerprint(state.serving.certificate)


def _is_signed(pair: KeyPair, state: State) -> bool:
    try:
        ca.check(pair, state.cas)
    except CertificateError:
        return False
    return True


def _is_trusted_everywhere(state: State, observed: Observed, spec: CertificateSpec) -> bool:
    """Whether the API servers have had the time to learn about the newest CA."""
    return state.trusted is not None and observed.trusted >= spec.overlap


def _is_served_everywhere(state: State, observed: Observed, spec: CertificateSpec) -> bool:
    """Whether all known replicas serve the key pair, and a new one has had the time to report."""
    reports = [report for report, age in observed.reports.values() if age < REPLICA_TIMEOUT]
    return observed.serving >= spec.overlap and bool(reports) and all(is_current(report, state) for report in reports)


def _regenerate(known: Sequence[bytes], spec: CertificateSpec, now: datetime) -> State:
    """Create a CA and a key pair; the last `known` CAs stay trusted, because replicas may serve what they signed."""
    active = spec.create_ca(now)
    return State(active, spec.sign(active, now), retired=tuple(known[-_MAX_RETIRED:]))


def _with_next(state: State, spec: CertificateSpec, now: datetime) -> State:
    return structs.replace(state, next=spec.create_ca(now), trusted=None, requested=False)


def _is_valid(certificate: bytes, now: datetime) -> bool:
    try:
        return ca.validity(certificate).holds(now)
    except ValueError:
        return False
