"""What `image verify` found, in lines for a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from images.problem import Problem

_FILES = 20  # that have lost chunks, unless --all


def problem_lines(found: Sequence[Problem], all_: bool) -> list[str]:
    """Every problem, those with the same remedy together and this below them, with how many it is for; then
    how many files of which version are hurt. Of the files themselves the first ones, unless `all_`.
    """
    files = [problem for problem in found if problem.hurt]
    cut = set() if all_ else set(files[_FILES:])
    lines = []
    for remedy, count in Counter(problem.repair for problem in found).items():
        some = [problem for problem in found if problem.repair == remedy]
        lines += [f"{problem.path}: {problem.text}" for problem in some if problem not in cut]
        if more := sum(problem in cut for problem in some):
            lines.append(f"... and {more} more {'file' if more == 1 else 'files'} with lost chunks: --all")
        lines.append(f"{count} {'problem' if count == 1 else 'problems'}: {remedy}")
    for ref, count in Counter(problem.hurt for problem in files).items():
        lines.append(f"{ref}: {count} {'file has' if count == 1 else 'files have'} lost chunks")
    return lines
