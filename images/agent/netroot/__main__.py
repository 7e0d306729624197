"""From the kernel's command line to a mounted root: what the first RAM disk of a diskless machine does.

Network, the server's word on what this machine is, its root, its write layer, its own files; then /init
makes that root the system's. The law: nothing is mounted that the server has not signed or that the node
did not ask for itself, and whatever fails is on the console and on the node's page, and tried again. Python
3.8, standard library only. Parameters come from the kernel's command line (bootsrv.*).
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Mapping

from images.agent import clock, network, sealed
from images.agent.client import Client, Refused
from images.agent.console import Console, uptime
from images.agent.netroot import blocks, hardware, layers, mounts, nbd, nfs, personal, ram, zram
from images.agent.reporter import Reporter
from images.agent.rootfs import Root
from images.errors import BadInput, ImageError

KEY = Path("/etc/bootsrv/boot.pub")
LISTS = Path("/etc/bootsrv/boot.modules")
TARGET = Path("/newroot")
INITS = ("/sbin/init", "/usr/lib/systemd/systemd", "/lib/systemd/systemd", "/bin/init", "/etc/init")
KEPT_BYTES = 8 << 30  # of a kept file system that nobody limited; sparse
FAILED_PAUSE = 10.0


class Boot:
    """One attempt."""

    def __init__(self, given: Mapping[str, str], console: Console) -> None:
        self.given, self.console, self.step = given, console, "network"
        self.undo: list[Callable[[], None]] = []
        self.devices: list[nbd.Device] = []
        self.own = ""
        self.received = 0  # bytes of a root in memory
        self.client = Client(given.get("url", ""), given.get("token", ""), console.status)
        self.reporter: Reporter | None = None

    def run(self) -> None:
        """All steps. Raises ImageError, OSError; `take_back` then undoes what was done."""
        self._network()
        task = self._ask()
        kind = task["root"]["kind"]
        self.step = "root"
        {"ram": self._ram, "nfs": self._nfs, "nbd": self._nbd}[kind](task)
        self.step = "writes"
        self._writes(task)
        self.step = "files"
        live = kind != "ram"
        self._files(task, live)
        self.step = "start"
        self._leave(task, live)

    def take_back(self) -> None:
        """The last one first."""
        while self.undo:
            self.undo.pop()()

    def failed(self, error: Exception) -> None:
        """Says it on the console and to the server."""
        text = str(error) or type(error).__name__
        self.console.status(f"failed at step {self.step}; trying again", text)
        if self.reporter is None:
            return
        self.reporter.event("root.failed", f"{self.step}: {text}", step=self.step, error=text)
        self.reporter.flush(timeout=5.0)

    # --- steps

    def _network(self) -> None:
        names = LISTS.read_text().split() if LISTS.exists() else []
        mounts.modprobe(names)
        hardware.coldplug()
        self.console.status("looking for the network")
        mac = self.given.get("mac", "").lower().replace("-", ":") or None
        self.card, address = network.connect(mac, self.console.status).split()
        self.own = address.partition("/")[0]
        self.reporter = Reporter(self.client.copy())
        self.console.log = self.reporter.log
        self.console.status(f"{self.card} {address}, server {self.given.get('url', '?')}")
        text = f"up {uptime():.1f} s after the kernel, {address}"
        self.reporter.event("root.up", text, uptime=round(uptime(), 1))

    def _ask(self) -> dict[str, Any]:
        self.step = "task"
        while True:
            answer = self.client.get_json("/node/v1/root?wait=25", timeout=60.0)
            if answer is None:
                continue
            if "wait" in answer:
                self.console.status(str(answer["wait"]))
                time.sleep(1.0)
                continue
            task = sealed.opened(answer, self.given.get("token", ""), KEY.read_bytes())
            said = clock.adjust(self.client.date)
            if said:
                self.console.say(said)
            self.console.status(f"{task['image']['ref']} by {task['root']['kind']}")
            return task

    def _ram(self, task: Mapping[str, Any]) -> None:
        manifest = task["image"]["manifest"]
        listed = blocks.read(self.client.get(f"/store/roots/{manifest}.blocks"), KEY.read_bytes(), manifest)
        store = layers.HOME / "image"
        mounts.mount(
            "bootsrv-image", store, "tmpfs", mounts.NOATIME, f"mode=700,size={listed.size + (1 << 20)}"
        )
        self.undo.append(lambda: mounts.unmount(store))
        file = store / "root.squashfs"
        where = f"/store/roots/{manifest}.squashfs"
        self.received = ram.fetch(self.client, where, listed, file, self.console.progress)
        mounts.modprobe(["loop", "squashfs"])
        device = mounts.loop(file, read_only=True)
        self.undo.append(lambda: mounts.let_go(device))
        self._mount_lower(device, "squashfs")

    def _nbd(self, task: Mapping[str, Any]) -> None:
        place = task["nbd"]
        device = self._device(0, place, place["export"])
        mounts.modprobe([place["format"]])
        self._mount_lower(device, place["format"])

    def _device(self, number: int, place: Mapping[str, Any], export: str) -> str:
        nbd.disconnect(number)
        made = nbd.connect(number, nbd.Place(place["host"], int(place["port"]), export))
        self.devices.append(made)
        self.undo.append(lambda: nbd.disconnect(number))
        self.undo.append(self.devices.clear)
        return made.path

    def _mount_lower(self, device: str, kind: str) -> None:
        mounts.mount(device, layers.LOWER, kind, mounts.RDONLY | mounts.NOATIME)
        self.undo.append(lambda: mounts.unmount(layers.LOWER))

    def _nfs(self, task: Mapping[str, Any]) -> None:
        row = task["nfs"]
        nfs.identify(task["node"]["name"])
        spoken = nfs.attach(nfs.place_of(row), row["path"], self.own, layers.LOWER, writable=False)
        self.undo.append(lambda: mounts.unmount(layers.LOWER))
        self.console.say(f"NFS version {spoken}")

    def _writes(self, task: Mapping[str, Any]) -> None:
        mounts.modprobe(["overlay"])
        root = task["root"]
        kept = root["writes"] in ("keep", "paths")
        if kept:
            mounts.modprobe(["ext4", "loop"])
            self._kept(task)
        if root["writes"] == "keep":
            layers.kept_whole(TARGET, task["image"]["manifest"][:16])
        elif not (root["writes"] == "compress" and self._compressed(root["limit"])):
            layers.in_memory(TARGET, None if kept else root["limit"])
            self.undo.append(lambda: mounts.unmount(layers.MEMORY))
        self.undo.append(lambda: mounts.unmount(TARGET))
        if root["writes"] == "paths":
            layers.kept_paths(TARGET, root["paths"])

    def _compressed(self, limit: int | None) -> bool:
        mounts.modprobe(["ext4"])
        device = layers.compressed(TARGET, limit)
        if device is None:
            self.console.say("this kernel has no zram: what is written is not compressed")
            return False
        self.undo.append(lambda: zram.remove(device))
        self.undo.append(lambda: mounts.unmount(layers.MEMORY))
        return True

    def _kept(self, task: Mapping[str, Any]) -> None:
        room = task["root"]["limit"] or KEPT_BYTES
        if task["root"]["kind"] == "nbd":
            device = self._device(1, task["nbd"], task["nbd"]["keep"])
        else:
            row, folder = task["nfs"], layers.HOME / "store"
            nfs.attach(nfs.place_of(row), row["keep"], self.own, folder, writable=True)
            self.undo.append(lambda: mounts.unmount(folder))
            file, room = layers.file_on(folder, room)
            device = mounts.loop(file, read_only=False)
            self.undo.append(lambda: mounts.let_go(device))
        layers.open_kept(device, room)
        self.undo.append(lambda: mounts.unmount(layers.KEPT))

    def _files(self, task: Mapping[str, Any], live: bool) -> None:
        root = Root(TARGET)
        try:
            self.console.say(f"{task['node']['name']}: {personal.whole(root, task, live)}")
            init = next((path for path in INITS if root.exists(path)), None)
        finally:
            root.close()
        if init is None:
            raise BadInput(f"there is no init in {task['image']['ref']}")
        (layers.HOME / "init").write_text(f"{init}\n")

    def _leave(self, task: Mapping[str, Any], live: bool) -> None:
        assert self.reporter is not None
        seconds = round(uptime(), 1)
        text = f"its root is ready after {seconds} s"
        self.reporter.event("root.done", text, uptime=seconds, received=self.received)
        self.reporter.flush(timeout=5.0)
        if self.devices:
            nbd.keep(self.devices)
        self.console.status(f"starting {task['image']['ref']}")
        if not live:  # the system brings its card up itself, from the beginning; nothing is told after this
            subprocess.run(["busybox", "killall", "udhcpc"], check=False, stderr=subprocess.DEVNULL)
            subprocess.run(["busybox", "ip", "addr", "flush", "dev", self.card], check=False)
            # udev renames no card that is up, and systemd-networkd then waits for the new name forever.
            subprocess.run(["busybox", "ip", "link", "set", "dev", self.card, "down"], check=False)


def parameters(cmdline: str) -> dict[str, str]:
    """bootsrv.KEY=VALUE words of a kernel command line, without the prefix."""
    words = (word.partition("=") for word in cmdline.split() if word.startswith("bootsrv."))
    return {key[len("bootsrv.") :]: value for key, _, value in words}


def main() -> None:
    """Entry point, called by /init; exit code 0 means that the root is at /newroot."""
    boot = Boot(parameters(Path("/proc/cmdline").read_text()), Console())
    try:
        boot.run()
    except Refused as refused:
        boot.failed(refused)
        if refused.status in (401, 403):  # this boot's token is no longer good: a new boot gets a new one
            from images.agent import finish

            time.sleep(FAILED_PAUSE)
            finish.restart()
    except (ImageError, OSError) as error:
        boot.failed(error)
    else:
        return
    boot.take_back()
    time.sleep(FAILED_PAUSE)
    sys.exit(1)


if __name__ == "__main__":
    main()
