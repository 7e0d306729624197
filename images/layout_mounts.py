"""Where the partitions of a layout may be mounted.

Facts behind the rules: /etc/fstab itself says what is mounted, so nothing can mount /etc; programs, libraries
and devices are needed before the first mount; /boot is read by GRUB, which asks the role for it. A kept
partition is not mounted while the image is written, so the image's own files there would lie below it.
Pure. Python 3.8, standard library only.
"""

from __future__ import annotations

from images.errors import BadInput
from images.layout import Partition

_EARLY = ("/etc", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_KERNEL = ("/proc", "/sys", "/dev", "/run")
# What every image fills. /var/log, /var/cache, /var/lib/NAME, /srv, /home, /opt: kept gladly.
_FILLED = ("/usr", "/var", "/var/lib")
_PACKAGES = tuple(
    f"/var/lib/{name}" for name in ("dpkg", "rpm", "apt", "pacman", "systemd", "bootsrv", "initramfs-tools")
)


def check_mount(where: str, p: Partition) -> None:
    """Raises BadInput for a place that would leave a system without what belongs there."""
    if p.mount is None or p.role == "root":
        return
    said = f"{where}: mount {p.mount}"
    if p.role == "swap":
        raise BadInput(f"{said}: swap is never mounted; leave mount out")
    if p.role == "boot" and p.mount != "/boot":
        raise BadInput(f"{said}: the boot partition is mounted on /boot; leave mount out")
    if at := _within(p.mount, _KERNEL):
        raise BadInput(f"{said}: {at} is the kernel's and is made anew at each boot; choose another place")
    if at := _within(p.mount, _EARLY):
        raise BadInput(f"{said}: {at} is needed before anything is mounted; it stays on the root partition")
    if p.role == "data" and _within(p.mount, ("/boot",)):
        raise BadInput(f"{said}: the boot loader reads /boot; use role boot (or esp for /boot/efi)")
    if p.mount == "/":
        raise BadInput(f"{said}: only the root partition is mounted on /")
    if p.keep and (p.mount in _FILLED or _within(p.mount, ("/usr", *_PACKAGES))):
        raise BadInput(
            f"{said}: keep would hide what the image has there, and the system would run without it; "
            "leave keep out, or keep only what is yours, such as /srv, /home or /var/lib/NAME"
        )


def _within(mount: str, places: tuple[str, ...]) -> str | None:
    return next((at for at in places if mount == at or mount.startswith(at + "/")), None)
