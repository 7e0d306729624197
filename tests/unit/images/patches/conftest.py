"""A store with a version and a second one, kept as patches of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from imagestore import make, publish
from patching import ONE, TWO

from images.store import ImageStore


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    made = make(tmp_path)
    publish(made, "a", ONE)
    publish(made, "a", TWO)
    return made
