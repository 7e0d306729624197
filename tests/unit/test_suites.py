"""`./run test` collects each part from its own folders only: a test that stood elsewhere would never run."""

from __future__ import annotations

from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
QUICK = ["contract", "fuzz", "property", "unit"]
HOMES = {"lab": ["lab", "contract"], "browser": ["browser"], "netns": QUICK}


@pytest.mark.parametrize("mark", HOMES)
def test_a_mark_stands_only_where_its_part_looks(mark: str) -> None:
    marked = [path for path in TESTS.rglob("*.py") if f"pytest.mark.{mark}" in path.read_text()]
    marked = [path.relative_to(TESTS) for path in marked if path != Path(__file__)]
    assert marked
    assert [str(path) for path in marked if path.parts[0] not in HOMES[mark]] == []


def test_every_folder_of_tests_belongs_to_a_part() -> None:
    parts = {home for homes in HOMES.values() for home in homes}
    with_tests = {path.relative_to(TESTS).parts[0] for path in TESTS.rglob("test_*.py")}
    assert with_tests == parts


def test_whatever_needs_a_browser_says_so() -> None:
    for path in (TESTS / "browser").glob("test_*.py"):
        assert "pytest.mark.browser" in path.read_text(), path.name
