"""Failures have one class each, and those that a user can act on have a hint."""

import pytest

from webhook.registry import failure
from webhook.registry.failure import Failure


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (404, Failure.NOT_A_REGISTRY),
        (429, Failure.RATE_LIMITED),
        (500, Failure.UNAVAILABLE),
        (503, Failure.UNAVAILABLE),
        (599, Failure.UNAVAILABLE),
        (204, Failure.NOT_A_REGISTRY),
        (302, Failure.NOT_A_REGISTRY),
        (418, Failure.NOT_A_REGISTRY),
        (999, Failure.UNAVAILABLE),
    ],
)
def test_of_status_class(status: int, expected: Failure) -> None:
    assert failure.of_status(status) is expected


@pytest.mark.parametrize(
    ("status", "expected"), [(401, Failure.UNAUTHORIZED), (400, Failure.UNAUTHORIZED), (403, Failure.FORBIDDEN)]
)
def test_of_refusal_class(status: int, expected: Failure) -> None:
    assert failure.of_refusal(status) is expected


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (9, Failure.EXPIRED),
        (10, Failure.EXPIRED),
        (18, Failure.UNTRUSTED),
        (19, Failure.UNTRUSTED),
        (20, Failure.UNTRUSTED),
        (62, Failure.WRONG_HOST),
        (64, Failure.WRONG_HOST),
    ],
)
def test_of_verify_code_class(code: int, expected: Failure) -> None:
    assert failure.of_verify_code(code) is expected


def test_hint_untrusted_names_setting_and_page() -> None:
    assert "webhook.verify_ca" in failure.hint(Failure.UNTRUSTED)
    assert "how-to/private-ca.md" in failure.hint(Failure.UNTRUSTED)


def test_hint_absent_where_a_retry_helps() -> None:
    without = {kind for kind in Failure if not failure.hint(kind)}
    assert without == {Failure.RATE_LIMITED, Failure.UNAVAILABLE}
    assert failure.hint(None) == ""
