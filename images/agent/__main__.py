"""The agent: what runs on a machine that was booted to be looked at or imaged.

Brings up the network, says what the machine is, then asks the server what to do, for ever. The law: no
error ends it. What breaks a deploy is shown on the console and on the node's page, and the machine waits
for the next task. Python 3.8, standard library only. Parameters come from the kernel's command line
(bootsrv.*).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from images.agent import clock, disk, finish, inventory, network
from images.agent.client import Client, Refused
from images.agent.console import Console, uptime
from images.agent.reporter import Reporter
from images.errors import ImageError
from images.sizes import human

if TYPE_CHECKING:
    from images.agent.capture.offline import Capture
    from images.agent.deploy import Deploy

WAIT = 25  # seconds of one long poll
TOKEN_GONE = 60.0  # seconds until a machine whose token expired boots again for a new one
AFTER_FAILURE = 5.0
VERSION = Path("/etc/bootsrv/imager")


def parameters(cmdline: str) -> dict[str, str]:
    """bootsrv.KEY=VALUE words of a kernel command line, without the prefix."""
    words = (word.partition("=") for word in cmdline.split() if word.startswith("bootsrv."))
    return {key[len("bootsrv.") :]: value for key, _, value in words}


class Agent:
    """The loop and what it needs."""

    def __init__(self, given: Mapping[str, str], console: Console) -> None:
        self.given, self.console = given, console
        self.client = Client(given.get("url", ""), given.get("token", ""), self._trouble)
        self.reporter = Reporter(self.client.copy())
        console.log = self.reporter.log

    def _trouble(self, text: str) -> None:
        self.console.status(text)

    def introduce(self, address: str) -> None:
        """Tells the server that we are up, and what this machine is."""
        text = f"up {uptime():.1f} s after the kernel, {address}"
        self.reporter.event(
            "imager.up", text, uptime=round(uptime(), 1), purpose=self.given.get("purpose", "")
        )
        disk.settle()  # drivers find disks
        facts = inventory.inventory(udev=inventory.udev_disks())
        dmi, cpu = facts["dmi"], facts["cpu"]
        self.console.facts(
            f"{dmi['vendor'] or ''} {dmi['product'] or 'machine'}  serial {dmi['serial'] or 'none'}",
            f"{cpu['count']} x {cpu['model'] or cpu['arch']}, {human(facts['memory'])}, {facts['firmware']}",
            f"{self.given.get('mac', '')}  {address}  server {self.given.get('url', '')}",
            *(
                f"{d['path']}  {human(d['size'])}  {d['model'] or ''}  {d['serial'] or ''}"
                for d in facts["disks"]
            ),
        )
        try:
            self.client.post_json("/node/v1/facts", {**facts, "imager": _version()})
        except Refused as refused:  # an older server may not know a field; that is no reason not to work
            self.console.say(str(refused))
        said = clock.adjust(self.client.date)
        if said:
            self.console.say(said)

    def serve(self) -> None:
        """Asks for tasks and does them. Ends only with the machine."""
        while True:
            try:
                task = self.client.get_json(f"/node/v1/task?wait={WAIT}", timeout=WAIT + 35.0)
            except Refused as refused:
                self._refused(refused)
                continue
            if task is not None:
                self._do(task)

    def _refused(self, refused: Refused) -> None:
        if refused.status not in (401, 403):
            self.console.status("the server has no task for us", str(refused))
            time.sleep(AFTER_FAILURE)
            return
        text = f"this boot's token is no longer valid; booting again in {TOKEN_GONE:.0f} seconds"
        self.console.status(text, str(refused))
        time.sleep(TOKEN_GONE)
        finish.restart()

    def _do(self, task: Mapping[str, Any]) -> None:
        kind = task.get("kind")
        if kind in ("deploy", "capture"):
            self._work(task)
        elif kind in ("reboot", "poweroff"):
            self.reporter.event("imager.reboot", f"asked to {kind}")
            self.console.status(f"the server asks to {kind}")
            self.reporter.flush()
            (finish.restart if kind == "reboot" else finish.power_off)()
        elif kind == "hold":
            self.console.status(
                "waiting after an error; `bootsrv reimage` tries again", str(task.get("text", ""))
            )
        else:
            self.console.status(str(task.get("text") or f"waiting ({kind})"))

    def _work(self, task: Mapping[str, Any]) -> None:
        # Late: this is half of the code, and a machine is known sooner without it.
        from images.agent.capture.offline import Capture
        from images.agent.deploy import Deploy
        from images.agent.diskdeploy import DiskDeploy

        deploy: Deploy | Capture
        if task["kind"] == "capture":
            deploy = Capture(task, self.client, self.reporter, self.console)
        else:
            chosen = DiskDeploy if task.get("image", {}).get("kind") == "disk" else Deploy
            deploy = chosen(task, self.client, self.reporter, self.console)
        try:
            deploy.run()
        except (ImageError, OSError) as error:
            self._failed(deploy, error, "")
        except Exception as error:  # a bug: reported like any failure, with where it was
            import traceback

            self._failed(deploy, error, traceback.format_exc())
        else:
            deploy.leave()

    def _failed(self, deploy: Deploy | Capture, error: Exception, detail: str) -> None:
        text = str(error) or type(error).__name__
        self.console.step(deploy.step, "failed", text)
        self.console.status(f"failed at step {deploy.step}; waiting for the server", text)
        for line in detail.splitlines():
            self.console.log(line)
        event = {"step": deploy.step, "error": text, "detail": detail[-4000:], "id": deploy.id}
        self.reporter.event("deploy.failed", f"{deploy.step}: {text}", **event)
        try:
            deploy.clean_up()
        except (ImageError, OSError) as trouble:
            self.console.say(f"cleaning up: {trouble}")
        try:
            self.reporter.flush()
        except Refused as refused:
            self.console.say(str(refused))
        time.sleep(AFTER_FAILURE)


def _version() -> str:
    """Which imager this is, as its build wrote it."""
    return VERSION.read_text().strip() if VERSION.exists() else "unknown"


def main() -> None:
    """Entry point, called by /init and started again by it if it ever ends."""
    console = Console()
    given = parameters(Path("/proc/cmdline").read_text())
    console.status("looking for the network")
    mac = given.get("mac", "").lower().replace("-", ":") or None
    address = network.connect(mac, console.status)
    console.status(f"{address}, server {given.get('url', '?')}")
    agent = Agent(given, console)
    agent.introduce(address)
    agent.serve()


if __name__ == "__main__":
    main()
