"""What runs on nodes stays Python 3.8 and needs nothing but the standard library."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import images

HERE = Path(images.__file__).parent
SHARED = [
    "ahead", "errors", "fetch", "fetch_plan", "locator", "manifest", "progress", "sealed", "signature",
    "soname", "tree_reader", "tree_writer", "zstd",
]  # fmt: skip
SHARED += [f"blocks.{path.stem}" for path in (HERE / "blocks").glob("*.py") if path.stem != "__init__"]
NODE = [HERE / f"{name.replace('.', '/')}.py" for name in SHARED]


@pytest.mark.parametrize("path", NODE, ids=lambda path: path.stem)
def test_syntax_and_imports(path: Path) -> None:
    tree = ast.parse(path.read_text(), feature_version=(3, 8))
    for node in ast.walk(tree):
        wanted: list[str] = []
        if isinstance(node, ast.Import):
            wanted = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            wanted = [node.module or ""]
            if node.module == "images":
                wanted = [f"images.{alias.name}" for alias in node.names]
            if node.module == "images.blocks":
                wanted = [f"images.blocks.{alias.name}" for alias in node.names]
        for name in wanted:
            room, _, rest = name.partition(".")
            assert (rest in SHARED) if room == "images" else (room in sys.stdlib_module_names), name
    assert any(isinstance(n, ast.ImportFrom) and n.module == "__future__" for n in tree.body), (
        "annotations stay text"
    )
