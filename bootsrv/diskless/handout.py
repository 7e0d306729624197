"""Kernel and first RAM disk of a diskless machine, under one name for all: which they are, the peer decides.
Implements `pxe.catalogue.Generated`.

iPXE has no way to send a token. So whose address it is is looked up as for boot scripts, and the machine
gets those of the version that its script named; nobody else gets any.
"""

from __future__ import annotations

import logging
from pathlib import Path

from bootsrv import scripts
from bootsrv.appliance.images import Images
from bootsrv.config import Config
from bootsrv.diskless import netroots
from bootsrv.diskless.shares import Shares
from bootsrv.errors import BootsrvError
from images.netroot import prepare

log = logging.getLogger(__name__)
FILES = {scripts.ROOT_KERNEL: prepare.KERNEL, scripts.ROOT_INITRD: prepare.INITRD}


class Handout:
    """Looks up by address."""

    def __init__(self, config: Config, shares: Shares, images: Images) -> None:
        self._config, self._shares, self._images = config, shares, images

    def find(self, name: str, peer: str) -> bytes | Path | None:
        """The file for the machine at `peer`."""
        if name not in FILES:
            return None
        try:
            share = self._shares.asked(peer)
            version = self._images.resolve(share.image)
        except BootsrvError as error:
            log.warning("%s asked for %s: %s", peer, name, error)
            return None
        return netroots.home(self._config, version.id) / FILES[name]
