"""At the end of an imaging: what the machine is, and the stamps of its files, so that its first update need
not read them all.

Every chunk was hashed before it was written, so the stamps stand for checked content; what is personalised
afterwards gets new ones and is looked at. Python 3.8, standard library only.
"""

from __future__ import annotations

import time
from pathlib import Path

from images.agent.update.folders import Folders
from images.agent.update.lines import path_of
from images.agent.update.state import Cache, Known, State, line_hash, stamp
from images.sealed import SealedManifest


def remember(root: Path, manifest: SealedManifest) -> int:
    """Keeps both below `root`, whose tree was just written from `manifest`; how many names are known."""
    state = State(root)
    state.prepare()
    taken = time.time_ns()
    known: Known = {}
    tree = Folders(root)
    try:
        for line in manifest.lines():
            path = path_of(line)
            info = tree.stat(path)
            if info is not None:
                known[path] = stamp(info) + line_hash(line)
    finally:
        tree.close()
    state.keep_manifest(manifest.path)
    state.save_cache(Cache(manifest.id, b"", False, known), taken)
    return len(known)
