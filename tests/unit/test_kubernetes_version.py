"""Versions of Kubernetes are read from every distribution's tag, and compared as numbers."""

import pytest

from webhook.kubernetes_version import OLDEST, POLICY_GUARD, POLICY_MUTATE, KubernetesVersion


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("1.30", (1, 30)),
        ("v1.30.14", (1, 30)),
        ("v1.33.4-gke.1172000", (1, 33)),
        ("v1.31.2-eks-7f9249a", (1, 31)),
        ("v1.32.1+k3s1", (1, 32)),
        ("v1.37.0-alpha.1", (1, 37)),
        ("2.0", (2, 0)),
    ],
)
def test_parse_tag_major_and_minor(text: str, version: tuple[int, int]) -> None:
    assert KubernetesVersion.parse(text) == version


@pytest.mark.parametrize("text", ["", "1", "v1", "1.", "1.x", "latest", "1.30\n", "1.30 ", "-1.30", "1.٣٠", "1.30x"])
def test_parse_other_text_none(text: str) -> None:
    assert KubernetesVersion.parse(text) is None


def test_versions_compared_as_numbers() -> None:
    assert KubernetesVersion(1, 9) < OLDEST < POLICY_GUARD < POLICY_MUTATE < KubernetesVersion(2, 0)
    assert str(OLDEST) == "1.30"
