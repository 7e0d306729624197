"""Nothing that Python 3.8 cannot evaluate is evaluated on a machine: `Mapping[str, str]` of collections.abc
and `dict[str, str]` are fine as annotations, which stay text, and errors anywhere else."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from images.agent.sources import agent_files

SOURCES = {
    **agent_files("images.agent.command"), **agent_files("images.agent.__main__"),
    **agent_files("images.agent.service.__main__"),
}  # fmt: skip
BUILTIN = {"dict", "list", "tuple", "set", "frozenset", "type"}


def annotations(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        for part in ("annotation", "returns"):
            if isinstance(getattr(node, part, None), ast.AST):
                yield from ast.walk(getattr(node, part))


@pytest.mark.parametrize("name", SOURCES)
def test_no_new_generics_are_evaluated(name: str) -> None:
    tree = ast.parse(SOURCES[name], name)
    abstract = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "collections.abc"
        for alias in node.names
    }
    quiet = {id(node) for node in annotations(tree)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and id(node) not in quiet:
            assert node.value.id not in abstract | BUILTIN, f"{name}:{node.lineno}: {ast.unparse(node)}"
