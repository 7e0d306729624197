"""A boot menu in option 43, shown by real UEFI firmware: no key is pressed, and it boots the first line."""

from __future__ import annotations

import pytest
from labhouse import Cluster

from bootsrv.lab.lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(280)]


def test_firmware_takes_the_first_line() -> None:
    with Lab() as lab:
        config = lab.service.config
        config.write_text(config.read_text().replace("lease_seconds = 3600", "pxe_menu = 2"))
        lab.service.start()
        cluster = Cluster(lab)
        cluster.uefi.on()
        node = cluster.wait(cluster.uefi, lambda node: node is not None, 120, "asked what to boot")
        chosen = "asks what to boot"
        cluster.wait_event(cluster.uefi, "http.done", 0, 150)
        events = cluster.verbs.watch.events(0, 500, node)
        asked = [event for event in events if event.kind == "dhcp.request" and event.text == chosen]
        assert asked, [(event.kind, event.text) for event in events]
        loaded = next(event for event in events if event.kind == "tftp.done")
        assert asked[0].id < loaded.id
        assert loaded.data["file"] == "snponly.efi"
