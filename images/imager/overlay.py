"""The small archive appended to the base imager: today's agent and the key that image manifests must be
signed by.

So a change of the agent, or another appliance's key, needs no rebuild of the imager. The server calls
`prepare` once at start and serves the result. What the agent consists of, sources.py finds.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from images.agent.sources import agent_files
from images.errors import BadInput
from images.imager.cpio import archive, contained

START = "images.agent.__main__"
HOME = "usr/lib/bootsrv/agent"  # /init runs this directory
KEY = "etc/bootsrv/store.pub"
MAIN = b"from images.agent.__main__ import main\n\nmain()\n"


def prepare(imager: Path, out: Path, public_key: bytes) -> None:
    """Joins the imager in directory `imager` and a fresh overlay to the file `out`.

    BadInput when none is there.
    """
    base = imager / "initrd.img"
    if not base.exists():
        raise BadInput(f"{base} is missing: run `./run setup`")
    combine(base, overlay(public_key), out)


def overlay(public_key: bytes, extra: Mapping[str, bytes] | None = None) -> bytes:
    """The overlay's bytes. `extra`: more files, by path without leading slash."""
    sources = {f"{HOME}/{name}": source for name, source in agent_files(START).items()}
    contents = {KEY: public_key, **sources, f"{HOME}/__main__.py": MAIN, **(extra or {})}
    return b"".join(archive(contained({name: (data, 0o644) for name, data in contents.items()})))


def combine(base: Path, addition: bytes, out: Path) -> None:
    """Writes `base` + `addition` to `out`, whole or not at all.

    Each part starts on a multiple of four bytes.
    """
    temporary = out.with_name(out.name + ".new")
    with base.open("rb") as source, temporary.open("wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
        target.write(bytes(-target.tell() % 4) + addition)
        target.flush()
        os.fsync(target.fileno())
    temporary.replace(out)
