"""Whatever Pod an API server sends, its images are resolved or the Pod is denied."""

import base64
import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import go_json
from tests.support.properties import CONFIGURATION, apply
from webhook.admission.decision import UNEXAMINED, Outcome
from webhook.admission.mutator import Mutator
from webhook.config.load import load
from webhook.constants import ORIGINALS_ANNOTATION
from webhook.images.resolver import Resolver

CONFIGURED = {
    policy: load((CONFIGURATION + f"  on_error: {policy}\n").encode(), "go", {}).configuration
    for policy in ("allow", "deny")
}
_RESOLVE = Resolver(CONFIGURED["deny"]).resolve


def places(pod: Any) -> Iterator[tuple[tuple[str, str, int], str, bool]]:
    """Return each image field with its image, and whether it is never pulled."""
    for field in ("containers", "initContainers", "ephemeralContainers"):
        for at, one in enumerate(pod["spec"][field]):
            yield (field, one["name"], at), one["image"], one["imagePullPolicy"] == "Never"
    for at, one in enumerate(pod["spec"]["volumes"]):
        if "image" in one:
            yield ("volumes", one["name"], at), one["image"]["reference"], one["image"]["pullPolicy"] == "Never"


def expected(new: Any, old: Any) -> list[str]:
    """Return the expected images. One that the old object has under the same name stays."""
    # Of those with one name the last counts.
    before = {where[:2]: image for where, image, _ in places(old)} if old else {}
    return [
        image if never or before.get(where[:2]) == image else _RESOLVE(image).image
        for where, image, never in places(new)
    ]


def hold(handler: Mutator, new: Any, old: Any, *, allow: bool) -> Any:
    """Check an answer; return the Pod after it, or None if it is refused or not examined."""
    decided = handler.review(go_json.review(new, old))
    response = json.loads(decided.answer)["response"]
    assert response["uid"] == decided.review.request.uid
    if decided.decision.outcome in UNEXAMINED:
        assert decided.decision.outcome is not Outcome.ERROR
        assert (response["allowed"], "patch" in response) == (allow, False)
        assert ("warnings" in response) is allow
        return None
    after = apply(copy.deepcopy(new), json.loads(base64.b64decode(response.get("patch", "W10="))))
    assert [image for _, image, _ in places(after)] == expected(new, old)
    return after


@pytest.mark.parametrize("policy", CONFIGURED)
@settings(max_examples=settings().max_examples // 3)  # an example takes 100 ms
@given(st.data())
def test_create_pod_rewritten_as_resolved(policy: str, data: st.DataObject) -> None:
    handler = Mutator(CONFIGURED[policy])
    old, new = data.draw(st.none() | go_json.pods()), data.draw(go_json.pods())
    after = hold(handler, new, old, allow=policy == "allow")
    # Nothing that is drawn is too much.
    assert after is not None
    again = handler.review(go_json.review(after, old))
    assert again.decision.operations == ()
    hold_originals(after)


def hold_originals(pod: Any) -> None:
    """Check that each entry of the annotation resolves to the image of a field of that name."""
    annotation = pod["metadata"]["annotations"].get(ORIGINALS_ANNOTATION)
    try:
        found = json.loads(annotation or "")
    except ValueError:
        return
    now = {(where[1], image) for where, image, never in places(pod) if not never}
    for name, written in found.items() if isinstance(found, dict) else ():
        assert _RESOLVE(written).rewritten
        assert (name, _RESOLVE(written).image) in now
