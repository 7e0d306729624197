"""Puts an image on this machine's disks: the steps from a deploy task to disks that boot.

The order is the safety: the plan is checked before a disk is touched, the disks are made unbootable before
anything else is written, and the boot loader is the last thing that is. A broken run can be started again
from the top at any time, and finds what it had written. Every step is an event with its seconds. Python 3.8,
standard library only.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from images.agent import disk as disks
from images.agent import finish, home, initramfs, inventory, loader, personalise, verify, volumes
from images.agent.client import Client
from images.agent.console import Console
from images.agent.fill import Fill, Filled
from images.agent.ground import Ground
from images.agent.identity import Identity, parse_identity
from images.agent.progress import Meter
from images.agent.reporter import Reporter
from images.agent.rootfs import Root
from images.agent.update.remember import remember
from images.errors import BadInput
from images.layout_parse import default_layout, parse_layout
from images.locator import Locator
from images.mounts_table import fstab
from images.sealed import SealedManifest, open_sealed
from images.sizes import human
from images.storage import Storage, resolve

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
            storage, texts = self._choose(manifest)
            ground = self._ground(storage)
            ground.look()
            note(", ".join(texts))
        path = storage.disks[0].path
        self._event("deploy.started", f"{image['ref']} to {path}", image=image["ref"], disk=path)
        self.reporter.flush()  # the server knows before the disk changes, or we do not go on
        fill = Fill(ground, TARGET, self.client, KEY.read_bytes(), WORK, self.console.say)
        with self._step("partition", "deploy.partition") as note:
            fill.stash(manifest, locator, self.task.get("seed") or ())
            note(ground.partition())
        with self._step("format", "deploy.format") as note:
            note(ground.format(manifest.header.files))
        with self._step("files", "deploy.files") as note:
            filled = self._fill(fill, manifest, locator)
            note(filled.text)
        # Before anything is made this node's own: what personalising changes would not match the image.
        with self._step("verify", "deploy.verify") as note:
            note(self._verify(manifest, filled))
            remember(TARGET, manifest)
        with self._step("personalise", "deploy.personalise") as note:
            keys, ready = self._personalise(ground, node)
            note(f"{node.fqdn}, kernel {ready.kernel}")
        with self._step("loader", "deploy.loader") as note:
            note(self._load(ground, ready))
        self._done(started, manifest, path, keys, filled)

    def _done(
        self, started: float, manifest: SealedManifest, path: str, keys: Mapping[str, str], filled: Filled
    ) -> None:
        ref, total = self.task["image"]["ref"], time.monotonic() - started
        self._event(
            "deploy.done", f"{ref} on {path} in {total:.0f} s", image=ref, disk=path,
            bytes=manifest.header.bytes, files=manifest.header.files, seconds=round(total, 1),
            fetched=filled.fetched, seeded=filled.seeded, reused=filled.reused,
            stages=self.seconds, ssh_host_keys=dict(keys),
        )  # fmt: skip
        self.console.status(f"{self.task['node']['name']} is ready: {ref} in {total:.0f} s")

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
        volumes.release()

    def _fetched(self) -> tuple[SealedManifest, Locator]:
        image = self.task["image"]
        WORK.mkdir(parents=True, exist_ok=True)
        file = WORK / "manifest"
        file.write_bytes(self.client.get(str(image["url"])))
        manifest = open_sealed(file, KEY.read_bytes(), str(image["manifest"]))
        return manifest, Locator.parse(self.client.get(str(image["locator"])))

    def _fetch_image(self) -> tuple[SealedManifest, Locator]:
        image, (manifest, locator) = self.task["image"], self._fetched()
        for entry in manifest.entries():
            if entry.path.startswith((b"boot/vmlinu", b"boot/bzImage", b"boot/kernel")):
                return manifest, locator
            if entry.path > b"boot0":  # entries are sorted: /boot is behind us
                break
        raise BadInput(f"image {image['ref']} has no kernel in /boot, so it cannot boot from a disk")

    def _choose(self, manifest: SealedManifest) -> tuple[Storage, list[str]]:
        """The storage, and its disks in words. Raises BadInput: no room, or the image cannot boot from it."""
        layout = parse_layout(self.task["layout"]) if self.task.get("layout") else default_layout()
        need = manifest.header.bytes + manifest.header.files * SLACK
        found = inventory.disks(udev=inventory.udev_disks())
        storage = resolve(layout, found, self.task.get("disk"), need)
        if initramfs.needs(storage):
            names = (entry.path for entry in manifest.entries())
            initramfs.check(storage, names, str(self.task["image"]["ref"]))
        rows = [next(d for d in found if d["path"] == planned.path) for planned in storage.disks]
        texts = [f"{d['path']} {d['model'] or ''} {human(d['size'])}".replace("  ", " ") for d in rows]
        return storage, texts

    def _ground(self, storage: Storage) -> Ground:
        key = (self.task.get("disk_key") or {}).get("passphrase")
        return Ground(storage, bool(self.task.get("wipe")), key, self.console.say)

    def _fill(self, fill: Fill, manifest: SealedManifest, locator: Locator) -> Filled:
        meter = Meter(self.console, self.reporter, self.id, manifest.header.bytes)
        return fill.run(manifest, locator, self.task.get("seed") or (), meter)

    def _verify(self, manifest: SealedManifest, filled: Filled) -> str:
        if filled.marks is not None and not any(filled.marks):
            return "nothing was written: all of it was read"
        verify.drop_caches()
        files, read = verify.verify_sample(TARGET, manifest, written=filled.marks)
        return f"{files} files ({human(read)}) read back"

    def _personalise(self, ground: Ground, node: Identity) -> tuple[dict[str, str], loader.Prepared]:
        storage, uuids, callback = ground.storage, ground.uuids, self.task.get("callback") or {}
        table = fstab(storage, uuids)
        keys = personalise.personalise(TARGET, node, table, node.kernel_args, self.console.say)
        ref = str(self.task["image"]["ref"])
        if callback.get("url"):
            root = Root(TARGET)
            try:
                home.install(root, home.parse_callback(callback, KEY.read_bytes()), ref)
            finally:
                root.close()
        root = Root(TARGET)
        try:
            for place in storage.places:  # what is kept stayed unmounted; the image may not know its place
                if place.partition.keep and place.partition.mount:
                    root.make_dirs(place.partition.mount)
        finally:
            root.close()
        title = f"{node.name} ({ref})"
        ready = loader.prepare(TARGET, storage, uuids, title, node.kernel_args, self.console.say)
        said = initramfs.install(TARGET, storage, uuids, self.task.get("disk_key"))
        if said:
            self.console.say(said)
        return keys, ready

    def _load(self, ground: Ground, ready: loader.Prepared) -> str:
        """Unmounts all and lets the file systems' own tools look: only sound disks get a boot loader."""
        storage = ground.storage
        disks.unmount_all(TARGET)
        for place in storage.places:
            if not place.partition.keep:
                disks.check_filesystem(place.device, place.partition.fs)
        if self.task.get("finish") == "kexec":
            disks.mount_all(storage, TARGET)
            finish.load_kernel(TARGET, ready.arguments)
            disks.unmount_all(TARGET)
        loader.activate(storage, ground.uuids, ground.guids, self.console.say)
        volumes.release()
        plan = storage.disks[0].plan
        return "BIOS and UEFI" if plan.by_role("bios") and plan.by_role("esp") else "one firmware kind"

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
