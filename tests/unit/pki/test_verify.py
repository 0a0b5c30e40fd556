"""Verification of certificates from anywhere."""

from datetime import UTC, datetime, timedelta

import pytest

from webhook.errors import CertificateError
from webhook.pki import ca, verify

_NOW = datetime(2026, 11, 25, tzinfo=UTC)
_LIFE = timedelta(days=9)
_ROOT = ca.create_ca("root", _NOW, _LIFE)
_OTHER = ca.create_ca("other", _NOW, _LIFE)
_BETWEEN = ca.sign(_ROOT, ["between"], _NOW, _LIFE)
_BELOW = ca.sign(_BETWEEN, ["a.example.com"], _NOW, _LIFE)
_PAIR = ca.sign(_ROOT, ["a.example.com", "b.example.com", "192.0.2.1"], _NOW, _LIFE)


def test_leaf_certificate_validity_and_names() -> None:
    leaf = verify.leaf_certificate(_PAIR.certificate + _ROOT.certificate)
    assert leaf.ends == _NOW + _LIFE
    assert leaf.begins <= _NOW
    assert leaf.names == {"a.example.com", "b.example.com"}


def test_leaf_certificate_without_names() -> None:
    assert verify.leaf_certificate(_ROOT.certificate).names == frozenset()


@pytest.mark.parametrize(
    ("chain", "bundle", "trusted"),
    [
        (_PAIR.certificate, _ROOT.certificate, True),
        (_PAIR.certificate, _OTHER.certificate, False),
        (_PAIR.certificate, _OTHER.certificate + _ROOT.certificate, True),
        (_PAIR.certificate, _PAIR.certificate, True),
        (_PAIR.certificate + _ROOT.certificate, _ROOT.certificate, True),
        (_BELOW.certificate + _BETWEEN.certificate, _ROOT.certificate, True),
        (_BELOW.certificate, _ROOT.certificate, False),
        (_PAIR.certificate + _ROOT.certificate, _OTHER.certificate, False),
        (_PAIR.certificate + _OTHER.certificate, _OTHER.certificate, False),
    ],
)
def test_is_trusted_signed_by_bundle_ca(chain: bytes, bundle: bytes, trusted: bool) -> None:
    assert verify.is_trusted(chain, bundle) is trusted


@pytest.mark.parametrize("text", [b"", b"x", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_verify_not_certificate_raises(text: bytes) -> None:
    with pytest.raises(CertificateError, match="no valid PEM certificate"):
        verify.leaf_certificate(text)
    with pytest.raises(CertificateError, match="no valid PEM certificate"):
        verify.is_trusted(_PAIR.certificate, text)
