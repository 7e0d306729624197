"""`python -m bootsrv.nfs --config FILE`: roots over NFS for diskless machines, and install trees.

Follows the registry and keeps an NFS server in step (nfsroot/keeper.py): the kernel's where it runs, else
nfs-ganesha as a process of its own. File systems for ganesha are mounted in a namespace that ends with this
process, so that nothing is left behind, however it ends. Does nothing at all until a node needs it.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import subprocess
import sys
import threading
import time

from bootsrv import child
from bootsrv.appliance.images import Images
from bootsrv.appliance.profiles import Profiles
from bootsrv.config import Config
from bootsrv.errors import BootsrvError
from bootsrv.installs.overnfs import TreesOverNfs
from bootsrv.nfsroot.keeper import Keeper, forget
from bootsrv.registry.registry import Registry
from bootsrv.trees.shelf import Shelf
from images.errors import ImageError
from images.nfs import kernel
from images.nfs.ganesha import Ganesha
from images.nfs.server import Server

log = logging.getLogger(__name__)
LOOK_SECONDS, ANYWAY_SECONDS, MEASURE_SECONDS = 0.5, 2.0, 10.0
CLONE_NEWNS = 0x00020000


def choose(config: Config) -> Server:
    """The server that this machine can have."""
    wanted = config.nfs.backend
    if wanted == "kernel" or (wanted == "auto" and kernel.runs()):
        return kernel.KernelServer()
    return Ganesha(config.data_dir / "nfs", config.nfs.port, config.nfs.mount_port)


def own_mounts() -> None:
    """From here on mounts are seen by this thread and what it starts, and go with them. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), "no mount namespace of its own")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)


def _work(config: Config, server: Server, stop: threading.Event) -> None:
    """The thread that does it all. A failed look is tried again."""
    if isinstance(server, Ganesha) and os.geteuid() == 0:
        own_mounts()
    registry = Registry.open(config.registry_file)
    trees = TreesOverNfs(registry, Profiles(config, registry, time.time), Shelf(config.trees_dir))
    keeper = Keeper(config, registry, Images(config, registry), server, trees)
    seen, looked = None, 0.0
    try:
        while not stop.wait(LOOK_SECONDS):
            changes = registry.changes()
            if changes == seen and time.monotonic() - looked < ANYWAY_SECONDS:
                continue
            seen, looked = changes, time.monotonic()
            try:
                keeper.once()
            except (BootsrvError, ImageError, OSError, subprocess.SubprocessError):
                log.exception("exports could not be looked after")
    finally:
        keeper.close()


async def serve(config: Config, stop: asyncio.Event) -> int:
    """Until stopped."""
    forget(config)
    ended = threading.Event()
    work = asyncio.create_task(asyncio.to_thread(_work, config, choose(config), ended))
    child.ready()
    waiting = asyncio.create_task(stop.wait())
    await asyncio.wait({work, waiting}, return_when=asyncio.FIRST_COMPLETED)
    ended.set()
    await work
    return 0


def main() -> int:
    """Works until SIGTERM."""
    return child.run("nfs", serve)


if __name__ == "__main__":
    sys.exit(main())
