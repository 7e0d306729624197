"""What is handed to machines before they have a disk: loaders and the imager, by the names they are asked
for.

The same catalogue serves TFTP and HTTP. The RAM disk is the imager's own plus today's agent and the store's
public key, joined once when the service starts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bootsrv.config import Config
from bootsrv.scripts import INITRD, KERNEL
from pxe.catalogue import Catalogue, Generated


def loaders_dir(config: Config) -> Path:
    return config.payload_dir / "loaders"


def imager_dir(config: Config) -> Path:
    return config.payload_dir / "imager"


def initrd_file(config: Config) -> Path:
    """The joined RAM disk."""
    return config.run_dir / "initrd.img"


def files(config: Config) -> Mapping[str, bytes | Path]:
    """Name -> file. Loaders also by their bare name: that is what firmware is told over TFTP."""
    found: dict[str, bytes | Path] = {KERNEL: imager_dir(config) / "vmlinuz", INITRD: initrd_file(config)}
    if loaders_dir(config).is_dir():
        for path in sorted(loaders_dir(config).iterdir()):
            if path.suffix in (".efi", ".kpxe", ".pxe", ".lkrn"):
                found[path.name] = path
                found[f"loaders/{path.name}"] = path
    return found


def catalogue(config: Config, generated: Sequence[Generated] = ()) -> Catalogue:
    """All that is served as it is, and what is made when it is asked for."""
    public = config.public_dir if config.public_dir.is_dir() else None
    return Catalogue(fixed=files(config), public=public, generated=generated)
