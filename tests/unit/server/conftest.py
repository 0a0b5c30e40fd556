from tests.support.server_fixtures import place

__all__ = ["place"]
