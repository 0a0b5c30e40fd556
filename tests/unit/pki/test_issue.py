"""Requests for certificates that no client would accept are rejected."""

from datetime import UTC, datetime, timedelta

import pytest

from webhook.errors import CertificateError
from webhook.pki import ca, issue

_NOW = datetime(2026, 11, 1, tzinfo=UTC)
_DAY = timedelta(days=1)


def test_sign_future_ca_raises() -> None:
    ours = ca.create_ca("ours", _NOW + 700 * _DAY, 90 * _DAY)
    with pytest.raises(CertificateError) as raised:
        issue.sign(ours, ["webhook.example.com"], _NOW, _DAY, is_client=False)
    assert str(raised.value) == "the CA is not valid before 2028-09-30"
    assert raised.value.hint == "set the clock of this machine, or create a new CA in another folder"


def test_sign_ca_slightly_ahead_accepted() -> None:
    ours = ca.create_ca("ours", _NOW + timedelta(minutes=4), 90 * _DAY)
    assert issue.sign(ours, ["webhook.example.com"], _NOW, _DAY, is_client=False)
