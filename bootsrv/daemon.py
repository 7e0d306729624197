"""`bootsrv serve`: looks around, lays the ground, then supervises the processes that serve.

    packets  DHCP, TFTP             bootsrv.packets
    files    HTTP                   bootsrv.files
    intake   captured machines      bootsrv.intake
    mirror   packages for installers  bootsrv.mirror
    roots    what diskless machines load  bootsrv.diskless.roots
    exports  roots as block devices (NBD)  bootsrv.diskless.exports
    nfs      roots over NFS         bootsrv.nfs
    web      the page and the API   webui, spawned by its name: nothing here imports it

Prints `ready` on stderr when all listeners are up, ends cleanly on SIGTERM.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys

from bootsrv import preflight, privilege
from bootsrv.config import Config
from bootsrv.errors import BootsrvError
from bootsrv.groundwork import prepare
from bootsrv.listening import page_url
from bootsrv.supervisor import Child, Supervisor

log = logging.getLogger("bootsrv")
MODULES = {
    "packets": "bootsrv.packets", "files": "bootsrv.files", "intake": "bootsrv.intake",
    "mirror": "bootsrv.mirror", "roots": "bootsrv.diskless.roots",
    "exports": "bootsrv.diskless.exports", "nfs": "bootsrv.nfs", "web": "webui",
}  # fmt: skip


def serve(config: Config) -> int:
    """Run until SIGTERM or SIGINT. Raises BootsrvError or OSError when it cannot start."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="bootsrv: %(message)s")
    os.umask(0o007)
    _look_around(config)
    config.data_dir.mkdir(parents=True, exist_ok=True)
    identity = privilege.choose(config)
    if identity.note:
        log.warning("%s", identity.note)
    ground = prepare(config, identity)
    if ground.password is not None:
        _say(f"first login: user admin, password {ground.password}  (shown only this once)")
    if config.http.enabled:
        _say(f"page: {page_url(config)}")
    children = [
        Child(
            name,
            identity.command(name, [sys.executable, "-m", module, "--config", str(config.path.absolute())]),
        )
        for name, module in MODULES.items()
        if _needed(name, config)
    ]
    return asyncio.run(_supervise(children))


def _needed(name: str, config: Config) -> bool:
    """Whether this configuration has work for a process."""
    return {"nfs": config.nfs.enabled, "mirror": bool(config.mirrors)}.get(name, True)


def _look_around(config: Config) -> None:
    findings = preflight.look(config, preflight.AT_START)
    fatal = [finding for finding in findings if finding.fatal]
    for finding in findings:
        if finding not in fatal[:1]:
            _say(f"{finding.level}: {finding.what}: {finding.do}")
    if fatal:  # said once, as the reason
        raise BootsrvError(f"not started: {fatal[0].what}: {fatal[0].do}")


async def _supervise(children: list[Child]) -> int:
    supervisor = Supervisor(children)
    loop = asyncio.get_running_loop()
    starting = asyncio.ensure_future(supervisor.start())
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _end, supervisor, starting)
    try:
        await starting
    except asyncio.CancelledError:
        return 0
    _say("ready", plain=True)
    await supervisor.run()
    return 0


def _end(supervisor: Supervisor, starting: asyncio.Future[None]) -> None:
    supervisor.stop()
    starting.cancel()


def _say(text: str, plain: bool = False) -> None:
    sys.stderr.write(f"{text}\n" if plain else f"bootsrv: {text}\n")
    sys.stderr.flush()
