"""What the lab tests share: waiting for a node, following a step, acting in the page."""

from __future__ import annotations

import time
from collections.abc import Callable

from playwright.sync_api import sync_playwright

from bootsrv.appliance.appliance import Appliance
from bootsrv.config import load
from bootsrv.lab.firmware import Firmware
from bootsrv.lab.lab import Lab
from bootsrv.lab.machine import Machine
from bootsrv.model import Event, Node, NodeState
from bootsrv.timeline import read_progress

CHROMIUM = "/usr/bin/chromium"
NEXT = "-- the next answer --"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
]  # fmt: skip


class Cluster:
    """A lab with its service and the verbs, as an administrator of it sees them."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.url = lab.open_door()
        self.login = lab.service.first_login()
        self.verbs = Appliance.open(load(lab.service.config))
        self.uefi = lab.add(Firmware.UEFI)
        self.bios = lab.add(Firmware.BIOS)

    def ask(self, address: str, *commands: str) -> list[str]:
        """What each command prints on the machine at `address`, in one login: an emulated one takes seconds
        for each. LabError when one fails; those after it are not run.
        """
        script = f"\necho '{NEXT}'\n".join(commands)
        said = self.lab.service.ssh.run(address, f"set -e\n{script}").split(f"{NEXT}\n")
        assert len(said) == len(commands), said
        return [text.strip() for text in said]

    def node(self, machine: Machine) -> Node | None:
        return self.verbs.registry.nodes.by_mac(machine.spec.mac)

    def now(self) -> int:
        """The newest event's id, to look on from."""
        return self.verbs.watch.last_event()

    def since(self, machine: Machine, event_id: int) -> list[Event]:
        node = self.node(machine)
        assert node is not None
        found, start = [], event_id
        while batch := self.verbs.watch.events(start, 500, node):
            found += batch
            start = batch[-1].id
        return found

    def wait(self, machine: Machine, done: Callable[[Node | None], bool], seconds: float, what: str) -> Node:
        """Wait until `done` holds for the machine's node; fails with the console's last lines."""
        deadline = time.monotonic() + seconds
        while True:
            node = self.node(machine)
            if done(node):
                assert node is not None
                return node
            state = f"{node.state} {node.error or ''}" if node else "never seen"
            assert time.monotonic() < deadline, (
                f"{machine.spec.name} never {what} in {seconds:.0f} s ({state}):\n{machine.console.tail(25)}"
            )
            time.sleep(0.5)

    def wait_state(self, machine: Machine, state: NodeState, seconds: float) -> Node:
        """Wait for a state; FAILED on the way there is the end of it."""

        def there(node: Node | None) -> bool:
            if node and node.state is NodeState.FAILED and state is not NodeState.FAILED:
                raise AssertionError(f"{machine.spec.name} failed: {node.error}")
            return node is not None and node.state is state

        return self.wait(machine, there, seconds, f"became {state}")

    def settled(self, machine: Machine, name: str, address: str) -> Node:
        """The machine, running: as the tests before have left it, or imaged now with `debian`."""
        found = self.wait(machine, lambda node: bool(node and (node.facts or node.running)), 240, "showed up")
        if found.state is NodeState.DISCOVERED:
            self.lab.service.cli(
                "node", "adopt", machine.spec.mac, "--name", name, "--image", "debian", "--address", address,
                "--method", "static",
            )  # fmt: skip
        return self.wait_state(machine, NodeState.RUNNING, 600)

    def wait_event(self, machine: Machine, kind: str, since: int, seconds: float) -> Event:
        """Wait for an event of that kind after `since`."""
        found: list[Event] = []

        def there(_: Node | None) -> bool:
            found[:] = [event for event in self.since(machine, since) if event.kind == kind]
            return bool(found)

        self.wait(machine, there, seconds, f"told {kind}")
        return found[0]

    def wait_progress(self, machine: Machine, share: float, since: int, seconds: float) -> float:
        """Wait until that share of the image was written after `since`; the share that was seen."""
        seen = [0.0]

        def there(_: Node | None) -> bool:
            for event in self.since(machine, since):
                progress = read_progress(event.data) if event.kind == "deploy.progress" else None
                if progress is not None and progress.total:
                    seen[0] = progress.done / progress.total
            return seen[0] >= share

        self.wait(machine, there, seconds, f"wrote {share:.0%}")
        return seen[0]


def adopt_in_page(url: str, login: tuple[str, str], mac: str, name: str, image: str, address: str) -> str:
    """Log in, take a machine from the unknown list and give it a name, an image and an address; what the
    page then shows as its row."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(base_url=url)
        page.set_default_timeout(60_000)  # the machines being imaged leave little of the processor
        page.goto("/login")
        page.get_by_label("User").fill(login[0])
        page.get_by_label("Password").fill(login[1])
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url("**/")  # with its script: a click before that opens a page instead of a dialog
        page.get_by_role("article", name=mac).get_by_role("link", name="Adopt").click()
        form = page.get_by_role("dialog")
        form.get_by_label("Name").fill(name)
        form.get_by_label("Image", exact=True).select_option(image)
        form.get_by_label("Address", exact=True).fill(address)
        form.get_by_role("button", name="Adopt").click()
        row = page.get_by_role("row", name=name)
        row.wait_for()
        text = row.inner_text()
        browser.close()
        return text
