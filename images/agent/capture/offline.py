"""A capture by the imager: of a machine that is off, its files or its whole disk. Then its own disk again.

Python 3.8, standard library only.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from images.agent import finish, inventory
from images.agent.capture import cli, roots
from images.agent.capture.disk import upload_disk
from images.agent.capture.options import parse
from images.agent.capture.telling import Teller
from images.agent.capture.upload import Upload
from images.agent.client import Client
from images.agent.console import Console
from images.agent.disk import unmount_all
from images.agent.reporter import Reporter
from images.agent.volumes import release
from images.disk_choice import choose_disk
from images.errors import BadInput


class ConsoleTeller(Teller):
    """Says on the machine's consoles what a capture says on a terminal."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def say(self, text: str) -> None:
        self._console.say(text)

    def draw(self, done: int, total: int, rate: float, files: int) -> None:
        self._console.progress(done, total, rate)


class Capture:
    """One capture task. `step` names where it is, for the report of a failure."""

    def __init__(self, task: Mapping[str, Any], client: Client, reporter: Reporter, console: Console) -> None:
        self.task, self._client, self._reporter, self._console = task, client, reporter, console
        self.id = str(task["id"])
        self.step = "find"

    def run(self) -> None:
        """All of it; raises what broke."""
        what = str(self.task["what"])
        self._console.steps("find", "upload")
        self._console.status(f"capturing the {what} of {self.task['node']} as {self.task['name']}")
        words = [f"--token={self.task['token']}", f"--made-from={self.task['made_from']}", "--give-up=0"]
        words.append(f"--host={self.task['node']}")
        if what == "tree":
            key = (self.task.get("disk_key") or {}).get("passphrase")
            wanted = str(self._disk()) if self.task.get("disk") else None
            root = roots.mount_root(self._console.say, key, wanted)
            words += ["--root", str(root), *map(str, self.task.get("words") or ())]
        disk = self._disk() if what == "disk" else None
        options = parse(words, self._client.base)
        self.step = "upload"
        teller = ConsoleTeller(self._console)
        if disk is None:
            ref = cli.attempts(options, teller, cli.capture)
        else:
            path = disk
            ref = cli.attempts(options, teller, lambda *given: capture_disk(path, *given))
        self._console.status(f"{self.task['node']} is {ref}")

    def leave(self) -> None:
        """Back to its own disk."""
        self.clean_up()
        self._reporter.event("imager.reboot", "captured", id=self.id)
        self._reporter.flush()
        finish.restart()

    def clean_up(self) -> None:
        """Nothing stays mounted."""
        unmount_all(roots.TARGET)
        release()

    def _disk(self) -> Path:
        found = inventory.disks(udev=inventory.udev_disks())
        wanted = self.task.get("disk")
        fixed = [row["path"] for row in found if not row.get("removable")]
        if not wanted and len(fixed) > 1:
            raise BadInput(f"which disk? This machine has {', '.join(fixed)}: `bootsrv node set --disk`")
        return Path(str(choose_disk(found, wanted, 0)["path"]))


def capture_disk(path: Path, options: Any, upload: Upload, teller: Teller) -> str:
    """As `cli.capture`, for a disk."""
    host = f"{options.host}, disk {path}"
    begun = upload.begin({"host": host, "kind": "disk", "made_from": options.made_from})
    teller.say(f"capturing {path} as {begun['name']}")
    teller.sent, teller.where = (lambda: upload.sent), True
    with contextlib.closing(cli.base_of(upload, begun.get("base"))) as base:
        shape, warnings = upload_disk(path, base, upload, teller.step, teller.expect)
    upload.finish()
    teller.end()
    facts = {"disk": shape, "warnings": warnings, "captured": {"from": options.made_from}}
    return cli.published(upload, facts, teller)
