"""Puts a disk image on this machine: the steps from a deploy task to a disk as it was when it was taken.

Any system may be on it, so nothing is made this node's own and no system calls home. The order is the same
safety as with trees: all is checked before the disk is touched, and what makes it boot is written last.
Python 3.8, standard library only.
"""

from __future__ import annotations

import time

from images.agent import disk as disks
from images.agent import diskimage, inventory, volumes
from images.agent.client import packs_by
from images.agent.deploy import Deploy
from images.agent.fill import Filled
from images.agent.progress import Meter
from images.blocks.regions import shape_of
from images.disk_choice import choose_disk
from images.fetch import PackSource
from images.sizes import human
from images.tree_writer import Written

STEPS = ("image", "disk", "files")


class DiskDeploy(Deploy):
    """One deploy of a disk image."""

    def run(self) -> None:
        """All steps; raises what broke. Returns when the machine is ready for `leave`."""
        started = time.monotonic()
        self.console.steps(*STEPS)
        image, node = self.task["image"], self.task["node"]
        self.console.status(f"imaging {node['name']} with {image['ref']}, a whole disk")
        with self._step("image") as note:
            manifest, locator = self._fetched()
            shape = shape_of(manifest.header)
            note(f"{image['ref']}: a disk of {human(shape['size'])}, {human(manifest.header.bytes)} in use")
        with self._step("disk", "deploy.disk") as note:
            found = inventory.disks(udev=inventory.udev_disks())
            disk = choose_disk(found, self.task.get("disk"), int(shape["size"]))
            diskimage.check_disk(manifest, disk)
            note(f"{disk['path']} {disk['model'] or ''} {human(disk['size'])}".replace("  ", " "))
        path = str(disk["path"])
        self._event("deploy.started", f"{image['ref']} to {path}", image=image["ref"], disk=path)
        self.reporter.flush()  # the server knows before the disk changes, or we do not go on
        with self._step("files", "deploy.files") as note:
            volumes.release()
            if self.task.get("wipe"):
                disks.clear(path, self.console.say)
            source = PackSource(locator, packs_by(self.client))
            meter = Meter(self.console, self.reporter, self.id, manifest.header.bytes)
            put = diskimage.put_disk(manifest, source, path, meter, bool(self.task.get("wipe")))
            meter.finish()
            kept = f"{human(put.kept)} found on the disk, " if put.kept else ""
            note(f"{kept}{human(put.written)} written, {human(source.fetched)} fetched")
        filled = Filled(Written(0, put.written), source.fetched, put.kept, 0, meter.seconds)
        self._done(started, manifest, path, {}, filled)

    def leave(self) -> None:
        """As the task says; only a restart starts a foreign system, never a jump."""
        if self.task.get("finish") == "kexec":
            self.task = {**self.task, "finish": "reboot"}
        super().leave()
