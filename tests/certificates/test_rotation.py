"""The order in which certificates and authorities change: by cases, and as a law over whole histories."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from webhook.certificates import authority, rotation, stored
from webhook.certificates.authority import Pair
from webhook.certificates.rotation import Report, State, Step, Terms
from webhook.certificates.stored import Stored
from webhook.errors import CertificateError
from webhook.names import SERVICE_NAMES

_NOW = datetime(2026, 11, 1, tzinfo=UTC)
_HOUR = timedelta(hours=1)
_TERMS = Terms(SERVICE_NAMES, life=90 * _HOUR, authority_life=900 * _HOUR, overlap=timedelta(minutes=2))


def begun() -> State:
    """Make what stands there after the first minute."""
    return structs.replace(rotation.first(b"", _TERMS, _NOW).state, trusted=_NOW)


def fingerprint(pair: Pair) -> str:
    return authority.fingerprint(pair.certificate)


def taken(step: Step | None) -> State:
    assert step is not None
    return step.state


def signed_by(pair: Pair, issuers: tuple[bytes, ...]) -> bool:
    try:
        authority.check(pair, issuers)
    except CertificateError:
        return False
    return True


def test_at_first_an_authority_and_a_pair_are_made_for_the_services_names() -> None:
    state = rotation.first(b"", _TERMS, _NOW).state
    assert signed_by(state.serving, (state.authority.certificate,))
    assert state.authorities == (state.authority.certificate,)
    assert state.trusted is None
    assert authority.span(state.serving.certificate) == (_NOW, _NOW + _TERMS.life)
    assert authority.span(state.authority.certificate) == (_NOW, _NOW + _TERMS.authority_life)


def test_what_stood_in_the_bundle_stays_trusted_when_nothing_else_is_known() -> None:
    before = begun()
    found = before.bundle + authority.make_authority("over", _NOW - 3 * _HOUR, _HOUR).certificate
    state = rotation.first(found, _TERMS, _NOW).state
    assert state.authorities == (before.authority.certificate, state.authority.certificate)


@pytest.mark.parametrize("found", [b"", b"no PEM", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_bundle_that_holds_no_certificate_is_none(found: bytes) -> None:
    assert rotation.first(found, _TERMS, _NOW).state.retired == ()


def test_nothing_is_due_before_two_thirds_of_a_life() -> None:
    assert rotation.step(begun(), {}, _TERMS, _NOW + 60 * _HOUR - timedelta(seconds=1)) is None


def test_a_certificate_is_renewed_at_two_thirds_of_its_life_by_the_same_authority() -> None:
    state = begun()
    renewed = taken(rotation.step(state, {}, _TERMS, _NOW + 60 * _HOUR))
    assert renewed.authorities == state.authorities
    assert signed_by(renewed.serving, (state.authority.certificate,))
    assert authority.span(renewed.serving.certificate).ends == _NOW + 150 * _HOUR
    assert renewed.trusted == state.trusted


def test_no_certificate_outlives_its_authority() -> None:
    state = taken(rotation.step(begun(), {}, _TERMS, _NOW + 599 * _HOUR))
    long = _TERMS._replace(life=_TERMS.authority_life)
    late = rotation.step(state, {}, long, _NOW + 599 * _HOUR + 61 * _HOUR)
    for pair in (taken(late).serving, state.serving):
        assert authority.span(pair.certificate).ends <= authority.span(state.authority.certificate).ends


def test_an_authority_changes_in_order() -> None:
    state = begun()
    now = _NOW + 600 * _HOUR
    announced = taken(rotation.step(state, {}, _TERMS, now))
    assert announced.incoming is not None
    assert announced.serving == state.serving
    assert announced.trusted is None
    assert announced.bundle.startswith(state.bundle)
    # The pair is due as well, and is renewed by the authority that everybody knows.
    renewed = taken(rotation.step(announced, {}, _TERMS, now))
    assert signed_by(renewed.serving, (state.authority.certificate,))
    # Nothing more happens before the bundle is in place, however long that takes, and for the overlap after that.
    assert rotation.step(renewed, {}, _TERMS, now + 24 * _HOUR) is None
    known = structs.replace(renewed, trusted=now)
    assert rotation.step(known, {}, _TERMS, now + _TERMS.overlap - timedelta(seconds=1)) is None
    now += _TERMS.overlap
    promoted = taken(rotation.step(known, {}, _TERMS, now))
    assert promoted.authority == announced.incoming
    assert signed_by(promoted.serving, (announced.incoming.certificate,))
    assert promoted.bundle == announced.bundle
    # The old authority goes when both replicas serve the new pair, and the third has been silent for long.
    old, new = Report(fingerprint(renewed.serving), now), Report(fingerprint(promoted.serving), now)
    silent = Report(fingerprint(state.serving), now - rotation.SILENCE)
    later = now + _TERMS.overlap
    assert rotation.step(promoted, {"a": new, "b": old}, _TERMS, later) is None
    assert rotation.step(promoted, {}, _TERMS, later) is None
    assert rotation.step(promoted, {"a": new, "b": new}, _TERMS, later - timedelta(seconds=1)) is None
    alone = taken(rotation.step(promoted, {"a": new, "b": new, "c": silent}, _TERMS, later))
    assert alone.authorities == (promoted.authority.certificate,)


def test_a_retired_authority_that_is_over_goes_whatever_the_replicas_say() -> None:
    over = authority.make_authority("over", _NOW - 3 * _HOUR, _HOUR).certificate
    state = structs.replace(begun(), retired=(over,))
    assert taken(rotation.step(state, {}, _TERMS, _NOW)).retired == ()


def test_with_an_authority_that_is_over_everything_begins_anew() -> None:
    state = begun()
    fresh = taken(rotation.step(state, {}, _TERMS, _NOW + 900 * _HOUR))
    assert fresh.authority != state.authority
    assert signed_by(fresh.serving, fresh.authorities)


def test_what_was_lost_is_stored_again_and_the_authority_changed() -> None:
    state = begun()
    back = rotation.again(state, _TERMS, _NOW + _HOUR).state
    assert (back.authority, back.serving) == (state.authority, state.serving)
    assert back.incoming is not None
    assert back.trusted is None
    assert rotation.again(back, _TERMS, _NOW + _HOUR).state == back
    # One that is on its way comes, and no other in its place.
    known = structs.replace(back, trusted=_NOW)
    assert rotation.again(known, _TERMS, _NOW + _HOUR).state == back


def test_an_authority_that_is_not_known_yet_is_not_changed_again() -> None:
    state = begun()
    assert rotation.again(state, _TERMS, _NOW + timedelta(minutes=1)).state == structs.replace(state, trusted=None)


def test_while_an_authority_is_not_in_place_the_next_is_not_made() -> None:
    state = structs.replace(begun(), trusted=None)
    renewed = taken(rotation.step(state, {}, _TERMS, _NOW + 600 * _HOUR))
    assert renewed.authorities == state.authorities
    assert rotation.step(renewed, {}, _TERMS, _NOW + 600 * _HOUR) is None


HELD = begun()
RENEWED = structs.replace(HELD, serving=authority.sign(HELD.authority, SERVICE_NAMES, _NOW, _HOUR))
OVER = authority.sign(HELD.authority, SERVICE_NAMES, _NOW - 2 * _HOUR, _HOUR)
GARBLED = Pair(b"garbled", b"garbled")


@pytest.mark.parametrize(
    ("held", "trusted", "after", "due"),
    [
        (RENEWED.serving, 0, 3600, False),
        (None, 0, 0, True),
        (None, None, 3600, False),
        (HELD.serving, None, 3600, False),
        (HELD.serving, 0, 119, False),
        (HELD.serving, 0, 120, True),
        (OVER, 0, 0, True),
        (GARBLED, 0, 0, True),
        (GARBLED, None, 0, False),
    ],
)
def test_a_pair_is_taken_over_when_its_authority_is_known(
    held: Pair | None, trusted: int | None, after: int, *, due: bool
) -> None:
    state = structs.replace(RENEWED, trusted=None if trusted is None else _NOW)
    assert rotation.is_due_to_serve(held, state, _TERMS, _NOW + timedelta(seconds=after)) is due


def test_while_the_next_authority_waits_a_renewed_pair_is_taken_over_at_once() -> None:
    state = rotation.again(structs.replace(RENEWED, trusted=_NOW - _HOUR), _TERMS, _NOW).state
    assert rotation.is_due_to_serve(HELD.serving, state, _TERMS, _NOW)


class World:
    """Replicas, one of which writes, and an API server that hears of a bundle late."""

    def __init__(self, terms: Terms, replicas: int, lag: timedelta) -> None:
        self.terms = terms
        self.lag = lag
        self.now = _NOW
        self.state: State | None = None
        self.remembered: State | None = None
        self.bundle = b""
        self.heard: list[tuple[datetime, bytes]] = []
        self.held: list[Pair | None] = [None] * replicas
        self.new = [_NOW] * replicas
        self.reports: dict[str, Report] = {}

    def round(self, awake: list[bool]) -> None:
        """Have everybody who is awake look once, as the sidecar does."""
        self._keep()
        for number, pair in enumerate(self.held):
            if not awake[number] or self.state is None:
                continue
            if rotation.is_due_to_serve(pair, self.state, self.terms, self.now):
                if pair is None or authority.span(pair.certificate).ends <= self.now:
                    # It served nothing, and begins at the earliest moment.
                    self.new[number] = self.now + self.lag
                self.held[number] = self.state.serving
            serving = self.held[number]
            if serving is not None:
                self.reports[str(number)] = Report(fingerprint(serving), self.now)

    def _keep(self) -> None:
        if self.state is None:
            known = self.remembered
            step = (
                rotation.again(known, self.terms, self.now)
                if known
                else rotation.first(self.bundle, self.terms, self.now)
            )
        else:
            found = rotation.step(self.state, self.reports, self.terms, self.now)
            step = found or Step(self.state, "")
        self.state = self.remembered = step.state
        if self.bundle != step.state.bundle:
            self.bundle = step.state.bundle
            self.heard.append((self.now + self.lag, self.bundle))
            self.state = structs.replace(step.state, trusted=self.now)
        elif step.state.trusted is None:
            self.state = structs.replace(step.state, trusted=self.now)

    def heard_of(self) -> list[Pair]:
        """Give what those replicas serve that are not new, and have not been silent for too long."""
        said = [self.reports.get(str(number)) for number in range(len(self.held))]
        return [
            pair
            for pair, report, new in zip(self.held, said, self.new, strict=True)
            if pair and report and self.now - report.at < rotation.SILENCE and self.now >= new
        ]

    def trusted(self) -> tuple[bytes, ...]:
        """Give the authorities that the API server knows by now."""
        known = [bundle for at, bundle in self.heard if at <= self.now]
        return authority.certificates_in(known[-1]) if known else ()


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(1, 30),
            st.lists(st.booleans(), min_size=3, max_size=3),
            st.sampled_from(["", "", "", "lost", "forgotten"]),
        ),
        min_size=10,
        max_size=60,
    ),
    st.integers(1, 10),
)
def test_whatever_happens_a_replica_that_serves_is_trusted(
    history: list[tuple[int, list[bool], str]], lag: int
) -> None:
    unit = rotation.SILENCE / 30
    terms = Terms(SERVICE_NAMES, life=30 * unit, authority_life=60 * unit, overlap=10 * unit)
    world = World(terms, 3, lag * unit)
    world.round([True] * 3)
    world.now += world.lag
    for wait, awake, event in history:
        if event:
            world.state = None
            world.remembered = None if event == "forgotten" else world.remembered
        world.round(awake)
        world.now += wait * unit / 3
        for pair in world.heard_of():
            ends = authority.span(pair.certificate).ends
            assert ends <= world.now or signed_by(pair, world.trusted())


def written(state: State) -> Stored:
    data, annotations = stored.encode(state)
    return Stored(1, stored.TYPE, data, annotations)


@pytest.mark.parametrize(
    "state", [begun(), rotation.first(b"", _TERMS, _NOW).state, rotation.again(begun(), _TERMS, _NOW + _HOUR).state]
)
def test_a_state_is_read_as_it_was_written(state: State) -> None:
    both = structs.replace(state, retired=begun().authorities + begun().authorities)
    assert stored.decode(written(state)) == state
    assert stored.decode(written(both)) == both


def changed(**data: bytes) -> Stored:
    secret = written(rotation.again(begun(), _TERMS, _NOW + _HOUR).state)
    return structs.replace(secret, data={**secret.data, **data})


FOREIGN = begun()


def encrypted(pair: Pair) -> bytes:
    key = serialization.load_pem_private_key(pair.key, None)
    how = serialization.BestAvailableEncryption(b"kept-secret")
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)


@pytest.mark.parametrize(
    ("secret", "why"),
    [
        (Stored(1, stored.TYPE, {}, {}), "it has no ca.crt and no ca.key"),
        (changed(**{"tls.crt": b""}), "it has no tls.crt"),
        (changed(**{"tls.key": b"kept-secret"}), "a certificate or a key is no PEM that can be read"),
        (changed(**{"ca.key": encrypted(FOREIGN.authority)}), "a certificate or a key is no PEM that can be read"),
        (changed(**{"tls.key": FOREIGN.serving.key}), "a key does not belong to its certificate"),
        (changed(**{"next-ca.key": FOREIGN.serving.key}), "a key does not belong to its certificate"),
        (
            changed(**{"tls.crt": FOREIGN.serving.certificate, "tls.key": FOREIGN.serving.key}),
            "a certificate is signed by none of the authorities",
        ),
        (structs.replace(changed(), type="kubernetes.io/tls"), "its type is kubernetes.io/tls, and ours is Opaque"),
    ],
)
def test_what_could_not_be_served_is_refused_in_one_line(secret: Stored, why: str) -> None:
    with pytest.raises(CertificateError) as raised:
        stored.decode(secret)
    assert str(raised.value) == why


def test_what_a_replica_says_is_read_as_it_was_written() -> None:
    said = Report("abc", _NOW)
    annotations = {"replica.registry-webhook/one": stored.report(said), "other": stored.report(said)}
    secret = Stored(1, stored.TYPE, {}, annotations | {"replica.registry-webhook/two": "nonsense"})
    assert stored.reports(secret) == {"one": said}


def test_nothing_that_is_shown_of_a_state_holds_a_key() -> None:
    state = rotation.again(begun(), _TERMS, _NOW + _HOUR).state
    assert "PRIVATE" not in f"{state!r}{written(state)!r}"
