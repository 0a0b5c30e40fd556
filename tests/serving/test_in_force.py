"""What comes of the files at each look, one look at a time."""

import logging
from pathlib import Path

import pytest

from webhook.adapters.configuration import WatchedConfiguration
from webhook.serving.in_force import PairFiles, Watch

from .running import Place, make_place, replace


@pytest.fixture
def other(place: Place, tmp_path: Path) -> Place:
    """A folder with another pair of the same authority."""
    folder = tmp_path / "other"
    folder.mkdir()
    made = Place(folder, place.ours)
    made.write_pair()
    return made


def watch(place: Place) -> Watch:
    return Watch(
        WatchedConfiguration(place.folder / "config.yaml", {}),
        PairFiles(place.folder / "tls.crt", place.folder / "tls.key"),
    )


def take(name: str, other: Place, place: Place) -> None:
    replace(place.folder / name, (other.folder / name).read_bytes())


def test_nothing_is_said_of_a_pair_that_is_replaced_file_by_file(
    place: Place, other: Place, caplog: pytest.LogCaptureFixture
) -> None:
    watched = watch(place)
    before = watched.now.tls
    take("tls.crt", other, place)
    watched.look()
    assert watched.now.certificate_fault is None
    assert watched.now.tls is before
    take("tls.key", other, place)
    watched.look()
    assert watched.now.certificate_fault is None
    assert watched.now.tls is not before
    assert [record.levelno for record in caplog.records if record.levelno > logging.INFO] == []


def test_a_pair_that_does_not_fit_is_said_once_when_it_still_does_not_at_the_next_look(
    place: Place, other: Place, caplog: pytest.LogCaptureFixture
) -> None:
    watched = watch(place)
    before = watched.now.tls
    take("tls.key", other, place)
    for _ in range(4):
        watched.look()
    assert "the key does not belong to the certificate" in (watched.now.certificate_fault or "")
    assert watched.now.tls is before
    assert len([record for record in caplog.records if record.levelno > logging.INFO]) == 1
    take("tls.crt", other, place)
    watched.look()
    assert watched.now.certificate_fault is None
    assert watched.now.tls is not before


def test_what_was_doubted_once_is_doubted_anew_when_it_comes_back(place: Place, other: Place) -> None:
    watched = watch(place)
    own = (place.folder / "tls.key").read_bytes()
    for _ in range(3):
        take("tls.key", other, place)
        watched.look()
        assert watched.now.certificate_fault is None
        replace(place.folder / "tls.key", own)
        watched.look()
        assert watched.now.certificate_fault is None


def test_where_nothing_is_served_yet_the_reason_is_said_at_once(tmp_path: Path) -> None:
    watched = watch(make_place(tmp_path))
    assert watched.now.tls is None
    assert "no such file" in (watched.now.certificate_fault or "")
