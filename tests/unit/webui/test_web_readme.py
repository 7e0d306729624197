"""The README's table of REST requests is what the application answers, no more and no less."""

from __future__ import annotations

import re
from pathlib import Path

from flask import Flask

README = Path(__file__).parents[3] / "README.md"
REQUEST = re.compile(r"`([^`]+)`")


def documented() -> set[tuple[str, str]]:
    """(method, path); "GET, PUT /a/REF" is two, and a cell's later "/retry" is beside its first path."""
    section = README.read_text().split("\n## REST\n")[1].split("\n## ")[0]
    found: set[tuple[str, str]] = set()
    for row in (line for line in section.splitlines() if line.startswith("| `")):
        for part in row.split("|")[1].split(";"):
            methods: list[str] = []
            before = ""
            for text in REQUEST.findall(part):
                words = text.split(" ")
                if len(words) > 1:
                    methods, before = [word.rstrip(",") for word in words[:-1]], words[-1]
                    path = before
                elif before.count("/") > 1 and not text.startswith("/" + before.split("/")[1]):
                    path = f"{before.rpartition('/')[0]}{text}"
                else:
                    path = text
                found |= {(method, path) for method in methods}
    return found


def answered(app: Flask) -> set[tuple[str, str]]:
    found = set()
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith("/api/v1/"):
            noun = rule.rule.split("/")[3]
            path = rule.rule.removeprefix("/api/v1").replace("<ref>", "NODE" if noun == "nodes" else "REF")
            path = path.replace("<name>", "NAME").replace("<tag>", "TAG")
            found |= {(method, path) for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}}
    return found


def test_every_request_is_in_the_readme_and_every_one_there_is_answered(app: Flask) -> None:
    told, real = documented(), answered(app)
    assert len(real) > 40
    assert told - real == set(), "the README has requests that nobody answers"
    assert real - told == set(), "the README lacks requests"
