"""The server's side of nfs_rig.py: exports what it is told on stdin. HOME holds what stays over restarts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nastytree

from images.erofs.writing import write_image
from images.errors import ImageError
from images.nfs import connections, mounted
from images.nfs.export import Export
from images.nfs.ganesha import Ganesha
from images.store import ImageStore


class House:
    def __init__(self, home: Path) -> None:
        self.home = home
        self.server = Ganesha(home)
        self.mounts: list[Path] = []

    def root(self, store: str, ref: str, target: str) -> None:
        """Write a version's image and mount it."""
        shelf = ImageStore.open(Path(store), create=False)
        image = self.home / f"{shelf.resolve(ref).id}.erofs"
        if not image.exists():
            write_image(shelf.manifest(ref), shelf.source(ref), image)
        mounted.mount_root(image, Path(target))
        self.mounts.append(Path(target))

    def snapshot(self, target: str) -> dict[str, str]:
        """All that can be known of each name below a mount."""
        return told(Path(target))

    def writes(self, image: str, target: str, limit: int) -> dict[str, int]:
        mounted.mount_writes(Path(image), Path(target), limit)
        self.mounts.append(Path(target))
        used = mounted.usage(Path(target))
        return {"used": used.used, "limit": used.limit}

    def apply(self, exports: list[dict[str, Any]]) -> int:
        self.server.apply(
            [
                Export(**{**row, "directory": Path(row["directory"]), "clients": tuple(row["clients"])})
                for row in exports
            ]
        )
        assert self.server.pid is not None
        return self.server.pid

    def connected(self) -> list[str]:
        return sorted({one.client for one in connections.connections(self.server.port)})

    def facts(self) -> dict[str, Any]:
        return {"versions": self.server.versions, "mount_port": self.server.mount_port}

    def close(self) -> None:
        self.server.close()
        for target in self.mounts:
            mounted.unmount(target)


def told(tree: Path) -> dict[str, str]:
    """A snapshot as JSON keeps it."""
    rows = nastytree.snapshot(tree)
    for row in rows.values():
        row["xattrs"] = sorted(row["xattrs"].items())
    return {repr(name): repr(sorted(row.items())) for name, row in rows.items()}


def main() -> None:
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "run", "/run"], check=True)
    os.umask(0o007)
    house = House(Path(sys.argv[1]))
    for line in sys.stdin:
        order = json.loads(line)
        try:
            result = getattr(house, order.pop("verb"))(**order)
            answer = {"result": result}
        except (ImageError, OSError) as error:
            answer = {"error": str(error)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    house.close()


if __name__ == "__main__":
    main()
