from tests.support.refresher_fixtures import pair, place

__all__ = ["pair", "place"]
