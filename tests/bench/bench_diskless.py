"""From power-on to a login by SSH, without a disk: the same version as root in memory, over NBD and over NFS.

    PYTHONPATH=. python tests/bench/bench_diskless.py [--firmware bios|uefi] [--rounds 1]

One virtual machine after the other in a lab of its own, the version prepared before: what each part of the
boot takes, in seconds after power-on, of each root the best round. The emulated processor is many times
slower than a real one, so the parts are to be compared with each other; `ratio` lines compare the kinds.
Needs root.
"""

from __future__ import annotations

import argparse
import sys
import time

from bootsrv.errors import BootsrvError
from bootsrv.lab.firmware import Firmware
from bootsrv.lab.lab import Lab
from bootsrv.lab.seed import plant, seeded_store
from tests.lab.diskless_farm import Farm

ROOTS = ("ram", "nbd", "nfs")
STEPS = ("boot.diskless", "root.up", "root.done", "home", "login")


def boot(farm: Farm, firmware: Firmware, root: str) -> dict[str, float]:
    """Seconds after power-on of each step."""
    guest = farm.add(firmware, root, image="debian@1")
    until = time.monotonic() + 300
    while (state := farm.verbs.exports.show("debian@1")[-1].state) != "ready":
        if time.monotonic() > until:
            raise SystemExit(f"{root}: {state}")
        time.sleep(0.5)
    since, started = farm.now(), time.time()
    guest.machine.on()
    try:
        farm.home(guest, since)
        farm.ask(guest, "true")
        login = time.time()
        events = farm.verbs.watch.events(since, 2000, farm.node(guest))
    finally:
        guest.machine.cut()
        farm.lab.service.cli("node", "remove", guest.name)
    first: dict[str, float] = {}
    for event in events:
        first.setdefault(event.kind, event.at)
    first["login"] = login
    return {step: first[step] - started for step in STEPS}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--firmware", type=Firmware, choices=list(Firmware), default=Firmware.BIOS)
    parser.add_argument("--rounds", type=int, default=1)
    args = parser.parse_args()
    store = seeded_store({"debian": "debian-12-vm"}, print)
    best: dict[str, dict[str, float]] = {}
    with Lab() as lab:
        plant(store, lab.service.data)
        lab.service.start()
        farm = Farm(lab)
        for _ in range(args.rounds):
            for root in ROOTS:
                found = boot(farm, args.firmware, root)
                if root not in best or found["login"] < best[root]["login"]:
                    best[root] = found
    print(f"seconds after power-on, {args.firmware}: {'':3} " + " ".join(f"{step:>14}" for step in STEPS))
    for root, steps in best.items():
        print(f"{root:34} " + " ".join(f"{steps[step]:14.1f}" for step in STEPS))
    for root, steps in best.items():
        print(f"ratio diskless.login.{root}, seconds {steps['login']:.1f}")
    for root in ("nbd", "nfs"):
        print(f"ratio diskless.login.{root}/ram {best[root]['login'] / best['ram']['login']:.2f}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BootsrvError as error:
        sys.exit(str(error))
