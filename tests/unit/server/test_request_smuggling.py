"""Requests that two readers can read differently, split in every way in which a network can split them."""

import pytest

from tests.support.parsed_requests import parse_requests
from tests.support.smuggling_cases import CASES, NEXT, REFUSALS, Case

#: Bytes of a stream that is split at every byte.
_SHORT = 1000


def expected(case: Case) -> list[bytes | int]:
    """Return what `parse_requests` finds in a case."""
    return [status if status in REFUSALS else case.body for status in case.statuses]


def expected_with_next(case: Case) -> list[bytes | int]:
    return expected(case) if case.is_last else [*expected(case), b""]


def parsed(group: str) -> list[Case]:
    """Return the cases of a group without those that only the server's body limit refuses."""
    return [case for case in CASES[group] if 413 not in case.statuses]


def test_names_of_cases_unique() -> None:
    for cases in CASES.values():
        assert len({case.name for case in cases}) == len(cases)


@pytest.mark.parametrize("group", CASES)
def test_requests_read_as_expected(group: str) -> None:
    found = {case.name: parse_requests([case.sent + NEXT]) for case in parsed(group)}
    assert found == {case.name: expected_with_next(case) for case in parsed(group)}


@pytest.mark.parametrize("group", CASES)
def test_requests_in_pieces_read_alike(group: str) -> None:
    for case in parsed(group):
        stream = case.sent + NEXT
        assert parse_requests(stream[at : at + 1] for at in range(len(stream))) == expected_with_next(case), case.name
        step = 1 if len(stream) < _SHORT else len(stream) // 20
        for at in range(1, len(stream), step):
            assert parse_requests([stream[:at], stream[at:]]) == expected_with_next(case), (case.name, stream[:at])


@pytest.mark.parametrize("group", CASES)
def test_answered_requests_end_exactly(group: str) -> None:
    for case in parsed(group):
        if not case.is_last:
            assert parse_requests([case.sent * 2 + NEXT]) == [*expected(case) * 2, b""], case.name
