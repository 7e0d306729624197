"""What the fuzzers share: write the seeds into the corpus directory, try each, then mutate them.

Beside those that a fuzzer brings there are the packets of real firmware and systems (`tests/data/pcap`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import atheris

sys.path.append(str(Path(__file__).parents[1] / "unit/pxe"))
from recorded import datagrams


def recorded(*protocols: str) -> list[bytes]:
    """What went over the wire of these protocols, each once."""
    return list(dict.fromkeys(each.data for protocol in protocols for each in datagrams(protocol)))


def fuzz(one: Callable[[bytes], None], seeds: Sequence[bytes]) -> None:
    """Run until libFuzzer's options (in sys.argv, after the corpus directory) say that it is enough."""
    corpus = Path(sys.argv[1])
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
        one(seed)
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
