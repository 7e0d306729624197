"""The house as the HTTP server sees it (`pxe.http.ports.Site`): scripts, boot files, the store, the node API.

Boot files and public files are looked up in memory. The store opens only for the boot token of a machine
that is to be imaged, and only with what its image consists of: packs hold other images' files as well.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from ipaddress import AddressValueError, IPv4Address
from pathlib import Path

from bootsrv import bootplan, lifecycle, nodestore, pushstore, scripts, tls
from bootsrv.agents.desk import opened as agent_opened
from bootsrv.appliance.images import Images
from bootsrv.appliance.profiles import Profiles
from bootsrv.config import Config
from bootsrv.discovery import note_sighting
from bootsrv.diskless.netroots import Netroots, NotReady
from bootsrv.errors import BootsrvError, NotFound
from bootsrv.installs.booting import Ask, Booting
from bootsrv.installs.desk import Desk
from bootsrv.installs.making import Making
from bootsrv.listening import our_interfaces
from bootsrv.mirrors.view import HouseMirrors
from bootsrv.model import Node, NodeState, RootKind
from bootsrv.nodeapi import BOOT_SECONDS, NodeApi
from bootsrv.peers import Peers
from bootsrv.recognition import by_serial
from bootsrv.registry.registry import Registry
from bootsrv.rightful import Claim, Rightful, Standing
from bootsrv.trees.shelf import Shelf
from bootsrv.trees.source import TreeSource
from images.agent import bundle
from images.netroot import prepare
from pxe import ipxe
from pxe.catalogue import Catalogue, Entry, normalise
from pxe.http.ports import Denied, NodeRequest, Reply, Wait
from pxe.loaders import architecture

LOOK_SECONDS = 0.1  # between two looks at whose request it is
NOT_YOURS = "a boot script is for its own machine only; `bootsrv explain NODE` shows what a machine boots"
IMAGER_RUNS_ON = ("x86_64", "i386")  # a 64-bit x86 machine's BIOS announces itself as i386


class HouseSite:
    """Implements `pxe.http.ports.Site`."""

    def __init__(
        self,
        config: Config,
        registry: Registry,
        images: Images,
        catalogue: Catalogue,
        peers: Peers,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._config, self._registry, self._images, self._clock = config, registry, images, clock
        self._catalogue = catalogue
        self._rightful = Rightful(registry, peers, clock)
        self._mirrors = HouseMirrors(config, lambda: our_interfaces(config))
        self._trees = TreeSource(Shelf(config.trees_dir))
        profiles = Profiles(config, registry, clock)
        self._desk = Desk(registry, Making(config, profiles, Shelf(config.trees_dir)), self._rightful, clock)
        self._booting = Booting(config, registry, self._desk, clock)
        self._api = NodeApi(config, registry, images, clock)
        self._netroots = Netroots(config, registry, lambda: images.store().public_key())
        self._stored = nodestore.NodeStore(lambda: images.store(), nodestore.plain_dir(config))
        self._pushes = pushstore.PushStore(config, images, self._stored)

    def boot_script(
        self,
        mac: str,
        query: Mapping[str, str],
        peer: str,
        local: str = "",
        waited: float = 0.0,
        file: str = ipxe.FILE,
    ) -> str | Denied | Wait:
        """What this machine is to do now, for nobody but this machine. Handing out the imager for an arming
        counts as an attempt, once for each boot: a script that asks again because a fetch failed has not
        started anything."""
        asking = self._registry.machine(mac)
        claim = Claim(peer, {mac, *(asking.macs if asking is not None else ())}, asking, waited)
        match self._rightful.standing(claim):
            case Standing.UNCLEAR:
                return Wait(LOOK_SECONDS + waited / 2)  # the more wait, the less often each is looked at
            case Standing.FOREIGN:
                self._rightful.refuse(claim, "boot script")
                return Denied(403, NOT_YOURS)
        return self._script(mac, query, local, scripts.loader_of(file))

    def _script(self, mac: str, query: Mapping[str, str], local: str, loader: scripts.Loader) -> str:
        now = self._clock()
        server, arch = _address(query.get("server", "")) or _address(local), _arch(query.get("arch", ""))
        base = f"http://{server or '127.0.0.1'}:{self._config.http.port}"
        again = scripts.again_url(mac, base, server, arch, loader.FILE)
        with self._registry.transaction():
            node: Node | None = self._registry.machine(mac)
            if node is None or node.state is NodeState.DISCOVERED:
                if scripts.SERIAL in query:
                    node = by_serial(self._registry, mac, query[scripts.SERIAL], now) or node
                elif self._registry.identities.any(scripts.SERIAL) and loader is ipxe:
                    return scripts.ask_serial(mac, base, server, arch)
            plan = bootplan.decide(node, self._config.nodes.discover)
            if node is not None and node.rooted is not None and plan.action is not bootplan.Action.DISKLESS:
                node = self._registry.nodes.save(lifecycle.unrooted(node))
            if plan.action is bootplan.Action.DISKLESS and node is not None:
                node = note_sighting(self._registry, mac, now, arch)
                if arch is not None and architecture(arch).cpu not in IMAGER_RUNS_ON:
                    reason = f"roots are for x86 machines, and this is {architecture(arch).name}"
                    return scripts.unready(node, mac, again, reason, loader=loader)
                return self._diskless(plan, node, mac, base, again, loader)
            if plan.action is bootplan.Action.INSTALLER:
                node = note_sighting(self._registry, mac, now, arch)
                same = scripts.RETRY in query and node.armed is not None and node.armed.attempts > 0
                node, script = self._booting.script(node, Ask(mac, base, again, arch, same, loader))
                if script is not None:
                    return script
                plan = bootplan.decide(node, self._config.nodes.discover)
            if plan.action is not bootplan.Action.IMAGER:
                return scripts.render(plan, node, mac, self._config, base, "", again, loader)
            if self.boot_file(scripts.KERNEL) is None or self.boot_file(scripts.INITRD) is None:
                reason = "this server has no imager yet (see `bootsrv doctor` there); asking again"
                return scripts.unready(node, mac, again, reason, loader=loader)
            node = note_sighting(self._registry, mac, now, arch)
            if arch is not None and architecture(arch).cpu not in IMAGER_RUNS_ON:
                reason = f"the imager is for x86 machines, and this is {architecture(arch).name}"
                return scripts.unready(node, mac, again, reason, loader=loader)
            same_boot = scripts.RETRY in query and node.armed is not None and node.armed.attempts > 0
            started = node if same_boot else lifecycle.boot_started(node, self._config.nodes.max_attempts)
            if started != node:
                node = self._registry.nodes.save(started)
            plan = bootplan.decide(node, self._config.nodes.discover, under_way=True)
            token = self._registry.tokens.issue("boot", mac, now, BOOT_SECONDS, {"url": base})
        return scripts.render(plan, node, mac, self._config, base, token, again, loader)

    def _diskless(
        self, plan: bootplan.BootPlan, node: Node, mac: str, base: str, again: str, loader: scripts.Loader
    ) -> str:
        """The version is chosen now: a plain image name means its newest. From here on it is in use."""
        assert plan.image is not None and plan.root is not None
        now = self._clock()
        try:
            version = self._images.resolve(plan.image)
            ready = self._netroots.ready(version, plan.root)
        except BootsrvError as error:
            lasting = not isinstance(error, NotReady) or error.lasting
            if lasting and node.error != str(error):
                node = self._registry.nodes.save(replace(node, error=str(error)))
            return scripts.unready(node, mac, again, str(error), 15 if lasting else 3, loader)
        node = self._registry.nodes.save(lifecycle.rooted(node, version.ref, plan.root, now))
        self._registry.upkeep.set_room(node.id, None)
        token = self._registry.tokens.issue("boot", mac, now, BOOT_SECONDS, {"url": base})
        text = f"boots {version.ref} diskless, with kernel {ready.kernel}: {plan.reason}"
        data = {"image": version.ref, "root": str(plan.root.kind), "writes": str(plan.root.writes)}
        self._registry.events.add(now, "boot.diskless", text, mac, node.id, data)
        args = str(version.meta.get("kernel_args") or "")
        return scripts.diskless(plan, node, mac, self._config, base, token, again, args, loader)

    def boot_file(self, name: str) -> Entry | None:
        """A loader, or the imager's kernel and RAM disk."""
        return self._catalogue.fixed(name)

    def boot_made(self, name: str, peer: str) -> Entry | None:
        """What is made for one machine: see `handover`."""
        return self._catalogue.made(normalise(name), peer)

    def public(self, name: str) -> Entry | None:
        """A file of the public directory."""
        return self._catalogue.public(name)

    def tree(self, tree: str, name: str) -> Entry | None:
        """A file of an install tree."""
        return self._trees.entry(tree, normalise(name))

    def mirror(self, name: str, path: str, peer: str) -> Entry | Denied | None:
        """A file of a package archive."""
        return self._mirrors.find(name, path, peer)

    def agent(self, server: str) -> bytes:
        """The one-file agent. Over HTTPS it knows what to believe from whoever fetched it."""
        secure = server.startswith("https://")
        return bundle.build(server, tls.shown(self._config) if secure else "")

    def node(self, request: NodeRequest) -> Reply | Wait:
        """The node API."""
        return self._api.handle(request)

    def install(self, token: str, name: str, request: NodeRequest) -> Reply | Wait:
        """An answer file, or what comes of an installer's call."""
        return self._desk.handle(token, name, request)

    def install_sent(self, token: str, name: str) -> None:
        """An answer file has left whole."""
        self._desk.sent(token, name)

    def store(self, kind: str, id: str, token: str | None) -> Path | bytes | Denied | Wait | None:
        """A manifest, a locator or a pack of the image that the token's machine is to be imaged with."""
        found = self._registry.tokens.check(token, self._clock()) if token else None
        if found is None:
            return Denied(401, "unknown or expired token")
        if found.purpose == pushstore.PURPOSE:
            return self._pushes.find(kind, id, found)
        if found.purpose == "home":  # an agent's, which has no other
            assert token is not None
            opens = agent_opened(self._registry, found, token, self._clock())
            if opens is None:
                return Denied(403, "this machine carries out no order")
            return self._pushes.find(kind, id, replace(found, data=opens))
        node = self._registry.machine(found.subject) if found.purpose == "boot" else None
        if kind == "roots":
            return self._root_file(node, id)
        armed = node.armed if node is not None else None
        if armed is None or armed.capture is not None or armed.install is not None:
            return Denied(403, "this machine is not to be imaged")
        try:
            version = self._images.resolve(armed.image)
        except NotFound:
            return None
        if kind == "manifests" and id == version.id:
            return self._images.store().manifest_path(id)
        if kind == "locators" and id == version.id:
            return self._stored.locator(id)
        if kind == "packs" and (pack := self._stored.pack(version.id, id)) is not None:
            return pack
        return Denied(403, "that is not part of the image this machine is to be imaged with")

    def _root_file(self, node: Node | None, id: str) -> Path | Denied | None:
        """The root in memory of the version that the token's machine was booted with."""
        if node is None or node.rooted is None or node.rooted.root.kind is not RootKind.RAM:
            return Denied(403, "this machine has no root in memory")
        version = self._images.resolve(node.rooted.image)
        files = {f"{version.id}.squashfs": prepare.SQUASHFS, f"{version.id}.blocks": prepare.BLOCKS}
        if id not in files:
            return Denied(403, "that is not the root this machine was booted with")
        return self._netroots.home(version) / files[id]


def _address(text: str) -> str:
    """Our address as the machine sees it: DHCP told it, and it tells us; "" when it is none."""
    try:
        return str(IPv4Address(text))
    except AddressValueError:
        return ""


def _arch(text: str) -> int | None:
    """The architecture number of DHCP option 93, as the query has it."""
    return int(text) if text.isdecimal() and text.isascii() and len(text) < 4 else None
