"""Names that the annotation with the original images can contain."""

import pytest

from webhook.admission import originals


@pytest.mark.parametrize("name", ["app", "a-1", "é"])
def test_can_name_plain_name_accepted(name: str) -> None:
    assert originals.can_name(name)
    assert originals.read(f'{{"{name}":"nginx"}}') == {name: "nginx"}


@pytest.mark.parametrize("name", ["", "\0", "a\nb", 'a"b', "a\\b"])
def test_can_name_needing_escape_refused(name: str) -> None:
    assert not originals.can_name(name)
