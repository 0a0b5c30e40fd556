"""The examples of docs/explanation/image-decisions.md are what the resolver decides."""

from pathlib import Path

import pytest

from webhook.config.load import load
from webhook.images.resolver import Resolver

PAGE = Path(__file__).parents[2] / "docs/explanation/image-decisions.md"

if not PAGE.exists():
    pytest.skip("the documentation is in the checkout alone", allow_module_level=True)

EXAMPLE = PAGE.read_text().partition("## Example\n")[2].partition("\n## ")[0]
CONFIGURATION = EXAMPLE.partition("```yaml\n")[2].partition("```")[0]
ROWS = [
    [cell.strip().strip("`") for cell in line.strip("|").split(" | ")]
    for line in EXAMPLE.splitlines()
    if line.startswith("| `")
]


@pytest.fixture(scope="module")
def resolver() -> Resolver:
    return Resolver(load(CONFIGURATION.encode(), PAGE.name, {}).configuration)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:40])
def test_image_table_matches_resolver(resolver: Resolver, row: list[str]) -> None:
    written, result, _ = row
    assert resolver.resolve(written).image == result


def test_image_table_covers_reasons(resolver: Resolver) -> None:
    reasons = {resolver.resolve(row[0]).reason.value for row in ROWS}
    assert reasons == {"server", "rule", "already-prefixed", "qualified", "excluded", "invalid"}
