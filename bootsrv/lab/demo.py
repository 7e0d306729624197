"""The main job, shown: a virtual machine with a blank disk becomes a running one under its own name.

Everything a person would do is done with the command line's own verbs, and shown as such; everything else the
machine and the service do by themselves. Ends well only when the machine has called home from its own disk.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from bootsrv.appliance.appliance import Appliance
from bootsrv.config import load
from bootsrv.lab.errors import LabError, LabTimeout
from bootsrv.lab.firmware import Firmware
from bootsrv.lab.lab import Lab
from bootsrv.lab.machine import Machine
from bootsrv.lab.seed import plant, seeded_store
from bootsrv.lab.story import Story, stage_table
from bootsrv.model import Node, NodeState

IMAGE, RECIPE = "debian", "debian-12-vm"
NAME, ADDRESS = "n1", "10.77.0.11"
SECONDS = 900.0
PROOF = ("hostnamectl --static; findmnt -no SOURCE,FSTYPE,SIZE /; uname -r; uptime",)


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What the demo is asked for. `port`: of the page on the host, 0 for any; sizes in MiB."""

    firmware: Firmware = Firmware.UEFI
    memory: int = 1024
    disk: int = 4096
    port: int = 8090
    seconds: float = SECONDS


def run(lab: Lab, options: DemoOptions, story: Story) -> str:
    """From nothing to a machine that runs; the page's URL. LabError with the reason when it does not."""
    began = time.monotonic()
    store = seeded_store({IMAGE: RECIPE}, story.say)
    plant(store, lab.service.data)
    image_seconds = time.monotonic() - began
    lab.service.start()
    url = lab.open_door(options.port)
    user, password = lab.service.first_login()
    story.say(f"the service is ready in its own network {lab.namespace.address}; nothing leaves it")
    story.say(f"    page   {url}")
    story.say(f"    login  {user} / {password}")
    verbs = Appliance.open(load(lab.service.config))
    try:
        machine = lab.add(options.firmware, options.memory, options.disk)
        kind = f"{options.firmware.upper()}, {options.memory} MiB memory, a blank disk of {options.disk} MiB"
        story.say(f"power on: {kind}")
        powered = time.monotonic()
        machine.on()
        Watcher(lab, verbs, machine, story, began + options.seconds).to_its_own_disk()
        node = verbs.nodes.show(NAME)
        story.say(f"{NAME} runs {node.running} from its own disk; asked over ssh, it says:")
        for line in lab.service.ssh.run(ADDRESS, *PROOF).splitlines():
            story.say(f"    {line}")
        story.say("")
        story.say(f"{image_seconds:8.1f} s  image")
        for line in stage_table(verbs.watch.boots(node)):
            story.say(line)
        story.say(f"{time.monotonic() - powered:8.1f} s  from power-on to its own disk")
    finally:
        verbs.close()
    return url


class Watcher:
    """Follows one machine and does the one thing a person does: give it a name and an image."""

    def __init__(self, lab: Lab, verbs: Appliance, machine: Machine, story: Story, deadline: float) -> None:
        self._lab, self._verbs, self._machine, self._story = lab, verbs, machine, story
        self._deadline = deadline
        self._since = verbs.watch.last_event()

    def to_its_own_disk(self) -> None:
        """Returns when it runs. LabError when imaging failed, LabTimeout when it takes too long."""
        self._until(self._is_discovered, "shows up as unknown and tells what it is")
        mac = self._machine.spec.mac
        self._verb("node", "adopt", mac, "--name", NAME, "--image", IMAGE, "--address", ADDRESS)
        self._until(self._runs, "runs from its own disk")

    def _is_discovered(self, node: Node | None) -> bool:
        return node is not None and node.state is NodeState.DISCOVERED and bool(node.facts)

    def _runs(self, node: Node | None) -> bool:
        if node is not None and node.state is NodeState.FAILED:
            raise LabError(f"imaging failed: {node.error}")
        return node is not None and node.state is NodeState.RUNNING

    def _verb(self, *words: str) -> None:
        self._story.say(f"$ bootsrv {' '.join(words)}")
        for line in self._lab.service.cli(*words).splitlines():
            self._story.say(f"    {line}")

    def _until(self, done: Callable[[Node | None], bool], what: str) -> None:
        mac = self._machine.spec.mac
        for batch in self._verbs.watch.follow(self._since, time.sleep):
            node = self._verbs.registry.nodes.by_mac(mac)
            who = (node.name if node else None) or mac
            for event in batch:
                self._story.tell(event, who)
                self._since = event.id
            if done(node):
                return
            if not self._machine.is_on():
                raise LabError(f"the machine went off before it {what}:\n{self._machine.console.tail()}")
            if time.monotonic() > self._deadline:
                tail = self._machine.console.tail()
                raise LabTimeout(f"the time is over before the machine {what}; its console:\n{tail}")
