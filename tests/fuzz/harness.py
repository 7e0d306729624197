"""What the fuzzers share: write the seeds into the corpus directory, try each, then mutate them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import atheris


def fuzz(one: Callable[[bytes], None], seeds: Sequence[bytes]) -> None:
    """Run until libFuzzer's options (in sys.argv, after the corpus directory) say that it is enough."""
    corpus = Path(sys.argv[1])
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
        one(seed)
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
