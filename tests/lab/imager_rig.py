"""One machine, one made-up node server, and a list of tasks: what the agent does on its hard days.

Runs as a program of its own inside a network namespace (`unshare --net`), where QEMU's user network reaches
nothing but this server at 10.0.2.2. The kernel is started directly, so it takes a quarter of a full network
boot. Prints one JSON line at the end: what the node said, in order.
"""

from __future__ import annotations

import http.server
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from bootsrv.lab.firmware import Firmware, arguments
from bootsrv.uploads import Asked
from images.imager.overlay import prepare
from images.layout_parse import default_layout, layout_to_json
from images.store import ImageStore
from pxe.http.ports import Reply

MAC = "52:54:00:00:00:01"
URL = "http://10.0.2.2:8080"
DISK_KEY = "abcde-fghij-klmno-pqrst"
SSH_PORT = 2222  # in the namespace that this program has to itself
CMDLINE = f"bootsrv.url={URL} bootsrv.token=T bootsrv.mac={MAC} console=tty0 console=ttyS0,115200n8 quiet"


class Server(http.server.ThreadingHTTPServer):
    """The node API and the store. `damage` flips a byte in every range; `away` hangs up on everyone."""

    daemon_threads = True

    def __init__(self, store: ImageStore) -> None:
        super().__init__(("0.0.0.0", 8080), Handler)
        self.store = store
        self.events: list[dict[str, Any]] = []
        self.facts: list[dict[str, Any]] = []
        self.homes: list[dict[str, Any]] = []
        self.log: list[str] = []
        self.tasks: list[dict[str, Any]] = []
        self.refused: list[str] = []
        self.keys_given = 0
        self.captures: Callable[[Asked], Reply] | None = None
        self.damage = self.away = False
        self.outage_at = 0  # bytes of packs after which to be away for a while, once
        self.sent = 0
        self.started = time.monotonic()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def kinds(self) -> list[str]:
        return [e["kind"] for e in self.events]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *args: Any) -> None:
        pass

    def parse_request(self) -> bool:
        good = super().parse_request()
        if self.server.away:
            self.connection.close()
            return False
        return good

    def answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def capture(self, body: bytes = b"") -> None:
        assert self.server.captures is not None
        path, _, query = self.path.removeprefix("/capture/v1/").partition("?")
        token = str(self.headers["Authorization"]).removeprefix("Bearer ")
        asked = Asked(self.command, path, dict(parse_qsl(query)), body, token)
        reply = self.server.captures(asked)
        self.answer(reply.status, reply.body)

    def do_GET(self) -> None:
        if self.path.startswith("/capture/v1/"):
            return self.capture()
        if self.headers["Authorization"] != "Bearer T":
            self.server.refused.append(self.path)
            return self.answer(401)
        if self.path == "/node/v1/diskkey":
            self.server.keys_given += 1
            return self.answer(200, DISK_KEY.encode())
        if self.path.startswith("/node/v1/task"):
            end = time.monotonic() + 5
            while not self.server.tasks and time.monotonic() < end:
                time.sleep(0.05)
            if not self.server.tasks:
                return self.answer(204)
            return self.answer(200, json.dumps(self.server.tasks.pop(0)).encode())
        kind, id_ = re.fullmatch(r"/store/(\w+)/([0-9a-f]{64})", self.path).groups()
        if kind == "manifests":
            return self.answer(200, self.server.store.manifest_path(id_).read_bytes())
        if kind == "locators":
            return self.answer(200, self.server.store.locator(id_))
        return self.pack(id_)

    def pack(self, id_: str) -> None:
        server = self.server
        start, end = map(int, re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"]).groups())
        data = bytearray(server.store.read_range(id_, start, end - start + 1))
        server.sent += len(data)
        if server.damage:
            data[len(data) // 2] ^= 1
        if server.outage_at and server.sent > server.outage_at:
            server.outage_at, server.away = 0, True
            threading.Timer(6, setattr, (server, "away", False)).start()
            self.connection.close()
            return
        self.answer(206, bytes(data))

    def do_POST(self) -> None:
        server, body = self.server, self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.startswith("/capture/v1/"):
            self.capture(body)
            return
        if self.path.endswith("/events"):
            now = round(time.monotonic() - server.started, 1)
            server.events += [{**event, "at": now} for event in json.loads(body)]
        elif self.path.endswith("/facts"):
            server.facts.append(json.loads(body))
        elif self.path.endswith("/log"):
            server.log += body.decode().splitlines()
        elif self.path.endswith("/home"):
            server.homes.append({"token": self.headers["Authorization"], "body": body.decode()})
        self.answer(200, b"{}")


class Rig:
    """The machine and its disks; the first is `disk`."""

    def __init__(
        self, imager: Path, server: Server, work: Path, *sizes: str, firmware: Firmware = Firmware.BIOS
    ) -> None:
        self.imager, self.server, self.work, self.firmware = imager, server, work, firmware
        self.disks = [work / f"disk{number}.raw" for number in range(len(sizes))]
        self.disk = self.disks[0]
        for disk, size in zip(self.disks, sizes, strict=True):
            subprocess.run(["truncate", "-s", size, str(disk)], check=True)
        prepare(imager, work / "initrd.img", server.store.public_key())
        self.machine: subprocess.Popen[bytes] | None = None
        self.last: tuple[bool, int | None] = (True, None)

    def start(self, imager: bool, without: int | None = None) -> None:
        """Switches it on; `without` one of its disks (by its place)."""
        self.last = (imager, without)
        command = [
            "qemu-system-x86_64",
            *arguments(self.firmware, self.work),
            "-accel",
            "tcg,thread=multi",
            "-cpu",
            "max",
            "-m",
            "1024",
            "-smp",
            "2",
        ]
        command += [
            "-display",
            "none",
            "-monitor",
            "none",
            "-chardev",
            f"socket,id=s,path={self.work}/serial.sock,server=on,wait=off,"
            f"logfile={self.work}/serial-{int(imager)}.log,logappend=off",
            "-serial",
            "chardev:s",
        ]
        door = f"hostfwd=tcp:127.0.0.1:{SSH_PORT}-:22"
        command += ["-netdev", f"user,id=n,ipv6=off,{door}"]
        command += ["-device", f"virtio-net-pci,netdev=n,mac={MAC},romfile="]
        for number, disk in enumerate(self.disks):
            if number != without:
                command += ["-drive", f"file={disk},format=raw,if=none,id=d{number},cache=unsafe"]
                command += ["-device", f"virtio-blk-pci,drive=d{number},serial=RIG{number + 1}"]
        if imager:
            command += ["-kernel", str(self.imager / "vmlinuz"), "-initrd", str(self.work / "initrd.img")]
            command += ["-append", CMDLINE]
        self.machine = subprocess.Popen(command)

    def task(self, ref: str = "debian", **changes: Any) -> dict[str, Any]:
        version = self.server.store.resolve(ref)
        node = {
            "name": "n1", "domain": "cluster.test", "address_method": "reserved", "mac": MAC,
            "address": "10.0.2.15/24", "dns": ["10.0.2.3"], "hosts": [["10.0.2.15", "n1.cluster.test", "n1"]],
            "ssh_authorized_keys": ["ssh-ed25519 AAAA admin"], "kernel_args": "console=ttyS0,115200n8",
        }  # fmt: skip
        image = {"ref": version.ref, "manifest": version.id}
        image |= {"url": f"/store/manifests/{version.id}", "locator": f"/store/locators/{version.id}"}
        return {
            "kind": "deploy", "id": "1-1", "image": image, "disk": None, "node": node,
            "layout": layout_to_json(default_layout()), "finish": "poweroff",
            "callback": {"url": f"{URL}/node/v1/home", "token": "HOME"}, **changes,
        }  # fmt: skip

    def until(self, done: Any, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not done():
            if time.monotonic() > end:
                raise TimeoutError(f"not within {seconds} s; events {self.server.kinds()[-5:]}")
            if self.machine is not None and self.machine.poll() is not None:
                return
            if self.died():
                self.stop()
                (self.work / f"serial-{int(self.last[0])}.log").unlink()
                self.start(*self.last)
            time.sleep(0.1)

    def died(self) -> bool:
        """Whether the guest's kernel died by the emulator's fault: with two CPUs under TCG, one now and then
        runs into the breakpoint that the other has just put there to patch the code."""
        serial = self.work / f"serial-{int(self.last[0])}.log"
        return self.machine is not None and serial.exists() and b"Oops: int3" in serial.read_bytes()

    def stop(self) -> None:
        if self.machine is not None:
            self.machine.kill()
            self.machine.wait()
            self.machine = None


def hard_day(rig: Rig) -> dict[str, Any]:
    """A layout too large, damage on the wire, a server that goes away; then home from its own disk."""
    server, marks = rig.server, {}
    failed = lambda count: lambda: server.kinds().count("deploy.failed") >= count  # noqa: E731
    server.tasks.append(rig.task(layout={"partitions": [{"role": "bios"}, {"role": "root", "size": "100G"}]}))
    started = time.monotonic()
    rig.start(imager=True)
    rig.until(lambda: server.facts, 120)
    marks["seconds_to_facts"] = time.monotonic() - started
    rig.until(failed(1), 60)
    with rig.disk.open("rb") as disk:
        marks["untouched"] = not any(disk.read(1 << 20))
    server.damage = True
    server.tasks.append(rig.task())
    rig.until(failed(2), 120)
    with rig.disk.open("rb") as disk:
        marks["unbootable"] = not any(disk.read(440))
    server.damage, server.outage_at = False, server.sent + (20 << 20)
    server.tasks.append(rig.task(layout=layout_to_json(default_layout("xfs")), finish=sys.argv[4]))
    rig.until(lambda: "imager.reboot" in server.kinds(), 300)
    marks["came_back"] = not server.away and server.outage_at == 0
    if sys.argv[4] == "poweroff":
        rig.machine.wait(60)
        rig.start(imager=False)
    rig.until(lambda: server.homes, 240)
    return marks


def main() -> None:
    """imager_rig.py IMAGER STORE WORK poweroff|kexec"""
    imager, store, work = (Path(a) for a in sys.argv[1:4])
    server = Server(ImageStore.open(store, create=False))
    rig = Rig(imager, server, work, "3G")
    marks: dict[str, Any] = {}
    try:
        marks = hard_day(rig)
    except TimeoutError as error:
        marks["timeout"] = str(error)
    finally:
        rig.stop()
    said = {"events": server.events, "facts": server.facts, "homes": server.homes, "log": server.log}
    print(json.dumps({"marks": marks, "refused": server.refused, **said}))


if __name__ == "__main__":
    main()
