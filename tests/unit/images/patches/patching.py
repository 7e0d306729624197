"""Versions of which one is like the other, and what a store keeps of them."""

from __future__ import annotations

import random

from imagestore import noise

from images.locator import PATCH
from images.store import ImageStore


def edited(data: bytes, seed: int, every: int = 6000) -> bytes:
    """The same with a few bytes changed here and there, so that every chunk is another one."""
    made, rng = bytearray(data), random.Random(seed)
    for place in range(rng.randrange(100), len(data), every):
        made[place : place + 4] = rng.randbytes(4)
    return bytes(made)


BIG, SMALL = noise(1_500_000, 1), {f"m/{n}": noise(20_000 + n, 10 + n) for n in range(12)}
ONE = {"big": BIG, "same": noise(70_000, 2), **SMALL, "lib/x-1.0/mod": noise(50_000, 3)}
TWO = {
    **{path: edited(data, 5) for path, data in ONE.items() if path not in ("same", "lib/x-1.0/mod")},
    "same": ONE["same"],
    "lib/x-2.0/mod": edited(ONE["lib/x-1.0/mod"], 6),
    "new": noise(90_000, 4),
}
THREE = {**TWO, "big": edited(TWO["big"], 7), "m/3": edited(TWO["m/3"], 8)}
CHANGED = sum(len(data) for path, data in TWO.items() if path not in ("same", "new"))


def held(store: ImageStore) -> int:
    return sum(path.stat().st_size for path in store.packs.iterdir())


def patched(store: ImageStore, ref: str) -> list[int]:
    """The patches that a version is read through."""
    locator = store.source(ref).locator
    return [number for number in range(locator.frames) if locator.frame(number).codec == PATCH]
