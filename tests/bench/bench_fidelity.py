"""Every attribute of a tree made to be nasty, through us and through `rsync -aHAXS`: how many names come out
different.

    python tests/bench/bench_fidelity.py

The comparison (tests/nastytree.py) shares no code with the product: kind, owner, mode, times to the
nanosecond, xattrs with ACLs, capabilities and labels, content, links, device numbers. Sockets cannot be in a
tar. Prints `ratio NAME VALUE`: names that differ. Needs root.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import peers
from nastytree import build, snapshot

from images.exporting.formats import export_image
from images.importing.auto import import_image
from images.importing.from_directory import import_directory
from images.store import ImageStore


def ours(source: Path, target: Path) -> None:
    """Into a store and out again."""
    store = ImageStore.open(target.parent / "store")
    import_directory(store, "nasty", source, excludes=())
    export_image(store, "nasty", target, "directory")


def by_tar(source: Path, target: Path) -> None:
    """The same with an archive of ours in between."""
    store = ImageStore.open(target.parent / "tar-store")
    import_directory(store, "nasty", source, excludes=())
    archive = target.parent / "nasty.tar.zst"
    export_image(store, "nasty", archive)
    import_image(store, "again", archive)
    export_image(store, "again", target, "directory")


def rsync(source: Path, target: Path) -> None:
    command = [*peers.command("rsync"), "-aHAXS", "--numeric-ids", f"{source}/", f"{target}/"]
    subprocess.run(command, check=True, capture_output=True)


def different(source: Path, work: Callable[[Path, Path], None], target: Path) -> list[bytes]:
    work(source, target)
    wanted, got = snapshot(source), snapshot(target)
    return sorted(name for name in wanted.keys() | got.keys() if wanted.get(name) != got.get(name))


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="bench-fidelity-", dir="/var/tmp") as name:
        folder = Path(name)
        source = folder / "nasty"
        source.mkdir()
        build(source)
        tools = {"store": ours, "tar": by_tar, **({"rsync": rsync} if peers.command("rsync") else {})}
        for title, work in tools.items():
            found = different(source, work, folder / f"by-{title}")
            print(f"{title}: {len(found)} of {len(snapshot(source))} names differ {found[:5]}")
            allowed = 1 if title == "tar" else 0  # the socket
            aim = "" if title == "rsync" else f" aim <= {allowed}"
            print(f"ratio fidelity.differences.{title} {len(found)}{aim}")


if __name__ == "__main__":
    main()
