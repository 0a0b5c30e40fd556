"""The order in which certificates and CAs change: by cases, and as a property of whole histories."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec import structs

from webhook.constants import InstallationNames
from webhook.errors import CertificateError
from webhook.pki import ca, rotation, secret_codec, verify
from webhook.pki.ca import KeyPair
from webhook.pki.rotation import CertificateSpec, Observed, Report, State, Step
from webhook.pki.secret_codec import TlsSecret
from webhook.refresher.certificates.observed_age import AgeTracker
from webhook.settings import CertificateSettings

_NOW = datetime(2026, 11, 1, tzinfo=UTC)
_HOUR = timedelta(hours=1)
_YEAR = timedelta(days=365)
_LIFE, _CA_LIFE = 90 * _HOUR, 900 * _HOUR


def spec_of(
    life: timedelta = _LIFE, ca_life: timedelta = _CA_LIFE, overlap: timedelta = timedelta(minutes=2)
) -> CertificateSpec:
    seconds = (int(one.total_seconds()) for one in (life, ca_life, overlap))
    return CertificateSpec(InstallationNames().hosts, CertificateSettings(*seconds))


_SPEC = spec_of()


#: Seen for long, and no replica has said anything.
LONG = Observed(_HOUR, _HOUR, {})
_SECOND = timedelta(seconds=1)


def begun() -> State:
    """Make what stands there after the first minute."""
    return structs.replace(rotation.bootstrap(b"", _SPEC, _NOW).state, trusted=_NOW)


def fingerprint(pair: KeyPair) -> str:
    return ca.fingerprint(pair.certificate)


def taken(step: Step | None) -> State:
    assert step is not None
    return step.state


@cache
def signed_by(pair: KeyPair, issuers: tuple[bytes, ...]) -> bool:
    try:
        ca.check(pair, issuers)
    except CertificateError:
        return False
    return True


def test_bootstrap_creates_ca_and_certificate() -> None:
    state = rotation.bootstrap(b"", _SPEC, _NOW).state
    assert signed_by(state.serving, (state.active.certificate,))
    assert state.cas == (state.active.certificate,)
    assert state.trusted is None
    assert ca.validity(state.serving.certificate) == (_NOW, _NOW + _LIFE)
    assert ca.validity(state.active.certificate) == (_NOW, _NOW + _CA_LIFE)


def test_bootstrap_existing_bundle_stays_trusted() -> None:
    # What is over by this clock may be good by the API servers'.
    found = tuple(ca.create_ca("found", _NOW - n * _HOUR, 3 * _HOUR).certificate for n in range(5))
    state = rotation.bootstrap(b"".join(found), _SPEC, _NOW).state
    assert state.cas == (*found, state.active.certificate)
    # And no more of them than so many, the last ones.
    assert rotation.bootstrap(state.bundle, _SPEC, _NOW).state.retired == state.cas[1:]


@pytest.mark.parametrize("found", [b"", b"no PEM", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_bootstrap_bundle_without_certificate_ignored(found: bytes) -> None:
    assert rotation.bootstrap(found, _SPEC, _NOW).state.retired == ()


def test_next_step_before_two_thirds_of_life_none() -> None:
    assert rotation.next_step(begun(), LONG, _SPEC, _NOW + 60 * _HOUR - _SECOND) is None


def test_next_step_renews_at_two_thirds_of_life() -> None:
    state = begun()
    renewed = taken(rotation.next_step(state, LONG, _SPEC, _NOW + 60 * _HOUR))
    assert renewed.cas == state.cas
    assert signed_by(renewed.serving, (state.active.certificate,))
    assert ca.validity(renewed.serving.certificate).ends == _NOW + 150 * _HOUR
    assert renewed.trusted == state.trusted


def test_next_step_service_renamed_renews_with_same_ca() -> None:
    state = begun()
    moved = _SPEC._replace(names=InstallationNames("platform", "acme").hosts)
    assert rotation.next_step(state, LONG, _SPEC, _NOW) is None
    renewed = taken(rotation.next_step(state, LONG, moved, _NOW))
    assert renewed.active == state.active
    assert verify.leaf_certificate(renewed.serving.certificate).names == {
        "acme.platform.svc",
        "acme.platform.svc.cluster.local",
    }
    assert rotation.next_step(renewed, LONG, moved, _NOW) is None


def test_renewed_certificate_ends_before_ca() -> None:
    state = taken(rotation.next_step(begun(), LONG, _SPEC, _NOW + 599 * _HOUR))
    long = spec_of(life=_CA_LIFE)
    late = rotation.next_step(state, LONG, long, _NOW + 599 * _HOUR + 61 * _HOUR)
    for pair in (taken(late).serving, state.serving):
        assert ca.validity(pair.certificate).ends <= ca.validity(state.active.certificate).ends


def test_next_step_ca_rotation_order() -> None:
    state = begun()
    now = _NOW + 600 * _HOUR
    announced = taken(rotation.next_step(state, LONG, _SPEC, now))
    assert announced.next is not None
    assert announced.serving == state.serving
    assert announced.trusted is None
    assert announced.bundle.startswith(state.bundle)
    # The pair is due as well, and is renewed by the authority that everybody knows.
    renewed = taken(rotation.next_step(announced, LONG, _SPEC, now))
    assert signed_by(renewed.serving, (state.active.certificate,))
    # Nothing more happens before the bundle is in place, however long that takes, and for the overlap after that.
    assert rotation.next_step(renewed, LONG, _SPEC, now + 24 * _HOUR) is None
    known = structs.replace(renewed, trusted=now)
    assert rotation.next_step(known, LONG._replace(trusted=_SPEC.overlap - _SECOND), _SPEC, now) is None
    promoted = taken(rotation.next_step(known, LONG._replace(trusted=_SPEC.overlap), _SPEC, now))
    assert promoted.active == announced.next
    assert signed_by(promoted.serving, (announced.next.certificate,))
    assert promoted.bundle == announced.bundle
    # The old authority goes when both replicas serve the new pair, and the third has been silent for long.
    old, new = (Report(fingerprint(one.serving), now) for one in (renewed, promoted))
    almost, silent = rotation.REPLICA_TIMEOUT - _SECOND, rotation.REPLICA_TIMEOUT
    for said in ({}, {"a": (new, _HOUR), "b": (old, almost)}, {"a": (new, silent)}):
        assert rotation.next_step(promoted, LONG._replace(reports=said), _SPEC, now) is None
    everybody = LONG._replace(reports={"a": (new, almost), "b": (new, _HOUR), "c": (old, silent)})
    assert rotation.next_step(promoted, everybody._replace(serving=_SPEC.overlap - _SECOND), _SPEC, now) is None
    alone = taken(rotation.next_step(promoted, everybody._replace(serving=_SPEC.overlap), _SPEC, now))
    assert alone.cas == (promoted.active.certificate,)


@pytest.mark.parametrize("at", [_NOW - 2 * _YEAR, _NOW + 2 * _YEAR])
def test_next_step_retired_ca_removed_by_reports(at: datetime) -> None:
    other = ca.create_ca("other", at, _HOUR).certificate
    state = structs.replace(begun(), retired=(other,))
    assert rotation.next_step(state, LONG, _SPEC, _NOW) is None
    said = LONG._replace(reports={"a": (Report(fingerprint(state.serving), at), _HOUR)})
    assert taken(rotation.next_step(state, said, _SPEC, _NOW)).retired == ()


@pytest.mark.parametrize("off", [900 * _HOUR, 2 * _YEAR, -2 * _YEAR, -timedelta(minutes=5, seconds=1)])
def test_next_step_invalid_ca_recreates_all_trusts_old(
    off: timedelta,
) -> None:
    state = rotation.restore(begun(), LONG, _SPEC, _NOW).state
    fresh = taken(rotation.next_step(state, LONG, _SPEC, _NOW + off))
    assert fresh.retired == state.cas
    assert (fresh.next, fresh.trusted) == (None, None)
    assert signed_by(fresh.serving, (fresh.active.certificate,))
    assert ca.validity(fresh.serving.certificate).holds(_NOW + off)
    # Which is all that there is to do.
    assert rotation.next_step(fresh, LONG, _SPEC, _NOW + off) is None


def test_next_step_clock_slightly_behind_none() -> None:
    state = rotation.restore(begun(), LONG, _SPEC, _NOW).state
    assert rotation.next_step(state, LONG, _SPEC, _NOW - timedelta(minutes=5)) is None


@pytest.mark.parametrize("off", [2 * _YEAR, -2 * _YEAR])
def test_next_step_invalid_certificate_renewed_with_same_ca(off: timedelta) -> None:
    state = begun()
    other = structs.replace(state, serving=ca.sign(state.active, _SPEC.names, _NOW + off, _LIFE))
    renewed = taken(rotation.next_step(other, LONG, _SPEC, _NOW))
    assert (renewed.cas, renewed.trusted) == (state.cas, state.trusted)
    assert ca.validity(renewed.serving.certificate) == (_NOW, _NOW + _LIFE)
    assert rotation.next_step(renewed, LONG, _SPEC, _NOW) is None


@pytest.mark.parametrize("off", [2 * _YEAR, -2 * _YEAR])
def test_next_step_invalid_next_ca_recreated(off: timedelta) -> None:
    made = ca.create_ca("other", _NOW + off, _CA_LIFE)
    state = structs.replace(begun(), next=made)
    mended = taken(rotation.next_step(state, LONG, _SPEC, _NOW))
    assert mended.trusted is None
    assert mended.cas[0] == state.active.certificate
    assert mended.next
    assert ca.validity(mended.next.certificate) == (_NOW, _NOW + _CA_LIFE)


@pytest.mark.parametrize("off", [2 * _YEAR, -2 * _YEAR])
def test_next_step_trusted_timestamp_ignored(off: timedelta) -> None:
    state = structs.replace(rotation.restore(begun(), LONG, _SPEC, _NOW).state, trusted=_NOW + off)
    assert rotation.next_step(state, LONG._replace(trusted=_SPEC.overlap - _SECOND), _SPEC, _NOW) is None
    assert taken(rotation.next_step(state, LONG, _SPEC, _NOW)).active == state.next


def test_restore_lost_secret_starts_ca_rotation() -> None:
    state = begun()
    back = rotation.restore(state, LONG, _SPEC, _NOW + _HOUR).state
    assert (back.active, back.serving) == (state.active, state.serving)
    assert back.next is not None
    assert back.trusted is None


def test_restore_during_rotation_replaces_next_ca() -> None:
    """Whoever read the Secret has its key as well."""
    back = rotation.restore(begun(), LONG, _SPEC, _NOW + _HOUR).state
    for known in (back, structs.replace(back, trusted=_NOW)):
        after = rotation.restore(known, LONG, _SPEC, _NOW + _HOUR).state
        assert after.active == back.active
        assert after.next not in {None, back.next}
        assert after.trusted is None


def test_restore_before_ca_trusted_requests_rotation() -> None:
    state = begun()
    shortly = LONG._replace(trusted=_SPEC.overlap - _SECOND)
    put_back = rotation.restore(state, shortly, _SPEC, _NOW + _HOUR).state
    assert put_back == structs.replace(state, trusted=None, requested=True)
    assert rotation.restore(put_back, LONG, _SPEC, _NOW + _HOUR).state == put_back
    assert rotation.next_step(put_back, LONG, _SPEC, _NOW + _HOUR) is None
    known = structs.replace(put_back, trusted=_NOW)
    assert rotation.next_step(known, shortly, _SPEC, _NOW + _HOUR) is None
    changed = taken(rotation.next_step(known, LONG, _SPEC, _NOW + _HOUR))
    assert changed.next is not None
    assert not changed.requested
    # And once.
    promoted = taken(rotation.next_step(structs.replace(changed, trusted=_NOW), LONG, _SPEC, _NOW + _HOUR))
    assert promoted.active == changed.next
    assert rotation.next_step(promoted, LONG, _SPEC, _NOW + _HOUR) is None


def test_next_step_untrusted_ca_no_next_ca() -> None:
    state = begun()
    shortly = LONG._replace(trusted=_SPEC.overlap - _SECOND)
    for trusted, seen in ((None, LONG), (_NOW, shortly)):
        placed = structs.replace(state, trusted=trusted)
        renewed = taken(rotation.next_step(placed, seen, _SPEC, _NOW + 600 * _HOUR))
        assert renewed.cas == state.cas
        assert rotation.next_step(renewed, seen, _SPEC, _NOW + 600 * _HOUR) is None


HELD = begun()
RENEWED = structs.replace(HELD, serving=ca.sign(HELD.active, InstallationNames().hosts, _NOW, _HOUR))
OVER = ca.sign(HELD.active, InstallationNames().hosts, _NOW - 2 * _HOUR, _HOUR)
COMING = ca.sign(HELD.active, InstallationNames().hosts, _NOW + _YEAR, _HOUR)
GARBLED = KeyPair(b"garbled", b"garbled")
STRANGER = begun().serving


@pytest.mark.parametrize(
    ("held", "trusted", "seen", "due"),
    [
        (RENEWED.serving, 0, 3600, False),
        (None, 0, 0, True),
        (None, None, 3600, False),
        (HELD.serving, None, 3600, False),
        (HELD.serving, 0, 119, False),
        (HELD.serving, 0, 120, True),
        # It says when it came there, which no clock is compared with.
        (HELD.serving, 70_000_000, 119, False),
        (HELD.serving, -70_000_000, 119, False),
        (HELD.serving, 70_000_000, 120, True),
        (OVER, 0, 0, True),
        (COMING, 0, 0, True),
        (GARBLED, 0, 0, True),
        # It is valid, and no authority of the bundle has signed it.
        (STRANGER, 0, 0, True),
        (GARBLED, None, 0, False),
    ],
)
def test_is_due_to_serve_once_ca_trusted(held: KeyPair | None, trusted: int | None, seen: int, *, due: bool) -> None:
    state = structs.replace(RENEWED, trusted=None if trusted is None else _NOW + timedelta(seconds=trusted))
    assert rotation.is_due_to_serve(held, state, LONG._replace(trusted=timedelta(seconds=seen)), _SPEC, _NOW) is due


def test_is_due_to_serve_renewed_during_rotation() -> None:
    state = rotation.restore(structs.replace(RENEWED, trusted=_NOW - _HOUR), LONG, _SPEC, _NOW).state
    assert rotation.is_due_to_serve(HELD.serving, state, LONG, _SPEC, _NOW)


@pytest.mark.parametrize("stored", [OVER, COMING])
@pytest.mark.parametrize(
    ("held", "due"), [(HELD.serving, False), (None, True), (OVER, True), (COMING, True), (STRANGER, True)]
)
@pytest.mark.parametrize("changing", [False, True])
def test_is_due_to_serve_invalid_never_replaces_valid(
    stored: KeyPair, held: KeyPair | None, *, due: bool, changing: bool
) -> None:
    state = structs.replace(HELD, serving=stored)
    state = structs.replace(rotation.restore(state, LONG, _SPEC, _NOW).state if changing else state, trusted=_NOW)
    assert rotation.is_due_to_serve(held, state, LONG, _SPEC, _NOW) is (due and held != stored)


class World:
    """Replicas, one of which writes, each with a clock, and an API server that hears of a bundle late."""

    def __init__(self, spec: CertificateSpec, replicas: int, lag: timedelta) -> None:
        self.spec = spec
        self.lag = lag
        self.now = _NOW
        self.state: State | None = None
        self.remembered: State | None = None
        self.bundle = b""
        self.heard: list[tuple[datetime, bytes]] = []
        self.held: list[KeyPair | None] = [None] * replicas
        self.new = [_NOW] * replicas
        self.said: list[datetime | None] = [None] * replicas
        self.reports: dict[str, Report] = {}
        self.wrong = [timedelta()] * replicas
        """By how much each one's clock is wrong."""
        self.right = [_NOW] * replicas
        """Since when it has been right."""
        self.steps = 0
        self.writer = 0
        self._witnesses = [AgeTracker(self._monotonic) for _ in range(replicas)]

    def _monotonic(self) -> float:
        return (self.now - _NOW).total_seconds()

    def set(self, number: int, wrong: timedelta) -> None:
        """Set a replica's clock."""
        if self.wrong[number] and not wrong:
            self.right[number] = self.now
        self.wrong[number] = wrong

    def round(self, awake: Sequence[bool]) -> None:
        """Have everybody who is awake look once, as the sidecar does."""
        self._keep()
        for number, pair in enumerate(self.held):
            if not awake[number] or self.state is None:
                continue
            now, seen = self.now + self.wrong[number], self._look(number)
            if rotation.is_due_to_serve(pair, self.state, seen, self.spec, now):
                if pair is None or not valid(pair, self.now) or not signed_by(pair, self.state.cas):
                    # It served nothing, and begins at the earliest moment.
                    self.new[number] = self.now + self.lag
                self.held[number] = self.state.serving
            serving = self.held[number]
            if serving is not None:
                self.reports[str(number)] = Report(fingerprint(serving), now)
                self.said[number] = self.now

    def _look(self, number: int) -> Observed:
        state = self.state or self.remembered
        if state is None:
            return LONG
        kept: dict[str, object] = {"trusted": (state.cas[-1], state.trusted), "serving": state.serving}
        ages = self._witnesses[number].observe(kept | self.reports)
        return Observed(
            ages["trusted"], ages["serving"], {name: (said, ages[name]) for name, said in self.reports.items()}
        )

    def _keep(self) -> None:
        now, seen = self.now + self.wrong[self.writer], self._look(self.writer)
        if self.state is None:
            known = self.remembered
            step = (
                rotation.restore(known, seen, self.spec, now)
                if known
                else rotation.bootstrap(self.bundle, self.spec, now)
            )
        else:
            found = rotation.next_step(self.state, seen, self.spec, now)
            self.steps += found is not None
            step = found or Step(self.state, "")
        self.state = self.remembered = step.state
        if self.bundle != step.state.bundle:
            self.bundle = step.state.bundle
            self.heard.append((self.now + self.lag, self.bundle))
            self.state = self.remembered = structs.replace(step.state, trusted=now)
        elif step.state.trusted is None:
            self.state = self.remembered = structs.replace(step.state, trusted=now)

    def heard_of(self) -> list[KeyPair]:
        """Give what those replicas serve that are not new, have not been silent for long, and whose clock is right."""
        return [
            pair
            for pair, said, new, right, wrong in zip(
                self.held, self.said, self.new, self.right, self.wrong, strict=True
            )
            if pair and said and self.now - said < rotation.REPLICA_TIMEOUT and self.now >= new
            if not wrong and self.now >= right + self.lag
        ]

    def trusted(self) -> tuple[bytes, ...]:
        """Give the authorities that the API server knows by now."""
        known = [bundle for at, bundle in self.heard if at <= self.now]
        return ca.certificates_in(known[-1]) if known else ()


def valid(pair: KeyPair, now: datetime) -> bool:
    return ca.validity(pair.certificate).holds(now)


_UNIT = rotation.REPLICA_TIMEOUT / 30
_REPLICAS = st.integers(0, 2)


class RotationMachine(RuleBasedStateMachine):
    """Rounds of three replicas, while clocks are set, the Lease changes hands and the Secret is deleted.

    A replica that serves what is valid is trusted, all along. Once all clocks are right, every replica soon serves
    what is valid, with few steps, and no CA signs whose key was in a deleted Secret.
    """

    @initialize(lag=st.integers(1, 10), ca_life=st.sampled_from([60, 120]))
    def start(self, lag: int, ca_life: int) -> None:
        spec = spec_of(30 * _UNIT, ca_life * _UNIT, 10 * _UNIT)
        self.lag = lag
        self.world = World(spec, 3, lag * _UNIT)
        self.leaked: set[KeyPair | None] = set()
        self.world.round([True] * 3)
        self.world.now += self.world.lag

    @rule(rounds=st.lists(st.tuples(st.integers(1, 30), st.lists(st.booleans(), min_size=3, max_size=3)), max_size=12))
    def reconcile(self, rounds: list[tuple[int, list[bool]]]) -> None:
        for thirds, awake in rounds:
            self.world.round(awake)
            self.world.now += thirds * _UNIT / 3
            self.served_is_trusted()

    @rule(replica=_REPLICAS, years=st.sampled_from([-2, 0, 2]))
    def set_clock(self, replica: int, years: int) -> None:
        self.world.set(replica, years * _YEAR)

    @rule(replica=_REPLICAS)
    def lead(self, replica: int) -> None:
        self.world.writer = replica

    @rule(restarted=st.sampled_from([False, False, True]))
    def delete_secret(self, restarted: bool) -> None:
        state = self.world.state
        if state is not None:
            self.leaked |= {state.active, state.next}
        self.world.state = None
        if restarted:
            self.world.remembered = None

    @invariant()
    def served_is_trusted(self) -> None:
        for pair in self.world.heard_of():
            assert not valid(pair, self.world.now) or signed_by(pair, self.world.trusted())

    def teardown(self) -> None:
        world, everybody = self.world, [True] * 3
        for number in range(3):
            world.set(number, timedelta())
        world.steps = 0
        self.reconcile([(3, everybody)] * (10 + 3 * (10 + self.lag)))
        world.round(everybody)
        # Few steps, and not one in every round: a rotation that was due, one that was requested, and renewals.
        assert world.steps <= 12
        assert world.state is not None
        assert world.state.active not in self.leaked
        assert not world.state.requested
        for pair in world.held:
            assert pair
            assert valid(pair, world.now)
            assert signed_by(pair, world.trusted())


TestRotationMachine = RotationMachine.TestCase
TestRotationMachine.settings = settings(
    max_examples=max(10, settings().max_examples // 2),
    stateful_step_count=20,
    suppress_health_check=[HealthCheck.too_slow],
)


def written(state: State) -> TlsSecret:
    data, annotations = secret_codec.encode(state)
    return TlsSecret(1, secret_codec.TYPE, data, annotations)


@pytest.mark.parametrize(
    "state",
    [begun(), rotation.bootstrap(b"", _SPEC, _NOW).state, rotation.restore(begun(), LONG, _SPEC, _NOW + _HOUR).state],
)
def test_encode_then_decode_same_state(state: State) -> None:
    both = structs.replace(state, retired=begun().cas + begun().cas)
    assert secret_codec.decode(written(state)) == state
    assert secret_codec.decode(written(both)) == both


def changed(**data: bytes) -> TlsSecret:
    secret = written(rotation.restore(begun(), LONG, _SPEC, _NOW + _HOUR).state)
    return structs.replace(secret, data={**secret.data, **data})


FOREIGN = begun()
UNREADABLE = "a certificate or key is not valid PEM, or of an unknown kind"


def encrypted(pair: KeyPair) -> bytes:
    key = serialization.load_pem_private_key(pair.key, None)
    how = serialization.BestAvailableEncryption(b"kept-secret")
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)


@pytest.mark.parametrize(
    ("secret", "why"),
    [
        (TlsSecret(1, secret_codec.TYPE, {}, {}), "missing keys: ca.crt, ca.key"),
        (changed(**{"tls.crt": b""}), "missing keys: tls.crt"),
        (
            changed(**{"tls.key": b"kept-secret"}),
            UNREADABLE,
        ),
        (
            changed(**{"ca.key": encrypted(FOREIGN.active)}),
            UNREADABLE,
        ),
        (changed(**{"tls.key": FOREIGN.serving.key}), "a key does not belong to its certificate"),
        (changed(**{"next-ca.key": FOREIGN.serving.key}), "a key does not belong to its certificate"),
        (
            changed(**{"tls.crt": FOREIGN.serving.certificate, "tls.key": FOREIGN.serving.key}),
            "no CA in the Secret has signed the certificate",
        ),
        (structs.replace(changed(), type="kubernetes.io/tls"), "the type must be Opaque, not kubernetes.io/tls"),
    ],
)
def test_decode_unusable_secret_raises_one_line(secret: TlsSecret, why: str) -> None:
    with pytest.raises(CertificateError) as raised:
        secret_codec.decode(secret)
    assert str(raised.value) == why


#: Of a kind of key that `cryptography` does not read: openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:sm2.
_UNSUPPORTED = b"""-----BEGIN CERTIFICATE-----
MIIBbjCCARWgAwIBAgIUCw2EYk+kPcPy4jjRrxHcFMXL+dgwCgYIKoZIzj0EAwIw
DDEKMAgGA1UEAwwBeDAgFw0yNjExMjkxNzQ2MDBaGA8yMTI2MTEwNTE3NDYwMFow
DDEKMAgGA1UEAwwBeDBZMBMGByqGSM49AgEGCCqBHM9VAYItA0IABGHO7imSl375
ot2YCNxszuvTmQtpF2qrPRTFl0LzemnDarSnkTJPlAPgVsgHLLcBbbSyNoNYxRVx
vdkf66HouNajUzBRMB0GA1UdDgQWBBRNacuHBgJw3CpR3l8iOAqcvE/WRDAfBgNV
HSMEGDAWgBRNacuHBgJw3CpR3l8iOAqcvE/WRDAPBgNVHRMBAf8EBTADAQH/MAoG
CCqGSM49BAMCA0cAMEQCIF7F0PpHNlyT3NpirQ+DRmguGQS+TO8xe++7BCh4xOF5
AiAbmqYRiZgdqtX0uInSuR57Yr+YSGixkIF7dKhDt71pdQ==
-----END CERTIFICATE-----
"""


def rsa_authority() -> KeyPair:
    """Make an authority with a key of a kind that ours never have."""
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "rsa")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(_NOW - _HOUR).not_valid_after(_NOW + _HOUR)
    certificate = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    how = serialization.PrivateFormat.PKCS8
    return KeyPair(certificate, key.private_bytes(serialization.Encoding.PEM, how, serialization.NoEncryption()))


RSA = rsa_authority()


@pytest.mark.parametrize(
    "secret",
    [
        changed(**{"ca.crt": RSA.certificate, "ca.key": RSA.key}),
        changed(**{"next-ca.crt": RSA.certificate, "next-ca.key": RSA.key}),
        changed(**{"ca.crt": _UNSUPPORTED}),
        changed(**{"tls.crt": _UNSUPPORTED}),
        changed(**{"next-ca.crt": _UNSUPPORTED, "next-ca.key": FOREIGN.active.key}),
    ],
)
def test_decode_unsupported_key_type_raises(secret: TlsSecret) -> None:
    with pytest.raises(CertificateError):
        secret_codec.decode(secret)


def test_decode_unsupported_retired_ca_accepted() -> None:
    state = secret_codec.decode(changed(**{"retired-ca.crt": _UNSUPPORTED}))
    assert rotation.next_step(state, LONG, _SPEC, _NOW) is None or state.retired


def test_report_round_trips() -> None:
    said = Report("abc", _NOW)
    annotations = {"replica.registry-webhook/one": secret_codec.report(said), "other": secret_codec.report(said)}
    secret = TlsSecret(1, secret_codec.TYPE, {}, annotations | {"replica.registry-webhook/two": "nonsense"})
    assert secret_codec.reports(secret) == {"one": said}


def test_state_repr_hides_keys() -> None:
    state = rotation.restore(begun(), LONG, _SPEC, _NOW + _HOUR).state
    assert "PRIVATE" not in f"{state!r}{written(state)!r}"
