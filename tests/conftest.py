"""How property tests draw: the same examples at every run, or with HYPOTHESIS_PROFILE=explore new ones, and many."""

import os

from hypothesis import settings

settings.register_profile("repeat", derandomize=True, deadline=None)
settings.register_profile("explore", max_examples=5000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeat"))
