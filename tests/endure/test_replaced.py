"""Certificate and configuration are replaced under load, with valid and with broken files."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import cycle, pairwise
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography import x509

from tests.support.server_process import Place, Server, replace, wait_until
from webhook.pki import ca
from webhook.pki.ca import KeyPair

from .conftest import Form
from .traffic import Answer, Outcome, Result, Traffic, traffic

Figure = Callable[[str, object], None]
Files = Mapping[str, bytes | None]
"""What is to stand in files; for None a directory."""
Version = str | Outcome
"""A certificate by its serial number, or a configuration by what it does."""

#: Seconds within which what is new and good is in force.
_PROMISED = 2.0
#: Seconds in which the files are looked at at least once.
_LOOKED = 0.7

ONE = Outcome("one.example.com", "one")
OTHER = Outcome("other.example.com/mirror", "other")


class Part(NamedTuple):
    """What can be replaced."""

    name: str
    of: Callable[[Answer], Version]
    """Which of its versions an answer was given with."""
    complaint: str
    """What the log says of one that is broken."""


PAIR = Part("certificate", lambda answer: answer.certificate, "certificate reload failed, keeping ")
CONFIGURATION = Part(
    "configuration", lambda answer: answer.outcome, "configuration reload failed, keeping previous configuration "
)


class Mounted:
    """Files as kubelet mounts those of a Secret or a ConfigMap: `..data` leads to the folder that holds them now."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._version = 0

    def put(self, files: Files) -> None:
        """Replace all files at once."""
        self._version += 1
        fresh = self._folder / f"..{self._version}"
        fresh.mkdir()
        for name, content in files.items():
            if content is None:
                (fresh / name).mkdir()
            else:
                (fresh / name).write_bytes(content)
        self._turn("..data", fresh.name)
        for name in files:
            if not (self._folder / name).is_symlink():
                self._turn(name, f"..data/{name}")

    def _turn(self, name: str, target: str) -> None:
        link = self._folder / f"{name}.new"
        link.symlink_to(target)
        link.replace(self._folder / name)


class FileByFile:
    """Files of which one is replaced after the other: for a while certificate and key do not fit."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, files: Files) -> None:
        """Replace all files."""
        for name, content in files.items():
            assert content is not None
            time.sleep(0.1)
            replace(self._folder / name, content)


def signed(place: Place) -> KeyPair:
    """Make a new certificate and its key."""
    return ca.sign(place.ours, ("localhost", "127.0.0.1"), datetime.now(UTC), timedelta(hours=1))


def files_of(pair: KeyPair) -> Files:
    return {"tls.crt": pair.certificate, "tls.key": pair.key}


def serial(pair: KeyPair) -> str:
    """Give a certificate's serial number as Python's ssl writes it."""
    number = f"{x509.load_pem_x509_certificate(pair.certificate).serial_number:X}"
    return number.zfill(len(number) + len(number) % 2)


def written(outcome: Outcome) -> bytes:
    """Write the configuration that has this outcome: by two settings, which must come into force together."""
    registry = f"opencti:\n  daemon:\n    registry:\n      server: {outcome.server}\n"
    return f"{registry}webhook:\n  pull_secret:\n    name: {outcome.pull_secret}\n".encode()


def is_in_force(server: Server, part: Part) -> bool:
    """Tell whether what stands in the files is in force, as probe and metric have it."""
    answer = server.probe("/readyz")
    assert answer.status == 200
    is_said = f"{part.name} reload failed, ".encode() in answer.body
    assert is_said or answer.body == b"ready\n"
    return not is_said and server.metric(f"registry_webhook_{part.name}_last_reload_successful") == 1


def put(
    load: Traffic, part: Part, where: Mounted | FileByFile, files: Files, version: Version
) -> tuple[float, Version]:
    """Put what is good, and wait until something is answered with it; give the moment before and the version."""
    # Taken before the files are replaced, because they may be active at once.
    moment = time.monotonic()
    where.put(files)
    wait_until(
        lambda: any(part.of(answer) == version and answer.ended > moment for answer in load.result().answers[-50:])
    )
    return moment, version


def in_force_after(result: Result, part: Part, versions: Sequence[tuple[float, Version]]) -> float:
    """Give the longest that it took until what had been put there was in force, seconds.

    Fail if anything was answered with an older version after that.
    """
    slowest = 0.0
    for (moment, version), (until, _) in pairwise([*versions, (math.inf, None)]):
        now = [answer for answer in result.answers if moment < answer.ended < until]
        came = min(answer.ended for answer in now if part.of(answer) == version)
        assert {part.of(answer) for answer in now if answer.due > came} <= {version}
        slowest = max(slowest, came - moment)
    return slowest


def check_that_the_last_good_stays(
    server: Server, load: Traffic, part: Part, broken: Mapping[str, Files], good: Mapping[Version, Files]
) -> None:
    """Put what is broken again and again, each time after something else that is good."""
    mounted = Mounted(server.place.folder)
    for content, (version, last_good) in zip(broken.values(), cycle(good.items()), strict=False):
        put(load, part, mounted, last_good, version)
        wait_until(lambda: is_in_force(server, part))
        came = time.monotonic()
        mounted.put(content)
        wait_until(lambda: not is_in_force(server, part))
        assert server.metric(f"registry_webhook_{part.name}_last_reload_successful") == 0
        time.sleep(_LOOKED)
        looked = time.monotonic()
        wait_until(lambda: bool(load.result().since(looked).answers))  # noqa: B023
        assert {part.of(answer) for answer in load.result().since(came).answers} == {version}
    version, last_good = next(iter(good.items()))
    put(load, part, mounted, last_good, version)
    wait_until(lambda: is_in_force(server, part))
    assert server.log.count(part.complaint) == len(broken), "each is said once"


@pytest.mark.parametrize("way", [Mounted, FileByFile], ids=["by a link", "file by file"])
def test_certificate_replaced_no_handshake_fails(
    server: Server, form: Form, figure: Figure, way: type[Mounted | FileByFile]
) -> None:
    where = way(server.place.folder)
    pairs = [signed(server.place) for _ in range(form.certificates // 2)]
    with traffic(server.secure, server.trust, rate=50, together=2, fresh=1.0) as load:
        versions = [put(load, PAIR, where, files_of(pair), serial(pair)) for pair in pairs]
    result = load.result().none_failed()
    slowest = in_force_after(result, PAIR, versions)
    assert slowest < _PROMISED
    figure(f"{len(pairs)} pairs replaced, {way.__name__}", f"in force within {slowest:.1f} s; {result}")


def test_certificate_invalid_previous_served(server: Server, figure: Figure) -> None:
    pairs = [signed(server.place) for _ in range(3)]
    good: dict[Version, Files] = {serial(pair): files_of(pair) for pair in pairs[:2]}
    certificate, key = pairs[2]
    broken: dict[str, Files] = {
        "a key that does not fit": {"tls.crt": certificate, "tls.key": pairs[0].key},
        "half a certificate": {"tls.crt": certificate[: len(certificate) // 2], "tls.key": key},
        "half a key": {"tls.crt": certificate, "tls.key": key[: len(key) // 2]},
        "an empty certificate": {"tls.crt": b"", "tls.key": key},
        "an empty key": {"tls.crt": certificate, "tls.key": b""},
        "a directory for a certificate": {"tls.crt": None, "tls.key": key},
        "a directory for a key": {"tls.crt": certificate, "tls.key": None},
        "no certificate": {"tls.key": key},
        "no key": {"tls.crt": certificate},
    }
    with traffic(server.secure, server.trust, rate=50, fresh=1.0) as load:
        check_that_the_last_good_stays(server, load, PAIR, broken, good)
    figure(f"{len(broken)} broken pairs", load.result().none_failed())


def test_configuration_replaced_answers_consistent(server: Server, form: Form, figure: Figure) -> None:
    where = Mounted(server.place.folder)
    where.put({"config.yaml": written(OTHER)})
    wait_until(lambda: "server=other.example.com/mirror" in server.log)
    with traffic(server.secure, server.trust, rate=100, together=2, fresh=0.1, outcomes=(ONE, OTHER)) as load:
        outcomes = [(ONE, OTHER)[number % 2] for number in range(form.certificates // 2)]
        versions = [put(load, CONFIGURATION, where, {"config.yaml": written(outcome)}, outcome) for outcome in outcomes]
    result = load.result().none_failed()
    slowest = in_force_after(result, CONFIGURATION, versions)
    assert slowest < _PROMISED
    figure(f"{len(versions)} configurations replaced", f"in force within {slowest:.1f} s; {result}")


def test_configuration_invalid_previous_kept(server: Server, figure: Figure) -> None:
    new = written(Outcome("new.example.com", "new"))
    texts = {
        "no YAML": b"opencti: [\n",
        "no UTF-8": b"opencti: \xff\n",
        "an unknown key": new + b"  unknown: 1\n",
        "a wrong type": new + b"  rules: 1\n",
        "half of it": new[: new.index(b"_secret")],
        "a directory": None,
    }
    broken: dict[str, Files] = {"none": {}, **{what: {"config.yaml": text} for what, text in texts.items()}}
    good: dict[Version, Files] = {outcome: {"config.yaml": written(outcome)} for outcome in (ONE, OTHER)}
    server.place.configure(written(ONE).decode())
    wait_until(lambda: "server=one.example.com" in server.log)
    with traffic(server.secure, server.trust, rate=100, fresh=0.1, outcomes=(ONE, OTHER)) as load:
        check_that_the_last_good_stays(server, load, CONFIGURATION, broken, good)
    figure(f"{len(broken)} broken configurations", load.result().none_failed())


def test_configuration_large_loaded_requests_answered(server: Server, figure: Figure) -> None:
    rules = [f"  - from: mirror-{number}.example.com/a\n    to: one.example.com/{number}\n" for number in range(2000)]
    texts = [written(outcome) + f"  rules:\n{''.join(rules)}".encode() for outcome in (ONE, OTHER)]
    server.place.configure(written(OTHER).decode())
    wait_until(lambda: "server=other.example.com/mirror" in server.log)
    where = Mounted(server.place.folder)
    with traffic(server.secure, server.trust, rate=100, fresh=0.1, outcomes=(ONE, OTHER)) as load:
        versions = [
            put(load, CONFIGURATION, where, {"config.yaml": text}, outcome)
            for text, outcome in zip(texts, (ONE, OTHER), strict=True)
        ]
    result = load.result().none_failed()
    slowest = in_force_after(result, CONFIGURATION, versions)
    figure(f"a configuration of {len(rules)} rules", f"in force within {slowest:.1f} s; {result}")
