"""Places that a partition may not be mounted on, because the system would miss what belongs there."""

from __future__ import annotations

import pytest

from images.errors import BadInput
from images.layout_parse import parse_layout


def layout(**row: object) -> dict[str, object]:
    row = {"role": "data", "size": "2G", "label": "X", **row}
    return {"partitions": [{"role": "bios"}, {"role": "root", "size": "grow"}, row]}


def volume(**row: object) -> dict[str, object]:
    rows = [{"role": "bios"}, {"role": "lvm", "size": "20G", "vg": "v"}, {"role": "root", "size": "9G"}]
    return {"partitions": rows, "volumes": [{"vg": "v", "name": "x", "role": "data", "size": "2G", **row}]}


@pytest.mark.parametrize(
    ("mount", "why"),
    [
        ("/etc", "before anything is mounted; it stays on the root partition"),
        ("/etc/ssh", "/etc is needed before"),
        ("/bin", "before"),
        ("/sbin", "before"),
        ("/lib", "before"),
        ("/lib64/x", "before"),
        ("/proc", "is the kernel's and is made anew at each boot"),
        ("/sys", "kernel's"),
        ("/dev/shm", "/dev is the kernel's"),
        ("/run", "kernel's"),
        ("/boot", "use role boot"),
        ("/boot/grub", "use role boot"),
        ("/", "same mount point|only the root"),
    ],
)
def test_never_mounted_there(mount: str, why: str) -> None:
    for made in (layout(mount=mount), volume(mount=mount)):
        with pytest.raises(BadInput, match=f"^layout: .*({why})"):
            parse_layout(made)


@pytest.mark.parametrize(
    "mount", ["/usr", "/usr/local", "/usr/lib/x", "/var", "/var/lib", "/var/lib/dpkg", "/var/lib/bootsrv/x"]
)
def test_what_the_image_fills_is_not_kept(mount: str) -> None:
    why = r"\(data\): mount /.*: keep would hide what the image has there"
    for made in (layout, volume):
        with pytest.raises(BadInput, match=why):
            parse_layout(made(mount=mount, label="X", keep=True))
        parse_layout(made(mount=mount, label="X"))  # written with the image it has all it needs


@pytest.mark.parametrize(
    "mount", ["/srv", "/home", "/opt", "/var/log", "/var/lib/mysql", "/var/lib/dpkgs", "/var/www", "/library"]
)
def test_what_people_keep(mount: str) -> None:
    for made in (layout, volume):
        parse_layout(made(mount=mount, label="X", keep=True))


def test_swap_and_boot_have_their_places() -> None:
    with pytest.raises(BadInput, match="swap is never mounted; leave mount out"):
        parse_layout(layout(role="swap", mount="/swap"))
    with pytest.raises(BadInput, match="is mounted on /boot; leave mount out"):
        parse_layout(layout(role="boot", mount="/etc"))
    parse_layout(layout(role="boot", mount="/boot"))
    parse_layout(layout(role="esp", mount="/efi"))
