"""Shared by all tests: property tests try the same cases wherever a verdict is needed, new ones elsewhere."""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("verdict", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("search", deadline=None, print_blob=True)
settings.load_profile("verdict" if os.environ.get("CI") else "search")
