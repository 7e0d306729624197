"""First process of one of two guests that have the same root over NFS at once, each under its own name.

    pair.own=ADDRESS pair.name=NAME      on the kernel's command line

SAID {"verb": ..., ...}       a line of JSON for each step, as nfs_guest.py
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from pathlib import Path

sys.path[:0] = ["/usr/lib/bootsrv/agent", "/nfstest"]

from nfs_guest import address, attach, say  # noqa: E402

from images.agent.netroot import nfs  # noqa: E402
from images.agent.netroot.mounts import modprobe  # noqa: E402

SECONDS = 40


def story(own: str) -> None:
    attach("/roots/nasty@1", own, "/a", "4.2")
    say("mounted", own=own)
    began, slowest, rounds, digests = time.monotonic(), 0.0, 0, set()
    while time.monotonic() - began < SECONDS:
        start = time.monotonic()
        Path("/proc/sys/vm/drop_caches").write_text("3")
        digests.add(hashlib.sha256(Path("/a/big").read_bytes()).hexdigest())
        slowest, rounds = max(slowest, time.monotonic() - start), rounds + 1
        time.sleep(0.2)
    say("read", rounds=rounds, slowest=round(slowest, 1), digests=len(digests))


def main() -> None:
    modprobe(["virtio_pci", "virtio_net", *nfs.MODULES])
    words = Path("/proc/cmdline").read_text().split()
    given = dict(word[len("pair.") :].split("=", 1) for word in words if word.startswith("pair."))
    for _ in range(100):
        if Path("/sys/class/net/eth0").exists():
            break
        time.sleep(0.1)
    try:
        address(given["own"])
        nfs.identify(given["name"])
        story(given["own"])
    except BaseException as error:
        say("failed", error=f"{type(error).__name__}: {error}")
    subprocess.run(["busybox", "poweroff", "-f"], check=False)


main()
