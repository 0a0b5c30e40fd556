"""The Pod of a dry run has an image that the configuration rewrites."""

import pytest

from tests.support.installation_factory import settings
from webhook.config.effective import EffectiveConfig
from webhook.diagnostics import sample_pod


@pytest.mark.parametrize(
    ("config", "image"),
    [
        (settings(), "registry-webhook/sample"),
        (settings(exclude=["docker.io/registry-webhook/**"]), "nginx"),
        (settings(exclude=["**"]), None),
        (settings("webhook: {}"), None),
    ],
)
def test_sample_image_first_rewritten(config: EffectiveConfig, image: str | None) -> None:
    assert sample_pod.image(config) == image
