"""What must be there before the first packet: directories, registry, keys, the first login, the joined RAM
disk.

Everything secret is made here, once, by this machine; nothing has a default password.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from bootsrv import payload, privilege, sshkey, tls
from bootsrv.appliance.appliance import Appliance
from bootsrv.appliance.errors import translated
from bootsrv.config import Config
from bootsrv.diskless.netroots import FOLDER
from bootsrv.leasebook.keeper import NAME
from bootsrv.nodestore import plain_dir
from bootsrv.privilege import Identity
from bootsrv.registry.salvage import look_after
from images import plain

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ground:
    """What was prepared. `password`: of the new `admin`, at the first start only."""

    password: str | None
    imager: bool


def prepare(config: Config, identity: Identity) -> Ground:
    """Make what is missing. Raises OSError when the data directory cannot be used, BootsrvError for the
    rest."""
    netroots = config.data_dir / FOLDER
    folders = (config.public_dir, config.run_dir, config.cache_dir, netroots, plain_dir(config))
    for path in (config.data_dir, *folders):
        path.mkdir(parents=True, exist_ok=True)
        privilege.own(path, identity)
    plain.tidy(plain_dir(config), time.time())
    config.data_dir.chmod(0o2770 if identity.user else 0o700)
    salvaged = look_after(config.registry_file)
    appliance = Appliance.open(config)
    try:
        if salvaged is not None:
            log.error("%s", salvaged)
            appliance.registry.events.add(time.time(), "alarm.registry", str(salvaged), None, None)
        appliance.users.session_secret()
        password = appliance.users.first_admin()
        store = appliance.images.store()
        sshkey.prepare(config)
        tls.prepare(config, identity)
        imager = _join_imager(config, store.public_key(), identity)
    finally:
        appliance.close()
    _hand_over(config, identity)
    return Ground(password, imager)


def _join_imager(config: Config, public_key: bytes, identity: Identity) -> bool:
    """The RAM disk with today's agent and this store's key; False when there is no imager to add them to."""
    from images.imager.overlay import prepare as join

    out = payload.initrd_file(config)
    if not (payload.imager_dir(config) / "initrd.img").exists():
        out.unlink(missing_ok=True)
        return False
    with translated():
        join(payload.imager_dir(config), out, public_key)
    out.chmod(0o640)
    privilege.own(out, identity)
    return True


def _hand_over(config: Config, identity: Identity) -> None:
    """The registry and leftovers of an earlier start belong to whoever serves now."""
    for name in ("registry.db", "registry.db-wal", "registry.db-shm", NAME):
        path = config.data_dir / name
        if path.exists():
            path.chmod(0o660)
            privilege.own(path, identity)
