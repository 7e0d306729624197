"""`./run test` collects each part from its own folders only: a test that stood elsewhere would never run."""

from __future__ import annotations

import ast
import importlib
import importlib.util
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
QUICK = ["contract", "fuzz", "property", "unit"]
ROOMS = ("bootsrv", "images", "pxe", "webui")
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


def imported(path: Path) -> list[tuple[str, str]]:
    """(module, name) of whatever a file takes out of the four rooms."""
    taken = [node for node in ast.walk(ast.parse(path.read_bytes())) if isinstance(node, ast.ImportFrom)]
    pairs = [(node.module or "", alias.name) for node in taken for alias in node.names]
    return [(module, name) for module, name in pairs if module.split(".")[0] in ROOMS]


def is_there(module: str, name: str) -> bool:
    found = importlib.import_module(module)
    if hasattr(found, name):
        return True
    return hasattr(found, "__path__") and importlib.util.find_spec(f"{module}.{name}") is not None


@pytest.mark.parametrize("part", sorted(path.name for path in TESTS.iterdir() if path.is_dir()))
def test_what_tests_import_is_there(part: str) -> None:
    """Also in what no quick run executes: benchmarks, fuzzers, machines."""
    missing = [
        f"{path.relative_to(TESTS)}: {module}.{name}"
        for path in sorted((TESTS / part).rglob("*.py"))
        for module, name in imported(path)
        if not is_there(module, name)
    ]
    assert missing == []
