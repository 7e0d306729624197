"""One machine with several disks and a layout: imaged in the real imager, then started from what was written.

A program of its own in a network namespace, like imager_rig.py. Prints one JSON line: what the node said,
and what the running system says of its storage.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from imager_rig import DISK_KEY, SSH_PORT, URL, Rig, Server

from bootsrv.appliance.appliance import Appliance
from bootsrv.config import load
from bootsrv.lab.firmware import Firmware
from bootsrv.uploads import Uploads
from images.store import ImageStore

ASK = (
    "findmnt -nro SOURCE,FSTYPE /; lsblk -nro NAME,TYPE,MOUNTPOINT; cat /proc/mdstat; cat /proc/swaps; "
    "systemctl --failed --no-legend; cat /srv/kept 2>/dev/null; test -d /sys/firmware/efi && echo UEFI"
)


class StorageRig(Rig):
    """Imaging and starting, with a key for its encrypted disks and a door for ssh."""

    def key(self) -> str:
        private = self.work / "key"
        if not private.exists():
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(private)], check=True
            )
        return (self.work / "key.pub").read_text().strip()

    imaged: str | None = None  # what was imaged before
    data: Path  # the directory that the store is in

    def image(
        self, layout: dict[str, Any] | None, ref: str = "storage", cut: str | None = None, **changes: Any
    ) -> dict[str, Any]:
        """Runs one imaging; its closing event. Ends with the machine off; `cut`: by a power failure as soon
        as an event of that kind was told.
        """
        task = self.task(ref, **changes)
        if layout is not None:
            task["layout"] = layout
        if self.imaged is not None:
            old = self.server.store.resolve(self.imaged)
            task["seed"] = [{"manifest": old.id, "url": f"/store/manifests/{old.id}"}]
        task["node"]["ssh_authorized_keys"] = [self.key()]
        task["disk_key"] = {"passphrase": DISK_KEY, "url": f"{URL}/node/v1/diskkey", "token": "T"}
        before = len(self.server.events)
        self.server.tasks.append(task)
        self.start(imager=True)

        def ended() -> bool:
            kinds = [e["kind"] for e in self.server.events[before:]]
            return "imager.reboot" in kinds or "deploy.failed" in kinds or cut in kinds

        self.until(ended, 420)
        if cut is not None:
            self.stop()
            with self.disk.open("rb") as disk:
                return {"kind": "cut", "bootable": any(disk.read(440))}
        self.imaged = ref
        last = next(e for e in reversed(self.server.events) if e["kind"] in ("deploy.done", "deploy.failed"))
        if last["kind"] == "deploy.done" and self.machine is not None:
            self.machine.wait(90)
        self.stop()
        return last

    def capture(self) -> dict[str, Any]:
        """The machine's files by the imager into the store, which is this test's own; what was made of it."""
        config = self.work / "bootsrv.toml"
        config.write_text(f'data_dir = "{self.data}"\n')
        house, worker = Appliance.open(load(config)), ThreadPoolExecutor(1)
        uploads = worker.submit(Uploads, house.registry, house.images).result()
        self.server.captures = lambda asked: worker.submit(uploads.handle, asked).result()
        task = {"kind": "capture", "id": "1-2", "what": "tree", "name": "golden", "node": "n1", "words": []}
        task |= {"token": house.captures.token("golden").text, "disk": None, "made_from": ""}
        task["disk_key"] = {"passphrase": DISK_KEY}
        before = len(self.server.events)
        self.server.tasks.append(task)
        self.start(imager=True)
        ended = {"imager.reboot", "deploy.failed"}
        self.until(lambda: ended & {e["kind"] for e in self.server.events[before:]}, 420)
        self.stop()
        worker.submit(uploads.close).result()
        made = house.images.list()
        ref = next((version.ref for version in made if version.name == "golden"), None)
        if ref is None:
            return {"ref": None, "said": self.server.events[before:]}
        names = [os.fsdecode(entry.path) for entry in self.server.store.manifest(ref).entries()]
        wanted = ("etc/debian_version", "etc/machine-id")
        found = [name for name in names if name in wanted or name.startswith("boot/vmlinuz")]
        return {"ref": ref, "names": found, "warnings": house.images.resolve(ref).meta.get("warnings")}

    def type(self, after: str, text: str) -> None:
        """A line on its keyboard, once the console asks for it."""
        serial = self.work / "serial-0.log"
        self.until(lambda: serial.exists() and after.encode() in serial.read_bytes(), 240)
        with socket.socket(socket.AF_UNIX) as keyboard:
            keyboard.connect(str(self.work / "serial.sock"))
            keyboard.sendall(text.encode() + b"\n")
            time.sleep(1.0)

    def run(self, without: int | None = None, command: str = ASK, typed: bool = False) -> str:
        """Starts it from its disks, waits for its call, asks it something, and switches it off. `typed`:
        somebody opens its disk.
        """
        homes = len(self.server.homes)
        self.start(imager=False, without=without)
        if typed:
            self.type("Please unlock disk", DISK_KEY)
        self.until(lambda: len(self.server.homes) > homes, 300)
        said = self.ask(f"{command}; sync")
        self.stop()
        return said

    def ask(self, command: str) -> str:
        options = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
        options += ["-o", "LogLevel=ERROR", "-o", "ConnectTimeout=10", "-i", str(self.work / "key")]
        end = time.monotonic() + 90
        while True:
            done = subprocess.run(
                ["ssh", *options, "-p", str(SSH_PORT), "root@127.0.0.1", command],
                capture_output=True, text=True, check=False, timeout=90,
            )  # fmt: skip
            if done.returncode != 255 or time.monotonic() > end:
                return done.stdout + done.stderr
            time.sleep(0.5)


def story(rig: StorageRig, steps: list[Any]) -> list[Any]:
    """Steps: {"image": LAYOUT, ...changes}, {"run": without, "command": ...} or {"capture": None}; what each
    brought.
    """
    return [
        rig.capture()
        if "capture" in step
        else rig.image(step.pop("image"), finish="poweroff", **step)
        if "image" in step
        else rig.run(step["run"], step.get("command", ASK), step.get("typed", False))
        for step in steps
    ]


def main() -> None:
    """storage_rig.py IMAGER STORE WORK FIRMWARE SIZES STEPS(JSON)"""
    imager, store, work = (Path(a) for a in sys.argv[1:4])
    server = Server(ImageStore.open(store, create=False))
    sizes = sys.argv[5].split(",")
    rig = StorageRig(imager, server, work, *sizes, firmware=Firmware(sys.argv[4]))
    rig.data = store.parent
    said: dict[str, Any] = {}
    try:
        said["found"] = story(rig, json.loads(sys.argv[6]))
    except TimeoutError as error:
        said["timeout"] = str(error)
    finally:
        rig.stop()
    print(json.dumps({**said, "keys": server.keys_given, "events": server.events, "log": server.log}))


if __name__ == "__main__":
    main()
