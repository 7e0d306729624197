"""Puts an image on this machine's disk: the steps from a deploy task to a disk that boots.

The order is the safety: the plan is checked before the disk is touched, the disk is made unbootable before
anything is written, and the boot loader is the last thing that is. A broken run can be started again from
the top at any time. Every step is an event with its seconds. Python 3.8, standard library only.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from images.agent import disk as disks
from images.agent import finish, home, inventory, loader, personalise, verify
from images.agent.client import Client
from images.agent.console import Console
from images.agent.identity import parse_identity
from images.agent.progress import Meter
from images.agent.reporter import Reporter
from images.agent.rootfs import Root
from images.diskplan import fstab, partition_path, plan, smallest_disk
from images.errors import BadInput
from images.fetch import PackSource
from images.layout import DiskPlan, default_layout, parse_layout
from images.locator import Locator
from images.sealed import SealedManifest, open_sealed
from images.sizes import human
from images.tree_writer import write_tree

TARGET = Path("/mnt/target")
WORK = Path("/run/deploy")
KEY = Path("/etc/bootsrv/store.pub")
STEPS = ("image", "disk", "partition", "format", "files", "personalise", "verify", "loader")
SLACK = 4096  # bytes a file may waste at its end, and its inode


class Deploy:
    """One deploy. `step` names where it is, for the report of a failure."""

    def __init__(self, task: Mapping[str, Any], client: Client, reporter: Reporter, console: Console) -> None:
        self.task, self.client, self.reporter, self.console = task, client, reporter, console
        self.id = str(task["id"])
        self.step = STEPS[0]
        self.seconds: dict[str, float] = {}

    def run(self) -> None:
        """All steps; raises what broke. Returns when the machine is ready for `leave`."""
        started = time.monotonic()
        self.console.steps(*STEPS)
        node = parse_identity(self.task["node"])
        image = self.task["image"]
        self.console.status(f"imaging {node.fqdn} with {image['ref']}")
        with self._step("image") as note:
            manifest, locator = self._fetch_image()
            note(f"{image['ref']}: {manifest.header.files} files, {human(manifest.header.bytes)}")
        with self._step("disk", "deploy.disk") as note:
            disk, plan_ = self._choose(manifest)
            note(f"{disk['path']} {disk['model'] or ''} {human(disk['size'])}".replace("  ", " "))
        self._event(
            "deploy.started", f"{image['ref']} to {disk['path']}", image=image["ref"], disk=disk["path"]
        )
        self.reporter.flush()  # the server knows before the disk changes, or we do not go on
        path, guids = str(disk["path"]), [disks.new_uuid("gpt") for _ in plan_.extents]
        uuids = {e.number: disks.new_uuid(e.partition.fs) for e in plan_.extents if e.partition.fs != "none"}
        with self._step("partition", "deploy.partition") as note:
            self._partition(path, plan_, guids)
            note(", ".join(f"{e.partition.role} {human(e.size)}" for e in plan_.extents))
        with self._step("format", "deploy.format") as note:
            for extent in plan_.extents:
                uuid = uuids.get(extent.number, "")
                disks.format_partition(
                    partition_path(path, extent.number), extent, uuid, manifest.header.files
                )
            disks.mount_all(path, plan_, TARGET)
            note(
                ", ".join(f"{e.partition.fs} {e.partition.role}" for e in plan_.extents if e.number in uuids)
            )
        with self._step("files", "deploy.files") as note:
            note(self._write(manifest, locator))
        # Before anything is made this node's own: what personalising changes would not match the image.
        with self._step("verify", "deploy.verify") as note:
            note(self._verify(manifest))
        with self._step("personalise", "deploy.personalise") as note:
            keys = self._personalise(plan_, uuids)
            title = f"{node.name} ({image['ref']})"
            ready = loader.prepare(TARGET, plan_, uuids, title, node.kernel_args, self.console.say)
            note(f"{node.fqdn}, kernel {ready.kernel}")
        with self._step("loader", "deploy.loader") as note:
            self._check_filesystems(path, plan_)
            if self.task.get("finish") == "kexec":
                disks.mount_all(path, plan_, TARGET)
                finish.load_kernel(TARGET, ready.arguments)
                disks.unmount_all(TARGET)
            loader.activate(path, plan_, uuids, guids, self.console.say)
            note("BIOS and UEFI" if plan_.by_role("bios") and plan_.by_role("esp") else "one firmware kind")
        total = time.monotonic() - started
        self._event(
            "deploy.done", f"{image['ref']} on {path} in {total:.0f} s", image=image["ref"], disk=path,
            bytes=manifest.header.bytes, files=manifest.header.files, seconds=round(total, 1),
            stages=self.seconds, ssh_host_keys=keys,
        )  # fmt: skip
        self.console.status(f"{node.fqdn} is ready: {image['ref']} in {total:.0f} s")

    def leave(self) -> None:
        """Reports, then restarts, powers off or jumps, as the task says."""
        how = str(self.task.get("finish") or "reboot")
        self._event("imager.reboot", how)
        self.console.status(
            {"poweroff": "powering off", "kexec": "starting the new system"}.get(how, "restarting")
        )
        self.reporter.flush()
        if how == "poweroff":
            finish.power_off()
        elif how == "kexec":
            finish.jump()
        finish.restart()

    def clean_up(self) -> None:
        """After a failure: nothing stays mounted, so that the next try can wipe."""
        disks.unmount_all(TARGET)
        disks.unmount_all(loader.ESP)

    def _fetch_image(self) -> tuple[SealedManifest, Locator]:
        image = self.task["image"]
        WORK.mkdir(parents=True, exist_ok=True)
        file = WORK / "manifest"
        file.write_bytes(self.client.get(str(image["url"])))
        manifest = open_sealed(file, KEY.read_bytes(), str(image["manifest"]))
        locator = Locator.parse(self.client.get(str(image["locator"])))
        for entry in manifest.entries():
            if entry.path.startswith((b"boot/vmlinu", b"boot/bzImage", b"boot/kernel")):
                return manifest, locator
            if entry.path > b"boot0":  # entries are sorted: /boot is behind us
                break
        raise BadInput(f"image {image['ref']} has no kernel in /boot, so it cannot boot from a disk")

    def _choose(self, manifest: SealedManifest) -> tuple[Mapping[str, Any], DiskPlan]:
        layout = parse_layout(self.task["layout"]) if self.task.get("layout") else default_layout()
        need = manifest.header.bytes + manifest.header.files * SLACK
        found = inventory.disks(udev=inventory.udev_disks())
        disk = disks.choose_disk(found, self.task.get("disk"), smallest_disk(layout, need))
        return disk, plan(layout, disk["size"], disk["sector"], need, disk["path"])

    def _partition(self, path: str, plan_: DiskPlan, guids: list[str]) -> None:
        disks.release(path)
        disks.wipe(path, disks.old_partitions(path), plan_.extents)
        if self.task.get("wipe"):
            disks.clear(path, self.console.say)
        disks.partition(path, plan_, disks.new_uuid("gpt"), guids)

    def _write(self, manifest: SealedManifest, locator: Locator) -> str:
        fetcher = self.client.copy()
        source = PackSource(
            locator, lambda pack, start, length: fetcher.get_range(f"/store/packs/{pack}", start, length)
        )
        meter = Meter(self.console, self.reporter, self.id, manifest.header.bytes)
        written = write_tree(manifest, source, TARGET, meter)
        verify.drop_caches()
        meter.finish()
        rate = written.bytes / max(meter.seconds, 0.001) / 1e6
        return (
            f"{written.files} files, {human(written.bytes)}, {human(source.fetched)} fetched, {rate:.1f} MB/s"
        )

    def _personalise(self, plan_: DiskPlan, uuids: dict[int, str]) -> dict[str, str]:
        node, callback = parse_identity(self.task["node"]), self.task.get("callback") or {}
        keys = personalise.personalise(TARGET, node, fstab(plan_, uuids), node.kernel_args, self.console.say)
        if callback.get("url"):
            root = Root(TARGET)
            try:
                home.install(
                    root, str(callback["url"]), str(callback["token"]), str(self.task["image"]["ref"])
                )
            finally:
                root.close()
        return keys

    def _verify(self, manifest: SealedManifest) -> str:
        verify.drop_caches()
        files, read = verify.verify_sample(TARGET, manifest)
        return f"{files} files ({human(read)}) read back"

    def _check_filesystems(self, path: str, plan_: DiskPlan) -> None:
        """Unmounts them and lets their own tools look: the boot loader is only written to a sound disk."""
        disks.unmount_all(TARGET)
        for extent in plan_.extents:
            disks.check_filesystem(partition_path(path, extent.number), extent.partition.fs)

    @contextlib.contextmanager
    def _step(self, name: str, kind: str | None = None) -> Iterator[Any]:
        """Marks the step on the console, times it, and reports it with the text that `note` was given."""
        self.step, started, texts = name, time.monotonic(), [""]
        self.console.step(name, "running")
        yield lambda text: texts.__setitem__(0, text)
        self.seconds[name] = round(time.monotonic() - started, 2)
        self.console.step(name, "done", texts[0])
        if kind is not None:
            self._event(kind, texts[0], seconds=self.seconds[name])

    def _event(self, kind: str, text: str, **data: Any) -> None:
        self.reporter.event(kind, text, id=self.id, **data)
