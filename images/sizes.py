"""Sizes for people. Python 3.8, standard library only."""

from __future__ import annotations


def human(n: int) -> str:
    """Bytes as "7.5 GiB", "512 MiB" or, of small things, "3 KiB"; what is there at all is never 0."""
    if n >= 1 << 30:
        return f"{n / (1 << 30):.1f} GiB"
    if n >= 1 << 20:
        return f"{n / (1 << 20):.0f} MiB"
    return f"{-(-n // 1024)} KiB" if n else "0 MiB"
