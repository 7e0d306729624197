"""NODES as people write them: `n1`, `n[01-32,40]`, `@rack3`, `@all`, comma lists. Pure.

Ranges keep leading zeros (`n[01-03]` is n01, n02, n03). A name may hold several brackets. Raises Invalid.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from bootsrv.errors import Invalid

MAX_NAMES = 200_000
MAX_DIGITS = 12
MAX_BRACKETS = 8  # in one name
_NAME = re.compile(r"[A-Za-z0-9.:#_-]+\Z")
_PART = re.compile(r"(?:[^,\s\[]|\[[^\]]*\]?)+")  # takes each character once: lists may be very long


def expand(text: str, group: Callable[[str], Sequence[str]] | None = None) -> list[str]:
    """Every name that `text` means, in order, each once. `group` gives the members of @NAME."""
    names: dict[str, None] = {}
    for part in split(text):
        if part.startswith("@"):
            if group is None:
                raise Invalid(f"{part}: groups cannot be used here")
            names.update(dict.fromkeys(group(part[1:])))
        else:
            names.update(dict.fromkeys(_brackets(part)))
        if len(names) > MAX_NAMES:
            raise Invalid(f"{text!r} means more than {MAX_NAMES} nodes")
    return list(names)


def split(text: str) -> list[str]:
    """At the commas outside brackets; blanks separate too."""
    parts = _PART.findall(text)
    if not parts:
        raise Invalid("no node was named")
    return parts


def _brackets(part: str) -> list[str]:
    before, opened, rest = part.partition("[")
    if not opened:
        if not _NAME.match(part):
            raise Invalid(
                f"{part!r} is not a node name: use letters, digits and hyphens, a range such as n[01-32], a"
                " group such as @rack3, or a MAC address"
            )
        return [part]
    inside, closed, after = rest.partition("]")
    if not closed:
        raise Invalid(f"{part!r}: the bracket is not closed")
    if after.count("[") >= MAX_BRACKETS:
        raise Invalid(f"{part[:40]!r}... has more than {MAX_BRACKETS} brackets")
    tails = _brackets(after) if after else [""]
    numbers = _numbers(inside, part)
    if len(numbers) * len(tails) > MAX_NAMES:  # before they are made: two short brackets can mean billions
        raise Invalid(f"{part!r} means more than {MAX_NAMES} nodes")
    found = [f"{before}{number}{tail}" for number in numbers for tail in tails]
    if not _NAME.match(found[0]):
        raise Invalid(f"{part!r} is not a range of node names")
    return found


def _numbers(inside: str, part: str) -> list[str]:
    numbers: list[str] = []
    for piece in inside.split(","):
        first, dash, last = (text.strip() for text in piece.partition("-"))
        last = last if dash else first
        if not (first.isascii() and first.isdigit() and last.isascii() and last.isdigit()):
            raise Invalid(f"{part!r}: {piece!r} is not a number or a range of numbers")
        if max(len(first), len(last)) > MAX_DIGITS:
            raise Invalid(f"{part[:40]!r}...: a number has more than {MAX_DIGITS} digits")
        if int(last) < int(first):
            raise Invalid(f"{part!r}: {piece!r} runs backwards; write {last}-{first}")
        if len(numbers) + int(last) - int(first) >= MAX_NAMES:
            raise Invalid(f"{part!r} means more than {MAX_NAMES} nodes")
        width = len(first) if first.startswith("0") or len(first) == len(last) else 0
        numbers += [str(number).zfill(width) for number in range(int(first), int(last) + 1)]
    return numbers


def fold(names: Sequence[str]) -> str:
    """Names to the shortest form that `expand` reads: n01,n02,n03,x -> n[01-03],x."""
    runs: list[tuple[str, list[str]]] = []
    for name in names:
        match = re.fullmatch(r"(.*?)(\d+)", name)
        stem, number = (match[1], match[2]) if match else (name, "")
        if number and runs and runs[-1][0] == stem and runs[-1][1] and _follows(runs[-1][1][-1], number):
            runs[-1][1].append(number)
        else:
            runs.append((stem, [number] if number else []))
    return ",".join(
        f"{stem}[{n[0]}-{n[-1]}]" if len(n) > 1 else f"{stem}{n[0] if n else ''}" for stem, n in runs
    )


def _follows(before: str, after: str) -> bool:
    return int(after) == int(before) + 1 and after == str(int(after)).zfill(len(before))
