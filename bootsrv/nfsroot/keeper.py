"""Keeps what is exported over NFS in step with the registry: one look does all of it, from what is there now.

    DATA_DIR/nfs/roots/ID.erofs     a version's files          mounted at MOUNTS/roots/ID
    DATA_DIR/nfs/writes/NODE.img    what one machine writes    mounted at MOUNTS/writes/NODE
    DATA_DIR/nfs/numbers.json       the exports' numbers, which file handles hold
    DATA_DIR/nfs/grants.json        what was granted last, for the start after a restart

MOUNTS is DATA_DIR/nfs/mounted, or /run/bootsrv-nfs for the kernel's server.
The law: the server starts when the first machine needs it, with everything mounted; a file system is taken
away only after it was withdrawn, and a version's only when no node uses it.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bootsrv.appliance.images import Images
from bootsrv.config import Config
from bootsrv.diskless.shares import in_use
from bootsrv.errors import BootsrvError
from bootsrv.model import Node, RootKind
from bootsrv.nfsroot import status
from bootsrv.nfsroot.grants import Grant, Grants
from bootsrv.nfsroot.images import FAILED, RootImages
from bootsrv.nfsroot.spaces import Spaces
from bootsrv.nfsroot.traffic import Counter
from bootsrv.peers import Peers
from bootsrv.registry.registry import Registry
from images.disk import write_file
from images.errors import ImageError
from images.nfs import mounted
from images.nfs.connections import connections
from images.nfs.export import Export
from images.nfs.numbers import Numbers
from images.nfs.server import Server
from images.versions import Version

log = logging.getLogger(__name__)
ALARM = "alarm.nfs"


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory of the server that some machines may read as well, as nobody: an installer's tree."""

    name: str
    directory: Path
    clients: tuple[str, ...]


class Keeper:
    """Not shared between threads. `more`: directories besides the roots."""

    def __init__(
        self,
        config: Config,
        registry: Registry,
        images: Images,
        server: Server,
        more: Callable[[], Sequence[Directory]] = tuple,
    ) -> None:
        self._config, self._registry, self._images = config, registry, images
        self._server, self._more = server, more
        self._home = config.data_dir / "nfs"
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._mounts = server.mounts
        mounted.prepare(self._mounts, "roots", "writes")
        self._numbers = Numbers(self._home / "numbers.json")
        self._roots = RootImages(config.store_dir, self._home / "roots")
        self._spaces = Spaces(self._home / "writes", self._mounts / "writes", registry)
        before = _read_grants(self._home / "grants.json")
        self._grants = Grants(registry, Peers(registry), before)
        self._kept = before
        self._traffic = Counter()
        self._trouble = ""
        self._told: dict[int, Export] = {}
        self._failed: set[str] = set()

    def once(self) -> None:
        """Look, and do what is due. Raises OSError."""
        nodes = self._registry.nodes.perhaps_diskless()
        grants = self._grants.now(nodes)
        self._keep(grants)
        wanted = self._wanted(nodes)
        ready = self._roots.want(wanted)
        exports, roots = [], []
        for version in ready:
            export, row = self._root(version, grants)
            exports.append(export)
            roots.append(row)
        exports += self._spaces.exports(grants, self._numbers)
        exports += [self._directory(one) for one in self._more()]
        self._apply(exports)
        self._tidy(wanted, exports)
        if self._told:
            self._traffic.see(connections(self._server.port))
        state = {version.ref: text for version in wanted if (text := self._roots.state(version))}
        self._failures(state)
        self._say(roots, grants, state)

    def close(self) -> None:
        """Clients wait until the next start."""
        self._roots.close()
        self._server.close()

    def _wanted(self, nodes: Sequence[Node]) -> list[Version]:
        used = in_use(nodes, self._images)
        found = []
        for ref, kind in sorted(used):
            if kind is RootKind.NFS:
                try:
                    found.append(self._images.resolve(ref))
                except BootsrvError as error:
                    log.error("%s: %s", ref, error)
        return found

    def _root(self, version: Version, grants: Sequence[Grant]) -> tuple[Export, status.Root]:
        image, target = self._roots.path(version.id), self._mounts / "roots" / version.id
        mounted.mount_root(image, target)
        clients = tuple(grant.address for grant in grants if grant.image == version.ref)
        path = f"/roots/{version.ref}"
        export = Export(self._numbers.of(f"root {version.id}"), target, path, clients)
        told = self._server.path_of(export)
        return export, status.Root(version.ref, version.id, told, image.stat().st_size)

    def _directory(self, one: Directory) -> Export:
        number = self._numbers.of(f"directory {one.name}")
        return Export(number, one.directory, f"/trees/{one.name}", one.clients, squash=True)

    def _apply(self, exports: list[Export]) -> None:
        """Nothing is started for nobody."""
        if not self._told and not any(export.clients for export in exports):
            return
        try:
            self._server.apply(exports)
        except (ImageError, OSError) as error:
            self._alarm(str(error))
            return
        self._trouble = ""
        self._told = {export.id: export for export in exports}

    def _tidy(self, wanted: Sequence[Version], exports: Sequence[Export]) -> None:
        """File systems that are not exported any more."""
        if self._trouble:
            return
        for image in self._roots.unneeded({version.id for version in wanted}):
            mounted.unmount(self._mounts / "roots" / image.stem)
            image.unlink()
            log.info("no node needs version %s over NFS any more: removed", image.stem[:12])
        self._spaces.tidy({export.directory for export in exports}, self._registry.nodes.ids)

    def _keep(self, grants: list[Grant]) -> None:
        if grants != self._kept:
            rows = [grant.record() for grant in grants]
            write_file(self._home / "grants.json", json.dumps(rows).encode())
            self._kept = grants

    def _alarm(self, text: str) -> None:
        if text != self._trouble:
            log.error("%s", text)
            self._registry.events.add(time.time(), ALARM, f"roots over NFS: {text}", None, None)
        self._trouble = text

    def _failures(self, state: Mapping[str, str]) -> None:
        """A version that could not be written is an alarm, once."""
        found = {f"{ref} for NFS {text}" for ref, text in state.items() if text.startswith(FAILED)}
        for text in sorted(found - self._failed):
            self._registry.events.add(time.time(), ALARM, text, None, None)
        self._failed = {text for text in self._failed | found if text.partition(" ")[0] in state}

    def _say(self, roots: list[status.Root], grants: list[Grant], state: dict[str, str]) -> None:
        now = status.Status(
            self._server.name if self._told else "", self._server.port, self._server.mount_port,
            self._server.versions, self._trouble, tuple(roots), self._spaces.sizes(self._server),
            () if self._trouble or not self._told else tuple(grants), self._traffic.now(), state,
        )  # fmt: skip
        if now != status.read(self._config):
            status.write(self._config, now)


def _read_grants(path: Path) -> list[Grant]:
    try:
        return [Grant.read(row) for row in json.loads(path.read_bytes())]
    except FileNotFoundError:
        return []
    except (ValueError, TypeError) as error:
        log.error("%s is damaged (%s): machines are granted their roots as they are seen", path, error)
        return []


def forget(config: Config) -> None:
    """Nothing is exported: the file says so."""
    status.file(config).unlink(missing_ok=True)
