"""One machine with a disk that `image export` made: switched on, logged in to, asked what it is.

A program of its own in a network namespace, like imager_rig.py. Prints one JSON line.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from imager_rig import Server
from storage_rig import StorageRig

from bootsrv.lab.firmware import Firmware
from images.store import ImageStore

ASK = (
    "cat /etc/hostname; for at in / /boot /boot/efi /srv; do findmnt -nro TARGET,SOURCE,FSTYPE $at; done; "
    "cat /proc/swaps; "
    "systemctl is-system-running --wait; systemctl --failed --no-legend; ip -4 -o address show scope global; "
    "test -d /sys/firmware/efi && echo UEFI; echo asked"
)


def main() -> None:
    """exported_rig.py IMAGER STORE WORK FIRMWARE DISK; WORK holds the key that the disk lets in."""
    imager, store, work, disk = (Path(sys.argv[n]) for n in (1, 2, 3, 5))
    rig = StorageRig(
        imager, Server(ImageStore.open(store, create=False)), work, "1M", firmware=Firmware(sys.argv[4])
    )
    rig.disks = [disk]
    serial, said = work / "serial-0.log", {}
    try:
        rig.start(imager=False)
        rig.until(lambda: serial.exists() and b" login:" in serial.read_bytes(), 420)
        said["text"] = rig.ask(ASK)
    except TimeoutError as error:
        said["timeout"] = f"{error}\n{serial.read_bytes()[-3000:].decode('utf-8', 'replace')}"
    finally:
        rig.stop()
    print(json.dumps(said))


if __name__ == "__main__":
    main()
